//! Where the pods of the cluster's DNS are, and one of them elsewhere.

use serde_json::Value;

use super::Linux;
use crate::{
    kube::read,
    names::NodeName,
    ops::sys::{SysResult, Time},
};

const PODS: &str = "/api/v1/namespaces/kube-system/pods";
/// The label that kubeadm gives them, and everybody else looks for.
const DNS: &str = "k8s-app%3Dkube-dns";
/// They tolerate it.
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
/// Only until the scheduler has chosen: those that are left answer meanwhile.
const CHOSEN_MS: u64 = 10_000;

fn since(object: &Value) -> &str {
    object["metadata"]["creationTimestamp"].as_str().unwrap_or_default()
}

fn takes_pods(node: &Value) -> bool {
    let mut taints = node["spec"]["taints"].as_array().into_iter().flatten();
    read::condition(node, "Ready") == Some("True")
        && node["spec"]["unschedulable"] != true
        && taints.all(|t| t["key"] == CONTROL_PLANE || t["effect"] == "PreferNoSchedule")
}

/// The node that has all of them, and the name of one, if another node came only after them.
fn alone<'a>(pods: &'a Value, nodes: &Value) -> Option<(&'a str, &'a str)> {
    let live: Vec<&Value> =
        read::items(pods).filter(|p| p["metadata"]["deletionTimestamp"].is_null()).collect();
    let first = live.first()?;
    let on = first["spec"]["nodeName"].as_str()?;
    if live.len() < 2 || live.iter().any(|p| p["spec"]["nodeName"] != on) {
        return None;
    }
    // To the second, as both are told: who came in the same second had no say either.
    let newest = live.iter().map(|pod| since(pod)).max()?;
    let came_later = |n: &Value| n["metadata"]["name"] != on && since(n) >= newest;
    let elsewhere = read::items(nodes).any(|n| takes_pods(n) && came_later(n));
    elsewhere.then_some((on, first["metadata"]["name"].as_str()?))
}

impl Linux {
    async fn dns_and_nodes(&self) -> SysResult<(Value, Value)> {
        let api = self.own_api()?;
        let path = format!("{PODS}?labelSelector={DNS}");
        let (pods, nodes) = tokio::join!(api.get(&path), api.get("/api/v1/nodes"));
        Ok((pods?, nodes?))
    }

    pub(super) async fn node_with_all_dns(&self) -> SysResult<Option<NodeName>> {
        let (pods, nodes) = self.dns_and_nodes().await?;
        Ok(alone(&pods, &nodes).and_then(|(node, _)| node.parse().ok()))
    }

    pub(super) async fn dns_anew(&self) -> SysResult<()> {
        let (pods, nodes) = self.dns_and_nodes().await?;
        let Some((_, pod)) = alone(&pods, &nodes) else { return Ok(()) };
        self.own_api()?.delete(&format!("{PODS}/{pod}")).await?;
        let deadline = self.now_ms() + CHOSEN_MS;
        while self.now_ms() < deadline {
            let (pods, _) = self.dns_and_nodes().await?;
            let there = |p: &Value| {
                p["metadata"]["deletionTimestamp"].is_null() && p["metadata"]["name"] != pod
            };
            let live: Vec<&Value> = read::items(&pods).filter(|p| there(p)).collect();
            if live.len() >= 2 && live.iter().all(|p| p["spec"]["nodeName"].is_string()) {
                break;
            }
            self.sleep_ms(100).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, node: &str, at: &str) -> Value {
        json!({ "metadata": { "name": name, "creationTimestamp": format!("2026-11-29T03:{at}Z") }, "spec": { "nodeName": node } })
    }

    fn node(name: &str, at: &str, taints: &[&str]) -> Value {
        let taints: Vec<Value> =
            taints.iter().map(|t| json!({ "key": t, "effect": "NoSchedule" })).collect();
        json!({
            "metadata": { "name": name, "creationTimestamp": format!("2026-11-29T03:{at}Z") },
            "spec": { "taints": taints },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        })
    }

    fn list(items: &[Value]) -> Value {
        json!({ "items": items })
    }

    #[test]
    fn only_what_the_scheduler_had_no_choice_in() {
        let both = list(&[pod("x", "a", "01:10"), pod("y", "a", "01:10")]);
        let one = list(&[node("a", "01:00", &[])]);
        assert_eq!(alone(&both, &one), None, "there is nowhere else to go");
        let later = list(&[node("a", "01:00", &[]), node("b", "02:00", &[CONTROL_PLANE])]);
        assert_eq!(alone(&both, &later), Some(("a", "x")));
        let moved = list(&[pod("y", "a", "01:10"), pod("z", "b", "02:10")]);
        assert_eq!(alone(&moved, &later), None);
        // It came to the same node again, when there was another one: so it shall be there.
        let again = list(&[pod("y", "a", "01:10"), pod("z", "a", "02:10")]);
        assert_eq!(alone(&again, &later), None);
        for shut in ["node.kubernetes.io/not-ready", "gpu"] {
            let closed = list(&[node("a", "01:00", &[]), node("b", "02:00", &[shut])]);
            assert_eq!(alone(&both, &closed), None, "{shut}");
        }
        let single = list(&[pod("x", "a", "01:10")]);
        assert_eq!(alone(&single, &later), None, "whoever wants one only has it");
        assert_eq!(alone(&list(&[]), &later), None);
    }
}
