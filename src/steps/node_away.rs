//! node-away: workloads leave the node, politely, and Ceph is told that it comes back.

use crate::{
    inventory::Node,
    ops::cluster::{CephNoout, Cordon, Drain},
};

use super::{Decision, Draft, Scene, known};

/// A pod disruption budget may hold a drain up; it is never forced, so the wait has an end.
pub const DRAIN_S: u32 = 300;

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    if !known::needs_upgrade(scene, node) {
        return Ok(Vec::new());
    }
    let acting = scene.acting(Some(&node.name));
    let name = &node.name;
    Ok(vec![
        Draft::new(&acting, CephNoout { node: name.clone(), set: true }),
        Draft::new(&acting, Cordon { node: name.clone(), cordoned: true }),
        Draft::new(&acting, Drain { node: name.clone(), timeout_s: DRAIN_S }),
    ])
}
