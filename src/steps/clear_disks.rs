//! clear-disks: after a reset, the disks that the operator named, and no others.

use crate::{inventory::Node, names::Serial};

use super::{Decision, Scene, ceph_disks};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let facts = scene.facts_of(&node.name);
    let is_named = |serial: &&Serial| {
        let disk = facts.and_then(|f| f.disk(serial));
        let named = |name: &Serial| name == *serial || disk.is_some_and(|d| d.is_named(name));
        scene.wish.wipe.iter().any(named) || scene.wish.destroy_osd.keys().any(named)
    };
    node.disks.ceph.iter().filter(is_named).map(|s| ceph_disks::blank(scene, node, s)).collect()
}
