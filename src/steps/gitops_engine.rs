//! gitops-engine: what takes the cluster over: from the repository's own kustomization, so that it
//! finds itself in Git without a diff; from its project's release where the repository has none.

use crate::{
    inventory::{Gitops, GitopsEngine, Node},
    names::Version,
    ops::{
        cluster::Addon,
        packages::{Artifact, release_dir},
        repository::{Kustomization, RepositoryReached},
        scopes::ScopesApart,
    },
};

use super::{Decision, Draft, Scene, hand_off, known};

struct Engine<'a> {
    name: &'static str,
    version: Version,
    bootstrap: Option<&'a str>,
}

fn engines<'a>(scene: &Scene, gitops: &'a Gitops) -> Vec<Engine<'a>> {
    let own = gitops.bootstrap.as_deref();
    let row = scene.row();
    let argocd = || Engine { name: "argocd", version: row.argocd.clone(), bootstrap: own };
    let bootstrap = gitops.flux.as_ref().map_or(own, |flux| flux.bootstrap.as_deref());
    let flux = || Engine { name: "flux", version: row.flux.clone(), bootstrap };
    match gitops.engine {
        GitopsEngine::Argocd => vec![argocd()],
        GitopsEngine::Flux => vec![flux()],
        // Flux brings the infrastructure that Argo CD's applications stand on.
        GitopsEngine::Both => vec![flux(), argocd()],
    }
}

/// Its release, brought to the node and applied there.
fn from_release(node: &Node, engine: &Engine) -> Vec<Draft> {
    let name = format!("{}-install", engine.name);
    let file = Some(format!("{}/{name}", release_dir(&name, &engine.version)));
    let artifact = Artifact { name, version: engine.version.clone(), links: Vec::new() };
    let addon = Addon {
        name: engine.name.into(),
        version: engine.version.to_string(),
        manifest: String::new(),
        from: None,
        file,
        wait_s: 600,
    };
    vec![Draft::new(&node.name, artifact), Draft::new(&node.name, addon)]
}

fn from_repository(node: &Node, engine: &Engine, from: Kustomization) -> Vec<Draft> {
    let addon = Addon {
        name: engine.name.into(),
        version: engine.version.to_string(),
        manifest: String::new(),
        from: Some(from),
        file: None,
        wait_s: 600,
    };
    vec![Draft::new(&node.name, addon)]
}

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let Some(gitops) = &scene.inventory.gitops else { return Ok(Vec::new()) };
    let mut drafts = Vec::new();
    // Once it is handed over, the repository is the engine's to reach.
    if scene.api().is_none_or(|api| api.applications.is_empty()) {
        let repository = known::kustomization(gitops, &gitops.root).repository;
        let paths = gitops.paths().into_iter().map(|(_, path)| path.to_string()).collect();
        drafts.push(Draft::new(&node.name, RepositoryReached { repository, paths }));
        if gitops.engine == GitopsEngine::Both {
            let both = gitops.flux.as_ref().and_then(|flux| flux.bootstrap.as_ref());
            let both = both.zip(gitops.bootstrap.as_ref());
            let bootstraps = both.map_or_else(Vec::new, |(flux, argocd)| {
                [flux, argocd].map(|path| known::kustomization(gitops, path)).into()
            });
            let apart = ScopesApart { roots: hand_off::roots(gitops), bootstraps };
            drafts.push(Draft::new(&node.name, apart));
        }
    }
    for engine in engines(scene, gitops) {
        if known::is_gits(scene.api(), engine.name, &engine.version.to_string()) {
            continue;
        }
        drafts.extend(match engine.bootstrap {
            Some(path) => from_repository(node, &engine, known::kustomization(gitops, path)),
            None => from_release(node, &engine),
        });
    }
    Ok(drafts)
}
