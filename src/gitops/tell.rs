//! What people are told about the repository: its README, and what it lacks or asks of them.

use super::{
    layout,
    parts::Part,
    scaffold::{Manifest, Scene},
    template::fill,
};

/// The repository's own README.
pub fn readme(scene: &Scene, parts: &[Part]) -> String {
    let layout = &scene.layout;
    let mut rows = vec![
        (layout.bootstrap.as_str(), "installs the engine; applied once by `slipway bootstrap`"),
        (layout.root.as_str(), "what the engine runs; applied last of all"),
    ];
    if layout.argocd() {
        rows.push((layout::APPLICATIONS, "your applications"));
    }
    if layout.flux() {
        rows.push((layout::FLUX, "the platform's parts, a Kustomization each"));
    } else {
        rows.push((layout::ARGOCD, "the platform's parts, an Application each; projects"));
    }
    for part in parts {
        rows.push((part.path(), part.name));
    }
    let paths: String =
        rows.iter().map(|(path, what)| format!("| `{}` | {what} |\n", shown(path))).collect();
    let upstream: String = parts
        .iter()
        .filter_map(|p| Some((p.name, p.release()?.1)))
        .map(|(name, c)| format!("- {name}: chart `{}` {} of {}\n", c.chart, c.version, c.repo))
        .collect();
    let upstream = match upstream.as_str() {
        "" => upstream,
        _ => format!("Charts:\n\n{upstream}"),
    };
    let cluster = scene.inventory.cluster.name.to_string();
    fill(
        include_str!("../../assets/gitops/README.md"),
        &[("cluster", &cluster), ("paths", &paths), ("upstream", &upstream)],
    )
}

fn shown(path: &str) -> &str {
    if path.is_empty() { "." } else { path }
}

/// What a person should know once it is written.
pub fn notes(scene: &Scene, rook_is_known: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if !scene.metallb() {
        let why = "MetalLB is left out: the inventory has no addresses for it, and Services of type \
                   LoadBalancer get none; `--metallb-pool FROM-TO` names free ones in the LAN";
        notes.push(why.into());
    }
    match scene.rook {
        None => notes.push("Rook is left out: no node has disks for Ceph".into()),
        Some(rook) if !rook_is_known => notes.push(format!(
            "no Rook is known to work with Kubernetes {} yet; this is {}",
            scene.row.kubernetes, rook.operator
        )),
        Some(_) => {}
    }
    if scene.layout.values.is_none() {
        notes.push("the CNI is not Cilium: neither it nor the Gateway API is here".into());
    }
    for manifest in Manifest::ALL {
        if let Some(directory) = manifest.directory(&scene.layout)
            && !scene.manifests.contains_key(&manifest)
        {
            notes.push(format!(
                "{directory} is built from {}; `{} FILE` keeps it in the repository instead",
                manifest.address(scene),
                manifest.option()
            ));
        }
    }
    if scene.layout.flux() && !scene.gitops.repo.contains("https://") {
        notes.push("Flux reads the repository with the Secret flux-system/platform".into());
    }
    notes
}
