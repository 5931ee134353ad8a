//! Status: the cluster at a glance, as a value that is rendered as a screen or as JSON.
//!
//! Judges nothing by itself where doctor has a check for it. Must not do IO, ask what time it is,
//! or know how facts are gathered.

mod health;
mod nodes;
mod render;
mod table;

#[cfg(test)]
mod tests;

pub use health::Health;
pub use nodes::{DiskUse, EtcdRole, NodeRow, NodeState};
pub use render::render;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    doctor::{self, Exam, Quorum, Report, Severity, days_left, unfinished_runs},
    events::{Failure, PhaseResult, RunResult},
    facts::{ApiFacts, NodeFacts},
    inventory::Inventory,
    names::{NodeName, PhaseName, Version},
    state::{Ledger, Run},
};

/// The version of the JSON; raised when a field changes its meaning.
pub const JSON_VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    pub version: u32,
    pub cluster: NodeName,
    pub simulated: bool,
    pub at_ms: u64,
    pub health: Health,
    /// In a few words.
    pub why: String,
    pub endpoint: Endpoint,
    pub kubernetes: Kubernetes,
    pub nodes: Vec<NodeRow>,
    /// None while no API server answers.
    pub etcd: Option<Etcd>,
    pub certificates: Option<Certificates>,
    pub addons: Option<Addons>,
    pub applications: Option<Applications>,
    /// A hand-off that is done, and whose applications were not all well yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hand_off_waits: Option<crate::state::Waits>,
    pub last_run: Option<LastRun>,
    /// Runs of other verbs that stopped before their end.
    pub unfinished: Vec<LastRun>,
    /// What doctor calls an error, in its order.
    pub problems: Vec<Problem>,
    pub warnings: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Endpoint {
    pub address: String,
    /// How it is carried, and the virtual address if there is one.
    pub kind: crate::inventory::EndpointKind,
    pub vip: Option<std::net::Ipv4Addr>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kubernetes {
    /// What the inventory names.
    pub wanted: Version,
    pub running: Option<Version>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Etcd {
    /// Learners do not count.
    pub members: usize,
    pub started: usize,
    pub learners: usize,
    pub can_lose: usize,
    pub revision: u64,
    /// The node that leads; a member's id where that is not known.
    pub leader: Option<String>,
    pub alarms: Vec<String>,
    pub hashes_equal: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Certificates {
    pub first_ends_ms: u64,
    /// Whole days; negative once it is past.
    pub days_left: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Addons {
    pub total: usize,
    pub not_ready: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Applications {
    pub total: usize,
    pub not_synced: Vec<String>,
    pub not_healthy: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LastRun {
    pub run: String,
    pub verb: String,
    pub started_ms: u64,
    /// None while it goes on, and for ever if it was killed.
    pub result: Option<RunResult>,
    pub phases_done: usize,
    pub phases: usize,
    pub stopped_in: Option<PhaseName>,
    /// The command that goes on, if it is unfinished.
    pub command: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub check: &'static str,
    pub node: Option<NodeName>,
    pub text: String,
}

pub fn view(
    inventory: &Inventory,
    facts: &BTreeMap<NodeName, NodeFacts>,
    unreachable: &BTreeMap<NodeName, Failure>,
    ledger: Option<&Ledger>,
    now_ms: u64,
) -> View {
    let exam = Exam { inventory, facts, unreachable, ledger, now_ms };
    let report = doctor::examine(&exam);
    let api = exam.api();
    let last = ledger.and_then(Ledger::last_run);
    let unfinished = ledger.map(unfinished_runs).unwrap_or_default();
    let is_last = |run: &Run| last.is_some_and(|last| last.id == run.id);
    let others = unfinished.iter().filter(|run| !is_last(run));
    let nodes = nodes::rows(&exam);
    let (health, why) = health::judge(&exam, &nodes, &report);
    let cluster = &inventory.cluster;
    View {
        version: JSON_VERSION,
        cluster: cluster.name.clone(),
        simulated: inventory.simulated(),
        at_ms: now_ms,
        health,
        why,
        endpoint: Endpoint {
            address: format!("{}:{}", cluster.endpoint.host, cluster.endpoint.port),
            kind: cluster.endpoint.kind,
            vip: cluster.endpoint.vip,
        },
        kubernetes: Kubernetes {
            wanted: cluster.kubernetes.clone(),
            running: api.map(|api| api.version.clone()),
        },
        nodes,
        etcd: api.map(etcd),
        certificates: certificates(&exam),
        addons: api.map(addons),
        hand_off_waits: ledger.and_then(Ledger::waits).cloned(),
        applications: api.filter(|api| !api.applications.is_empty()).map(applications),
        last_run: last.map(|run| last_run(run, unfinished.iter().any(|u| u.id == run.id))),
        unfinished: others.map(|run| last_run(run, true)).collect(),
        problems: problems(&report),
        warnings: report.found(Severity::Warning).count(),
    }
}

/// One object; its keys are stable.
pub fn json(view: &View) -> serde_json::Value {
    // A view holds nothing that JSON cannot say; should it ever, that is shown.
    serde_json::to_value(view).unwrap_or_else(|e| format!("unprintable: {e}").into())
}

fn etcd(api: &ApiFacts) -> Etcd {
    let quorum = Quorum::of(api);
    let leader = api.leader.as_ref().map(|id| {
        let member = api.members.iter().find(|member| &member.id == id);
        member.map_or_else(|| id.clone(), |member| member.node.to_string())
    });
    Etcd {
        members: quorum.voters,
        started: quorum.started,
        learners: api.members.iter().filter(|member| member.learner).count(),
        can_lose: quorum.can_lose(),
        revision: api.etcd_revision,
        leader,
        alarms: api.alarms.clone(),
        hashes_equal: api.hashes_equal,
    }
}

fn certificates(exam: &Exam) -> Option<Certificates> {
    let ends = exam.apis().map(|(_, api)| api.certificates_end_ms).filter(|end| *end > 0);
    let first_ends_ms = ends.min()?;
    Some(Certificates { first_ends_ms, days_left: days_left(first_ends_ms, exam.now_ms) })
}

fn addons(api: &ApiFacts) -> Addons {
    let not_ready = api.addons.iter().filter(|(_, addon)| !addon.ready);
    Addons { total: api.addons.len(), not_ready: not_ready.map(|(name, _)| name.clone()).collect() }
}

fn applications(api: &ApiFacts) -> Applications {
    let all = &api.applications;
    Applications {
        total: all.len(),
        not_synced: all.iter().filter(|a| !a.synced).map(|a| a.name.clone()).collect(),
        not_healthy: all.iter().filter(|a| !a.healthy).map(|a| a.name.clone()).collect(),
    }
}

fn last_run(run: &Run, unfinished: bool) -> LastRun {
    // A phase that stopped is the last one that ended; one that was cut off never did.
    let done: std::collections::BTreeSet<_> = run.phases_done().collect();
    let ended = run.phases_finished.last().filter(|phase| phase.result != PhaseResult::Done);
    let stopped = ended.map(|phase| phase.phase.clone());
    let next = || run.phases.iter().find(|phase| !done.contains(phase)).cloned();
    LastRun {
        run: run.id.clone(),
        verb: run.verb.clone(),
        started_ms: run.started_ms,
        result: run.finished.map(|finished| finished.result),
        phases_done: done.len(),
        phases: run.phases.len(),
        stopped_in: if run.is_done() { None } else { stopped.or_else(next) },
        command: unfinished.then(|| run.command.clone()),
    }
}

fn problems(report: &Report) -> Vec<Problem> {
    let mut problems = Vec::new();
    for outcome in report.found(Severity::Error) {
        for finding in outcome.findings() {
            let node = finding.node.as_ref();
            // That a silent node is not Ready either follows from its silence.
            let is_silent = node.is_some_and(|node| report.unreachable.contains(node));
            if is_silent && problems.iter().any(|known: &Problem| known.node.as_ref() == node) {
                continue;
            }
            problems.push(Problem {
                check: outcome.check.id,
                node: node.cloned(),
                text: finding.text.clone(),
            });
        }
    }
    problems
}
