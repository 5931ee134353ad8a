//! containerd: the runtime of the versions that go with this Kubernetes, configured and running.

use crate::inventory::Node;

use super::{Decision, Scene, known, runtime};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    // A member that is at another version is in the middle of an upgrade, or before one: what runs
    // its pods is moved while it is drained.
    if known::is_left_to_upgrade(scene, node) {
        return Ok(runtime::staged(&node.name, scene.row()));
    }
    Ok(runtime::running(scene, node))
}
