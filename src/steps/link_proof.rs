//! link-proof: every path between nodes is what the inventory says: port, packet size, speed.

use std::net::Ipv4Addr;

use crate::{inventory::Node, ops::network::LinkProof};

use super::{
    Decision, Draft, Scene,
    network::{CEPH_PORT, LAN_PORT},
};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let networks = &scene.inventory.network;
    let mut drafts = Vec::new();
    let mut prove = |proof: LinkProof| {
        if !proof.peers.is_empty() {
            drafts.push(Draft::new(&node.name, proof));
        }
    };
    prove(LinkProof {
        network: "lan".into(),
        port: LAN_PORT.into(),
        peers: scene.peers(&node.name).map(|n| n.lan.address).collect(),
        mtu: networks.lan.mtu,
        min_mbps: networks.lan.min_speed_mbps,
    });
    if let Some(ceph) = networks.ceph.as_ref().filter(|_| node.ceph.is_some()) {
        let peers: Vec<Ipv4Addr> = scene
            .peers(&node.name)
            .filter_map(|n| n.ceph.as_ref())
            .map(|port| port.address)
            .collect();
        prove(LinkProof {
            network: "ceph".into(),
            port: CEPH_PORT.into(),
            peers,
            mtu: ceph.mtu,
            min_mbps: ceph.min_speed_mbps,
        });
    }
    Ok(drafts)
}
