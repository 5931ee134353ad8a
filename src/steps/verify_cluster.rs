//! verify-cluster: nodes, etcd and what all API servers read, asked once, on the control plane that acts;
//! and whether pods reach each other, asked on another one. The one thing that only now can be put right
//! is: the cluster's DNS, which was started when there was one node.

use crate::{
    inventory::Node,
    names::NodeName,
    ops::{
        Op,
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
    // After its own DNS answers: what a node starts when it comes, and the new pod, would wait for each other.
    // One that only joins cannot tell beforehand where the pods are.
    let joins = scene.wish.target.as_ref();
    let last = planes.iter().rfind(|p| p.control_plane && Some(&p.node) != joins);
    let last = last.map_or(&acting, |plane| &plane.node);
    let second = second.map_or(&acting, |plane| &plane.node);
    let mut drafts = Vec::new();
    let mut draft = |op: Op| drafts.push(Draft::new(&node.name, op));
    if node.name == acting {
        draft(NodesReady { nodes: nodes.clone(), kubelet: None, wait_s: 180 }.into());
        draft(EtcdGate { ignoring: None, must_bear_a_loss: false, wait_s: 60 }.into());
        draft(ClusterWhole { planes: planes.clone(), wait_s: 120 }.into());
    }
    if node.name == *second
        && let Some(dns) = scene.dns_service()
    {
        let (nodes, image) = (nodes.clone(), images::coredns(scene));
        draft(Traffic { nodes, image, dns, domain: DOMAIN.into(), wait_s: 120 }.into());
    }
    if node.name == *last && nodes.len() > 1 {
        if node.name != acting {
            draft(NodesReady { nodes: nodes.clone(), kubelet: None, wait_s: 180 }.into());
        }
        draft(DnsSpread { nodes }.into());
    }
    Ok(drafts)
}
