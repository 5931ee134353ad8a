//! Where the pods of the cluster's DNS are, and one of them elsewhere.

use serde_json::Value;

use super::Linux;
use crate::{
    kube::{SYSTEM_PODS, read},
    names::NodeName,
    ops::{
        cluster::CONTROL_PLANE_TAINT,
        sys::{SysError, SysResult, Time},
    },
};

/// The label that kubeadm gives them, and everybody else looks for.
const DNS: &str = "k8s-app%3Dkube-dns";
/// What a node has only for a moment: when it comes, and until its pods' network is up.
const PASSING: [&str; 3] =
    ["node.kubernetes.io/", "node.cloudprovider.kubernetes.io/", "node.cilium.io/"];
const OPENS_MS: u64 = 60_000;
/// Only until the scheduler has chosen: those that are left answer meanwhile.
const CHOSEN_MS: u64 = 10_000;

fn since(object: &Value) -> &str {
    object["metadata"]["creationTimestamp"].as_str().unwrap_or_default()
}

/// Whether it does now (the DNS tolerates a control plane's taint), or will as soon as what is new about it
/// is over: a node that has just become Ready keeps the taints of one that is not for some seconds more.
fn takes_pods(node: &Value, soon: bool) -> bool {
    let passes = |key: &str| soon && PASSING.iter().any(|start| key.starts_with(start));
    let mut taints = node["spec"]["taints"].as_array().into_iter().flatten();
    read::condition(node, "Ready") == Some("True")
        && node["spec"]["unschedulable"] != true
        && taints.all(|t| {
            t["key"].as_str().is_some_and(|key| key == CONTROL_PLANE_TAINT || passes(key))
                || t["effect"] == "PreferNoSchedule"
        })
}

fn lives(pod: &&Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null() && !read::is_over(pod)
}

/// The node that has all of them, and the name of one, if another node came only after them, or if one of
/// these will.
fn alone<'a>(
    pods: &'a Value,
    nodes: &Value,
    soon: bool,
    coming: &[NodeName],
) -> Option<(&'a str, &'a str)> {
    let live: Vec<&Value> = read::items(pods).filter(lives).collect();
    let first = live.first()?;
    let on = first["spec"]["nodeName"].as_str()?;
    if live.len() < 2 || live.iter().any(|p| p["spec"]["nodeName"] != on) {
        return None;
    }
    // To the second, as both are told: who came in the same second had no say either.
    let newest = live.iter().map(|pod| since(pod)).max()?;
    let came_later = |n: &Value| n["metadata"]["name"] != on && since(n) >= newest;
    let elsewhere = read::items(nodes).any(|n| takes_pods(n, soon) && came_later(n));
    let is_there =
        |name: &NodeName| read::items(nodes).any(|n| n["metadata"]["name"] == name.as_str());
    (elsewhere || !coming.iter().all(is_there)).then_some((on, first["metadata"]["name"].as_str()?))
}

impl Linux {
    async fn dns_and_nodes(&self) -> SysResult<(Value, Value)> {
        let api = self.own_api()?;
        let path = format!("{SYSTEM_PODS}?labelSelector={DNS}");
        let (pods, nodes) = tokio::join!(api.get(&path), api.get("/api/v1/nodes"));
        Ok((pods?, nodes?))
    }

    pub(super) async fn node_with_all_dns(
        &self,
        coming: &[NodeName],
    ) -> SysResult<Option<NodeName>> {
        let (pods, nodes) = self.dns_and_nodes().await?;
        Ok(alone(&pods, &nodes, true, coming).and_then(|(node, _)| node.parse().ok()))
    }

    pub(super) async fn dns_anew(&self) -> SysResult<()> {
        let deadline = self.now_ms() + OPENS_MS;
        let pod = loop {
            let (pods, nodes) = self.dns_and_nodes().await?;
            if let Some((_, pod)) = alone(&pods, &nodes, false, &[]) {
                break pod.to_string();
            }
            if alone(&pods, &nodes, true, &[]).is_none() {
                return Ok(());
            }
            if self.now_ms() >= deadline {
                return Err(SysError::passing(
                    "the other nodes are Ready, and taints keep its pods away from all of them",
                ));
            }
            self.sleep_ms(500).await;
        };
        self.own_api()?.delete(&format!("{SYSTEM_PODS}/{pod}")).await?;
        let deadline = self.now_ms() + CHOSEN_MS;
        while self.now_ms() < deadline {
            let (pods, _) = self.dns_and_nodes().await?;
            let others = |p: &&Value| lives(p) && p["metadata"]["name"] != pod.as_str();
            let live: Vec<&Value> = read::items(&pods).filter(others).collect();
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

    fn alone<'a>(pods: &'a Value, nodes: &Value) -> Option<(&'a str, &'a str)> {
        super::alone(pods, nodes, false, &[])
    }

    fn list(items: &[Value]) -> Value {
        json!({ "items": items })
    }

    #[test]
    fn only_what_the_scheduler_had_no_choice_in() {
        let both = list(&[pod("x", "a", "01:10"), pod("y", "a", "01:10")]);
        let one = list(&[node("a", "01:00", &[])]);
        assert_eq!(alone(&both, &one), None, "there is nowhere else to go");
        let later = list(&[node("a", "01:00", &[]), node("b", "02:00", &[CONTROL_PLANE_TAINT])]);
        assert_eq!(alone(&both, &later), Some(("a", "x")));
        let coming = ["a", "b"].map(|n| n.parse().unwrap());
        assert_eq!(super::alone(&both, &one, true, &coming), Some(("a", "x")), "there will be");
        assert_eq!(super::alone(&both, &one, true, &coming[..1]), None);
        let moved = list(&[pod("y", "a", "01:10"), pod("z", "b", "02:10")]);
        assert_eq!(alone(&moved, &later), None);
        // It came to the same node again, when there was another one: so it shall be there.
        let again = list(&[pod("y", "a", "01:10"), pod("z", "a", "02:10")]);
        assert_eq!(alone(&again, &later), None);
        for (shut, passes) in [("node.kubernetes.io/not-ready", true), ("gpu", false)] {
            let closed = list(&[node("a", "01:00", &[]), node("b", "02:00", &[shut])]);
            assert_eq!(super::alone(&both, &closed, false, &[]), None, "{shut}");
            assert_eq!(super::alone(&both, &closed, true, &[]).is_some(), passes, "{shut}");
        }
        let mut ended = pod("v", "b", "01:10");
        ended["status"] = json!({ "phase": "Failed" });
        let with_ended = list(&[ended.clone(), pod("x", "a", "01:10"), pod("y", "a", "01:10")]);
        assert_eq!(alone(&with_ended, &later), Some(("a", "x")));
        assert_eq!(alone(&list(&[ended, pod("x", "b", "01:10")]), &later), None);
        let single = list(&[pod("x", "a", "01:10")]);
        assert_eq!(alone(&single, &later), None, "whoever wants one only has it");
        assert_eq!(alone(&list(&[]), &later), None);
    }
}
