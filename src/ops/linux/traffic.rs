//! Pods that are made to prove that pods reach each other, and go again.
//!
//! All of them are CoreDNS, which every node has an image of. First one on each node that only answers,
//! with an address that says which it is. Then one on each node that passes questions on: to each of
//! the first by its pod's address, to each by a Service's, and to the cluster's own DNS. So an answer
//! that arrives here has gone from pod to pod. What a cut run left is taken away by the next.

use std::{
    fmt::Write,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use futures::future::join_all;
use serde_json::{Value, json};

use super::Linux;
use crate::{
    https::{Https, Trouble},
    kube::{dns, objects, read},
    names::NodeName,
    ops::{
        sys::{SysError, SysResult, Time},
        traffic::Traffic,
    },
};

/// Ours, and nobody else's: everything with it is taken away.
const LABEL: &str = "slipway-verify";
const PORT: u16 = 5300;
/// Answers come in milliseconds or not at all: a question that was put before the Services' rules were there
/// stays on its wrong way, and another one, put anew, does not.
const PATIENCE: Duration = Duration::from_secs(1);
/// What this one says of itself.
const SELF: &str = "here.verify";

/// Says which pod answers: of a network that is for tests, and nowhere routed.
fn sign(n: usize) -> Ipv4Addr {
    let n = u16::try_from(n + 1).unwrap_or(u16::MAX).to_be_bytes();
    Ipv4Addr::new(198, 18, n[0], n[1])
}

/// For the pods that answer: a file each.
fn listening(n: usize) -> String {
    format!(
        ".:{PORT} {{\n    template IN A {{\n        answer \"{{{{ .Name }}}} 1 IN A {}\"\n    }}\n}}\n",
        sign(n)
    )
}

/// For the pods that ask: one file for all.
fn asking(pods: &[Ipv4Addr], services: &[Ipv4Addr], traffic: &Traffic) -> String {
    let mut text = format!(
        "{SELF}:{PORT} {{\n    template IN A {{\n        answer \"{{{{ .Name }}}} 1 IN A {}\"\n    }}\n}}\n",
        Ipv4Addr::LOCALHOST
    );
    let mut zone = |name: &str, to: String| {
        // No probes of its own: only questions that are asked here count.
        let _ = write!(
            text,
            "{name}:{PORT} {{\n    forward . {to} {{\n        max_fails 0\n    }}\n}}\n"
        );
    };
    for (n, pod) in pods.iter().enumerate() {
        zone(&pod_name(n), format!("{pod}:{PORT}"));
    }
    for (n, service) in services.iter().enumerate() {
        zone(&service_name(n), format!("{service}:53"));
    }
    zone(&traffic.domain, format!("{}:53", traffic.dns));
    text
}

fn pod_name(n: usize) -> String {
    format!("pod-{n}.verify")
}

fn service_name(n: usize) -> String {
    format!("service-{n}.verify")
}

/// One question, to whom, and the answer that is right; how it is told when there is none.
struct Question {
    to: Ipv4Addr,
    name: String,
    right: Option<Ipv4Addr>,
    trouble: String,
}

/// All of them, by the addresses of the pods that ask.
fn questions(
    traffic: &Traffic,
    namespace: &str,
    askers: &[Ipv4Addr],
    services: &[Ipv4Addr],
) -> Vec<Question> {
    let nodes = &traffic.nodes;
    let mut all = Vec::new();
    for (from, to) in nodes.iter().zip(askers) {
        let mut ask = |name: String, right: Option<Ipv4Addr>, trouble: String| {
            all.push(Question { to: *to, name, right, trouble });
        };
        for (n, node) in nodes.iter().enumerate() {
            let right = Some(sign(n));
            ask(pod_name(n), right, format!("pods on {from} do not reach pods on {node}"));
            let trouble = format!("pods on {from} do not reach a Service with a pod on {node}");
            ask(service_name(n), right, trouble);
        }
        let domain = &traffic.domain;
        let trouble =
            || format!("pods on {from} get no answer from the cluster's DNS at {}", traffic.dns);
        ask(format!("kubernetes.default.svc.{domain}"), None, trouble());
        let own = format!("{}.{namespace}.svc.{domain}", service(0));
        ask(own, services.first().copied(), trouble());
    }
    all
}

fn listener(n: usize) -> String {
    format!("listen-{n}")
}

fn asker(n: usize) -> String {
    format!("ask-{n}")
}

fn service(n: usize) -> String {
    format!("node-{n}")
}

fn pod(traffic: &Traffic, name: &str, node: &NodeName, config: &str, file: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": { LABEL: name } },
        "spec": {
            // Not by the scheduler: on this node, whoever else is kept off it.
            "nodeName": node,
            "tolerations": [{ "operator": "Exists" }],
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "dnsPolicy": "Default",
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": "coredns", "image": traffic.image, "imagePullPolicy": "IfNotPresent",
                "args": ["-conf", format!("/verify/{file}")],
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    // Its program has this capability, and does not start where it may not have it.
                    "capabilities": { "drop": ["ALL"], "add": ["NET_BIND_SERVICE"] },
                },
                "volumeMounts": [{ "name": "verify", "mountPath": "/verify", "readOnly": true }],
            }],
            "volumes": [{ "name": "verify", "configMap": { "name": config } }],
        },
    })
}

struct Stage<'a> {
    linux: &'a Linux,
    api: Https,
    namespace: String,
    deadline_ms: u64,
}

impl Stage<'_> {
    async fn make(&self, plural: &str, object: Value) -> SysResult<Value> {
        let path = format!("/api/v1/namespaces/{}/{plural}", self.namespace);
        loop {
            match self.api.post(&path, &object).await {
                Ok(made) => return Ok(made),
                // The namespace's own account comes a moment after it.
                Err(trouble) if self.is_early(&trouble) => self.linux.sleep_ms(200).await,
                Err(trouble) => {
                    let name = object["metadata"]["name"].as_str().unwrap_or_default();
                    return Err(SysError::other(format!(
                        "make {name} in {}: {trouble}",
                        self.namespace
                    )));
                }
            }
        }
    }

    fn is_early(&self, trouble: &Trouble) -> bool {
        let account = matches!(trouble, Trouble::Said { code: 403, message } if message.contains("serviceaccount"));
        (account || trouble.passes()) && self.linux.now_ms() < self.deadline_ms
    }

    async fn config(&self, name: &str, files: Value) -> SysResult<()> {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": name }, "data": files,
        });
        self.make("configmaps", object).await.map(drop)
    }

    /// Waits until all of these run; gives their addresses, or says what they wait for.
    async fn addresses(&self, pods: &[String], traffic: &Traffic) -> SysResult<Vec<Ipv4Addr>> {
        let path = format!("/api/v1/namespaces/{}/pods", self.namespace);
        loop {
            let list = self.api.get(&path).await;
            let late = self.linux.now_ms() >= self.deadline_ms;
            if let Ok(list) = &list {
                let of = |name: &String| {
                    read::items(list).find(|pod| pod["metadata"]["name"] == name.as_str())
                };
                let address = |name: &String| {
                    let pod = of(name).filter(|p| read::condition(p, "Ready") == Some("True"))?;
                    pod["status"]["podIP"].as_str()?.parse().ok()
                };
                let found: Vec<Option<Ipv4Addr>> = pods.iter().map(address).collect();
                if found.iter().all(Option::is_some) {
                    return Ok(found.into_iter().flatten().collect());
                }
                if late {
                    let pairs = pods.iter().zip(&traffic.nodes).zip(&found);
                    let waiting = pairs.filter(|(_, address)| address.is_none());
                    let told = waiting.map(|((pod, node), _)| {
                        let why = of(pod).and_then(objects::waits);
                        format!(
                            "a pod on {node} does not run: {}",
                            why.unwrap_or_else(|| "its kubelet has not started it".into())
                        )
                    });
                    return Err(SysError::other(told.collect::<Vec<_>>().join("; ")).hint(
                        "`kubectl get events -A` and the kubelet's log on that node say more",
                    ));
                }
            } else if late {
                return list.map(|_| Vec::new()).map_err(SysError::from);
            }
            self.linux.sleep_ms(200).await;
        }
    }

    async fn proven(&self, traffic: &Traffic) -> SysResult<Vec<String>> {
        let all: Vec<usize> = (0..traffic.nodes.len()).collect();
        let files: serde_json::Map<String, Value> =
            all.iter().map(|n| (listener(*n), json!(listening(*n)))).collect();
        self.config("listen", Value::Object(files)).await?;
        let services = join_all(all.iter().map(|n| {
            let ports = ["UDP", "TCP"].map(|protocol| {
                json!({ "name": protocol.to_lowercase(), "protocol": protocol, "port": 53, "targetPort": PORT })
            });
            self.make("services", json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": { "name": service(*n) },
                "spec": { "selector": { LABEL: listener(*n) }, "ports": ports },
            }))
        }));
        let pods = join_all(all.iter().map(|n| {
            let name = listener(*n);
            self.make("pods", pod(traffic, &name, &traffic.nodes[*n], "listen", &name))
        }));
        let (services, pods) = tokio::join!(services, pods);
        pods.into_iter().collect::<SysResult<Vec<Value>>>()?;
        let services: Vec<Value> = services.into_iter().collect::<SysResult<_>>()?;
        let of = |s: &Value| s["spec"]["clusterIP"].as_str().and_then(|ip| ip.parse().ok());
        let services: Vec<Ipv4Addr> = services.iter().filter_map(of).collect();
        let names: Vec<String> = all.iter().map(|n| listener(*n)).collect();
        let listeners = self.addresses(&names, traffic).await?;

        let file = asking(&listeners, &services, traffic);
        self.config("ask", json!({ "Corefile": file })).await?;
        let pods = join_all(all.iter().map(|n| {
            self.make("pods", pod(traffic, &asker(*n), &traffic.nodes[*n], "ask", "Corefile"))
        }));
        pods.await.into_iter().collect::<SysResult<Vec<Value>>>()?;
        let names: Vec<String> = all.iter().map(|n| asker(*n)).collect();
        let askers = self.addresses(&names, traffic).await?;
        Ok(self.answers(traffic, &askers, &services).await)
    }

    /// Asks until everything is answered, or it is too late: what is not right then is told.
    async fn answers(
        &self,
        traffic: &Traffic,
        askers: &[Ipv4Addr],
        services: &[Ipv4Addr],
    ) -> Vec<String> {
        let mut open = questions(traffic, &self.namespace, askers, services);
        loop {
            let asked = join_all(open.into_iter().map(async |question| {
                let heard = ask(question.to, &question.name).await;
                let right = match (&heard, question.right) {
                    (Ok(address), Some(right)) => *address == right,
                    (Ok(_), None) => true,
                    (Err(_), _) => false,
                };
                (question, right)
            }));
            open = asked.await.into_iter().filter(|(_, right)| !right).map(|(q, _)| q).collect();
            if open.is_empty() {
                return Vec::new();
            }
            if self.linux.now_ms() >= self.deadline_ms {
                break;
            }
            self.linux.sleep_ms(200).await;
        }
        // What nobody here can even ask is another matter.
        let mut told = Vec::new();
        for (node, asker) in traffic.nodes.iter().zip(askers) {
            if !open.iter().any(|q| q.to == *asker) {
                continue;
            }
            if ask(*asker, SELF).await.is_err() {
                open.retain(|q| q.to != *asker);
                told.push(format!("this node does not reach the pod {asker} on {node}"));
            }
        }
        told.extend(open.into_iter().map(|question| question.trouble));
        told.dedup();
        told
    }
}

async fn ask(asker: Ipv4Addr, name: &str) -> Result<Ipv4Addr, String> {
    dns::ask_at(SocketAddrV4::new(asker, PORT), name, PATIENCE).await
}

impl Linux {
    pub(super) async fn unreached(&self, traffic: &Traffic) -> SysResult<Vec<String>> {
        let api = self.own_api()?;
        let namespaces = format!("/api/v1/namespaces?labelSelector={LABEL}");
        for old in read::items(&api.get(&namespaces).await?) {
            if let Some(name) = old["metadata"]["name"].as_str() {
                api.delete(&format!("/api/v1/namespaces/{name}")).await?;
            }
        }
        // One that is still going cannot be used again: each has a name of its own.
        let namespace = format!("{LABEL}-{:x}", self.now_ms());
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": namespace, "labels": {
                LABEL: "",
                "pod-security.kubernetes.io/enforce": "restricted",
            } },
        });
        api.post("/api/v1/namespaces", &object).await?;
        let deadline_ms = self.now_ms() + u64::from(traffic.wait_s) * 1000;
        let stage = Stage { linux: self, api, namespace, deadline_ms };
        let proven = stage.proven(traffic).await;
        let gone = stage.api.delete(&format!("/api/v1/namespaces/{}", stage.namespace)).await;
        let unreached = proven?;
        gone?;
        Ok(unreached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic() -> Traffic {
        Traffic {
            nodes: ["a", "b"].map(|n| n.parse().unwrap()).into(),
            image: "registry.k8s.io/coredns/coredns:v1".into(),
            dns: "10.43.0.10".parse().unwrap(),
            domain: "cluster.local".into(),
            wait_s: 60,
        }
    }

    #[test]
    fn every_pod_asks_for_every_other_by_pod_and_by_service() {
        let address = |n: u8| Ipv4Addr::new(10, 42, n, 5);
        let (pods, services) = ([address(0), address(1)], [address(8), address(9)]);
        let file = asking(&pods, &services, &traffic());
        for line in [
            "pod-1.verify:5300 {\n    forward . 10.42.1.5:5300 {",
            "service-0.verify:5300 {\n    forward . 10.42.8.5:53 {",
            "cluster.local:5300 {\n    forward . 10.43.0.10:53 {",
        ] {
            assert!(file.contains(line), "{line} in {file}");
        }
        let all = questions(&traffic(), "ns", &[address(4), address(5)], &services);
        assert_eq!(all.len(), 2 * (2 * 2 + 2));
        let across = all.iter().find(|q| q.to == address(5) && q.name == "pod-0.verify").unwrap();
        assert_eq!(across.right, Some(Ipv4Addr::new(198, 18, 0, 1)));
        assert_eq!(across.trouble, "pods on b do not reach pods on a");
        assert_eq!(sign(255), Ipv4Addr::new(198, 18, 1, 0));
        assert!(listening(1).contains("\"{{ .Name }} 1 IN A 198.18.0.2\""));
    }

    #[test]
    fn pods_are_on_their_node_and_may_do_little() {
        let node: NodeName = "a".parse().unwrap();
        let pod = pod(&traffic(), "listen-0", &node, "listen", "listen-0");
        assert_eq!(pod["spec"]["nodeName"], "a");
        assert_eq!(pod["spec"]["tolerations"][0]["operator"], "Exists");
        assert_eq!(
            pod["spec"]["containers"][0]["securityContext"]["capabilities"]["drop"][0],
            "ALL"
        );
    }
}
