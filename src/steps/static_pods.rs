//! `static-pods`: what a cut upgrade took away is put back before anything asks etcd for its health.

use super::{Decision, Draft, Scene, is_control_plane};
use crate::{inventory::Node, ops::upgrade::StaticPods};

pub(super) fn decide(_scene: &Scene, node: &Node) -> Decision {
    Ok(if is_control_plane(node) {
        vec![Draft::new(&node.name, StaticPods {})]
    } else {
        Vec::new()
    })
}
