//! host-fit: the host can carry a Kubernetes node at all. What would merely be wiser is doctor's.

use crate::{
    inventory::{Node, Os},
    ops::checks::HostFit,
};

use super::{Decision, Draft, Scene};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let os = match node.os {
        Os::Arch => "arch",
        Os::Debian => "debian",
        // The inventory refuses it, for now.
        Os::Talos => "talos",
    };
    let fit = HostFit {
        os: os.into(),
        // kubeadm's own floor.
        min_cpus: 2,
        min_memory_mb: 1_700,
        // Images of a control plane, etcd, and room to breathe: the kubelet evicts below 15 %.
        min_var_free_mb: 10_000,
        // Kubernetes has not started on v1 since 1.35.
        cgroup: if scene.inventory.host.allow_cgroup_v1 { 1 } else { 2 },
    };
    Ok(vec![Draft::new(&node.name, fit)])
}
