//! Who is who: machines, the cluster's identity, and what the ledger remembers of both.

use std::collections::BTreeMap;

use super::{Check, Finding, Severity, Verdict, exam::NONE_ANSWERED};
use crate::{
    names::NodeName,
    state::{Ledger, Run, utc},
    ui::list,
};

const FAMILY: &str = "identity";

/// Enough of a fingerprint to tell it from another.
fn short(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}

/// Who carries which of these words.
fn carriers<'a>(
    pairs: impl Iterator<Item = (&'a NodeName, &'a str)>,
) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut of = BTreeMap::<_, Vec<_>>::new();
    for (node, word) in pairs {
        of.entry(word).or_default().push(node.as_str());
    }
    of
}

/// `a1b2c3 on node-a and node-b; d4e5f6 on node-c`.
fn who_has_what(of: &BTreeMap<&str, Vec<&str>>) -> String {
    let parts = of.iter().map(|(word, nodes)| format!("{} on {}", short(word), list(nodes, 5)));
    parts.collect::<Vec<_>>().join("; ")
}

pub(super) const MACHINE_IDS: Check = Check {
    id: "machine-ids-unique",
    family: FAMILY,
    severity: Severity::Error,
    about: "no two nodes share a machine-id",
    remedy: "on all but one of them: `rm /etc/machine-id && systemd-machine-id-setup`, then reboot; \
             a cloned disk carries the id with it",
    run: |exam| {
        if exam.facts.is_empty() {
            return Verdict::Skipped(NONE_ANSWERED.into());
        }
        let ids = exam.answered().map(|(node, facts)| (&node.name, facts.machine_id.as_str()));
        let shared =
            carriers(ids).into_iter().filter(|(id, nodes)| nodes.len() > 1 || id.is_empty());
        Verdict::of(
            shared
                .map(|(id, nodes)| {
                    let nodes = list(&nodes, 5);
                    Finding::general(if id.is_empty() {
                        format!("{nodes}: there is no machine-id")
                    } else {
                        format!("{nodes} share the machine-id {id}")
                    })
                })
                .collect(),
        )
    },
};

pub(super) const CA: Check = Check {
    id: "one-ca",
    family: FAMILY,
    severity: Severity::Error,
    about: "all nodes carry the cluster's CA, the one that the ledger knows",
    remedy: "do not go on: find out which nodes are the cluster (`slipway status`), and take the \
             others back with `slipway reset --on NODE`; the ledger's word is the older one",
    run: |exam| {
        let known = exam.ledger.and_then(Ledger::identity).map(|known| &known.ca_fingerprint);
        let found =
            carriers(exam.answered().filter_map(|(node, facts)| {
                Some((&node.name, facts.kube.ca_fingerprint.as_deref()?))
            }));
        if found.is_empty() {
            return match known {
                // Nobody can tell while one of those who might carry it is silent.
                Some(known) if exam.answered().count() == exam.inventory.nodes.len() => {
                    Verdict::of(vec![Finding::general(format!(
                        "the ledger knows a cluster with the CA {}, and no node carries it",
                        short(known)
                    ))])
                }
                Some(_) => Verdict::Skipped("no node that answered carries a CA".into()),
                None => Verdict::Skipped("no cluster yet".into()),
            };
        }
        let mut findings = Vec::new();
        if found.len() > 1 {
            findings.push(Finding::general(format!("several CAs: {}", who_has_what(&found))));
        }
        if let Some(known) = known {
            let others = found.iter().filter(|(ca, _)| *ca != known);
            findings.extend(others.map(|(ca, nodes)| {
                let (ca, known) = (short(ca), short(known));
                let nodes = list(nodes, 5);
                Finding::general(format!("the ledger knows the CA {known}, {nodes} carry {ca}"))
            }));
        }
        Verdict::of(findings)
    },
};

pub(super) const ETCD: Check = Check {
    id: "one-etcd-cluster",
    family: FAMILY,
    severity: Severity::Error,
    about: "all etcd data is of one cluster, the one that the ledger knows",
    remedy: "do not go on: two clusters were made, or a restore was not recorded; keep a copy of \
             /var/lib/etcd of each node, then `slipway reset --on NODE` what is not the cluster",
    run: |exam| {
        let mut found = carriers(exam.answered().filter_map(|(node, facts)| {
            Some((&node.name, facts.kube.etcd_data.as_ref()?.cluster_id.as_str()))
        }));
        for (node, api) in exam.apis() {
            let nodes = found.entry(&api.etcd_cluster_id).or_default();
            if !nodes.contains(&node.as_str()) {
                nodes.push(node.as_str());
            }
        }
        if found.is_empty() {
            return Verdict::Skipped("no node that answered has etcd data".into());
        }
        let mut findings = Vec::new();
        if found.len() > 1 {
            let who = who_has_what(&found);
            findings.push(Finding::general(format!("several etcd clusters: {who}")));
        }
        let known = exam.ledger.and_then(Ledger::identity).and_then(|i| i.etcd_cluster_id.as_ref());
        if let Some(known) = known.filter(|known| !found.contains_key(known.as_str())) {
            let (known, who) = (short(known), who_has_what(&found));
            findings.push(Finding::general(format!("the ledger knows {known}; there is {who}")));
        }
        Verdict::of(findings)
    },
};

pub(super) const REINSTALLED: Check = Check {
    id: "same-machines",
    family: FAMILY,
    severity: Severity::Warning,
    about: "the machines are those that the ledger last met",
    remedy: "nothing has to be done if it was reinstalled: the next run forgets what it knew of it; \
             if it was not, check that the address leads to the right machine",
    run: |exam| {
        let Some(ledger) = exam.ledger else {
            return Verdict::Skipped("there is no ledger here".into());
        };
        exam.each_answering(|node, facts| {
            let known = ledger.machine_id(&node.name).filter(|known| *known != facts.machine_id)?;
            let (known, now) = (short(known), short(&facts.machine_id));
            Some(format!("its machine-id was {known}, now it is {now}"))
        })
    },
};

pub(super) const UNFINISHED: Check = Check {
    id: "runs-finished",
    family: FAMILY,
    severity: Severity::Warning,
    about: "the last run of every verb came to its end",
    remedy: "run the command shown: it goes on where the run stopped",
    run: |exam| {
        let Some(ledger) = exam.ledger else {
            return Verdict::Skipped("there is no ledger here".into());
        };
        let found = unfinished_runs(ledger).into_iter().map(|run| {
            let (verb, since) = (&run.verb, utc(run.started_ms));
            let how = match &run.finished {
                None => "has no end: it still runs, or was killed",
                Some(_) => "did not finish",
            };
            Finding::general(format!("{verb} of {since} {how}; go on with `{}`", run.command))
        });
        Verdict::of(found.collect())
    },
};

/// The runs that the ledger would resume, oldest first. A reset ends whatever was left before it.
pub(crate) fn unfinished_runs(ledger: &Ledger) -> Vec<&Run> {
    let runs = ledger.runs();
    let begin =
        runs.iter().rposition(|run| run.verb == "reset" && run.is_done()).map_or(0, |n| n + 1);
    let since = &runs[begin..];
    let is_last = |n: usize, run: &Run| !since[n + 1..].iter().any(|later| later.verb == run.verb);
    let left = since.iter().enumerate().filter(|(n, run)| !run.is_done() && is_last(*n, run));
    left.map(|(_, run)| run).collect()
}
