//! Pods that are made to prove that pods reach each other, and go again.
//!
//! All of them are CoreDNS, which every node has an image of. One on each node: at one port it answers, with
//! an address that says which it is; at another it passes questions on, to each of them through a Service
//! that has this one pod, and to the cluster's own DNS. So an answer that arrives here has gone from pod to
//! pod. Where one does not, a second one on each node passes questions on to the first by their pods'
//! addresses: then it can be told whether it is the pods that do not reach each other, or Services that do
//! not lead there. What a cut run left is taken away by the next.

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
/// Where they answer, and where they pass on: each would pass its own questions on for ever otherwise.
const PORT: u16 = 5300;
const ASK_PORT: u16 = 5301;
/// How long is looked for what is wrong, once something is.
const TELL_MS: u64 = 30_000;
/// Answers come in milliseconds, or when the Services' rules are there.
const PATIENCE: Duration = Duration::from_secs(1);
/// What this one says of itself.
const SELF: &str = "here.verify";

/// Says which pod answers: of a network that is for tests, and nowhere routed.
fn sign(n: usize) -> Ipv4Addr {
    let n = u16::try_from(n + 1).unwrap_or(u16::MAX).to_be_bytes();
    Ipv4Addr::new(198, 18, n[0], n[1])
}

/// A zone in which every name has this address.
fn zone_of(zone: &str, port: u16, address: Ipv4Addr) -> String {
    format!(
        "{zone}:{port} {{\n    template IN A {{\n        answer \"{{{{ .Name }}}} 1 IN A {address}\"\n    }}\n}}\n"
    )
}

/// What answers.
fn listening(n: usize) -> String {
    zone_of(".", PORT, sign(n))
}

/// What passes on: to each pod by its address, as far as that is known, and through Services.
fn asking(pods: &[Ipv4Addr], services: &[Ipv4Addr], traffic: &Traffic) -> String {
    let mut text = zone_of(SELF, ASK_PORT, Ipv4Addr::LOCALHOST);
    let mut zone = |name: &str, to: String| {
        // No probes of its own: only questions that are asked here count.
        let _ = write!(
            text,
            "{name}:{ASK_PORT} {{\n    forward . {to} {{\n        max_fails 0\n    }}\n}}\n"
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

/// For each pod's address, by the addresses of the pods that ask.
fn by_address(traffic: &Traffic, askers: &[Ipv4Addr]) -> Vec<Question> {
    let pairs = traffic.nodes.iter().zip(askers).flat_map(|(from, to)| {
        traffic.nodes.iter().enumerate().map(move |(n, node)| Question {
            to: *to,
            name: pod_name(n),
            right: Some(sign(n)),
            trouble: format!("pods on {from} do not reach pods on {node}"),
        })
    });
    pairs.collect()
}

/// For each through its Service, and for names.
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
        // Itself through its own Service is another matter, of which not every network takes care.
        let others = nodes.iter().enumerate().filter(|(_, node)| *node != from || nodes.len() == 1);
        for (n, node) in others {
            let trouble = format!("pods on {from} do not reach a Service with a pod on {node}");
            ask(service_name(n), Some(sign(n)), trouble);
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

/// Its file in that ConfigMap has its own name.
fn pod(traffic: &Traffic, name: &str, node: &NodeName, config: &str) -> Value {
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
                "args": ["-conf", format!("/verify/{name}")],
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

    /// One on each node, that runs; gives their addresses.
    async fn pods(
        &self,
        traffic: &Traffic,
        name: impl Fn(usize) -> String,
        config: &str,
        files: serde_json::Map<String, Value>,
    ) -> SysResult<Vec<Ipv4Addr>> {
        self.config(config, Value::Object(files)).await?;
        let names: Vec<String> = (0..traffic.nodes.len()).map(name).collect();
        let pods = names.iter().zip(&traffic.nodes);
        let made = pods.map(|(name, node)| self.make("pods", pod(traffic, name, node, config)));
        join_all(made).await.into_iter().collect::<SysResult<Vec<Value>>>()?;
        self.addresses(&names, traffic).await
    }

    async fn services(&self, traffic: &Traffic) -> SysResult<Vec<Ipv4Addr>> {
        let made = join_all((0..traffic.nodes.len()).map(|n| {
            let ports = ["UDP", "TCP"].map(|protocol| {
                json!({ "name": protocol.to_lowercase(), "protocol": protocol, "port": 53, "targetPort": PORT })
            });
            self.make("services", json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": { "name": service(n) },
                "spec": { "selector": { LABEL: listener(n) }, "ports": ports },
            }))
        }));
        let services: Vec<Value> = made.await.into_iter().collect::<SysResult<_>>()?;
        let of = |s: &Value| s["spec"]["clusterIP"].as_str().and_then(|ip| ip.parse().ok());
        Ok(services.iter().filter_map(of).collect())
    }

    async fn proven(&mut self, traffic: &Traffic) -> SysResult<Vec<String>> {
        let services = self.services(traffic).await?;
        let passes_on = asking(&[], &services, traffic);
        let file = |n| (listener(n), json!(format!("{}{passes_on}", listening(n))));
        let files = (0..traffic.nodes.len()).map(file).collect();
        let pods = self.pods(traffic, listener, "listen", files).await?;
        let all = questions(traffic, &self.namespace, &pods, &services);
        let (silent, unanswered) = self.answers(traffic, &pods, all).await;
        if silent.is_empty() && unanswered.is_empty() {
            return Ok(Vec::new());
        }
        self.deadline_ms = self.linux.now_ms() + TELL_MS;
        let mut told = self.by_address(traffic, &pods).await.unwrap_or_default();
        told.extend(silent.into_iter().chain(unanswered));
        let mut once = std::collections::BTreeSet::new();
        told.retain(|trouble| once.insert(trouble.clone()));
        Ok(told)
    }

    /// Which pods do not reach which, without any Service.
    async fn by_address(&self, traffic: &Traffic, pods: &[Ipv4Addr]) -> SysResult<Vec<String>> {
        let file = json!(asking(pods, &[], traffic));
        let files = (0..traffic.nodes.len()).map(|n| (asker(n), file.clone())).collect();
        let askers = self.pods(traffic, asker, "ask", files).await?;
        Ok(self.answers(traffic, &askers, by_address(traffic, &askers)).await.1)
    }

    /// Asks until everything is answered, or it is too late. Tells what of it cannot even be asked from
    /// here, and what is not answered.
    async fn answers(
        &self,
        traffic: &Traffic,
        askers: &[Ipv4Addr],
        mut open: Vec<Question>,
    ) -> (Vec<String>, Vec<String>) {
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
                return (Vec::new(), Vec::new());
            }
            if self.linux.now_ms() >= self.deadline_ms {
                break;
            }
            self.linux.sleep_ms(200).await;
        }
        let mut silent = Vec::new();
        for (node, asker) in traffic.nodes.iter().zip(askers) {
            if !open.iter().any(|q| q.to == *asker) {
                continue;
            }
            if ask(*asker, SELF).await.is_err() {
                open.retain(|q| q.to != *asker);
                silent.push(format!("this node does not reach the pod {asker} on {node}"));
            }
        }
        (silent, open.into_iter().map(|question| question.trouble).collect())
    }
}

async fn ask(asker: Ipv4Addr, name: &str) -> Result<Ipv4Addr, String> {
    dns::ask_at(SocketAddrV4::new(asker, ASK_PORT), name, PATIENCE).await
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
        let mut stage = Stage { linux: self, api, namespace, deadline_ms };
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
            "pod-1.verify:5301 {\n    forward . 10.42.1.5:5300 {",
            "service-0.verify:5301 {\n    forward . 10.42.8.5:53 {",
            "cluster.local:5301 {\n    forward . 10.43.0.10:53 {",
        ] {
            assert!(file.contains(line), "{line} in {file}");
        }
        let all = questions(&traffic(), "ns", &[address(4), address(5)], &services);
        assert_eq!(all.len(), 2 * (1 + 2));
        let of = |all: &[Question], name: &str| {
            let across = all.iter().find(|q| q.to == address(5) && q.name == name).unwrap();
            assert_eq!(across.right, Some(Ipv4Addr::new(198, 18, 0, 1)));
            across.trouble.clone()
        };
        assert_eq!(
            of(&all, "service-0.verify"),
            "pods on b do not reach a Service with a pod on a"
        );
        let direct = by_address(&traffic(), &[address(4), address(5)]);
        assert_eq!(direct.len(), 2 * 2);
        assert_eq!(of(&direct, "pod-0.verify"), "pods on b do not reach pods on a");
        assert_eq!(sign(255), Ipv4Addr::new(198, 18, 1, 0));
        assert!(listening(1).contains("\"{{ .Name }} 1 IN A 198.18.0.2\""));
    }

    #[test]
    fn pods_are_on_their_node_and_may_do_little() {
        let node: NodeName = "a".parse().unwrap();
        let pod = pod(&traffic(), "listen-0", &node, "listen");
        assert_eq!(pod["spec"]["nodeName"], "a");
        assert_eq!(pod["spec"]["tolerations"][0]["operator"], "Exists");
        assert_eq!(
            pod["spec"]["containers"][0]["securityContext"]["capabilities"]["drop"][0],
            "ALL"
        );
    }
}
