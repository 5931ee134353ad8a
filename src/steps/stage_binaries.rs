//! stage-binaries: everything that an upgrade moves to lies on the node before anything is taken
//! down. No link is moved.

use crate::inventory::Node;

use super::{Decision, Scene, known, kube_binaries, runtime};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let to = known::upgrade_to(scene, node)?;
    if known::is_passed_by(scene, node) {
        return Ok(Vec::new());
    }
    let mut drafts: Vec<_> = ["kubeadm", "kubelet", "kubectl"]
        .map(|name| kube_binaries::staged(&node.name, name, to))
        .into();
    drafts.extend(runtime::staged(&node.name, scene.row()));
    Ok(drafts)
}
