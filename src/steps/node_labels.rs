//! node-labels: the node's labels, and whether workloads run on it. Looked for again after an
//! upgrade, since kubeadm puts its own back.

use crate::{
    inventory::Node,
    ops::cluster::{Cordon, NodeLabels},
};

use super::{Decision, Draft, Scene, known};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    if known::is_passed_by(scene, node) {
        return Ok(Vec::new());
    }
    let op = NodeLabels {
        node: node.name.clone(),
        schedulable: node.schedulable,
        labels: node.labels.clone(),
    };
    let acting = scene.acting(None);
    let mut drafts = vec![Draft::new(&acting, op)];
    // What a removal or an upgrade cordoned and never came back to. An upgrade does it last of all.
    if scene.wish.verb != "upgrade" {
        drafts.push(Draft::new(&acting, Cordon { node: node.name.clone(), cordoned: false }));
    }
    Ok(drafts)
}
