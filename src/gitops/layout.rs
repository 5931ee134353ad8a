//! Where things lie in the repository. Three paths are the inventory's; the rest is the same for all.

use crate::{
    events::Failure,
    inventory::{Gitops, GitopsEngine, Inventory},
};

pub const NAMESPACES: &str = "cluster/platform/base/namespaces";
pub const GATEWAY_API: &str = "cluster/platform/base/networking/gateway-api";
pub const METALLB: &str = "cluster/platform/base/networking/metallb";
pub const METALLB_POOL: &str = "cluster/platform/base/networking/metallb-pool";
pub const ROOK: &str = "cluster/platform/base/storage/rook-ceph";
pub const ARGOCD: &str = "cluster/platform/gitops/argocd";
pub const FLUX: &str = "cluster/platform/gitops/flux";
pub const APPLICATIONS: &str = "cluster/applications";

/// The file whose range outlives the command line that brought it.
pub const POOL_FILE: &str = "cluster/platform/base/networking/metallb-pool/pool.yaml";

/// The inventory's paths, in their one spelling.
#[derive(Debug, Clone)]
pub struct Layout {
    pub engine: GitopsEngine,
    pub bootstrap: String,
    pub root: String,
    /// Flux's own beside Argo CD's; the same two where they are not apart.
    pub flux_bootstrap: String,
    pub flux_root: String,
    /// Cilium's values; None with another CNI.
    pub values: Option<String>,
}

impl Layout {
    pub fn of(inventory: &Inventory, gitops: &Gitops) -> Result<Self, Failure> {
        let unnamed = |key: &str| {
            let why =
                format!("the inventory names no `{key}`: the directory that installs the engine");
            Failure::new("lay out the repository", why)
                .hint("name one, such as \"cluster/bootstrap/argocd\"; without it the engine comes from its project's release, and no repository can bring it")
        };
        let bootstrap = gitops.bootstrap.as_deref().ok_or_else(|| unnamed("gitops.bootstrap"))?;
        let (flux_bootstrap, flux_root) = match &gitops.flux {
            Some(flux) => {
                let own = flux.bootstrap.as_deref();
                (own.ok_or_else(|| unnamed("gitops.flux.bootstrap"))?, flux.root.as_str())
            }
            None => (bootstrap, gitops.root.as_str()),
        };
        let layout = Self {
            engine: gitops.engine,
            bootstrap: tidy(bootstrap),
            root: tidy(&gitops.root),
            flux_bootstrap: tidy(flux_bootstrap),
            flux_root: tidy(flux_root),
            values: inventory.cilium.as_ref().map(|c| tidy(&c.values)),
        };
        if layout.bootstrap == layout.root || layout.flux_bootstrap == layout.flux_root {
            let why = "`gitops.bootstrap` and `gitops.root` are the same directory";
            return Err(Failure::new("lay out the repository", why)
                .hint("the engine is installed from the one, and what it runs from the other"));
        }
        Ok(layout)
    }

    /// Flux brings the platform, alone or with Argo CD on top of it.
    pub fn flux(&self) -> bool {
        self.engine != GitopsEngine::Argocd
    }

    pub fn argocd(&self) -> bool {
        self.engine != GitopsEngine::Flux
    }

    /// What Argo CD is installed from; beside the namespaces, which are another part's.
    pub fn install_argocd(&self) -> String {
        let name = if self.flux() { "install-argocd" } else { "install" };
        join(&self.bootstrap, name)
    }

    pub fn install_flux(&self) -> String {
        let name = if self.argocd() { "install-flux" } else { "install" };
        join(&self.flux_bootstrap, name)
    }

    /// Both engines, each with directories of its own.
    pub fn apart(&self) -> bool {
        self.flux_bootstrap != self.bootstrap || self.flux_root != self.root
    }
}

pub fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.into() } else { format!("{directory}/{name}") }
}

/// The directory of a path, and its last name.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Without `.`, `//` and a `/` at the end; the inventory has seen to the rest.
pub fn tidy(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|p| !matches!(*p, "" | ".")).collect();
    parts.join("/")
}

/// How `to` is named from the directory `from`.
pub fn relative(from: &str, to: &str) -> String {
    let from: Vec<&str> = from.split('/').filter(|p| !p.is_empty()).collect();
    let to: Vec<&str> = to.split('/').filter(|p| !p.is_empty()).collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[common..].iter().map(|_| "..");
    let parts: Vec<&str> = up.chain(to[common..].iter().copied()).collect();
    if parts.is_empty() { ".".into() } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(tidy("./a//b/"), "a/b");
        assert_eq!(tidy("."), "");
        assert_eq!(relative("a/b/c", "a/d"), "../../d");
        assert_eq!(relative("", "a/d"), "a/d");
        assert_eq!(relative("a", "a/d"), "d");
        assert_eq!(relative("a/b", "a"), "..");
    }
}
