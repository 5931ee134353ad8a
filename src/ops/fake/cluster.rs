//! A simulated cluster: etcd's members and quorum, and what the API server holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use serde::{Deserialize, Serialize};

use super::{Machine, World};
use crate::{
    facts::{Addon, ApiFacts, Application, KubeNode, Member},
    names::{NodeName, Version},
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FakeMember {
    pub id: String,
    pub node: NodeName,
    pub learner: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FakeNode {
    pub control_plane: bool,
    pub cordoned: bool,
    pub cordoned_by_us: bool,
    pub taints: BTreeSet<String>,
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    pub pods: u32,
    pub noout: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FakeAddon {
    pub version: String,
    pub ready_at_ms: u64,
}

/// What is known of a Secret: never a value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FakeSecret {
    pub kind: String,
    pub labels: BTreeMap<String, String>,
    /// By key, a mark of what was put there, which tells another value from it and not what it is.
    pub keys: BTreeMap<String, u32>,
    /// Somebody else, if it is not Slipway's.
    pub kept_by: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FakeCluster {
    pub id: String,
    pub ca: String,
    pub members: Vec<FakeMember>,
    pub revision: u64,
    /// Revisions of writes that etcd acknowledged; all of them must be there in the end.
    pub acknowledged: u64,
    pub version: Option<Version>,
    pub nodes: BTreeMap<NodeName, FakeNode>,
    /// Tokens and when they end.
    pub tokens: BTreeMap<String, u64>,
    pub certificate_key: Option<(String, u64)>,
    pub addons: BTreeMap<String, FakeAddon>,
    /// Applications and when they are healthy.
    pub applications: BTreeMap<String, (String, u64)>,
    pub endpoint: Option<Ipv4Addr>,
    pub ceph_fsid: Option<String>,
    /// kubeadm starts its pods where there is no other node yet.
    #[serde(default)]
    pub dns_alone_on: Option<NodeName>,
    #[serde(default)]
    pub namespaces: BTreeSet<String>,
    /// `NAMESPACE/NAME`
    #[serde(default)]
    pub secrets: BTreeMap<String, FakeSecret>,
}

impl FakeCluster {
    pub fn member_runs(&self, member: &FakeMember, world: &World, now_ms: u64) -> bool {
        world.machines.get(&member.node).is_some_and(|m| {
            m.runs_static_pod("etcd", now_ms)
                && m.kube.etcd_data.as_ref().is_some_and(|d| d.member_id == member.id)
        })
    }

    pub fn voters(&self) -> usize {
        self.members.iter().filter(|m| !m.learner).count()
    }

    pub fn has_quorum(&self, world: &World, now_ms: u64) -> bool {
        let voters: Vec<_> = self.members.iter().filter(|m| !m.learner).collect();
        let run = voters.iter().filter(|m| self.member_runs(m, world, now_ms)).count();
        !voters.is_empty() && run > voters.len() / 2
    }

    /// Whether the API server on this node answers: it asks its own etcd, which asks the quorum.
    pub fn api_answers(&self, node: &NodeName, world: &World, now_ms: u64) -> bool {
        let serves =
            world.machines.get(node).is_some_and(|m| m.runs_static_pod("kube-apiserver", now_ms));
        let member = self.members.iter().find(|m| &m.node == node);
        serves
            && member.is_some_and(|m| !m.learner && self.member_runs(m, world, now_ms))
            && self.has_quorum(world, now_ms)
    }

    pub fn api_answers_anywhere(&self, world: &World, now_ms: u64) -> bool {
        self.members.iter().any(|m| self.api_answers(&m.node, world, now_ms))
    }

    /// A write that etcd acknowledges.
    pub fn acknowledge(&mut self) {
        self.revision += 1;
        self.acknowledged = self.revision;
    }

    pub fn facts(&self, world: &World, now_ms: u64) -> Option<ApiFacts> {
        let version = self.version.clone()?;
        let cni = self.addons.keys().any(|a| a == "cilium" || a == "bridge");
        let node = |(name, node): (&NodeName, &FakeNode)| {
            let machine = world.machines.get(name);
            let kubelet = machine
                .and_then(|m| m.ram.kubelet_version.clone().or(m.linked("/usr/local/bin/kubelet")));
            KubeNode {
                name: name.clone(),
                ready: cni && machine.is_some_and(|m| m.runs_pods(now_ms) && m.kube.kubelet_conf),
                kubelet: kubelet.unwrap_or_else(|| version.clone()),
                control_plane: node.control_plane,
                cordoned: node.cordoned,
                cordoned_by_us: node.cordoned_by_us,
                taints: node.taints.iter().cloned().collect(),
                labels: node.labels.clone(),
                annotations: node.annotations.clone(),
                pods: node.pods,
            }
        };
        let member = |m: &FakeMember| {
            let started = self.member_runs(m, world, now_ms);
            let name = if started { m.node.to_string() } else { String::new() };
            Member { id: m.id.clone(), name, node: m.node.clone(), learner: m.learner, started }
        };
        let leader = self.members.iter().find(|m| !m.learner && self.member_runs(m, world, now_ms));
        let ends = |m: &FakeMember| world.machines.get(&m.node).map(|m| m.kube.certificates_end_ms);
        Some(ApiFacts {
            version: version.clone(),
            nodes: self.nodes.iter().map(node).collect(),
            members: self.members.iter().map(member).collect(),
            etcd_cluster_id: self.id.clone(),
            etcd_revision: self.revision,
            leader: leader.map(|m| m.id.clone()),
            alarms: Vec::new(),
            hashes_equal: true,
            certificates_end_ms: self
                .members
                .iter()
                .filter_map(ends)
                .filter(|e| *e > 0)
                .min()
                .unwrap_or(0),
            addons: self
                .addons
                .iter()
                .map(|(n, a)| {
                    (
                        n.clone(),
                        Addon { version: a.version.clone(), ready: now_ms >= a.ready_at_ms },
                    )
                })
                .collect(),
            applications: self
                .applications
                .iter()
                .map(|(name, (revision, at_ms))| Application {
                    name: name.clone(),
                    synced: now_ms >= *at_ms,
                    healthy: now_ms >= *at_ms,
                    revision: revision.clone(),
                })
                .collect(),
        })
    }
}

impl World {
    /// The cluster that a machine belongs to, by its CA.
    pub fn cluster_of(&self, machine: &Machine) -> Option<&FakeCluster> {
        let ca = machine.kube.ca.as_ref()?;
        self.clusters.values().find(|c| &c.ca == ca)
    }

    pub fn cluster_id_of(&self, node: &NodeName) -> Option<String> {
        self.machines.get(node).and_then(|m| self.cluster_of(m)).map(|c| c.id.clone())
    }

    /// The cluster whose API server on `node` answers, to change it.
    pub fn answering(&mut self, node: &NodeName, now_ms: u64) -> Option<&mut FakeCluster> {
        let id = self.cluster_id_of(node)?;
        let answers = self.clusters.get(&id)?.api_answers(node, self, now_ms);
        if answers { self.clusters.get_mut(&id) } else { None }
    }
}
