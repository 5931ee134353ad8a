//! cilium-values: before there is a cluster, the repository is asked whether Cilium's values fit it. What
//! is wrong with them costs a commit now, and a half-made cluster later.

use crate::inventory::{CniKind, Node};

use super::{Decision, Draft, Scene, cni};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let inventory = scene.inventory;
    let asked = inventory.cilium.as_ref().filter(|_| inventory.cni.kind == CniKind::Cilium);
    // Once it is handed over, what the repository says is the repository's business.
    let handed_over = scene.api().is_some_and(|api| !api.applications.is_empty());
    if node.name != scene.initialiser() || asked.is_none() || handed_over {
        return Ok(Vec::new());
    }
    Ok(cni::values(scene).map(|values| Draft::new(&node.name, values)).into_iter().collect())
}
