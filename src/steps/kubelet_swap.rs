//! kubelet-swap: what runs the pods, moved while there are none but the node's own.

use crate::{inventory::Node, ops::upgrade::SwapKubelet};

use super::{Decision, Draft, Scene, known, kube_binaries, runtime};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let to = known::upgrade_to(scene, node)?;
    if !known::needs_upgrade(scene, node) {
        return Ok(Vec::new());
    }
    // The runtime first: a kubelet may want a newer one, never an older one.
    let mut drafts = runtime::running(scene, node);
    drafts.push(kube_binaries::linked(&node.name, "kubectl", to));
    drafts.push(Draft::new(&node.name, SwapKubelet { version: to.clone() }));
    Ok(drafts)
}
