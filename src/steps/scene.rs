//! What a step decides from: everything that is known when a run is planned.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use crate::{
    artifacts::{Row, compat},
    facts::{ApiFacts, NodeFacts},
    inventory::{EndpointKind, Inventory, Node, Role},
    names::{NodeName, Serial, Version},
    ops::packages::PackageSet,
};

/// What the operator asked for, besides the inventory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wish {
    pub verb: String,
    /// The node of `join-node` and `remove-node`.
    pub target: Option<NodeName>,
    /// Only these nodes; all when empty.
    pub only: BTreeSet<NodeName>,
    /// `upgrade --to`.
    pub to: Option<Version>,
    /// `--wipe-disk`.
    pub wipe: BTreeSet<Serial>,
    /// `--destroy-osd SERIAL=FSID`.
    pub destroy_osd: BTreeMap<Serial, String>,
    /// The distribution's packages in the bundle of `--bundle`.
    pub packages: Option<PackageSet>,
    /// `--wait-for`: applications whose health ends the hand-off's wait; all when empty.
    pub wait_for: Vec<String>,
}

/// What the ledger remembers that nodes cannot tell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// The CA of the cluster that was made, once an API server had answered under it.
    pub ca_fingerprint: Option<String>,
    /// Contents of disks as they were shown when an unfinished run was allowed to clear them.
    pub approved: BTreeMap<Serial, String>,
}

pub struct Scene<'a> {
    pub inventory: &'a Inventory,
    /// Of every node that answered.
    pub facts: &'a BTreeMap<NodeName, NodeFacts>,
    pub wish: &'a Wish,
    pub memory: &'a Memory,
}

impl<'a> Scene<'a> {
    /// The facts of a node; None where it did not answer (only `remove-node` goes on then).
    pub fn facts_of(&self, node: &NodeName) -> Option<&'a NodeFacts> {
        self.facts.get(node)
    }

    /// What the cluster says, through the first control plane (in the inventory's order) that
    /// answers; `except` is about to leave, or to be away.
    pub fn api_except(&self, except: Option<&NodeName>) -> Option<(&'a NodeName, &'a ApiFacts)> {
        self.inventory.control_planes().find_map(|node| {
            let api = self.facts.get(&node.name)?.kube.api.as_ref()?;
            (Some(&node.name) != except).then_some((&node.name, api))
        })
    }

    pub fn api(&self) -> Option<&'a ApiFacts> {
        self.api_except(None).map(|(_, api)| api)
    }

    /// The control plane on which things are done for the cluster, or for a node other than itself.
    pub fn acting(&self, except: Option<&NodeName>) -> NodeName {
        match self.api_except(except) {
            Some((node, _)) => node.clone(),
            None => self.initialiser(),
        }
    }

    /// The control plane that makes the cluster, or made it: one that has etcd data or a CA already
    /// goes before the first in the file.
    pub fn initialiser(&self) -> NodeName {
        if let Some((node, _)) = self.api_except(None) {
            return node.clone();
        }
        let planes: Vec<&Node> = self.inventory.control_planes().collect();
        let with = |test: fn(&NodeFacts) -> bool| {
            planes.iter().find(|n| self.facts.get(&n.name).is_some_and(test))
        };
        let found = with(|f| f.kube.etcd_data.is_some())
            .or_else(|| with(|f| f.kube.ca_fingerprint.is_some()))
            .or(planes.first());
        // An inventory without a control plane is refused before anything is planned.
        found.map_or_else(|| self.inventory.nodes[0].name.clone(), |n| n.name.clone())
    }

    /// Whether a cluster was made, as far as anybody can tell.
    pub fn cluster_exists(&self) -> bool {
        self.api().is_some()
            || self.facts.values().any(|f| f.kube.etcd_data.is_some())
            || self.memory.ca_fingerprint.is_some()
    }

    /// The version that nodes are prepared for: the running cluster's. The inventory names the
    /// version of a new cluster; moving an old one is `upgrade`'s business, and nothing else's.
    pub fn kubernetes(&self) -> Version {
        match (&self.wish.to, self.api()) {
            (Some(to), _) => to.clone(),
            (None, Some(api)) => api.version.clone(),
            (None, None) => self.inventory.cluster.kubernetes.clone(),
        }
    }

    /// The known combination of versions; the newest there is where the inventory's is unknown.
    pub fn row(&self) -> &'static Row {
        let compat = compat();
        compat.row(&self.kubernetes()).unwrap_or_else(|| compat.newest())
    }

    pub fn is_member(&self, node: &NodeName) -> bool {
        self.facts.get(node).is_some_and(|f| f.kube.kubelet_conf)
    }

    /// Where the API server is reached: the VIP, or the endpoint's own address or first control plane.
    pub fn endpoint_address(&self) -> Option<Ipv4Addr> {
        let endpoint = &self.inventory.cluster.endpoint;
        endpoint.vip.or_else(|| endpoint.host.parse().ok())
    }

    pub fn carries_vip(&self) -> bool {
        self.inventory.cluster.endpoint.kind != EndpointKind::External
    }

    pub fn dns_service(&self) -> Option<Ipv4Addr> {
        self.inventory.cluster.service_cidr.nth(10)
    }

    pub fn peers(&self, of: &NodeName) -> impl Iterator<Item = &'a Node> {
        let of = of.clone();
        self.inventory.nodes.iter().filter(move |n| n.name != of && self.takes_part(&n.name))
    }

    /// Nodes that are in this run or in the cluster: a machine that is neither may be a box on a shelf.
    pub fn takes_part(&self, node: &NodeName) -> bool {
        self.facts.contains_key(node)
            && (self.is_member(node)
                || (match &self.wish.target {
                    Some(target) => target == node,
                    None => self.wish.only.is_empty() || self.wish.only.contains(node),
                }))
    }
}

pub fn is_control_plane(node: &Node) -> bool {
    node.role == Role::ControlPlane
}
