//! An engine from its project's release: a manifest that was brought to the node.

use std::fs;

use super::Linux;
use crate::{
    kube::objects::{self, Object},
    ops::sys::{SysError, SysResult},
};

/// Of what is in such manifests, what lies in no namespace.
const CLUSTER_WIDE: [&str; 10] = [
    "Namespace",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "PriorityClass",
    "StorageClass",
    "APIService",
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
];

/// The namespace and what its pods may be, as `slipway gitops init` writes them.
fn place(name: &str) -> (&'static str, &'static str) {
    match name {
        "flux" => ("flux-system", "restricted"),
        _ => ("argocd", "baseline"),
    }
}

/// With a namespace, and everything that names none in it.
fn placed(name: &str, mut objects: Vec<Object>) -> Vec<Object> {
    let (namespace, pods) = place(name);
    let has = objects.iter().any(|o| o.kind == "Namespace" && o.name == namespace);
    for object in &mut objects {
        if object.namespace.is_none() && !CLUSTER_WIDE.contains(&object.kind.as_str()) {
            object.namespace = Some(namespace.into());
        }
    }
    if !has {
        let text = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n  labels:\n    pod-security.kubernetes.io/enforce: {pods}\n    pod-security.kubernetes.io/warn: restricted\n"
        );
        objects.insert(
            0,
            Object {
                api_version: "v1".into(),
                kind: "Namespace".into(),
                namespace: None,
                name: namespace.into(),
                text,
            },
        );
    }
    objects
}

impl Linux {
    pub(super) async fn release_applied(
        &self,
        name: &str,
        file: &str,
        wait_s: u32,
    ) -> SysResult<()> {
        let what = format!("install {name} from {file}");
        let path = self.path(file);
        let text = fs::read_to_string(&path).map_err(|e| {
            SysError::other(format!("{what}: it cannot be read: {e}"))
                .hint("run the same command again: it plans anew, and brings what is missing")
        })?;
        let objects =
            objects::read(&text).map_err(|why| SysError::other(format!("{what}: {why}")))?;
        if objects.is_empty() {
            return Err(SysError::other(format!("{what}: there is no object in it")));
        }
        self.applied(name, &placed(name, objects), None, wait_s).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_comes_into_its_namespace() {
        let text = "apiVersion: v1\nkind: ServiceAccount\nmetadata: { name: a }\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: b }\n";
        let objects = placed("argocd", objects::read(text).unwrap());
        let shown: Vec<String> = objects.iter().map(Object::shown).collect();
        assert_eq!(shown, ["Namespace argocd", "ServiceAccount argocd/a", "ClusterRole b"]);
        assert!(objects[0].text.contains("pod-security.kubernetes.io/enforce: baseline"));
        // Flux's brings its own.
        let text = "apiVersion: v1\nkind: Namespace\nmetadata: { name: flux-system }\n";
        assert_eq!(placed("flux", objects::read(text).unwrap()).len(), 1);
    }
}
