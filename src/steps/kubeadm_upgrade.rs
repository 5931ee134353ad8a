//! kubeadm-upgrade: the control plane's own pods, and the configuration of the kubelet.

use crate::{
    inventory::Node,
    ops::upgrade::{UpgradeApply, UpgradeNode},
};

use super::{Decision, Draft, Scene, documents, is_control_plane, known, kube_binaries};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let to = known::upgrade_to(scene, node)?;
    if !known::needs_upgrade(scene, node) {
        return Ok(Vec::new());
    }
    let (name, config) = (&node.name, documents::upgrade(scene, to));
    // Only now: until its turn, the node keeps the kubeadm that goes with what runs on it.
    let kubeadm = kube_binaries::linked(name, "kubeadm", to);
    let upgrade = if *name == scene.initialiser() {
        Draft::new(name, UpgradeApply { version: to.clone(), config })
    } else {
        let control_plane = is_control_plane(node);
        Draft::new(name, UpgradeNode { version: to.clone(), config, control_plane })
    };
    Ok(vec![kubeadm, upgrade])
}
