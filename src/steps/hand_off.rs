//! hand-off: the root application, and the proof that Git has taken over.

use crate::{inventory::Node, ops::hand_off::HandOff};

use super::{Decision, Draft, Scene, known};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let Some(gitops) = &scene.inventory.gitops else { return Ok(Vec::new()) };
    let op = HandOff {
        roots: vec![known::kustomization(gitops, &gitops.root)],
        wait_s: gitops.wait_s,
        grace_s: gitops.grace_s,
        wait_for: scene.wish.wait_for.clone(),
    };
    Ok(vec![Draft::new(&node.name, op)])
}
