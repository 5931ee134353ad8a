//! gitops-engine: what takes the cluster over, from the repository's own kustomization, so that it
//! finds itself in Git without a diff.

use crate::{
    inventory::{GitopsEngine, Node},
    ops::{cluster::Addon, repository::RepositoryReached},
};

use super::{Decision, Draft, Scene, known};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let Some(gitops) = &scene.inventory.gitops else { return Ok(Vec::new()) };
    let argocd = ("argocd", scene.row().argocd.to_string());
    let flux = ("flux", scene.row().flux.to_string());
    let engines = match gitops.engine {
        GitopsEngine::Argocd => vec![argocd],
        GitopsEngine::Flux => vec![flux],
        // Flux brings the infrastructure that Argo CD's applications stand on.
        GitopsEngine::Both => vec![flux, argocd],
    };
    let mut drafts: Vec<Draft> = engines
        .into_iter()
        .filter(|(name, version)| !known::is_gits(scene.api(), name, version))
        .map(|(name, version)| {
            let from = Some(known::kustomization(gitops, &gitops.bootstrap));
            let addon =
                Addon { name: name.into(), version, manifest: String::new(), from, wait_s: 600 };
            Draft::new(&node.name, addon)
        })
        .collect();
    // Once it is handed over, the repository is the engine's to reach.
    if scene.api().is_none_or(|api| api.applications.is_empty()) {
        let repository = known::kustomization(gitops, &gitops.bootstrap).repository;
        let paths = vec![gitops.bootstrap.clone(), gitops.root.clone()];
        drafts.insert(0, Draft::new(&node.name, RepositoryReached { repository, paths }));
    }
    Ok(drafts)
}
