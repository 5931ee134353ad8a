//! What happened, as one closed enum: the only thing that the UI and the ledger ever read.
//!
//! An event is a fact in the past, complete in itself, without secrets. Must not know who listens.

mod delivery;
mod failure;
mod stamp;
mod transfer;

pub use delivery::AppState;
pub use failure::{Failure, Refusal};
pub use stamp::{STREAM_VERSION, Stamped};
pub use transfer::{Download, megabytes};

use serde::{Deserialize, Serialize};

use crate::names::{NodeName, PhaseName, Serial, StepName};

/// A run's name: when it began and a few random letters, so that it sorts and is unique.
pub type RunId = String;
/// A request's name: run, node and a counter. The agent answers a repeated one from its journal.
pub type RequestId = String;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    // The run as a whole.
    RunStarted(RunStarted),
    RunFinished(RunFinished),

    // Files on their way, before the run and in it.
    Download(Download),
    Brought {
        node: NodeName,
        what: String,
        bytes: u64,
    },

    // Phases, in order.
    PhaseStarted {
        phase: PhaseName,
        pace: Pace,
        /// What each lane has to do: the rows under the phase.
        lanes: Vec<LanePreview>,
    },
    PhaseFinished {
        phase: PhaseName,
        result: PhaseResult,
        elapsed_ms: u64,
    },

    // Nodes and the way to them.
    NodeConnected {
        node: NodeName,
        machine_id: String,
        /// False for the first time in this run.
        again: bool,
    },
    NodeLost {
        node: NodeName,
        why: String,
    },
    /// A machine with another machine-id stands under a known name: what the ledger knew is void.
    NodeReplaced {
        node: NodeName,
        was: String,
        now: String,
    },

    // Requests and ops.
    /// Written, and synced, before the request is sent.
    Intent {
        node: NodeName,
        phase: PhaseName,
        request: RequestId,
        /// Short hashes of the decisions that the request carries out.
        ops: Vec<String>,
    },
    OpStarted {
        op: OpRef,
    },
    /// A line that an op printed; redacted before it got here.
    OpOutput {
        op: OpRef,
        line: String,
    },
    OpFinished {
        op: OpRef,
        result: OpResult,
        elapsed_ms: u64,
    },
    /// An outcome that a node's journal knew and the ledger did not.
    OpRecovered {
        node: NodeName,
        request: RequestId,
        /// The op's place in that request.
        number: u32,
        result: OpResult,
    },
    RetryScheduled {
        op: OpRef,
        attempt: u32,
        wait_ms: u64,
        why: String,
    },

    // What must be remembered of decisions and identities.
    /// The cluster's identity, once made, never changes.
    ClusterIdentity {
        ca_fingerprint: String,
        etcd_cluster_id: Option<String>,
    },
    /// The cluster was taken down on purpose: its identity is free to be made again.
    ClusterRetired {
        ca_fingerprint: Option<String>,
    },
    DiskApproved {
        serial: Serial,
        node: NodeName,
        /// Model, size and contents as they were shown when the approval was given.
        shown: String,
    },
    SnapshotTaken {
        node: NodeName,
        file: String,
        sha256: String,
        revision: u64,
    },
    /// What the engines bring, whenever something of it changed: all of the tree.
    Applications {
        op: OpRef,
        applications: Vec<AppState>,
    },
    /// The repository has the cluster, and not all that it brings is well yet.
    HandOffWaits {
        repo: String,
        commit: String,
        waiting: Vec<String>,
    },
    /// The proof of the hand-off: from here on Git owns what runs in the cluster.
    HandedOff {
        repo: String,
        commit: String,
        applications: Vec<String>,
        /// Objects that nobody but Slipway manages still.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        still_ours: Vec<String>,
    },
    /// The first way into the GitOps engine was shown to a person.
    PasswordShown {},
    LeaseTaken {
        node: NodeName,
        generation: u64,
        /// Whose lease was taken over, if anybody's.
        from: Option<String>,
    },

    /// Ctrl-C, once or twice.
    Interrupted {
        leaving_at_once: bool,
    },
    Note {
        level: Level,
        node: Option<NodeName>,
        text: String,
        hint: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    pub run: RunId,
    /// `bootstrap`, `upgrade`, ...
    pub verb: String,
    pub cluster: NodeName,
    /// Slipway's own version.
    pub slipway: String,
    pub simulated: bool,
    pub nodes: Vec<NodeName>,
    pub plan_hash: String,
    /// Short hashes of all decisions of the plan; of destructive ones apart, for they are asked
    /// about again only when they are new.
    pub decisions: Vec<String>,
    pub destructive: Vec<String>,
    pub changes: u32,
    pub unchanged: u32,
    /// The phases to come, in order.
    pub phases: Vec<PhaseName>,
    /// The command that goes on if this run stops.
    pub command: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFinished {
    pub run: RunId,
    pub result: RunResult,
    pub changed: u32,
    pub unchanged: u32,
    pub elapsed_ms: u64,
    pub failures: Vec<Failure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunResult {
    Done,
    Failed,
    Refused,
    Interrupted,
}

/// How the lanes of a phase run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// All nodes at the same time.
    Parallel,
    /// One node after the other; the first failure stops the phase.
    Rolling,
    /// On one node only.
    Once,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanePreview {
    /// The node whose row it is, whichever nodes its ops run on.
    pub node: NodeName,
    pub ops: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseResult {
    Done,
    Failed,
    Interrupted,
}

/// Which op: its place in the plan and what to call it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpRef {
    pub phase: PhaseName,
    /// The node whose row (lane) it belongs to.
    pub lane: NodeName,
    /// The node it runs on: the lane's own, or a control plane that acts for it.
    pub node: NodeName,
    pub step: StepName,
    /// Its place in the lane, from 0.
    pub index: u32,
    /// What it does, in a few words: `write /etc/hosts`.
    pub title: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpResult {
    Unchanged,
    /// What was changed, a line each; never the contents of a file.
    Changed(Vec<String>),
    Failed(Failure),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Info,
    Warning,
}

impl Event {
    /// Whether the ledger keeps it. The rest is for people who watch.
    pub fn is_kept(&self) -> bool {
        !matches!(
            self,
            Event::OpStarted { .. }
                | Event::OpOutput { .. }
                | Event::Applications { .. }
                | Event::Download(_)
                | Event::Brought { .. }
                | Event::Note { level: Level::Info, .. }
        )
    }
}
