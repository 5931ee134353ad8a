//! What the GitOps engines say of all that they bring, and who has by now what Slipway applied.

use serde_json::{Value, json};

use super::{Linux, cluster::FIELD_MANAGER};
use crate::{
    https::{Answer, Https},
    kube::{SYSTEM, argocd, delivery::Seen, flux, managed},
    ops::sys::{Managed, SysResult},
};

const APPLICATIONS: &str = "/apis/argoproj.io/v1alpha1/applications";
/// Where the paths of what was applied are noted down, by what it was applied for.
const APPLIED: &str = "slipway-applied";
/// What Slipway hands off by is its own: that is no leftover.
const ROOT: &str = "root-application";

/// An engine that is not there says nothing.
pub(super) async fn look(api: &Https) -> Answer<Seen> {
    let (applications, sources, kustomizations, releases) = tokio::join!(
        api.find(APPLICATIONS),
        api.find(flux::Kind::GitRepository.path()),
        api.find(flux::Kind::Kustomization.path()),
        api.find(flux::Kind::HelmRelease.path()),
    );
    let mut seen = Seen::default();
    if let Some(list) = applications? {
        seen.applications = argocd::applications(&list);
    }
    for (kind, list) in flux::Kind::ALL.into_iter().zip([sources?, kustomizations?, releases?]) {
        seen.flux.extend(list.iter().flat_map(|list| flux::objects(kind, list)));
    }
    Ok(seen)
}

impl Linux {
    pub(super) async fn seen(&self) -> SysResult<Seen> {
        Ok(look(&self.own_api()?).await?)
    }

    pub(super) async fn note_applied(
        &self,
        api: &Https,
        name: &str,
        paths: &[String],
    ) -> SysResult<()> {
        if name == ROOT {
            return Ok(());
        }
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": APPLIED, "namespace": SYSTEM },
            "data": { (name): paths.join("\n") },
        });
        let path = format!(
            "/api/v1/namespaces/{SYSTEM}/configmaps/{APPLIED}?fieldManager={FIELD_MANAGER}-{name}&force=true"
        );
        api.patch(&path, "apply-patch+yaml", &object).await?;
        Ok(())
    }

    pub(super) async fn all_managed(&self) -> SysResult<Vec<Managed>> {
        let api = self.own_api()?;
        let noted = api.find(&format!("/api/v1/namespaces/{SYSTEM}/configmaps/{APPLIED}")).await?;
        let noted = noted.unwrap_or_default();
        let lists = noted["data"].as_object().into_iter().flatten();
        let mut paths: Vec<&str> =
            lists.filter_map(|(_, v)| v.as_str()).flat_map(str::lines).collect();
        paths.sort_unstable();
        paths.dedup();
        let mut all = Vec::new();
        for path in paths {
            // What is gone from the cluster is nobody's.
            let Some(object): Option<Value> = api.find(path).await? else { continue };
            all.push(Managed { object: managed::shown(&object), by: managed::engines(&object) });
        }
        Ok(all)
    }
}
