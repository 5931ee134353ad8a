//! The credentials of the repository, as Flux looks for them: in the Secret that a GitRepository names.

use serde_json::{Map, Value, json};

use super::{Linux, cluster::FIELD_MANAGER};
use crate::{
    gitops::yaml,
    https::Https,
    kube::objects::Object,
    ops::{engine_access, repository::Repository, sys::SysResult},
};

impl Linux {
    /// For every source among the objects that is this repository, before it stands in the cluster.
    pub(super) async fn give_flux_access(
        &self,
        api: &Https,
        repository: &Repository,
        objects: &[Object],
    ) -> SysResult<()> {
        for (namespace, name) in wanted(repository, objects) {
            let Some(secret) = secret(repository, &namespace, &name) else { continue };
            let path = format!(
                "/api/v1/namespaces/{namespace}/secrets/{name}?fieldManager={FIELD_MANAGER}-repository&force=true"
            );
            api.patch(&path, "apply-patch+yaml", &secret).await?;
        }
        Ok(())
    }
}

/// Secrets that sources of this repository name, by namespace and name. One that the repository
/// brings itself is its own business.
fn wanted(repository: &Repository, objects: &[Object]) -> Vec<(String, String)> {
    let named = |object: &Object| {
        let nodes = yaml::read(&object.text).ok()?;
        let field = |path: &[&str]| nodes.first()?.at(path)?.node.text().map(str::to_string);
        let url = field(&["spec", "url"])?;
        let name = field(&["spec", "secretRef", "name"])?;
        let namespace = object.namespace.clone().unwrap_or_else(|| "default".into());
        repository.is_at(&url).then_some((namespace, name))
    };
    let sources = objects
        .iter()
        .filter(|o| o.kind == "GitRepository" && o.group() == "source.toolkit.fluxcd.io");
    let brought = |(namespace, name): &(String, String)| {
        objects.iter().any(|o| {
            o.kind == "Secret" && &o.name == name && o.namespace.as_ref() == Some(namespace)
        })
    };
    sources.filter_map(named).filter(|secret| !brought(secret)).collect()
}

/// None where the repository is open to everybody and its host to everybody known.
fn secret(repository: &Repository, namespace: &str, name: &str) -> Option<Value> {
    let data = engine_access::flux(repository)?;
    let data: Map<String, Value> =
        data.iter().map(|(key, value)| (key.to_string(), json!(value.reveal()))).collect();
    Some(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": name, "namespace": namespace },
        "stringData": data,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kube::objects,
        ops::repository::Access,
        secret::{Sealed, Source, Sourced},
    };

    const SOURCES: &str = "\
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: { name: platform, namespace: flux-system }
spec: { url: https://git.lab/home, secretRef: { name: platform } }
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: { name: other, namespace: flux-system }
spec: { url: https://git.lab/other, secretRef: { name: other } }
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: { name: open, namespace: flux-system }
spec: { url: https://git.lab/home }
";

    fn given(secret: &str) -> Option<Sourced> {
        let value = Some(Sealed::new(secret));
        Some(Sourced { value, ..Sourced::from(Source::Env("X".into())) })
    }

    fn repository(access: Access) -> Repository {
        Repository { url: "https://git.lab/home.git".into(), revision: "main".into(), access }
    }

    #[test]
    fn only_what_this_repositorys_sources_name_is_made() {
        let repository = repository(Access::default());
        let objects = objects::read(SOURCES).unwrap();
        let platform = ("flux-system".to_string(), "platform".to_string());
        assert_eq!(wanted(&repository, &objects), [platform]);
        let own = "---\napiVersion: v1\nkind: Secret\nmetadata: { name: platform, namespace: flux-system }\n";
        let objects = objects::read(&format!("{SOURCES}{own}")).unwrap();
        assert!(wanted(&repository, &objects).is_empty());
    }

    #[test]
    fn credentials_become_what_flux_reads() {
        let of = |access| secret(&repository(access), "flux-system", "platform");
        assert!(of(Access::default()).is_none());
        let made = of(Access { token: given("hush"), ca: Some("PEM".into()), ..Access::default() });
        let data = made.unwrap()["stringData"].clone();
        assert_eq!(data, json!({ "username": "git", "password": "hush", "ca.crt": "PEM" }));
        let known_hosts = Some("git.lab ssh-ed25519 AAAA".to_string());
        let made = of(Access { ssh_key: given("KEY"), known_hosts, ..Access::default() });
        let data = made.unwrap()["stringData"].clone();
        assert_eq!(data, json!({ "identity": "KEY\n", "known_hosts": "git.lab ssh-ed25519 AAAA" }));
    }
}
