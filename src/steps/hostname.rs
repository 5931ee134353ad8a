//! hostname: the node's own name is its name in the inventory and in the cluster.

use crate::{inventory::Node, ops::host::Hostname};

use super::{Decision, Draft, Scene};

pub fn decide(_: &Scene, node: &Node) -> Decision {
    Ok(vec![Draft::new(&node.name, Hostname { name: node.name.to_string() })])
}
