//! Runs: what each one set out to do, what was approved for it, and how it ended.
//!
//! Must not know of requests or nodes' states.

use std::collections::BTreeSet;

use crate::{
    events::{PhaseResult, RunFinished, RunId, RunResult, RunStarted},
    names::{NodeName, PhaseName, Serial},
};

#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub id: RunId,
    pub verb: String,
    /// Slipway's version.
    pub slipway: String,
    pub simulated: bool,
    pub started_ms: u64,
    pub nodes: Vec<NodeName>,
    pub plan_hash: String,
    /// Short hashes of what the plan decided, and of the destructive part of it.
    pub decisions: BTreeSet<String>,
    pub destructive: BTreeSet<String>,
    /// The phases to come, as planned; and those that ended, as they did.
    pub phases: Vec<PhaseName>,
    pub phases_finished: Vec<FinishedPhase>,
    pub approvals: Vec<Approval>,
    /// The command that goes on.
    pub command: String,
    /// None while it goes on, and for ever if it was killed.
    pub finished: Option<Finished>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedPhase {
    pub phase: PhaseName,
    pub result: PhaseResult,
    pub elapsed_ms: u64,
}

/// The operator's word that a disk may go, for one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    pub serial: Serial,
    pub node: NodeName,
    /// What was shown when it was given.
    pub shown: String,
    pub at_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    pub result: RunResult,
    pub at_ms: u64,
    pub elapsed_ms: u64,
    pub changed: u32,
    pub unchanged: u32,
}

impl Run {
    pub(super) fn started(event: &RunStarted, at_ms: u64, approvals: Vec<Approval>) -> Self {
        Self {
            id: event.run.clone(),
            verb: event.verb.clone(),
            slipway: event.slipway.clone(),
            simulated: event.simulated,
            started_ms: at_ms,
            nodes: event.nodes.clone(),
            plan_hash: event.plan_hash.clone(),
            decisions: event.decisions.iter().cloned().collect(),
            destructive: event.destructive.iter().cloned().collect(),
            phases: event.phases.clone(),
            phases_finished: Vec::new(),
            approvals,
            command: event.command.clone(),
            finished: None,
        }
    }

    pub(super) fn finish(&mut self, event: &RunFinished, at_ms: u64) {
        self.finished = Some(Finished {
            result: event.result,
            at_ms,
            elapsed_ms: event.elapsed_ms,
            changed: event.changed,
            unchanged: event.unchanged,
        });
    }

    pub fn is_done(&self) -> bool {
        self.finished.is_some_and(|finished| finished.result == RunResult::Done)
    }

    /// Whether this run's plan was accepted with that decision in it.
    pub fn decided(&self, decision: &str) -> bool {
        self.decisions.contains(decision)
    }

    /// Whether that disk was approved for this run.
    pub fn approved(&self, serial: &Serial) -> Option<&Approval> {
        self.approvals.iter().find(|approval| approval.serial == *serial)
    }

    /// The phases that came to their end.
    pub fn phases_done(&self) -> impl Iterator<Item = &PhaseName> {
        self.phases_finished
            .iter()
            .filter(|finished| finished.result == PhaseResult::Done)
            .map(|finished| &finished.phase)
    }
}
