//! verify-cluster: nodes, etcd and what all API servers read, asked once, on the control plane that acts.

use crate::{
    inventory::Node,
    names::NodeName,
    ops::{
        checks::{ClusterWhole, NodesReady},
        etcd::EtcdGate,
        sys::Plane,
    },
};

use super::{Decision, Draft, Scene, is_control_plane, known};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let leaving = scene.wish.target.as_ref().filter(|_| scene.wish.verb == "remove-node");
    if node.name != scene.acting(leaving) {
        return Ok(Vec::new());
    }
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
    let planes = asked.iter().map(plane).collect();
    Ok(vec![
        Draft::new(&node.name, NodesReady { nodes, kubelet: None, wait_s: 180 }),
        Draft::new(&node.name, EtcdGate { ignoring: None, must_bear_a_loss: false, wait_s: 60 }),
        Draft::new(&node.name, ClusterWhole { planes, wait_s: 120 }),
    ])
}
