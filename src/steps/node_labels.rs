//! node-labels: the node's labels, and whether workloads run on it. Looked for again after an
//! upgrade, since kubeadm puts its own back.

use std::collections::BTreeMap;

use crate::{
    facts::MON_IP,
    inventory::{CephCarries, Node},
    ops::cluster::{Cordon, NodeLabels},
};

use super::{Decision, Draft, Scene, known};

/// Rook takes a monitor's address from its node, and that is the LAN's: where all of Ceph is to go by
/// its own port, the node says otherwise before there is a monitor.
fn mon_address(scene: &Scene, node: &Node) -> BTreeMap<String, String> {
    let network = scene.inventory.network.ceph.as_ref();
    let all = network.is_some_and(|ceph| ceph.carries == CephCarries::All);
    let port = node.ceph.as_ref().filter(|_| all);
    port.map(|port| (MON_IP.to_string(), port.address.to_string())).into_iter().collect()
}

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    if known::is_passed_by(scene, node) {
        return Ok(Vec::new());
    }
    let op = NodeLabels {
        node: node.name.clone(),
        schedulable: node.schedulable,
        labels: node.labels.clone(),
        annotations: mon_address(scene, node),
    };
    let acting = scene.acting(None);
    let mut drafts = vec![Draft::new(&acting, op)];
    // What a removal or an upgrade cordoned and never came back to. An upgrade does it last of all.
    if scene.wish.verb != "upgrade" {
        drafts.push(Draft::new(&acting, Cordon { node: node.name.clone(), cordoned: false }));
    }
    Ok(drafts)
}
