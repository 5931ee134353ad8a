//! Argo CD's files: how it is installed, its projects, the root application and what that brings.

use super::{
    layout::{self, join, relative},
    parts::{Part, Source},
    scaffold::{Manifest, Scene},
    template::{fill, kustomization, list, quoted},
};

/// MetalLB writes its webhook's certificate into this CRD.
const IGNORED: &str = "\
ignoreDifferences:
  - group: apiextensions.k8s.io
    kind: CustomResourceDefinition
    name: bgppeers.metallb.io
    jsonPointers:
      - /spec/conversion/webhook/clientConfig/caBundle
";

/// Pairs of path and text.
pub fn files(scene: &Scene, parts: &[Part]) -> Vec<(String, String)> {
    if !scene.layout.argocd() {
        return Vec::new();
    }
    let mut files = install(scene);
    files.extend(projects(scene, parts));
    if scene.layout.flux() {
        return files;
    }
    // Alone, it brings the platform too.
    let apps = join(layout::ARGOCD, "apps");
    let mut resources = Vec::new();
    for part in parts {
        let name = format!("{}.yaml", part.name);
        files.push((join(&apps, &name), application(scene, part)));
        resources.push(name);
    }
    files.push((join(&apps, "applications.yaml"), applications(scene)));
    resources.push("applications.yaml".into());
    files.push((join(&apps, "kustomization.yaml"), kustomization(&resources, "")));
    let both = kustomization(&["projects".into(), "apps".into()], "");
    files.push((join(layout::ARGOCD, "kustomization.yaml"), both));
    files
}

fn install(scene: &Scene) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let path = scene.layout.install_argocd();
    let manifest = scene.manifest(Manifest::Argocd, &path, &mut files);
    let text =
        kustomization(&[manifest], "namespace: argocd\npatches:\n  - path: argocd-cm.yaml\n");
    files.push((join(&path, "kustomization.yaml"), text));
    let settings = include_str!("../../assets/gitops/argocd-cm.yaml");
    files.push((join(&path, "argocd-cm.yaml"), settings.into()));
    files
}

fn projects(scene: &Scene, parts: &[Part]) -> Vec<(String, String)> {
    let mut sources = vec![quoted(&scene.gitops.repo)];
    sources.extend(parts.iter().filter_map(|p| Some(quoted(p.release()?.1.repo))));
    let platform = fill(
        include_str!("../../assets/gitops/argocd-projects-platform.yaml"),
        &[("sources", &list(sources))],
    );
    let mut denied = vec!["kube-system", "argocd"];
    let namespaces = scene.namespaces();
    let theirs = namespaces.iter().filter(|n| n.platform && n.name != "argocd");
    denied.extend(theirs.map(|n| n.name.as_str()));
    if scene.layout.flux() {
        denied.push("flux-system");
    }
    let denied = denied
        .into_iter()
        .map(|n| format!("server: https://kubernetes.default.svc\n  namespace: \"!{n}\""));
    let applications = fill(
        include_str!("../../assets/gitops/argocd-projects-applications.yaml"),
        &[("denied", &list(denied))],
    );
    let at = |name: &str| format!("{}/projects/{name}", layout::ARGOCD);
    let both = ["platform.yaml", "applications.yaml"].map(String::from);
    vec![
        (at("platform.yaml"), platform),
        (at("applications.yaml"), applications),
        (at("kustomization.yaml"), kustomization(&both, "")),
    ]
}

/// The root: the directory that is applied last of all by the bootstrap.
pub fn root(scene: &Scene) -> Vec<(String, String)> {
    let path = &scene.layout.root;
    // The projects come along: an Application of a project that is not there is refused.
    let projects = relative(path, &join(layout::ARGOCD, "projects"));
    let (name, text) = if scene.layout.flux() {
        ("applications.yaml", applications(scene))
    } else {
        let text = fill(
            include_str!("../../assets/gitops/argocd-root.yaml"),
            &[
                ("repo", &quoted(&scene.gitops.repo)),
                ("revision", &quoted(&scene.gitops.revision)),
                ("path", layout::ARGOCD),
            ],
        );
        ("root.yaml", text)
    };
    let mut resources = vec![projects, name.to_string()];
    let mut files = vec![(join(path, name), text)];
    if scene.layout.flux() && scene.layout.apart() {
        files.extend(super::flux::root_files(scene));
    } else if scene.layout.flux() {
        files.push((join(path, "platform.yaml"), super::flux::root(scene)));
        resources.push("platform.yaml".into());
    }
    files.push((join(path, "kustomization.yaml"), kustomization(&resources, "")));
    files
}

fn application(scene: &Scene, part: &Part) -> String {
    let repo = quoted(&scene.gitops.repo);
    let revision = quoted(&scene.gitops.revision);
    let source = match &part.source {
        Source::Directory { path } => {
            let path = if path.is_empty() { "." } else { path };
            let path = quoted(path);
            format!("source:\n  repoURL: {repo}\n  targetRevision: {revision}\n  path: {path}\n")
        }
        Source::Chart(chart) => format!(
            "sources:\n  - repoURL: {}\n    chart: {}\n    targetRevision: {}\n    helm:\n      \
             releaseName: {}\n      valueFiles:\n        - {}\n  - repoURL: {repo}\n    \
             targetRevision: {revision}\n    ref: values\n",
            chart.repo,
            chart.chart,
            quoted(&chart.version),
            chart.chart,
            quoted(&format!("$values/{}", chart.values)),
        ),
    };
    fill(
        include_str!("../../assets/gitops/argocd-application.yaml"),
        &[
            ("name", part.name),
            ("wave", &part.wave.to_string()),
            ("source", &source),
            ("namespace", part.namespace),
            ("ignored", if part.name == "metallb" { IGNORED } else { "" }),
            ("prune", &part.prune.to_string()),
        ],
    )
}

fn applications(scene: &Scene) -> String {
    fill(
        include_str!("../../assets/gitops/argocd-applications.yaml"),
        &[
            ("repo", &quoted(&scene.gitops.repo)),
            ("revision", &quoted(&scene.gitops.revision)),
            ("path", layout::APPLICATIONS),
        ],
    )
}
