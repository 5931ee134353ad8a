//! One row a node: what it should be, and what is known of it.

use serde::Serialize;

use crate::{
    doctor::Exam,
    facts::{ApiFacts, NodeFacts},
    inventory::{Node, Role},
    names::{NodeName, Version},
};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeRow {
    pub name: NodeName,
    pub role: Role,
    /// False for a node of the cluster that the inventory does not name.
    pub in_inventory: bool,
    pub state: NodeState,
    /// What the API server says; None where it does not know the node, or does not answer.
    pub ready: Option<bool>,
    pub cordoned: bool,
    pub kubelet: Option<Version>,
    pub etcd: Option<EtcdRole>,
    pub address: Option<std::net::Ipv4Addr>,
    pub os: Option<String>,
    pub kernel: Option<String>,
    /// Of the Ceph disks that the inventory names; None where the node did not answer.
    pub disks: Option<DiskUse>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    Ready,
    NotReady,
    Cordoned,
    NotJoined,
    /// Something of a cluster is on it, but it is no member.
    HalfMade,
    /// A member, but no API server answers that could say more.
    Unknown,
    Unreachable,
    NotAsked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EtcdRole {
    Leader,
    Member,
    Learner,
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DiskUse {
    pub blank: usize,
    pub in_use: usize,
    pub missing: usize,
}

impl NodeState {
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::NotReady => "NotReady",
            Self::Cordoned => "cordoned",
            Self::NotJoined => "not joined",
            Self::HalfMade => "half made",
            Self::Unknown => "unknown",
            Self::Unreachable => "unreachable",
            Self::NotAsked => "not asked",
        }
    }
}

impl EtcdRole {
    pub fn word(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Member => "member",
            Self::Learner => "learner",
            Self::Down => "down",
        }
    }
}

impl DiskUse {
    /// `2 blank`, `2 in use`, `1 blank, 1 missing`.
    pub fn words(self) -> String {
        let parts = [(self.blank, "blank"), (self.in_use, "in use"), (self.missing, "missing")];
        let parts = parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}"));
        let words = parts.collect::<Vec<_>>().join(", ");
        if words.is_empty() { "-".into() } else { words }
    }
}

/// The inventory's nodes in its order, then those that only the cluster knows.
pub(super) fn rows(exam: &Exam) -> Vec<NodeRow> {
    let api = exam.api();
    let mut rows: Vec<_> = exam.inventory.nodes.iter().map(|node| row(exam, node, api)).collect();
    let strays = api.iter().flat_map(|api| &api.nodes);
    for node in strays.filter(|node| exam.inventory.node(&node.name).is_none()) {
        let unasked = NodeState::NotAsked;
        rows.push(NodeRow {
            name: node.name.clone(),
            role: if node.control_plane { Role::ControlPlane } else { Role::Worker },
            in_inventory: false,
            state: of_cluster(api, &node.name).unwrap_or(unasked),
            ready: Some(node.ready),
            cordoned: node.cordoned,
            kubelet: Some(node.kubelet.clone()),
            etcd: etcd(api, &node.name),
            address: None,
            os: None,
            kernel: None,
            disks: None,
        });
    }
    rows
}

fn row(exam: &Exam, node: &Node, api: Option<&ApiFacts>) -> NodeRow {
    let facts = exam.facts.get(&node.name);
    let known = api.and_then(|api| api.node(&node.name));
    let linked = facts.and_then(|facts| facts.kube.kubelet.clone());
    NodeRow {
        name: node.name.clone(),
        role: node.role,
        in_inventory: true,
        state: state(exam, node, facts, api),
        ready: known.map(|known| known.ready),
        cordoned: known.is_some_and(|known| known.cordoned),
        // What runs, rather than what will run after a restart.
        kubelet: known.map(|known| known.kubelet.clone()).or(linked),
        etcd: etcd(api, &node.name),
        address: Some(node.lan.address),
        os: facts.map(|facts| facts.os.id.clone()),
        kernel: facts.map(|facts| facts.os.kernel_running.clone()),
        disks: facts.map(|facts| disks(node, facts)),
    }
}

fn state(exam: &Exam, node: &Node, facts: Option<&NodeFacts>, api: Option<&ApiFacts>) -> NodeState {
    let Some(facts) = facts else {
        return if exam.unreachable.contains_key(&node.name) {
            NodeState::Unreachable
        } else {
            of_cluster(api, &node.name).unwrap_or(NodeState::NotAsked)
        };
    };
    if let Some(state) = of_cluster(api, &node.name) {
        return state;
    }
    match (facts.kube.is_touched(), facts.kube.kubelet_conf, api) {
        (false, ..) => NodeState::NotJoined,
        (true, true, None) => NodeState::Unknown,
        (true, ..) => NodeState::HalfMade,
    }
}

fn of_cluster(api: Option<&ApiFacts>, node: &NodeName) -> Option<NodeState> {
    let known = api?.node(node)?;
    Some(match (known.ready, known.cordoned) {
        (false, _) => NodeState::NotReady,
        (true, true) => NodeState::Cordoned,
        (true, false) => NodeState::Ready,
    })
}

fn etcd(api: Option<&ApiFacts>, node: &NodeName) -> Option<EtcdRole> {
    let api = api?;
    let member = api.member_of(node)?;
    Some(match (member.learner, member.started) {
        (true, _) => EtcdRole::Learner,
        (false, false) => EtcdRole::Down,
        (false, true) if api.leader.as_ref() == Some(&member.id) => EtcdRole::Leader,
        (false, true) => EtcdRole::Member,
    })
}

fn disks(node: &Node, facts: &NodeFacts) -> DiskUse {
    let mut found = DiskUse { blank: 0, in_use: 0, missing: 0 };
    for serial in &node.disks.ceph {
        match facts.disk(serial) {
            None => found.missing += 1,
            Some(disk) if disk.is_blank() => found.blank += 1,
            Some(_) => found.in_use += 1,
        }
    }
    found
}
