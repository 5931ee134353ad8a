//! What each of two engines has of the repository: their roots are built, and what those name of this
//! repository in turn.
//!
//! Charts, other repositories and what ApplicationSets make are not looked into: only the engine itself
//! knows what comes of them.

use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    path::Path,
};

use super::{Linux, git::Git};
use crate::{
    gitops::yaml::{self, Node},
    kube::{
        objects::{self, Object},
        overlap::Scope,
    },
    ops::{
        repository::{Kustomization, Repository},
        scopes::Scopes,
        sys::SysResult,
    },
};

/// More directories than a repository of this kind has.
const MOST: usize = 300;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Engine {
    Flux,
    Argocd,
}

/// A directory that an engine has, by what it is told.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    engine: Engine,
    by: String,
    path: String,
    /// Files of directories below count too, where there is no kustomization.
    deep: bool,
}

fn text(node: &Node, path: &[&str]) -> Option<String> {
    Some(node.at(path)?.node.text()?.to_string())
}

/// The directories of this repository that an object names. `sources` are Flux's that are it.
fn named(object: &Object, repository: &Repository, sources: &BTreeSet<String>) -> Vec<Named> {
    let nodes = yaml::read(&object.text).unwrap_or_default();
    let Some(node) = nodes.first() else { return Vec::new() };
    let by = object.shown();
    match (object.group(), object.kind.as_str()) {
        ("kustomize.toolkit.fluxcd.io", "Kustomization") => {
            let source = text(node, &["spec", "sourceRef", "name"]).unwrap_or_default();
            let place = text(node, &["spec", "sourceRef", "namespace"])
                .or_else(|| object.namespace.clone())
                .unwrap_or_default();
            if !sources.contains(&format!("{place}/{source}")) {
                return Vec::new();
            }
            let path = text(node, &["spec", "path"]).unwrap_or_default();
            vec![Named { engine: Engine::Flux, by, path, deep: true }]
        }
        ("argoproj.io", "Application") => {
            let Some(spec) = node.at(&["spec"]) else { return Vec::new() };
            let mut all: Vec<&Node> =
                spec.node.entry("source").map(|e| &e.node).into_iter().collect();
            if let Some(several) = spec.node.entry("sources")
                && let yaml::Value::List(list) = &several.node.value
            {
                all.extend(list);
            }
            let one = |source: &&Node| {
                let url = text(source, &["repoURL"])?;
                let path = text(source, &["path"])?;
                let deep = text(source, &["directory", "recurse"]).as_deref() == Some("true");
                repository.is_at(&url).then(|| Named {
                    engine: Engine::Argocd,
                    by: by.clone(),
                    path,
                    deep,
                })
            };
            all.iter().filter_map(one).collect()
        }
        _ => Vec::new(),
    }
}

/// Flux's sources that are this repository, `NAMESPACE/NAME`.
fn sources(objects: &[Object], repository: &Repository) -> BTreeSet<String> {
    let is_it = |o: &&Object| {
        o.kind == "GitRepository"
            && yaml::read(&o.text)
                .ok()
                .and_then(|nodes| text(nodes.first()?, &["spec", "url"]))
                .is_some_and(|url| repository.is_at(&url))
    };
    let key = |o: &Object| format!("{}/{}", o.namespace.as_deref().unwrap_or_default(), o.name);
    objects.iter().filter(is_it).map(key).collect()
}

/// What lies in a directory without a kustomization. Values and the like are no objects.
fn plain(dir: &Path, deep: bool) -> Vec<Object> {
    let mut found = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().collect();
    entries.sort_by_key(|e| e.file_name());
    for entry in entries {
        let path = entry.path();
        // A link may lead anywhere.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && deep {
            found.extend(plain(&path, true));
        }
        let yaml = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
        if kind.is_file() && yaml {
            let text = fs::read_to_string(&path).unwrap_or_default();
            found.extend(objects::read(&text).unwrap_or_default());
        }
    }
    found
}

impl Linux {
    pub(super) async fn all_scopes(&self, roots: &[Kustomization]) -> SysResult<Scopes> {
        let mut scopes = Scopes::default();
        let Some(repository) = roots.first().map(|root| &root.repository) else {
            return Ok(scopes);
        };
        let git = Git::new(self, repository)?;
        let commit = git.fetch().await?;
        let mut known = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut queue = VecDeque::new();
        for root in roots {
            let objects = self.made(&git, &commit, root).await?;
            known.extend(sources(&objects, repository));
            queue.extend(objects);
        }
        let tree = git.check_out(&commit).await?;
        while let Some(object) = queue.pop_front() {
            for Named { engine, by, path, deep } in named(&object, repository, &known) {
                if seen.len() >= MOST
                    || path.split('/').any(|part| part == "..")
                    || !seen.insert((engine, by.clone(), path.clone()))
                {
                    continue;
                }
                let from = Kustomization {
                    repository: repository.clone(),
                    path: path.trim_start_matches("./").trim_matches('/').into(),
                };
                // One that does not build here is the engine's to complain about: it is still known
                // to be somebody's.
                let objects = if git.is_kustomization(&tree, &from.path) {
                    self.made(&git, &commit, &from).await.unwrap_or_default()
                } else {
                    plain(&tree.join(&from.path), deep)
                };
                known.extend(sources(&objects, repository));
                queue.extend(objects.iter().cloned());
                let scope = Scope { by, path, objects };
                match engine {
                    Engine::Flux => scopes.flux.push(scope),
                    Engine::Argocd => scopes.argocd.push(scope),
                }
            }
        }
        Ok(scopes)
    }

    pub(super) async fn scope_of(&self, from: &Kustomization) -> SysResult<Scope> {
        let git = Git::new(self, &from.repository)?;
        let commit = git.fetch().await?;
        let objects = self.made(&git, &commit, from).await?;
        Ok(Scope { by: format!("`{}`", from.path), path: from.path.clone(), objects })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::repository::Access;

    fn repository() -> Repository {
        Repository {
            url: "https://git.lab/home.git".into(),
            revision: "main".into(),
            access: Access::default(),
        }
    }

    #[test]
    fn what_names_a_directory_of_this_repository() {
        let text = "\
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: { name: platform, namespace: flux-system }
spec: { url: https://git.lab/home }
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: { name: a, namespace: flux-system }
spec: { path: ./infra, sourceRef: { kind: GitRepository, name: platform } }
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: { name: b, namespace: flux-system }
spec: { path: ./infra, sourceRef: { kind: GitRepository, name: other } }
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: { name: c, namespace: argocd }
spec:
  sources:
  - { repoURL: https://charts.lab, chart: x, targetRevision: 1.0.0 }
  - { repoURL: https://git.lab/home.git, ref: values }
  - { repoURL: https://git.lab/home.git, path: apps, directory: { recurse: true } }
";
        let objects = objects::read(text).unwrap();
        let sources = sources(&objects, &repository());
        assert_eq!(sources, BTreeSet::from(["flux-system/platform".to_string()]));
        let all: Vec<Named> =
            objects.iter().flat_map(|o| named(o, &repository(), &sources)).collect();
        let shown: Vec<(&str, &str, bool)> =
            all.iter().map(|n| (n.by.as_str(), n.path.as_str(), n.deep)).collect();
        assert_eq!(
            shown,
            [
                ("Kustomization flux-system/a", "./infra", true),
                ("Application argocd/c", "apps", true),
            ]
        );
    }

    #[test]
    fn plain_directories_are_read_as_their_engine_does() {
        let dir = tempfile::tempdir().unwrap();
        let object =
            |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name} }}\n");
        std::fs::write(dir.path().join("a.yaml"), object("a")).unwrap();
        std::fs::write(dir.path().join("values.yaml"), "replicas: 2\n").unwrap();
        std::fs::create_dir(dir.path().join("deeper")).unwrap();
        std::fs::write(dir.path().join("deeper/b.yml"), object("b")).unwrap();
        assert_eq!(plain(dir.path(), false).len(), 1);
        assert_eq!(plain(dir.path(), true).len(), 2);
    }
}
