//! names: who is who, without a DNS that may be a pod of this very cluster.

use std::net::Ipv4Addr;

use crate::{inventory::Node, ops::files::HostsBlock};

use super::{Decision, Draft, Scene};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    // Every node of the inventory, joined or not: the file must not change with who is up.
    let mut entries: Vec<(Ipv4Addr, Vec<String>)> =
        scene.inventory.nodes.iter().map(|n| (n.lan.address, vec![n.name.to_string()])).collect();
    let endpoint = &scene.inventory.cluster.endpoint;
    // With a VIP the name is ours to lead; an external endpoint's is whoever's who runs it.
    if let Some(vip) = endpoint.vip
        && endpoint.host.parse::<Ipv4Addr>().is_err()
    {
        entries.push((vip, vec![endpoint.host.clone()]));
    }
    Ok(vec![Draft::new(&node.name, HostsBlock { entries })])
}
