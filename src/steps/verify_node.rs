//! verify-node: the cluster's endpoint answers from this node.

use crate::{inventory::Node, ops::checks::EndpointAnswers};

use super::{Decision, Draft, Scene, known};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    // Behind a name that only DNS knows there is no address to prove here.
    let Some(address) = scene.endpoint_address() else { return Ok(Vec::new()) };
    if known::is_passed_by(scene, node) {
        return Ok(Vec::new());
    }
    let port = scene.inventory.cluster.endpoint.port;
    Ok(vec![Draft::new(&node.name, EndpointAnswers { address, port, wait_s: 60 })])
}
