//! Secrets of the cluster, at this node's own API server: compared here, and never written down.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Linux;
use crate::{
    https::Trouble,
    ops::{
        secrets::{ClusterSecret, KeyState, SecretFound},
        sys::{SysError, SysResult},
    },
};

/// Of its own: what it owns is Slipway's to change, and nothing else of the object is.
pub(super) const MANAGER: &str = "slipway-secrets";

fn path(wanted: &ClusterSecret) -> String {
    format!("/api/v1/namespaces/{}/secrets/{}", wanted.namespace, wanted.name)
}

/// Keys of the data by whoever has put them there.
fn owners(object: &Value) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut owners: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for entry in object["metadata"]["managedFields"].as_array().into_iter().flatten() {
        let Some(manager) = entry["manager"].as_str() else { continue };
        let fields = entry["fieldsV1"]["f:data"].as_object();
        let keys = fields.into_iter().flat_map(|f| f.keys()).filter_map(|k| k.strip_prefix("f:"));
        let mut keys = keys.peekable();
        if keys.peek().is_some() {
            owners.entry(manager).or_default().extend(keys);
        }
    }
    owners
}

/// Who else keeps it: the object that it belongs to, or whoever put there what we would.
fn keeper(object: &Value, wanted: &ClusterSecret) -> Option<String> {
    if let Some(owner) = object["metadata"]["ownerReferences"].as_array().and_then(|o| o.first()) {
        let word = |field: &str| owner[field].as_str().unwrap_or("?");
        return Some(format!("{} {}", word("kind"), word("name")));
    }
    let owners = owners(object);
    let ours = owners.get(MANAGER).cloned().unwrap_or_default();
    let other = owners.iter().find(|(manager, keys)| {
        let theirs = |key: &String| keys.contains(key.as_str()) && !ours.contains(key.as_str());
        **manager != MANAGER && (ours.is_empty() || wanted.data.keys().any(theirs))
    });
    other.map(|(manager, _)| manager.to_string())
}

/// What of the object is as it should be. Both sides are in memory, and go with it.
fn compare(object: &Value, wanted: &ClusterSecret) -> SecretFound {
    if let Some(by) = keeper(object, wanted) {
        return SecretFound::Kept { by };
    }
    let mut keys = BTreeMap::new();
    for (key, sourced) in &wanted.data {
        let there = object["data"][key].as_str();
        let there = there.and_then(|text| STANDARD.decode(text).ok()).map(Zeroizing::new);
        let value = sourced.value.as_ref().map(|value| value.reveal().as_bytes());
        let state = match there {
            None => KeyState::Missing,
            Some(there) if value == Some(there.as_slice()) => KeyState::Same,
            Some(_) => KeyState::Differs,
        };
        keys.insert(key.clone(), state);
    }
    for key in owners(object).remove(MANAGER).unwrap_or_default() {
        if !wanted.data.contains_key(key) {
            keys.insert(key.to_string(), KeyState::Leftover);
        }
    }
    let label = |key: &String| object["metadata"]["labels"][key].as_str();
    let labels_differ = wanted.labels.iter().any(|(key, value)| label(key) != Some(value));
    let kind = object["type"].as_str().unwrap_or("Opaque").to_string();
    SecretFound::There { kind, keys, labels_differ }
}

impl Linux {
    pub(super) async fn found_secret(&self, wanted: &ClusterSecret) -> SysResult<SecretFound> {
        // Before there is a cluster nobody has an admin.conf.
        let Ok(api) = self.own_api() else { return Ok(SecretFound::NoCluster) };
        match api.find(&path(wanted)).await {
            Ok(Some(object)) => return Ok(compare(&object, wanted)),
            Ok(None) => {}
            Err(trouble) if trouble.passes() => return Ok(SecretFound::NoCluster),
            Err(trouble) => return Err(trouble.into()),
        }
        let namespace = api.find(&format!("/api/v1/namespaces/{}", wanted.namespace)).await?;
        Ok(if namespace.is_some() { SecretFound::Missing } else { SecretFound::NoNamespace })
    }

    pub(super) async fn given_secret(&self, wanted: &ClusterSecret) -> SysResult<()> {
        let api = self.own_api()?;
        let namespace = format!("/api/v1/namespaces/{}", wanted.namespace);
        if api.find(&namespace).await?.is_none() {
            let object = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": { "name": wanted.namespace, "labels": wanted.namespace_labels },
            });
            let apply = format!("{namespace}?fieldManager={MANAGER}");
            api.patch(&apply, "apply-patch+yaml", &object).await?;
        }
        let data: BTreeMap<&String, String> = wanted
            .data
            .iter()
            .filter_map(|(key, sourced)| {
                Some((key, STANDARD.encode(sourced.value.as_ref()?.reveal())))
            })
            .collect();
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", "type": wanted.kind,
            "metadata": {
                "name": wanted.name, "namespace": wanted.namespace, "labels": wanted.labels,
            },
            "data": data,
        });
        // Not forced: what somebody else has put there meanwhile is theirs.
        let apply = format!("{}?fieldManager={MANAGER}", path(wanted));
        match api.patch(&apply, "apply-patch+yaml", &object).await {
            Ok(_) => Ok(()),
            Err(Trouble::Said { code: 409, message }) => {
                Err(SysError::other(format!("somebody else keeps it: {message}"))
                    .hint("run the same command again: it says who, and leaves it"))
            }
            // Whatever it says of a value, the value may be in it.
            Err(Trouble::Said { code: 422, .. }) => Err(SysError::other(format!(
                "the API server does not take it as a Secret of the type {}",
                wanted.kind
            ))
            .hint("each type wants keys of its own: kubernetes.io/tls has tls.crt and tls.key, kubernetes.io/dockerconfigjson has .dockerconfigjson")),
            Err(trouble) => Err(trouble.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{Sealed, Source, Sourced};

    fn wanted(pairs: &[(&str, &str)]) -> ClusterSecret {
        let sourced = |value: &str| Sourced {
            source: Source::Env("X".into()),
            value: Some(Sealed::new(value)),
        };
        ClusterSecret {
            namespace: "dns".into(),
            name: "token".into(),
            kind: "Opaque".into(),
            labels: BTreeMap::new(),
            namespace_labels: BTreeMap::new(),
            data: pairs.iter().map(|(key, value)| (key.to_string(), sourced(value))).collect(),
        }
    }

    fn object(managers: &[(&str, &[&str])], pairs: &[(&str, &str)]) -> Value {
        let fields = managers.iter().map(|(manager, keys)| {
            let keys: serde_json::Map<String, Value> =
                keys.iter().map(|key| (format!("f:{key}"), json!({}))).collect();
            json!({ "manager": manager, "fieldsV1": { "f:data": keys, "f:type": {} } })
        });
        let fields: Vec<Value> = fields.collect();
        let data: serde_json::Map<String, Value> =
            pairs.iter().map(|(k, v)| (k.to_string(), STANDARD.encode(v).into())).collect();
        json!({ "metadata": { "managedFields": fields }, "type": "Opaque", "data": data })
    }

    #[test]
    fn what_differs_is_told_by_key() {
        let found =
            object(&[(MANAGER, &["a", "b", "old"])], &[("a", "1"), ("b", "2"), ("old", "0")]);
        let SecretFound::There { keys, .. } =
            compare(&found, &wanted(&[("a", "1"), ("b", "3"), ("c", "4")]))
        else {
            panic!("it is ours");
        };
        let states: Vec<KeyState> = keys.into_values().collect();
        assert_eq!(
            states,
            [KeyState::Same, KeyState::Differs, KeyState::Missing, KeyState::Leftover]
        );
    }

    #[test]
    fn what_somebody_else_keeps_is_theirs() {
        let by = |object: &Value| match compare(object, &wanted(&[("a", "1")])) {
            SecretFound::Kept { by } => Some(by),
            _ => None,
        };
        let other = object(&[("kubectl-create", &["a"])], &[("a", "1")]);
        assert_eq!(by(&other).as_deref(), Some("kubectl-create"));
        let unrelated = object(&[("kubectl-create", &["z"])], &[("z", "1")]);
        assert_eq!(by(&unrelated).as_deref(), Some("kubectl-create"));
        let shared = object(&[(MANAGER, &["a"]), ("somebody", &["z"])], &[("a", "1"), ("z", "1")]);
        assert_eq!(by(&shared), None);
        let mut owned = object(&[(MANAGER, &["a"])], &[("a", "1")]);
        owned["metadata"]["ownerReferences"] = json!([{ "kind": "ExternalSecret", "name": "dns" }]);
        assert_eq!(by(&owned).as_deref(), Some("ExternalSecret dns"));
    }
}
