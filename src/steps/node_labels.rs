//! node-labels: the node's labels, and whether workloads run on it. Looked for again after an
//! upgrade, since kubeadm puts its own back.

use crate::{inventory::Node, ops::cluster::NodeLabels};

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
    Ok(vec![Draft::new(&scene.acting(None), op)])
}
