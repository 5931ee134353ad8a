//! One word for the whole cluster, and why.

use serde::Serialize;

use super::{NodeRow, NodeState};
use crate::{
    doctor::{Exam, Quorum, Report, Severity, unfinished_runs},
    events::PhaseResult,
    state::{Ledger, Run},
    ui::{count, list},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    Healthy,
    /// It serves, but not everything is as it should be.
    Degraded,
    /// There is a cluster, and no API server answers.
    Down,
    NotMadeYet,
    /// The bootstrap was begun and is not done.
    HalfMade,
}

impl Health {
    pub fn words(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::NotMadeYet => "not made yet",
            Self::HalfMade => "half made",
        }
    }
}

pub(super) fn judge(exam: &Exam, nodes: &[NodeRow], report: &Report) -> (Health, String) {
    if let Some(run) = exam.ledger.and_then(cut_bootstrap) {
        return (Health::HalfMade, stopped(run));
    }
    if exam.facts.is_empty() {
        let asked = count(exam.unreachable.len(), "node");
        return (Health::Down, format!("none of {asked} answers"));
    }
    if exam.api().is_none() {
        return without_api(exam, nodes);
    }
    let mut why = troubles(exam, nodes);
    let failed = report.found(Severity::Error).count();
    if why.is_empty() && failed > 0 {
        why.push(format!("doctor finds {}", count(failed, "error")));
    }
    if !why.is_empty() {
        return (Health::Degraded, why.join(", "));
    }
    let ready = count(nodes.len(), "node");
    let lose = exam.api().map(|api| Quorum::of(api).can_lose()).unwrap_or(0);
    let lose = if lose == 0 { "none".into() } else { lose.to_string() };
    (Health::Healthy, format!("{ready} Ready, etcd can lose {lose}"))
}

/// The bootstrap that stopped, where none had been done before: a cluster that was made once is not
/// half made because its bootstrap was run again.
fn cut_bootstrap(ledger: &Ledger) -> Option<&Run> {
    let runs = ledger.runs();
    let reset = runs.iter().rposition(|run| run.verb == "reset" && run.is_done());
    let since = &runs[reset.map_or(0, |n| n + 1)..];
    let was_made = since.iter().any(|run| run.verb == "bootstrap" && run.is_done());
    let unfinished = unfinished_runs(ledger).into_iter().find(|run| run.verb == "bootstrap");
    unfinished.filter(|_| !was_made)
}

fn stopped(run: &Run) -> String {
    let (done, all) = (run.phases_done().count(), run.phases.len());
    let ended = run.phases_finished.last().filter(|phase| phase.result != PhaseResult::Done);
    match (ended, run.finished) {
        (Some(phase), _) => {
            format!("bootstrap stopped in {}, {done} of {all} phases done", phase.phase)
        }
        (None, Some(_)) => format!("bootstrap stopped, {done} of {all} phases done"),
        (None, None) => {
            format!("bootstrap runs or was killed, {done} of {all} phases done")
        }
    }
}

fn without_api(exam: &Exam, nodes: &[NodeRow]) -> (Health, String) {
    let silent = names(nodes, |node| node.state == NodeState::Unreachable);
    let and_silent =
        if silent.is_empty() { String::new() } else { format!(", {} silent", list(&silent, 3)) };
    if !exam.cluster_was_begun() {
        let answer = count(exam.answered().count(), "node");
        let text = format!("no cluster on the {answer} that answered{and_silent}");
        return (Health::NotMadeYet, text);
    }
    // An identity that the ledger holds, or a whole control plane, was a cluster once.
    let was_made = exam.ledger.is_some_and(|ledger| ledger.identity().is_some())
        || exam.members().any(|(_, facts)| facts.kube.etcd_data.is_some());
    if was_made {
        (Health::Down, format!("no API server answers{and_silent}"))
    } else {
        (Health::HalfMade, format!("a join or init was cut off{and_silent}"))
    }
}

/// What a person should know first, in a few words each.
fn troubles(exam: &Exam, nodes: &[NodeRow]) -> Vec<String> {
    let mut why = Vec::new();
    let mut say = |state, what: &str| {
        let found = names(nodes, |node| node.state == state);
        if !found.is_empty() {
            why.push(format!("{} {what}", list(&found, 3)));
        }
    };
    say(NodeState::Unreachable, "unreachable");
    say(NodeState::NotReady, "not Ready");
    say(NodeState::HalfMade, "half made");
    if let Some(quorum) = exam.api().map(Quorum::of).filter(|q| q.started < q.voters) {
        why.push(format!("{} of {} etcd members run", quorum.started, quorum.voters));
    }
    let unfinished = exam.ledger.map(unfinished_runs).unwrap_or_default();
    why.extend(unfinished.iter().map(|run| format!("{} unfinished", run.verb)));
    why
}

fn names(nodes: &[NodeRow], which: impl Fn(&NodeRow) -> bool) -> Vec<&str> {
    nodes.iter().filter(|node| which(node)).map(|node| node.name.as_str()).collect()
}
