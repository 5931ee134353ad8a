//! hand-off: the root application, and the proof that Git has taken over.

use crate::{
    inventory::{Gitops, Node},
    ops::{hand_off::HandOff, repository::Kustomization},
};

use super::{Decision, Draft, Scene, known};

/// Flux's first, where it has one of its own: the applications stand on what it brings.
pub fn roots(gitops: &Gitops) -> Vec<Kustomization> {
    let flux = gitops.flux.iter().map(|flux| flux.root.as_str());
    flux.chain([gitops.root.as_str()]).map(|path| known::kustomization(gitops, path)).collect()
}

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let Some(gitops) = &scene.inventory.gitops else { return Ok(Vec::new()) };
    let op = HandOff {
        roots: roots(gitops),
        wait_s: gitops.wait_s,
        grace_s: gitops.grace_s,
        wait_for: scene.wish.wait_for.clone(),
    };
    Ok(vec![Draft::new(&node.name, op)])
}
