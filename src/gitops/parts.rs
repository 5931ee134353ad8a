//! The parts of the platform, in the order in which they come up: what is in the repository for one of
//! them, whichever engine brings it.
//!
//! Argo CD gets an Application a part and Flux a Kustomization; neither decides what there is.

use super::{
    layout::{self, Layout, join, split},
    scaffold::Scene,
    versions,
};

/// One thing that is brought up as a whole, and waited for.
#[derive(Debug, Clone)]
pub struct Part {
    pub name: &'static str,
    /// Lower ones first; those of one wave together.
    pub wave: i32,
    pub namespace: &'static str,
    /// What is gone from Git goes from the cluster; not where data or the network hang on it.
    pub prune: bool,
    pub source: Source,
}

#[derive(Debug, Clone)]
pub enum Source {
    /// A kustomization.
    Directory {
        path: String,
    },
    Chart(Chart),
}

#[derive(Debug, Clone)]
pub struct Chart {
    pub repo: &'static str,
    pub chart: &'static str,
    pub version: String,
    /// A file of this repository.
    pub values: String,
}

impl Part {
    /// The directory that is this part's own.
    pub fn path(&self) -> &str {
        match &self.source {
            Source::Directory { path } => path,
            Source::Chart(chart) => split(&chart.values).0,
        }
    }

    /// The chart's release goes by the chart's name: the bootstrap uses it too.
    pub fn release(&self) -> Option<(&'static str, &Chart)> {
        match &self.source {
            Source::Directory { .. } => None,
            Source::Chart(chart) => Some((chart.chart, chart)),
        }
    }
}

pub fn parts(scene: &Scene) -> Vec<Part> {
    let layout = &scene.layout;
    let directory = |name, wave, namespace, prune, path: &str| Part {
        name,
        wave,
        namespace,
        prune,
        source: Source::Directory { path: path.into() },
    };
    let mut parts = Vec::new();
    if !scene.namespaces().is_empty() {
        parts.push(directory("namespaces", -20, "default", false, layout::NAMESPACES));
    }
    if let (Some(values), Some(cilium)) = (&layout.values, &scene.inventory.cilium) {
        // Before Cilium, which looks for a Gateway API when it starts.
        parts.push(directory("gateway-api", -15, "default", false, layout::GATEWAY_API));
        parts.push(Part {
            name: "cilium",
            wave: -10,
            namespace: "kube-system",
            prune: false,
            source: Source::Chart(Chart {
                repo: "https://helm.cilium.io",
                chart: "cilium",
                version: cilium.version.to_string(),
                values: values.clone(),
            }),
        });
    }
    parts.extend(engines(layout, directory));
    if scene.metallb() {
        parts.push(Part {
            name: "metallb",
            wave: 0,
            namespace: "metallb-system",
            prune: true,
            source: Source::Chart(Chart {
                repo: "https://metallb.github.io/metallb",
                chart: "metallb",
                version: versions::METALLB.into(),
                values: join(layout::METALLB, "values.yaml"),
            }),
        });
        let pool = directory("metallb-pool", 5, "metallb-system", true, layout::METALLB_POOL);
        parts.push(pool);
    }
    parts.extend(rook(scene, directory));
    parts
}

fn engines(
    layout: &Layout,
    directory: impl Fn(&'static str, i32, &'static str, bool, &str) -> Part,
) -> Vec<Part> {
    let mut parts = Vec::new();
    if layout.flux() {
        parts.push(directory("flux", -5, "flux-system", false, &layout.install_flux()));
    }
    if layout.argocd() {
        parts.push(directory("argocd", -5, "argocd", false, &layout.install_argocd()));
    }
    if layout.argocd() && layout.flux() {
        // Alone, Argo CD's root brings its projects itself.
        let path = join(layout::ARGOCD, "projects");
        parts.push(directory("argocd-projects", 0, "argocd", true, &path));
    }
    parts
}

fn rook(
    scene: &Scene,
    directory: impl Fn(&'static str, i32, &'static str, bool, &str) -> Part,
) -> Vec<Part> {
    let Some(rook) = &scene.rook else { return Vec::new() };
    let chart = |name, wave, repo, chart, version, folder: &str| Part {
        name,
        wave,
        namespace: "rook-ceph",
        prune: false,
        source: Source::Chart(Chart {
            repo,
            chart,
            version,
            values: format!("{}/{folder}/values.yaml", layout::ROOK),
        }),
    };
    let cluster = join(layout::ROOK, "cluster");
    vec![
        chart(
            "rook-operator",
            0,
            "https://charts.rook.io/release",
            "rook-ceph",
            // This repository's versions carry the `v`.
            format!("v{}", rook.operator),
            "operator",
        ),
        // Under this name: Rook marks what it made itself before as this release's.
        chart(
            "rook-csi-drivers",
            5,
            "https://ceph.github.io/ceph-csi-operator",
            "ceph-csi-drivers",
            rook.csi_drivers.to_string(),
            "csi-drivers",
        ),
        directory("rook-cluster", 10, "rook-ceph", false, &cluster),
    ]
}
