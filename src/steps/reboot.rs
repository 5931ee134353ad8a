//! reboot: into the kernel that is installed, before anything needs its modules.

use crate::{inventory::Node, ops::host::RebootForKernel};

use super::{Decision, Draft, Scene};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    // A member is rebooted by the rolling upgrade, drained and behind the gates.
    if scene.is_member(&node.name) {
        return Ok(Vec::new());
    }
    Ok(vec![Draft::new(&node.name, RebootForKernel {})])
}
