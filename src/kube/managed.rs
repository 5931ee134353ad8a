//! Who manages an object, by what the API server noted down of it. Pure.

use serde_json::Value;

/// The hands of the engines.
const ENGINES: [&str; 4] = ["argocd-", "kustomize-controller", "helm-controller", "flux"];

/// Those that have the object from Git. Status is anybody's, and so is what an engine writes into
/// objects of its own while it runs.
pub fn engines(object: &Value) -> Vec<String> {
    let fields = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let wanted = fields.filter(|f| f["subresource"].as_str().is_none_or(str::is_empty));
    let mut names: Vec<String> = wanted
        .filter_map(|f| f["manager"].as_str())
        .filter(|name| ENGINES.iter().any(|engine| name.starts_with(engine)))
        .filter(|name| !name.starts_with("argocd-server") && !name.starts_with("argocd-repo"))
        .map(str::to_string)
        .collect();
    names.sort();
    names.dedup();
    names
}

/// `Deployment argocd/argocd-server`.
pub fn shown(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_engines_count_and_only_for_what_is_asked_for() {
        let by = |fields: Value| {
            let object = json!({
                "kind": "Deployment",
                "metadata": { "namespace": "argocd", "name": "x", "managedFields": fields },
            });
            assert_eq!(shown(&object), "Deployment argocd/x");
            engines(&object)
        };
        let slipway = json!({ "manager": "slipway", "operation": "Apply" });
        let status = json!({ "manager": "argocd-controller", "operation": "Update", "subresource": "status" });
        let kubelet = json!({ "manager": "kube-controller-manager", "operation": "Update" });
        let own = json!({ "manager": "argocd-server", "operation": "Update" });
        assert!(by(json!([slipway, status, kubelet, own])).is_empty());
        let argocd = json!({ "manager": "argocd-controller", "operation": "Apply" });
        let flux = json!({ "manager": "kustomize-controller", "operation": "Apply" });
        assert_eq!(
            by(json!([slipway, flux, argocd])),
            ["argocd-controller", "kustomize-controller"]
        );
        assert!(by(json!(null)).is_empty());
    }
}
