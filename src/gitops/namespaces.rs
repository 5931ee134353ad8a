//! Namespaces, and what Pod Security allows in them: the same in the repository and on the cluster, so
//! that one which had to be made before Git came is adopted without a diff.

use std::collections::BTreeMap;

use super::scaffold::Scene;

pub struct Namespace {
    pub name: String,
    pub enforce: &'static str,
    pub warn: &'static str,
    /// The platform's, and no application's.
    pub platform: bool,
}

/// Those whose pods need the host itself.
const PRIVILEGED: [&str; 2] = ["metallb-system", "rook-ceph"];
/// There before anybody makes one, or brought by a release of somebody else's.
const OTHERS: [&str; 5] =
    ["default", "flux-system", "kube-node-lease", "kube-public", "kube-system"];

impl Namespace {
    pub fn of(name: &str) -> Self {
        let privileged = PRIVILEGED.contains(&name);
        let (enforce, warn) =
            if privileged { ("privileged", "privileged") } else { ("baseline", "restricted") };
        Self { name: name.into(), enforce, warn, platform: true }
    }
}

/// What a namespace is labelled with where it has to be made.
pub fn namespace_labels(name: &str) -> BTreeMap<String, String> {
    if OTHERS.contains(&name) {
        return BTreeMap::new();
    }
    let Namespace { enforce, warn, .. } = Namespace::of(name);
    let label =
        |mode: &str, level: &str| (format!("pod-security.kubernetes.io/{mode}"), level.to_string());
    BTreeMap::from([label("enforce", enforce), label("warn", warn)])
}

impl Scene<'_> {
    /// Those that no part brings by itself, as Flux does its own.
    pub fn namespaces(&self) -> Vec<Namespace> {
        let platform = [
            self.layout.argocd().then_some("argocd"),
            self.metallb().then_some("metallb-system"),
            self.rook.map(|_| "rook-ceph"),
        ];
        let mut all: Vec<Namespace> = platform.into_iter().flatten().map(Namespace::of).collect();
        for secret in &self.gitops.secrets {
            let name = secret.namespace.as_str();
            if !OTHERS.contains(&name) && all.iter().all(|n| n.name != name) {
                all.push(Namespace { platform: false, ..Namespace::of(name) });
            }
        }
        all
    }
}
