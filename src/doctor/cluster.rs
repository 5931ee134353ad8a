//! What Kubernetes says of itself: API servers, nodes, versions, certificates, and what differs
//! from the inventory.

use std::collections::BTreeMap;

use super::{Check, Finding, Severity, Verdict};
use crate::{
    facts::{ApiFacts, KubeNode, NodeFacts},
    inventory::{Node, Role},
    ops::cluster::{CONTROL_PLANE_TAINT, EXCLUDE_LABEL},
    ui::list,
};

const FAMILY: &str = "cluster";

pub(super) const API_ANSWERS: Check = Check {
    id: "api-answers",
    family: FAMILY,
    severity: Severity::Error,
    about: "the API server answers on every control plane",
    remedy: "on the node: `crictl ps -a` and `journalctl -u kubelet -n 50`; where etcd has lost its \
             quorum, bring its members back first, or see `slipway restore`",
    run: |exam| {
        let planes: Vec<_> =
            exam.members().filter(|(node, _)| node.role == Role::ControlPlane).collect();
        if planes.is_empty() {
            let why = if exam.cluster_was_begun() {
                "no control plane that answered is in a cluster"
            } else {
                exam.why_no_api()
            };
            return Verdict::Skipped(why.into());
        }
        let silent = planes.into_iter().filter(|(_, facts)| facts.kube.api.is_none());
        let says = |facts: &NodeFacts| {
            if facts.kube.manifests.iter().any(|manifest| manifest == "kube-apiserver") {
                "its API server does not answer"
            } else {
                "it has no API server (no manifest)"
            }
        };
        Verdict::of(silent.map(|(node, facts)| Finding::on(&node.name, says(facts))).collect())
    },
};

pub(super) const READY: Check = Check {
    id: "nodes-ready",
    family: FAMILY,
    severity: Severity::Error,
    about: "all nodes of the cluster are Ready",
    remedy: "`kubectl describe node NODE` names the condition; `journalctl -u kubelet -n 50` on the \
             node names the cause",
    run: |exam| {
        exam.with_api(|api| {
            let found = api.nodes.iter().filter(|node| !node.ready);
            found.map(|node| Finding::on(&node.name, "is not Ready")).collect()
        })
    },
};

pub(super) const HALF_MADE: Check = Check {
    id: "no-half-made-nodes",
    family: FAMILY,
    severity: Severity::Error,
    about: "no node is half in a cluster",
    remedy: "run the same command again (`slipway bootstrap` or `slipway join-node NODE`): it \
             finishes what was begun; `slipway reset --on NODE` takes it back",
    run: |exam| {
        let api = exam.api();
        exam.each_answering(|node, facts| half_made(node, facts, api))
    },
};

fn half_made(node: &Node, facts: &NodeFacts, api: Option<&ApiFacts>) -> Option<String> {
    let kube = &facts.kube;
    if !kube.is_touched() {
        return None;
    }
    if !kube.kubelet_conf {
        let mut has = Vec::new();
        has.extend(kube.ca_fingerprint.as_ref().map(|_| "a CA"));
        has.extend(kube.etcd_data.as_ref().map(|_| "etcd data"));
        has.extend((!kube.manifests.is_empty()).then_some("static pods"));
        return Some(format!("has {}, but its kubelet has no identity", list(&has, 3)));
    }
    // Whatever else is missing, only the cluster can say.
    let api = api?;
    let Some(known) = api.node(&node.name) else {
        return Some("its kubelet has an identity, but the cluster does not know it".into());
    };
    (known.control_plane && api.member_of(&node.name).is_none())
        .then(|| "is a control plane without an etcd member".into())
}

/// How many minors a kubelet may be behind the API server.
const KUBELET_MINORS: u64 = 3;

pub(super) const KUBELET_SKEW: Check = Check {
    id: "kubelet-skew",
    family: FAMILY,
    severity: Severity::Error,
    about: "no kubelet is newer than the API servers, nor more than three minors older",
    remedy: "`slipway upgrade --to VERSION` brings all to one version, the control plane first",
    run: |exam| {
        exam.with_api(|api| {
            let server = &api.version;
            let says = |node: &KubeNode| {
                let kubelet = &node.kubelet;
                if kubelet > server {
                    Some(format!("kubelet {kubelet} is newer than the API server's {server}"))
                } else if kubelet.major() != server.major()
                    || server.minor() - kubelet.minor() > KUBELET_MINORS
                {
                    Some(format!("kubelet {kubelet} is too old for the API server's {server}"))
                } else {
                    None
                }
            };
            let found = api.nodes.iter();
            found.filter_map(|node| Some(Finding::on(&node.name, says(node)?))).collect()
        })
    },
};

pub(super) const VERSIONS_EQUAL: Check = Check {
    id: "versions-equal",
    family: FAMILY,
    severity: Severity::Warning,
    about: "all nodes run one version of Kubernetes",
    remedy: "`slipway upgrade --to VERSION` goes on with those that were left behind",
    run: |exam| {
        exam.with_api(|api| {
            let mut of = BTreeMap::from([(&api.version, Vec::new())]);
            for node in &api.nodes {
                of.entry(&node.kubelet).or_default().push(node.name.as_str());
            }
            let others = of.into_iter().filter(|(version, _)| *version != &api.version);
            others
                .map(|(version, nodes)| {
                    let nodes = list(&nodes, 5);
                    let cluster = &api.version;
                    Finding::general(format!("{nodes}: {version}; the cluster is at {cluster}"))
                })
                .collect()
        })
    },
};

pub(super) const VERSION_WANTED: Check = Check {
    id: "version-of-inventory",
    family: FAMILY,
    severity: Severity::Warning,
    about: "the cluster runs the version that the inventory names",
    remedy: "`slipway upgrade --to VERSION`, or set `kubernetes` in the inventory to what runs: it \
             is what a node that joins is compared with",
    run: |exam| {
        exam.with_api(|api| {
            let wanted = &exam.inventory.cluster.kubernetes;
            let differs = wanted != &api.version;
            let text = || format!("the cluster is at {}, the inventory says {wanted}", api.version);
            differs.then(|| Finding::general(text())).into_iter().collect()
        })
    },
};

const WARN_DAYS: i64 = 30;
const URGENT_DAYS: i64 = 7;

/// Whole days until then, negative once it is past.
pub(crate) fn days_left(end_ms: u64, now_ms: u64) -> i64 {
    const DAY_MS: i64 = 86_400_000;
    end_ms.cast_signed().saturating_sub(now_ms.cast_signed()).div_euclid(DAY_MS)
}

pub(super) const CERTIFICATES_ENDED: Check = Check {
    id: "certificates-valid",
    family: FAMILY,
    severity: Severity::Error,
    about: "the control planes' certificates are good for another week",
    remedy: "`slipway upgrade --to VERSION` renews them, even to the version that runs; by hand: \
             `kubeadm certs renew all` on each control plane, then restart its static pods",
    run: |exam| certificates(exam, i64::MIN..URGENT_DAYS),
};

pub(super) const CERTIFICATES_ENDING: Check = Check {
    id: "certificates-fresh",
    family: FAMILY,
    severity: Severity::Warning,
    about: "the control planes' certificates are good for another month",
    remedy: "plan an upgrade: `slipway upgrade --to VERSION` renews them",
    // What ends within the week is the other check's.
    run: |exam| certificates(exam, URGENT_DAYS..WARN_DAYS + 1),
};

fn certificates(exam: &super::Exam, bad: std::ops::Range<i64>) -> Verdict {
    // Each API server may have looked at another node's: the earliest counts. Zero is not a date.
    let Some(end_ms) = exam.apis().map(|(_, api)| api.certificates_end_ms).filter(|e| *e > 0).min()
    else {
        let why = match exam.api() {
            Some(_) => "no control plane told when they end",
            None => exam.why_no_api(),
        };
        return Verdict::Skipped(why.into());
    };
    let days = days_left(end_ms, exam.now_ms);
    if !bad.contains(&days) {
        return Verdict::Passed;
    }
    let when = crate::state::utc(end_ms);
    Verdict::of(vec![Finding::general(if days < 0 {
        format!("the first of them ended {}", when)
    } else {
        format!("the first of them ends in {} ({when})", crate::ui::count(days as usize, "day"))
    })])
}

pub(super) const SHUT_OUT: Check = Check {
    id: "workloads-welcome",
    family: FAMILY,
    severity: Severity::Error,
    about: "control planes that are workers too carry neither kubeadm's taint nor its label",
    remedy: "`slipway bootstrap` takes both away; with the label, MetalLB and Cilium announce no \
             service address on that node, with the taint, no workload runs there",
    run: |exam| {
        exam.with_api(|api| {
            let schedulable = exam.inventory.nodes.iter().filter(|node| node.schedulable);
            let known = schedulable.filter_map(|node| api.node(&node.name));
            known
                .flat_map(|node| {
                    // Some write the effect after a colon.
                    let taint =
                        |t: &String| t.split([':', '=']).next() == Some(CONTROL_PLANE_TAINT);
                    let tainted = node.taints.iter().any(taint);
                    let excluded = node.labels.contains_key(EXCLUDE_LABEL);
                    let tainted = tainted.then(|| format!("has the taint {CONTROL_PLANE_TAINT}"));
                    let excluded = excluded.then(|| format!("has the label {EXCLUDE_LABEL}"));
                    let both = [tainted, excluded].into_iter().flatten();
                    both.map(|text| Finding::on(&node.name, text))
                })
                .collect()
        })
    },
};

pub(super) const CORDONED: Check = Check {
    id: "nodes-schedulable",
    family: FAMILY,
    severity: Severity::Warning,
    about: "no node is cordoned",
    remedy: "where Slipway cordoned it, run the command again that did: it uncordons at its end; \
             else `kubectl uncordon NODE`, once whoever cordoned it agrees",
    run: |exam| {
        exam.with_api(|api| {
            let found = api.nodes.iter().filter(|node| node.cordoned);
            found
                .map(|node| {
                    let by = if node.cordoned_by_us { "Slipway" } else { "somebody else" };
                    Finding::on(&node.name, format!("was cordoned by {by}"))
                })
                .collect()
        })
    },
};

pub(super) const DRIFT: Check = Check {
    id: "inventory-and-cluster-agree",
    family: FAMILY,
    severity: Severity::Warning,
    about: "the cluster has the nodes that the inventory has, in the same roles",
    remedy: "`slipway join-node NODE` takes one in, `slipway remove-node NODE` takes one out; or \
             correct the inventory",
    run: |exam| {
        exam.with_api(|api| {
            let mut found = Vec::new();
            for node in &exam.inventory.nodes {
                let Some(known) = api.node(&node.name) else {
                    found.push(Finding::on(&node.name, "is in the inventory, not in the cluster"));
                    continue;
                };
                let wanted = node.role == Role::ControlPlane;
                if known.control_plane != wanted {
                    let role = |is_plane| if is_plane { "a control plane" } else { "a worker" };
                    let (is, says) = (role(known.control_plane), role(wanted));
                    let text = format!("is {is}, the inventory says {says}");
                    found.push(Finding::on(&node.name, text));
                }
            }
            let strays = api.nodes.iter().filter(|n| exam.inventory.node(&n.name).is_none());
            let says = "is in the cluster, not in the inventory";
            found.extend(strays.map(|node| Finding::on(&node.name, says)));
            found
        })
    },
};
