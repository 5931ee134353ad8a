//! hand-off: the root application, and the proof that Git has taken over.

use crate::{inventory::Node, ops::cluster::HandOff};

use super::{Decision, Draft, Scene};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let Some(gitops) = &scene.inventory.gitops else { return Ok(Vec::new()) };
    let op = HandOff {
        repo: gitops.repo.clone(),
        revision: gitops.revision.clone(),
        root: gitops.root.clone(),
        wait_s: 900,
    };
    Ok(vec![Draft::new(&node.name, op)])
}
