//! Cilium on the first control plane: the Gateway API's definitions first, then the chart, rendered
//! twice and applied as the GitOps engine would, then the wait.

use std::{collections::BTreeMap, fs};

use serde_json::Value;

use super::{Linux, gitops::Applier, helm::Chart};
use crate::{
    kube::{
        objects::{self, Object},
        rendered,
    },
    ops::{
        cilium::{Cilium, NAMESPACE, RELEASE},
        packages::release_dir,
        pod_network::FileAt,
        sys::{SysError, SysResult, Time},
    },
};

const GATEWAY_API: &str = "gateway-api";
/// The version that Cilium asks for, of all kinds that its operator insists on at its start: without
/// one of them it runs, and Gateways stay Unknown.
const GATEWAY_VERSION: &str = "gateway.networking.k8s.io/v1";
const GATEWAY_KINDS: [&str; 7] = [
    "GatewayClass",
    "Gateway",
    "HTTPRoute",
    "GRPCRoute",
    "TLSRoute",
    "ReferenceGrant",
    "BackendTLSPolicy",
];
/// What of the rendering is waited for: with one node, the relay and the operator's second replica
/// have to stay Pending.
const AGENT: &str = "cilium";
const OPERATOR: &str = "cilium-operator";
/// An image that cannot be pulled for so long is not coming: a person has to see to it.
const PULL_MS: u64 = 90_000;
const PULLING: [&str; 3] = ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"];

impl Linux {
    pub(super) async fn with_cilium(&self, cilium: &Cilium, values: &FileAt) -> SysResult<()> {
        let mut applier = Applier::new(self)?;
        self.gateway_api(cilium, &mut applier).await?;
        let apis = self.apis(&applier).await?;
        let missing: Vec<&str> = GATEWAY_KINDS
            .into_iter()
            .filter(|kind| !apis.contains(&format!("{GATEWAY_VERSION}/{kind}")))
            .collect();
        if !missing.is_empty() {
            return Err(SysError::other(format!(
                "Gateway API {} brought no {} of {GATEWAY_VERSION}, which Cilium needs",
                cilium.gateway_api,
                missing.join(", ")
            ))
            .hint("its release file is of another version or channel: the standard channel of that version has them"));
        }
        let objects = self.cilium_objects(cilium, values, &apis).await?;
        let mut waited = Vec::new();
        for object in &objects {
            let path = applier.apply(object).await?;
            if object.namespace.as_deref() == Some(NAMESPACE)
                && matches!(
                    (object.kind.as_str(), object.name.as_str()),
                    ("DaemonSet", AGENT) | ("Deployment", OPERATOR)
                )
            {
                waited.push((path, object));
            }
        }
        self.cilium_runs(&applier, &waited, cilium.wait_s).await
    }

    async fn gateway_api(&self, cilium: &Cilium, applier: &mut Applier<'_>) -> SysResult<()> {
        let what = format!("install Gateway API {}", cilium.gateway_api);
        let dir = release_dir(GATEWAY_API, &cilium.gateway_api);
        let file = self.path(&format!("{dir}/{GATEWAY_API}"));
        let text = fs::read_to_string(&file)
            .map_err(|e| SysError::other(format!("{what}: read {}: {e}", file.display())))?;
        let objects =
            objects::read(&text).map_err(|why| SysError::other(format!("{what}: {why}")))?;
        if !objects.iter().any(Object::is_crd) {
            return Err(SysError::other(format!("{what}: its file defines no kinds"))
                .hint("it is another file: see where `[artifacts]` takes it from"));
        }
        applier.define(&objects.iter().collect::<Vec<_>>()).await.map(drop)
    }

    /// All that the API server serves: charts look at it, and the GitOps engine shows them the same.
    async fn apis(&self, applier: &Applier<'_>) -> SysResult<Vec<String>> {
        let groups = rendered::groups(&applier.api.get("/apis").await?);
        let mut all = Vec::new();
        for group in groups {
            // One whose own server is away has nothing to say.
            if let Some(list) = applier.api.find(&group).await? {
                all.extend(rendered::api_versions(&list));
            }
        }
        all.sort();
        all.dedup();
        Ok(all)
    }

    async fn cilium_objects(
        &self,
        cilium: &Cilium,
        values: &FileAt,
        apis: &[String],
    ) -> SysResult<Vec<Object>> {
        let chart = Chart {
            helm: &cilium.helm,
            name: RELEASE,
            version: &cilium.version,
            namespace: NAMESPACE,
            kubernetes: &cilium.kubernetes,
            apis,
            values: &values.text,
        };
        let (first, second) = tokio::join!(self.rendered(&chart), self.rendered(&chart));
        let wrong =
            |why: String| SysError::other(format!("render cilium {}: {why}", cilium.version));
        let objects = objects::read(&first?).map_err(wrong)?;
        let again = objects::read(&second?).map_err(wrong)?;
        let unstable = rendered::unstable(&objects, &again);
        if !unstable.is_empty() {
            return Err(wrong(format!("twice is not the same: {}", unstable.join("; "))).hint(
                "the GitOps engine would never be in sync: choose certificates that the chart does not make while it renders (method `cronJob` or `certmanager`)",
            ));
        }
        if objects.is_empty() {
            return Err(wrong("there is no object in it".into()));
        }
        Ok(objects)
    }

    /// Waits until every agent and one operator run; says what their pods wait for when it is too
    /// late, or when an image does not come.
    async fn cilium_runs(
        &self,
        applier: &Applier<'_>,
        workloads: &[(String, &Object)],
        wait_s: u32,
    ) -> SysResult<()> {
        let began = self.now_ms();
        let mut pulling: BTreeMap<String, u64> = BTreeMap::new();
        loop {
            let mut waiting = Vec::new();
            for (path, object) in workloads {
                match applier.api.get(path).await {
                    Ok(found) => {
                        if let Some(why) = unready(object, &found) {
                            let pods = applier.pods(object, &found).await;
                            waiting.push((format!("{}: {why}", object.shown()), pods));
                        }
                    }
                    Err(trouble) if trouble.passes() => {
                        waiting.push((format!("{}: {trouble}", object.shown()), Vec::new()));
                    }
                    Err(trouble) => {
                        return Err(SysError::other(format!("{}: {trouble}", object.shown())));
                    }
                }
            }
            if waiting.is_empty() {
                return Ok(());
            }
            let now = self.now_ms();
            let stuck: Vec<&String> =
                waiting.iter().flat_map(|(_, pods)| pods).filter(|pod| cannot_pull(pod)).collect();
            pulling.retain(|pod, _| stuck.iter().any(|s| who(s) == pod));
            for pod in stuck {
                pulling.entry(who(pod).to_string()).or_insert(now);
            }
            let longest = pulling.values().map(|since| now - since).max().unwrap_or(0);
            if longest >= PULL_MS || now >= began + u64::from(wait_s) * 1000 {
                return Err(late(&waiting, (now - began) / 1000));
            }
            self.sleep_ms(2000).await;
        }
    }
}

/// One operator is enough: its second replica has no second node to be on yet.
fn unready(object: &Object, found: &Value) -> Option<String> {
    if object.name != OPERATOR {
        return objects::unready(&object.kind, found);
    }
    let available = found["status"]["availableReplicas"].as_u64().unwrap_or(0);
    (available == 0).then(|| "none of its pods runs".to_string())
}

fn cannot_pull(pod: &str) -> bool {
    PULLING.iter().any(|reason| pod.contains(&format!(": {reason}")))
}

/// `  pod NAME`, of what is said of a pod.
fn who(pod: &str) -> &str {
    pod.split(": ").next().unwrap_or(pod)
}

fn late(waiting: &[(String, Vec<String>)], after_s: u64) -> SysError {
    let mut output = Vec::new();
    let mut causes = Vec::new();
    for (what, pods) in waiting {
        output.push(what.clone());
        output.extend(pods.iter().cloned());
        match pods.iter().find(|pod| cannot_pull(pod)).or(pods.first()) {
            Some(pod) => causes.push(format!("{what}, {}", pod.trim())),
            None => causes.push(what.clone()),
        }
    }
    let pulls = waiting.iter().flat_map(|(_, pods)| pods).any(|pod| cannot_pull(pod));
    let hint = if pulls {
        "the node has to reach the registry, or a mirror of it in /etc/containerd/certs.d, or `[artifacts] images` has to name the image, so that it is brought; the same command goes on"
    } else {
        "mend what the pods wait for (`kubectl -n kube-system describe pods`); the same command goes on waiting"
    };
    let error = SysError::other(format!("after {after_s} s: {}", causes.join("; "))).hint(hint);
    SysError { output, ..error }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: &str, name: &str) -> Object {
        let text = format!(
            "apiVersion: apps/v1\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: kube-system\n"
        );
        objects::read(&text).unwrap().remove(0)
    }

    #[test]
    fn one_operator_is_enough() {
        let operator = object("Deployment", OPERATOR);
        let half = json!({ "spec": { "replicas": 2 }, "status": { "availableReplicas": 1 } });
        assert_eq!(unready(&operator, &half), None);
        assert!(unready(&operator, &json!({ "status": { "replicas": 2 } })).is_some());
        let agent = object("DaemonSet", AGENT);
        let none =
            json!({ "status": { "desiredNumberScheduled": 1, "updatedNumberScheduled": 1 } });
        assert_eq!(unready(&agent, &none).unwrap(), "0 of 1 pods run");
    }

    #[test]
    fn a_pod_that_cannot_pull_is_what_is_told() {
        let pull = "  pod cilium-x: agent: ImagePullBackOff: Back-off pulling image".to_string();
        let waits = "  pod cilium-operator-y: 0/1 nodes are available".to_string();
        assert!(cannot_pull(&pull) && !cannot_pull(&waits));
        assert_eq!(who(&pull), "  pod cilium-x");
        let waiting = [
            ("DaemonSet kube-system/cilium: 0 of 1 pods run".to_string(), vec![pull]),
            ("Deployment kube-system/cilium-operator: none of its pods runs".into(), vec![waits]),
        ];
        let error = late(&waiting, 90);
        assert!(error.message.contains("pod cilium-x: agent: ImagePullBackOff"), "{error}");
        assert!(error.hint.unwrap().contains("registry"));
        assert_eq!(error.output.len(), 4);
    }
}
