//! verify-cluster: nodes, etcd and what all API servers read, asked once, on the control plane that acts;
//! and whether pods reach each other, asked on another one. The one thing that only now can be put right
//! is: the cluster's DNS, which was started when there was one node.

use crate::{
    inventory::Node,
    names::NodeName,
    ops::{
        checks::{ClusterWhole, NodesReady},
        dns_spread::DnsSpread,
        etcd::EtcdGate,
        sys::Plane,
        traffic::Traffic,
    },
};

use super::{Decision, Draft, Scene, images, is_control_plane, known};

/// kubeadm's own choice, and never another.
const DOMAIN: &str = "cluster.local";

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let leaving = scene.wish.target.as_ref().filter(|_| scene.wish.verb == "remove-node");
    let acting = scene.acting(leaving);
    let is_asked = |n: &&Node| {
        Some(&n.name) != leaving
            && scene.takes_part(&n.name)
            && !known::is_passed_by(scene, n)
            // Who stays is in the cluster; a machine on the shelf is not waited for.
            && (leaving.is_none() || known::in_cluster(scene, &n.name))
    };
    let asked: Vec<&Node> = scene.inventory.nodes.iter().filter(is_asked).collect();
    let nodes: Vec<NodeName> = asked.iter().map(|n| n.name.clone()).collect();
    let plane = |n: &&Node| Plane {
        node: n.name.clone(),
        address: n.lan.address,
        control_plane: is_control_plane(n),
    };
    let planes: Vec<Plane> = asked.iter().map(plane).collect();
    // Beside the other checks, where a second control plane can do it: not the one that came last, which
    // has its own to wait for.
    let second = planes.iter().find(|p| p.control_plane && p.node != acting);
    let mut drafts = Vec::new();
    if node.name == acting {
        drafts.extend(checks(&node.name, nodes.clone(), planes.clone()));
    }
    if node.name == *second.map_or(&acting, |plane| &plane.node)
        && let Some(dns) = scene.dns_service()
    {
        let image = images::coredns(scene);
        let traffic = Traffic { nodes, image, dns, domain: DOMAIN.into(), wait_s: 120 };
        drafts.push(Draft::new(&node.name, traffic));
    }
    Ok(drafts)
}

fn checks(on: &NodeName, nodes: Vec<NodeName>, planes: Vec<Plane>) -> Vec<Draft> {
    let mut drafts = vec![
        Draft::new(on, NodesReady { nodes: nodes.clone(), kubelet: None, wait_s: 180 }),
        Draft::new(on, EtcdGate { ignoring: None, must_bear_a_loss: false, wait_s: 60 }),
        Draft::new(on, ClusterWhole { planes, wait_s: 120 }),
    ];
    // Last: its new pod and what a node that has just come still starts would wait for each other.
    if nodes.len() > 1 {
        drafts.push(Draft::new(on, DnsSpread { nodes }));
    }
    drafts
}
