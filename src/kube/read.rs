//! What objects say, out of their JSON.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde_json::Value;

use crate::{
    facts::{Addon, KubeNode, MON_IP},
    names::{NodeName, Version},
};

/// Set on what Slipway cordoned: only that may it open again.
pub const CORDONED: &str = "slipway-cordoned";
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
pub const MIRROR: &str = "kubernetes.io/config.mirror";

pub fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

fn strings(map: &Value) -> BTreeMap<String, String> {
    let pairs = map.as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_string()))).collect()
}

/// `v1.36.4`.
pub fn version(text: &Value) -> Option<Version> {
    text.as_str()?.trim_start_matches('v').parse().ok()
}

pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    let all = object["status"]["conditions"].as_array()?;
    all.iter().find(|c| c["type"] == kind)?["status"].as_str()
}

/// A pod whose containers all run, whether or not their probes have looked at them yet.
pub fn runs(pod: &Value) -> bool {
    let containers = pod["status"]["containerStatuses"].as_array();
    pod["status"]["phase"] == "Running"
        && containers.is_some_and(|all| {
            !all.is_empty() && all.iter().all(|c| c["state"]["running"].is_object())
        })
}

/// Why a request for a certificate is not signed, once that is so.
pub fn refused(request: &Value) -> Option<&str> {
    let all = request["status"]["conditions"].as_array()?;
    let condition = all.iter().find(|c| c["type"] == "Denied" || c["type"] == "Failed")?;
    Some(condition["message"].as_str().unwrap_or("it does not say why"))
}

pub fn internal_ip(node: &Value) -> Option<Ipv4Addr> {
    let all = node["status"]["addresses"].as_array()?;
    let of = |a: &Value| a["address"].as_str()?.parse().ok();
    all.iter().filter(|a| a["type"] == "InternalIP").find_map(of)
}

/// A pod that a drain has to move: not the node's own, and not over.
pub fn is_movable(pod: &Value) -> bool {
    let daemon = pod["metadata"]["ownerReferences"]
        .as_array()
        .is_some_and(|owners| owners.iter().any(|o| o["kind"] == "DaemonSet"));
    let mirror = pod["metadata"]["annotations"][MIRROR].is_string();
    !(daemon || mirror || is_over(pod))
}

/// One that has ended is shown for as long as nobody takes it away.
pub fn is_over(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// Nodes whose names could be the inventory's; the pods are counted into them.
pub fn nodes(nodes: &Value, pods: &Value) -> Vec<KubeNode> {
    let mut on: BTreeMap<&str, u32> = BTreeMap::new();
    for pod in items(pods).filter(|pod| is_movable(pod)) {
        if let Some(node) = pod["spec"]["nodeName"].as_str() {
            *on.entry(node).or_default() += 1;
        }
    }
    let read = |node: &Value| {
        let name = node["metadata"]["name"].as_str()?;
        let labels = strings(&node["metadata"]["labels"]);
        let taints = node["spec"]["taints"].as_array().into_iter().flatten();
        Some(KubeNode {
            name: name.parse::<NodeName>().ok()?,
            ready: condition(node, "Ready") == Some("True"),
            kubelet: version(&node["status"]["nodeInfo"]["kubeletVersion"])?,
            control_plane: labels.contains_key(CONTROL_PLANE),
            cordoned: node["spec"]["unschedulable"].as_bool().unwrap_or(false),
            cordoned_by_us: node["metadata"]["annotations"][CORDONED].is_string(),
            taints: taints.filter_map(|t| Some(t["key"].as_str()?.to_string())).collect(),
            labels,
            annotations: strings(&node["metadata"]["annotations"])
                .into_iter()
                .filter(|(key, _)| key == MON_IP)
                .collect(),
            pods: on.get(name).copied().unwrap_or(0),
        })
    };
    items(nodes).filter_map(read).collect()
}

/// The versions that were noted down when something was installed.
pub fn addons(noted: &Value) -> BTreeMap<String, Addon> {
    let of = |(name, version)| (name, Addon { version, ready: true });
    strings(&noted["data"]).into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_and_what_runs_on_it() {
        let list = json!({ "items": [{
            "metadata": {
                "name": "node-a",
                "labels": { CONTROL_PLANE: "", "zone": "shelf" },
                "annotations": { CORDONED: "true" },
            },
            "spec": { "unschedulable": true, "taints": [{ "key": CONTROL_PLANE, "effect": "NoSchedule" }] },
            "status": {
                "addresses": [{ "type": "Hostname", "address": "node-a" }, { "type": "InternalIP", "address": "10.0.0.1" }],
                "conditions": [{ "type": "Ready", "status": "True" }],
                "nodeInfo": { "kubeletVersion": "v1.36.4" },
            },
        }] });
        let pod = |node: &str, owner: &str, phase: &str| json!({ "metadata": { "ownerReferences": [{ "kind": owner }] }, "spec": { "nodeName": node }, "status": { "phase": phase } });
        let mirror = json!({ "metadata": { "annotations": { MIRROR: "x" } }, "spec": { "nodeName": "node-a" }, "status": { "phase": "Running" } });
        let pods = json!({ "items": [
            pod("node-a", "ReplicaSet", "Running"), pod("node-a", "DaemonSet", "Running"),
            pod("node-a", "Job", "Succeeded"), pod("node-b", "ReplicaSet", "Running"), mirror,
        ] });
        let found = nodes(&list, &pods);
        assert_eq!(found.len(), 1);
        let node = &found[0];
        assert!(node.ready && node.control_plane && node.cordoned && node.cordoned_by_us);
        assert_eq!((node.pods, node.kubelet.to_string().as_str()), (1, "1.36.4"));
        assert_eq!(node.taints, [CONTROL_PLANE]);
        assert_eq!(internal_ip(&list["items"][0]), Some("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_pod_runs_when_all_of_it_does() {
        let pod = |phase: &str, states: Value| json!({ "status": { "phase": phase, "containerStatuses": states } });
        let on = json!({ "state": { "running": { "startedAt": "x" } }, "ready": false });
        let off = json!({ "state": { "waiting": { "reason": "CrashLoopBackOff" } } });
        assert!(runs(&pod("Running", json!([on]))));
        assert!(!runs(&pod("Running", json!([on, off]))));
        assert!(!runs(&pod("Pending", json!([on]))));
        assert!(!runs(&pod("Running", json!([]))) && !runs(&json!({})));
    }

    #[test]
    fn what_is_not_said_is_not_so() {
        assert!(nodes(&json!({}), &json!({})).is_empty());
        assert!(
            nodes(&json!({ "items": [{ "metadata": { "name": "A B" } }] }), &json!({})).is_empty()
        );
        assert!(addons(&json!({ "data": { "bridge": "1.9.1" } }))["bridge"].ready);
    }
}
