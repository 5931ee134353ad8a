//! hand-off: the root application, and the proof that Git has taken over.

use crate::{inventory::Node, ops::hand_off::HandOff};

use super::{Decision, Draft, Scene, known};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let Some(gitops) = &scene.inventory.gitops else { return Ok(Vec::new()) };
    let op = HandOff {
        root: known::kustomization(gitops, &gitops.root),
        wait_s: gitops.wait_s,
        grace_s: gitops.grace_s,
    };
    Ok(vec![Draft::new(&node.name, op)])
}
