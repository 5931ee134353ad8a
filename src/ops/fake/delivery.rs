//! The simulated engines: what each of them brings, and how far it is.

use super::cluster::FakeCluster;
use crate::kube::{
    argocd::Application,
    delivery::{Roots, Seen},
    flux,
};

impl FakeCluster {
    /// Beside Argo CD, Flux brings the infrastructure.
    fn is_flux(&self, application: &str) -> bool {
        let has = |engine| self.addons.contains_key(engine);
        has("flux") && (!has("argocd") || application != "root")
    }

    pub fn roots(&self) -> Roots {
        let mut roots = Roots::default();
        if self.is_flux("root") {
            roots.kustomizations.push("flux-system/root".into());
            return roots;
        }
        roots.applications.push("argocd/root".into());
        if self.is_flux("platform") {
            roots.kustomizations.push("flux-system/platform".into());
        }
        roots
    }

    pub fn seen(&self, now_ms: u64) -> Seen {
        let mut seen = Seen::default();
        for (name, (commit, at_ms)) in &self.applications {
            let well = now_ms >= *at_ms;
            if !self.is_flux(name) {
                let parent = (name != "root").then_some("root");
                seen.applications.push(Application::simple(name, parent, well, commit));
                continue;
            }
            let parent = match name.as_str() {
                "root" => None,
                "platform" => self.is_flux("root").then_some("root"),
                _ => Some(if self.is_flux("root") { "root" } else { "platform" }),
            };
            seen.flux.push(flux::Object::simple(name, parent, well, commit));
        }
        seen
    }
}
