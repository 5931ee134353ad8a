//! How a person gets into Argo CD for the first time.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::Linux;
use crate::{
    https::Https,
    kube::read,
    ops::sys::{EngineLogin, SysResult},
    secret::Sealed,
};

const NAMESPACE: &str = "argocd";

fn in_namespace(rest: &str) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/{rest}")
}

/// Names by which a list of Ingresses or HTTPRoutes leads to Argo CD's server.
fn hosts(list: &Value) -> Vec<String> {
    let mut hosts = Vec::new();
    for object in read::items(list) {
        // Others lead to the notifications' webhook, or to nothing of Argo CD's.
        if !object["spec"].to_string().contains("argocd-server") {
            continue;
        }
        let rules = object["spec"]["rules"].as_array().into_iter().flatten();
        let rules = rules.filter_map(|rule| rule["host"].as_str());
        let names = object["spec"]["hostnames"].as_array().into_iter().flatten();
        hosts.extend(rules.chain(names.filter_map(Value::as_str)).map(str::to_string));
    }
    hosts
}

impl Linux {
    pub(super) async fn engine_login(&self) -> SysResult<EngineLogin> {
        let api = self.own_api()?;
        let deployment = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/argocd-server");
        let installed = api.find(&deployment).await?.is_some();
        let secret = api.find(&in_namespace("secrets/argocd-initial-admin-secret")).await?;
        let password = secret.as_ref().and_then(|s| s["data"]["password"].as_str());
        let password =
            password.and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
        let addresses = if installed { addresses(&api).await } else { Vec::new() };
        Ok(EngineLogin { installed, password: password.map(Sealed::new), addresses })
    }
}

/// Only a help: what cannot be asked is left out.
async fn addresses(api: &Https) -> Vec<String> {
    let mut all = Vec::new();
    let settings = api.find(&in_namespace("configmaps/argocd-cm")).await.ok().flatten();
    let settings = settings.unwrap_or_default();
    all.extend(settings["data"]["url"].as_str().map(str::to_string));
    for list in [
        format!("/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/ingresses"),
        format!("/apis/gateway.networking.k8s.io/v1/namespaces/{NAMESPACE}/httproutes"),
    ] {
        let Ok(Some(found)) = api.find(&list).await else { continue };
        all.extend(hosts(&found).into_iter().map(|host| format!("https://{host}")));
    }
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hosts_that_lead_to_argo_cd() {
        let list = json!({ "items": [
            { "spec": { "rules": [{ "host": "argo.lab", "http": { "paths": [{ "backend": { "service": { "name": "argocd-server" } } }] } }] } },
            { "spec": { "hostnames": ["argocd.lab"], "rules": [{ "backendRefs": [{ "name": "argocd-server" }] }] } },
            { "spec": { "rules": [{ "host": "other.lab" }] } },
        ] });
        assert_eq!(hosts(&list), ["argo.lab", "argocd.lab"]);
    }
}
