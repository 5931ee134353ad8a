//! vip-free: nobody but the fleet answers for the cluster's address.

use crate::{inventory::Node, ops::network::AddressFree};

use super::{Decision, Draft, Scene};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    // One node asks for all: they are on one LAN, and three questions at once would only confuse.
    let Some(address) = scene.inventory.cluster.endpoint.vip else { return Ok(Vec::new()) };
    if node.name != scene.initialiser() {
        return Ok(Vec::new());
    }
    // Asked also when the cluster runs: then one of these answers, and a stranger is a conflict.
    let ours = scene.inventory.nodes.iter().map(|n| n.lan.mac).collect();
    Ok(vec![Draft::new(&node.name, AddressFree { address, ours })])
}
