//! Who keeps an object: a GitOps engine leaves its name on what it syncs.

use serde_json::Value;

/// Field managers of engines, and what they are called.
const MANAGERS: [(&str, &str); 4] = [
    ("argocd-controller", "Argo CD"),
    ("argocd-application-controller", "Argo CD"),
    ("helm-controller", "Flux"),
    ("kustomize-controller", "Flux"),
];
/// Labels and annotations that they track their objects by.
const MARKS: [(&str, &str, &str); 3] = [
    ("annotations", "argocd.argoproj.io/tracking-id", "Argo CD"),
    ("labels", "helm.toolkit.fluxcd.io/name", "Flux"),
    ("labels", "kustomize.toolkit.fluxcd.io/name", "Flux"),
];

pub fn keeper(object: &Value) -> Option<&'static str> {
    let metadata = &object["metadata"];
    let marked = MARKS.iter().find(|(of, key, _)| metadata[of][key].is_string());
    if let Some((_, _, engine)) = marked {
        return Some(engine);
    }
    let fields = metadata["managedFields"].as_array().into_iter().flatten();
    let mut managers = fields.filter_map(|f| f["manager"].as_str());
    managers.find_map(|name| {
        let (_, engine) = MANAGERS.iter().find(|(manager, _)| *manager == name)?;
        Some(*engine)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn engines_are_known_by_what_they_leave() {
        let managed = |by: &str| json!({ "metadata": { "managedFields": [{ "manager": "slipway" }, { "manager": by }] } });
        assert_eq!(keeper(&managed("argocd-controller")), Some("Argo CD"));
        assert_eq!(keeper(&managed("helm-controller")), Some("Flux"));
        assert_eq!(keeper(&managed("kube-controller-manager")), None);
        assert_eq!(keeper(&managed("helm")), None, "a person's own helm");
        let tracked = json!({ "metadata": { "annotations": { "argocd.argoproj.io/tracking-id": "cilium:apps/DaemonSet:kube-system/cilium" } } });
        assert_eq!(keeper(&tracked), Some("Argo CD"));
        assert_eq!(keeper(&json!({})), None);
    }
}
