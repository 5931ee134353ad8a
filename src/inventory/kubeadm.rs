//! What goes to kubeadm beyond the documents that are made from the rest of the inventory.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Inventory, Node};
use crate::names::Cidr;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kubeadm {
    /// Patches, by what they change: `kubeletconfiguration`, `kube-apiserver`,
    /// `kube-controller-manager`, `kube-scheduler`, `etcd`, `corednsdeployment`. `+merge` or `+json`
    /// behind the name is another kind of patch than strategic. The text is YAML.
    #[serde(default)]
    pub patches: BTreeMap<String, String>,
}

/// What kubeadm patches.
pub const TARGETS: [&str; 6] = [
    "kubeletconfiguration",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "etcd",
    "corednsdeployment",
];
pub const KINDS: [&str; 3] = ["strategic", "merge", "json"];

/// `etcd` is `etcd` and `strategic`; None for what kubeadm would silently pass by.
pub fn target(key: &str) -> Option<(&'static str, &'static str)> {
    let (name, kind) = key.split_once('+').unwrap_or((key, "strategic"));
    let known = |all: &[&'static str], word: &str| all.iter().copied().find(|known| *known == word);
    Some((known(&TARGETS, name)?, known(&KINDS, kind)?))
}

/// Each node's piece of the pod network.
const NODE_PREFIX: u8 = 24;

impl Inventory {
    /// The range of a node's pods, where Slipway is the pod network: numbered by the node's place in
    /// the LAN, so that it neither changes with who else is there nor has to be asked for.
    pub fn pod_range(&self, node: &Node) -> Option<Cidr> {
        let place = self.network.lan.cidr.place(node.lan.address)?;
        self.cluster.pod_cidr.part(NODE_PREFIX, place)
    }
}
