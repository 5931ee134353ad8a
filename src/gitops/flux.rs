//! Flux's files: how it is installed, the source and the root, a Kustomization a part, and the
//! releases of charts.

use super::{
    layout::{self, join, split},
    parts::Part,
    scaffold::{Manifest, Scene},
    template::{fill, kustomization, list, quoted},
};

/// Pairs of path and text.
pub fn files(scene: &Scene, parts: &[Part]) -> Vec<(String, String)> {
    if !scene.layout.flux() {
        return Vec::new();
    }
    let mut files = Vec::new();
    let install = scene.layout.install_flux();
    let manifest = scene.manifest(Manifest::Flux, &install, &mut files);
    files.push((join(&install, "kustomization.yaml"), kustomization(&[manifest], "")));
    let mut resources = Vec::new();
    for part in parts {
        let name = format!("{}.yaml", part.name);
        files.push((join(layout::FLUX, &name), one(part, parts)));
        resources.push(name);
        files.extend(release(part));
    }
    files.push((join(layout::FLUX, "kustomization.yaml"), kustomization(&resources, "")));
    files
}

/// A part waits for all of the wave before its own.
fn one(part: &Part, parts: &[Part]) -> String {
    let before = parts.iter().map(|p| p.wave).filter(|wave| *wave < part.wave).max();
    let before = parts.iter().filter(|p| Some(p.wave) == before);
    let names = list(before.map(|p| format!("name: {}", p.name)));
    let depends =
        if names.is_empty() { names } else { format!("dependsOn:\n{}", indented(&names)) };
    fill(
        include_str!("../../assets/gitops/flux-kustomization.yaml"),
        &[
            ("name", part.name),
            ("depends", &depends),
            ("path", part.path()),
            ("prune", &part.prune.to_string()),
        ],
    )
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Beside the values that a chart is rendered with.
fn release(part: &Part) -> Vec<(String, String)> {
    let Some((release, chart)) = part.release() else { return Vec::new() };
    let (directory, file) = split(&chart.values);
    let text = fill(
        include_str!("../../assets/gitops/flux-release.yaml"),
        &[
            ("name", part.name),
            ("namespace", part.namespace),
            ("repo", chart.repo),
            ("release", release),
            ("chart", chart.chart),
            ("version", &quoted(&chart.version)),
        ],
    );
    let named = if file == "values.yaml" { file.into() } else { format!("values.yaml={file}") };
    let values = fill(
        include_str!("../../assets/gitops/flux-values.yaml"),
        &[
            ("name", part.name),
            ("namespace", part.namespace),
            ("file", &if named == file { quoted(&named) } else { format!("'{named}'") }),
        ],
    );
    vec![
        (join(directory, "release.yaml"), text),
        (join(directory, "kustomization.yaml"), kustomization(&["release.yaml".into()], &values)),
    ]
}

/// The source, and the Kustomization of all others.
pub fn root(scene: &Scene) -> String {
    let repo = &scene.gitops.repo;
    let access = scene.gitops.access.as_ref();
    let app = access.is_some_and(|a| a.github_app.is_some());
    let given =
        app || access.is_some_and(|a| a.token.is_some() || a.ssh_key.is_some() || a.ca.is_some());
    let (repo, secret) = match repo.split_once("://") {
        Some(("ssh", _)) => (repo.clone(), true),
        // Slipway makes the Secret out of `[gitops.access]`.
        Some(_) => (repo.clone(), given),
        // Flux knows no `git@host:path`.
        None => (format!("ssh://{}", repo.replacen(':', "/", 1)), true),
    };
    let revision = &scene.gitops.revision;
    let hash = revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit());
    let version = revision.trim_start_matches('v').parse::<crate::names::Version>().is_ok();
    let kind = match () {
        () if hash => "commit",
        () if revision.starts_with("refs/") => "name",
        () if version => "tag",
        () => "branch",
    };
    fill(
        include_str!("../../assets/gitops/flux-root.yaml"),
        &[
            ("repo", &quoted(&repo)),
            ("ref", &format!("{kind}: {}", quoted(revision))),
            (
                "secret",
                match (app, secret) {
                    // It asks for tokens of its own.
                    (true, _) => "provider: github\nsecretRef:\n  name: platform",
                    (false, true) => "secretRef:\n  name: platform",
                    (false, false) => "",
                },
            ),
            ("path", layout::FLUX),
        ],
    )
}

/// The root where Flux is alone, or has directories of its own.
pub fn root_files(scene: &Scene) -> Vec<(String, String)> {
    let path = &scene.layout.flux_root;
    let text = kustomization(&["platform.yaml".into()], "");
    vec![(join(path, "platform.yaml"), root(scene)), (join(path, "kustomization.yaml"), text)]
}
