//! The whole starter repository as a value: every file with its text, and what a person should know
//! about it. Pure: what lies in the directory already is handed in.

use std::collections::BTreeMap;

use super::{
    argocd, flux,
    layout::{self, Layout, join, relative},
    network, parts,
    pool::Range,
    storage, tell,
    template::{fill, kustomization},
    versions::{self, Rook},
};
use crate::{
    artifacts::Row,
    events::Failure,
    inventory::{Gitops, Inventory},
};

/// A project's release manifest: named by its address, or kept in the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manifest {
    Argocd,
    Flux,
    GatewayApi,
}

/// A manifest that is kept in the repository.
#[derive(Debug, Clone)]
pub enum Held {
    /// Put there now.
    Text(String),
    /// It lies there already.
    There,
}

/// What comes from beside the inventory.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// MetalLB's addresses; none, and MetalLB is left out.
    pub pool: Vec<String>,
    pub manifests: BTreeMap<Manifest, Held>,
}

/// What is to be written.
#[derive(Debug, Clone)]
pub struct Scaffold {
    /// By path, without the line that says whose they are.
    pub files: BTreeMap<String, String>,
    /// Files that are counted as wanted, wherever they came from.
    pub held: Vec<String>,
    pub notes: Vec<String>,
}

/// What every file is made from.
pub struct Scene<'a> {
    pub inventory: &'a Inventory,
    pub gitops: &'a Gitops,
    pub layout: Layout,
    pub row: &'static Row,
    pub rook: Option<&'static Rook>,
    pub pool: &'a [String],
    /// The annotation that keeps an object when its file goes.
    pub keep: &'static str,
    pub manifests: &'a BTreeMap<Manifest, Held>,
}

impl Manifest {
    pub const ALL: [Self; 3] = [Self::Argocd, Self::Flux, Self::GatewayApi];

    pub fn file(self) -> &'static str {
        match self {
            Self::Argocd | Self::Flux => "install.yaml",
            Self::GatewayApi => "standard-install.yaml",
        }
    }

    pub fn option(self) -> &'static str {
        match self {
            Self::Argocd => "--argocd-manifest",
            Self::Flux => "--flux-manifest",
            Self::GatewayApi => "--gateway-api-manifest",
        }
    }

    /// Its directory; None where this repository has no use for it.
    pub fn directory(self, layout: &Layout) -> Option<String> {
        match self {
            Self::Argocd => layout.argocd().then(|| layout.install_argocd()),
            Self::Flux => layout.flux().then(|| layout.install_flux()),
            Self::GatewayApi => layout.values.is_some().then(|| layout::GATEWAY_API.into()),
        }
    }

    pub fn address(self, scene: &Scene) -> String {
        let github = "https://github.com";
        match self {
            Self::Argocd => format!(
                "https://raw.githubusercontent.com/argoproj/argo-cd/v{}/manifests/install.yaml",
                scene.row.argocd
            ),
            Self::Flux => {
                format!("{github}/fluxcd/flux2/releases/download/v{}/install.yaml", scene.row.flux)
            }
            Self::GatewayApi => format!(
                "{github}/kubernetes-sigs/gateway-api/releases/download/v{}/standard-install.yaml",
                scene.row.gateway_api
            ),
        }
    }
}

impl Scene<'_> {
    pub fn metallb(&self) -> bool {
        !self.pool.is_empty()
    }

    /// How a kustomization in `directory` names the manifest; its text joins `files` when it is new.
    pub fn manifest(
        &self,
        manifest: Manifest,
        directory: &str,
        files: &mut Vec<(String, String)>,
    ) -> String {
        let file = manifest.file();
        match self.manifests.get(&manifest) {
            None => return manifest.address(self),
            Some(Held::Text(text)) => files.push((join(directory, file), text.clone())),
            Some(Held::There) => {}
        }
        file.into()
    }
}

pub fn scaffold(inventory: &Inventory, input: &Input) -> Result<Scaffold, Failure> {
    let Some(gitops) = &inventory.gitops else {
        return Err(Failure::new("write a GitOps repository", "the inventory has no [gitops]")
            .hint(
                "it names the `engine`, the `repo`, and the paths `bootstrap` and `root` in it",
            ));
    };
    let layout = Layout::of(inventory, gitops)?;
    if layout.flux() && gitops.repo.starts_with("file://") {
        let why = format!("Flux cannot read `{}`", gitops.repo);
        return Err(Failure::new("write a GitOps repository", why)
            .hint("it takes https:// and ssh:// addresses"));
    }
    pool_is_free(inventory, &input.pool)?;
    let row = versions::row(inventory);
    let rook = versions::rook(row);
    let rook = rook.filter(|_| !storage::with_disks(inventory).is_empty());
    let flux_keeps = "kustomize.toolkit.fluxcd.io/prune: disabled";
    let argocd_keeps = "argocd.argoproj.io/sync-options: Prune=false,Delete=false";
    let scene = Scene {
        keep: if layout.flux() { flux_keeps } else { argocd_keeps },
        inventory,
        gitops,
        layout,
        row,
        rook: rook.map(|(rook, _)| rook),
        pool: &input.pool,
        manifests: &input.manifests,
    };
    let parts = parts::parts(&scene);
    let mut all = base(&scene);
    all.extend(network::files(&scene));
    all.extend(storage::files(&scene));
    all.extend(argocd::files(&scene, &parts));
    all.extend(flux::files(&scene, &parts));
    if scene.layout.argocd() {
        all.extend(argocd::root(&scene));
        let text = include_str!("../../assets/gitops/applications-README.md");
        all.push((join(layout::APPLICATIONS, "README.md"), text.into()));
    } else {
        all.extend(flux::root_files(&scene));
    }
    all.push(("cluster/README.md".into(), tell::readme(&scene, &parts)));
    let held = Manifest::ALL.into_iter().filter(|m| input.manifests.contains_key(m));
    let held = held.filter_map(|m| Some(join(&m.directory(&scene.layout)?, m.file()))).collect();
    let known = rook.is_none_or(|(_, known)| known);
    Ok(Scaffold { files: apart(all)?, held, notes: tell::notes(&scene, known) })
}

fn pool_is_free(inventory: &Inventory, pool: &[String]) -> Result<(), Failure> {
    let mut causes = Vec::new();
    for range in pool {
        match range.parse::<Range>() {
            Ok(range) => causes.extend(range.against(inventory)),
            Err(why) => causes.push(why),
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(format!("give MetalLB {}", pool.join(", ")), String::new());
    failure.causes = causes;
    let lan = inventory.network.lan.cidr;
    Err(failure.hint(format!(
        "--metallb-pool FROM-TO takes addresses in {lan} that no machine has, outside the router's \
         DHCP range"
    )))
}

/// The namespaces, and the directory that installs the engine.
fn base(scene: &Scene) -> Vec<(String, String)> {
    let mut resources = Vec::new();
    let mut files = Vec::new();
    let namespaces: String = scene
        .namespaces()
        .iter()
        .map(|n| {
            let values = [
                ("name", n.name.as_str()),
                ("enforce", n.enforce),
                ("warn", n.warn),
                ("keep", scene.keep),
            ];
            fill(include_str!("../../assets/gitops/namespace.yaml"), &values)
        })
        .collect();
    if !namespaces.is_empty() {
        let text = fill(
            include_str!("../../assets/gitops/namespaces.yaml"),
            &[("namespaces", &namespaces)],
        );
        files.push((join(layout::NAMESPACES, "namespaces.yaml"), text));
        let text = kustomization(&["namespaces.yaml".into()], "");
        files.push((join(layout::NAMESPACES, "kustomization.yaml"), text));
        // Flux is first, and these are its part.
        resources.push(relative(&scene.layout.flux_bootstrap, layout::NAMESPACES));
    }
    let bootstrap = &scene.layout.bootstrap;
    if scene.layout.flux() {
        resources.push(relative(&scene.layout.flux_bootstrap, &scene.layout.install_flux()));
    }
    if scene.layout.apart() {
        let path = join(&scene.layout.flux_bootstrap, "kustomization.yaml");
        files.push((path, kustomization(&resources, "")));
        resources.clear();
    }
    if scene.layout.argocd() {
        resources.push(relative(bootstrap, &scene.layout.install_argocd()));
    }
    files.push((join(bootstrap, "kustomization.yaml"), kustomization(&resources, "")));
    files
}

/// No two files under one path, and none where another needs a directory.
fn apart(all: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Failure> {
    let clash = |path: &str| {
        Failure::new("lay out the repository", format!("two things would be `{path}`"))
            .hint("choose other paths in [gitops] and [cilium]; the README shows usual ones")
    };
    let mut files = BTreeMap::new();
    for (path, text) in all {
        if files.contains_key(&path) {
            return Err(clash(&path));
        }
        files.insert(path, text);
    }
    for path in files.keys() {
        let mut above = path.as_str();
        while let Some((directory, _)) = above.rsplit_once('/') {
            if files.contains_key(directory) {
                return Err(clash(directory));
            }
            above = directory;
        }
    }
    Ok(files)
}
