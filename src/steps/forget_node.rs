//! forget-node: the cluster's record of a node that is gone.

use crate::{inventory::Node, ops::cluster::DeleteNode};

use super::{Decision, Draft, Scene, known};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    if !known::is_target(scene, node) {
        return Ok(Vec::new());
    }
    let acting = scene.acting(Some(&node.name));
    Ok(vec![Draft::new(&acting, DeleteNode { node: node.name.clone() })])
}
