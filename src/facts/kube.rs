//! What of Kubernetes is on a node, and what the cluster says through it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::names::{NodeName, Version};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KubeFacts {
    /// The versions that the symlinks point at.
    pub kubelet: Option<Version>,
    pub kubeadm: Option<Version>,
    /// SHA-256 of the cluster CA's certificate, where there is one.
    pub ca_fingerprint: Option<String>,
    /// The kubelet has an identity in a cluster.
    pub kubelet_conf: bool,
    /// Static pods, by the names of their manifests.
    pub manifests: Vec<String>,
    pub etcd_data: Option<EtcdData>,
    /// What the API server says: only on a control plane whose API server answers.
    pub api: Option<ApiFacts>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdData {
    pub cluster_id: String,
    pub member_id: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiFacts {
    /// Of the cluster: what kubeadm's ClusterConfiguration says.
    pub version: Version,
    pub nodes: Vec<KubeNode>,
    pub members: Vec<Member>,
    pub etcd_cluster_id: String,
    pub etcd_revision: u64,
    pub leader: Option<String>,
    pub alarms: Vec<String>,
    /// Whether all started members hash equal at one revision.
    pub hashes_equal: bool,
    /// The first of the control planes' leaf certificates to end.
    pub certificates_end_ms: u64,
    pub addons: BTreeMap<String, Addon>,
    pub applications: Vec<Application>,
}

/// From which address of a node a monitor of Ceph's speaks, where that is not the LAN's.
pub const MON_IP: &str = "network.rook.io/mon-ip";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubeNode {
    pub name: NodeName,
    pub ready: bool,
    pub kubelet: Version,
    pub control_plane: bool,
    pub cordoned: bool,
    /// Cordoned by Slipway, which says so in an annotation: only then may it uncordon.
    pub cordoned_by_us: bool,
    pub taints: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// Of those that Slipway gives a node: others are many, and long.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    pub pods: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub id: String,
    /// Empty until the member has started for the first time.
    pub name: String,
    /// From its peer address: known even before it starts.
    pub node: NodeName,
    pub learner: bool,
    pub started: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addon {
    pub version: String,
    pub ready: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    pub name: String,
    pub synced: bool,
    pub healthy: bool,
    pub revision: String,
}

impl ApiFacts {
    pub fn node(&self, name: &NodeName) -> Option<&KubeNode> {
        self.nodes.iter().find(|n| &n.name == name)
    }

    pub fn member_of(&self, name: &NodeName) -> Option<&Member> {
        self.members.iter().find(|m| &m.node == name)
    }
}

impl KubeFacts {
    /// Anything of a cluster at all, whole or half made.
    pub fn is_touched(&self) -> bool {
        self.ca_fingerprint.is_some()
            || self.kubelet_conf
            || !self.manifests.is_empty()
            || self.etcd_data.is_some()
    }
}
