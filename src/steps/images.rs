//! images: on every node before anything asks for them, so that nothing waits for a download while
//! a node is away, and kubeadm's health checks do not time out over one. And those that the inventory names
//! besides: what its pods run, for machines without internet.

use crate::{
    inventory::{CniKind, EndpointKind, Node},
    ops::packages::Images,
};

use super::{Decision, Draft, Scene, endpoint::KUBE_VIP, is_control_plane, known};

const REGISTRY: &str = "registry.k8s.io";

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    if known::is_passed_by(scene, node) {
        return Ok(Vec::new());
    }
    let (version, row) = (scene.kubernetes(), scene.row());
    let mut images = Vec::new();
    if is_control_plane(node) {
        for name in ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
            images.push(format!("{REGISTRY}/{name}:v{version}"));
        }
        images.push(format!("{REGISTRY}/etcd:{}", row.etcd));
        if scene.inventory.cluster.endpoint.kind == EndpointKind::KubeVip {
            images.push(format!("ghcr.io/kube-vip/kube-vip:v{KUBE_VIP}"));
        }
    }
    if scene.inventory.cni.kind == CniKind::Bridge {
        images.push(format!("{REGISTRY}/kube-proxy:v{version}"));
    }
    images.push(coredns(scene));
    images.push(format!("{REGISTRY}/pause:{}", row.pause));
    for more in &scene.inventory.artifacts.images {
        if !images.contains(more) {
            images.push(more.clone());
        }
    }
    Ok(vec![Draft::new(&node.name, Images { images })])
}

/// On every node, and so at hand for what has to run on every node.
pub(super) fn coredns(scene: &Scene) -> String {
    format!("{REGISTRY}/coredns/coredns:{}", scene.row().coredns)
}
