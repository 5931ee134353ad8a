//! The ledger in memory: a fold of its events, and the questions that a run asks of it.
//!
//! Everything here is what Slipway remembers, never what is so: nodes are asked before it is acted
//! on. Must not know files, nor decide anything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    events::{Event, OpResult, PhaseResult, Stamped},
    names::{NodeName, PhaseName, Serial},
};

use super::{
    Header, Loaded,
    requests::{Request, Requests},
    runs::{Approval, FinishedPhase, Run},
};

/// Of how many past runs a phase's expected duration is the median.
const DURATIONS_KEPT: usize = 5;

#[derive(Debug, Clone, Default)]
pub struct Ledger {
    header: Option<Header>,
    runs: Vec<Run>,
    requests: Requests,
    machines: BTreeMap<NodeName, String>,
    identity: Option<Identity>,
    leases: BTreeMap<NodeName, LeaseSeen>,
    durations: BTreeMap<String, BTreeMap<PhaseName, VecDeque<u64>>>,
    snapshots: Vec<Snapshot>,
    handed_off: Option<String>,
    password_shown_ms: Option<u64>,
    waits: Option<Waits>,
    /// Whether the stream that is being read has had its `RunStarted` yet.
    in_run: bool,
    last_index: Option<u64>,
    /// Approvals that came before their run's `RunStarted`.
    early_approvals: Vec<Approval>,
}

/// What must never change of a cluster once it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub ca_fingerprint: String,
    /// Not known before etcd has answered.
    pub etcd_cluster_id: Option<String>,
}

/// A hand-off that is done, and not proven yet.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Waits {
    pub commit: String,
    /// Applications that were not well when it was last looked.
    pub waiting: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseSeen {
    pub generation: u64,
    pub at_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub node: NodeName,
    pub file: String,
    pub sha256: String,
    pub revision: u64,
    pub at_ms: u64,
}

impl Ledger {
    pub fn fold(loaded: &Loaded) -> Self {
        let mut ledger = Self { header: loaded.header.clone(), ..Self::default() };
        for stamped in &loaded.events {
            ledger.apply(stamped);
        }
        ledger
    }

    /// Takes one more event in; total, for whatever was recorded has happened.
    pub fn apply(&mut self, stamped: &Stamped) {
        let at_ms = stamped.at_ms;
        // Places in a run's stream rise: one that does not begins the next run's stream.
        if self.last_index.is_none_or(|last| stamped.index <= last) {
            self.in_run = false;
            self.early_approvals.clear();
        }
        self.last_index = Some(stamped.index);
        match &stamped.event {
            Event::RunStarted(event) => {
                let approvals = std::mem::take(&mut self.early_approvals);
                self.requests.run_started();
                self.runs.push(Run::started(event, at_ms, approvals));
                self.in_run = true;
            }
            Event::RunFinished(event) => {
                let Some(run) = self.runs.iter_mut().rev().find(|run| run.id == event.run) else {
                    return;
                };
                run.finish(event, at_ms);
                if run.is_done() {
                    self.requests.settle(&run.nodes);
                }
            }
            Event::PhaseFinished { phase, result, elapsed_ms } => {
                let (result, elapsed_ms) = (*result, *elapsed_ms);
                let Some(run) = self.runs.last_mut().filter(|_| self.in_run) else { return };
                run.phases_finished.push(FinishedPhase {
                    phase: phase.clone(),
                    result,
                    elapsed_ms,
                });
                if result == PhaseResult::Done {
                    let of_verb = self.durations.entry(run.verb.clone()).or_default();
                    let kept = of_verb.entry(phase.clone()).or_default();
                    kept.push_back(elapsed_ms);
                    if kept.len() > DURATIONS_KEPT {
                        kept.pop_front();
                    }
                }
            }
            Event::NodeConnected { node, machine_id, .. } => {
                self.machines.insert(node.clone(), machine_id.clone());
            }
            Event::NodeReplaced { node, now, .. } => {
                self.requests.void(node);
                self.leases.remove(node);
                for run in &mut self.runs {
                    run.approvals.retain(|approval| approval.node != *node);
                }
                self.early_approvals.retain(|approval| approval.node != *node);
                self.machines.insert(node.clone(), now.clone());
            }
            Event::Intent { node, phase, request, ops } => {
                let run = self.current().map(|run| run.id.clone());
                self.requests.intend(run, node, phase, request, ops);
            }
            Event::OpFinished { op, result, .. } => self.requests.finished(op, result),
            Event::OpRecovered { request, number, result, .. } => {
                self.requests.recovered(request, *number, result);
            }
            Event::ClusterIdentity { ca_fingerprint, etcd_cluster_id } => {
                let known = self
                    .identity
                    .take()
                    .filter(|known| known.ca_fingerprint == *ca_fingerprint)
                    .and_then(|known| known.etcd_cluster_id);
                self.identity = Some(Identity {
                    ca_fingerprint: ca_fingerprint.clone(),
                    etcd_cluster_id: etcd_cluster_id.clone().or(known),
                });
            }
            Event::ClusterRetired { .. } => {
                self.identity = None;
                self.handed_off = None;
                self.password_shown_ms = None;
                self.waits = None;
            }
            Event::DiskApproved { serial, node, shown } => {
                let approval = Approval {
                    serial: serial.clone(),
                    node: node.clone(),
                    shown: shown.clone(),
                    at_ms,
                };
                match self.runs.last_mut().filter(|_| self.in_run) {
                    Some(run) => run.approvals.push(approval),
                    None => self.early_approvals.push(approval),
                }
            }
            Event::SnapshotTaken { node, file, sha256, revision } => {
                self.snapshots.push(Snapshot {
                    node: node.clone(),
                    file: file.clone(),
                    sha256: sha256.clone(),
                    revision: *revision,
                    at_ms,
                });
            }
            Event::PasswordShown {} => self.password_shown_ms = Some(at_ms),
            Event::HandOffWaits { commit, waiting, .. } => {
                self.waits = Some(Waits { commit: commit.clone(), waiting: waiting.clone() });
            }
            Event::HandedOff { commit, .. } => {
                self.handed_off = Some(commit.clone());
                self.waits = None;
            }
            Event::LeaseTaken { node, generation, .. } => {
                let seen = LeaseSeen { generation: *generation, at_ms };
                self.leases.insert(node.clone(), seen);
            }
            Event::PhaseStarted { .. }
            | Event::NodeLost { .. }
            | Event::OpStarted { .. }
            | Event::OpOutput { .. }
            | Event::Applications { .. }
            | Event::Download(_)
            | Event::Brought { .. }
            | Event::RetryScheduled { .. }
            | Event::Interrupted { .. }
            | Event::Note { .. } => {}
        }
    }

    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The name under which this state directory holds leases.
    pub fn holder(&self) -> Option<&str> {
        self.header.as_ref().map(|header| header.holder.as_str())
    }

    /// When Argo CD's first password was shown, if it was.
    pub fn password_shown_ms(&self) -> Option<u64> {
        self.password_shown_ms
    }

    /// All runs, oldest first.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    pub fn last_run(&self) -> Option<&Run> {
        self.runs.last()
    }

    /// The last run, if it was of this verb and stopped before it was done: the one that is resumed.
    /// Another verb in between ends it, and with it whatever was approved for it.
    pub fn unfinished(&self, verb: &str) -> Option<&Run> {
        self.runs.last().filter(|run| run.verb == verb && !run.is_done())
    }

    /// Of these destructive decisions, the ones that have to be asked about: all but those that
    /// the run which is being resumed was started with.
    pub fn new_destructive<'a>(&self, verb: &str, plan: &'a [String]) -> BTreeSet<&'a str> {
        let agreed = self.unfinished(verb).map(|run| &run.destructive);
        plan.iter()
            .filter(|hash| agreed.is_none_or(|agreed| !agreed.contains(*hash)))
            .map(String::as_str)
            .collect()
    }

    /// Whether the run that is being resumed had that disk approved. What the disk held then is in
    /// the answer: it has to be compared with what it holds now.
    pub fn approved(&self, verb: &str, serial: &Serial) -> Option<&Approval> {
        self.unfinished(verb).and_then(|run| run.approved(serial))
    }

    /// Requests whose nodes may know outcomes that are not recorded here.
    pub fn open_requests(&self) -> impl Iterator<Item = &Request> {
        self.requests.all().iter().filter(|request| request.is_open())
    }

    pub fn request(&self, id: &str) -> Option<&Request> {
        self.requests.get(id)
    }

    /// What came of one op of a request.
    pub fn outcome(&self, request: &str, index: u32) -> Option<&OpResult> {
        self.requests.get(request)?.outcomes.get(index as usize)?.as_ref()
    }

    /// The machine-id that stood under that name when it was last met.
    pub fn machine_id(&self, node: &NodeName) -> Option<&str> {
        self.machines.get(node).map(String::as_str)
    }

    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The last generation of the lease that this state directory took on a node.
    pub fn lease(&self, node: &NodeName) -> Option<LeaseSeen> {
        self.leases.get(node).copied()
    }

    /// The highest generation seen on any node: the next lease has to be above it.
    pub fn lease_generation(&self) -> u64 {
        self.leases.values().map(|lease| lease.generation).max().unwrap_or(0)
    }

    /// Verified snapshots, oldest first.
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.snapshots
    }

    /// The commit with which Git took over, if it has.
    pub fn handed_off(&self) -> Option<&str> {
        self.handed_off.as_deref()
    }

    /// What the hand-off waits for, if it is done and not proven.
    pub fn waits(&self) -> Option<&Waits> {
        self.waits.as_ref()
    }

    /// How long a phase of a verb takes: the median of the last times it was done.
    pub fn expected_ms(&self, verb: &str, phase: &PhaseName) -> Option<u64> {
        let mut times: Vec<u64> = self.durations.get(verb)?.get(phase)?.iter().copied().collect();
        times.sort_unstable();
        // Of an even number, the mean of the two in the middle.
        let (low, high) = (times.get((times.len() - 1) / 2)?, times.get(times.len() / 2)?);
        Some(low.midpoint(*high))
    }

    /// The run whose stream is being read, once it has started.
    fn current(&self) -> Option<&Run> {
        self.runs.last().filter(|_| self.in_run)
    }

    pub(super) fn set_header(&mut self, header: Header) {
        self.header = Some(header);
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
