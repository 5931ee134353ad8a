//! os-update: the OS is brought up to date in one transaction before a node joins.

use crate::{inventory::Node, ops::packages::UpdateOs};

use super::{Decision, Draft, Scene};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    // On a member this is the rolling upgrade's business: three control planes that update their
    // kernels at once are three that want a reboot at once.
    if !scene.inventory.host.update_os || scene.is_member(&node.name) {
        return Ok(Vec::new());
    }
    Ok(vec![Draft::new(&node.name, UpdateOs {})])
}
