//! The plan: a value that says everything a run will do, before it does it.
//!
//! Made in two pure halves: [`draft`] asks the steps, then the nodes are asked what they find, then
//! [`assemble`] puts the two together, adds the gates that ops demand and drops what nothing needs.
//! Must not do IO; what is run is exactly this value.

mod assemble;
mod draft;
mod hash;
pub mod render;

use serde::Serialize;

pub use assemble::assemble;
pub use draft::{Draft, Scope, draft};

use crate::{
    agent::frames::Found,
    events::{Failure, Pace},
    names::{NodeName, PhaseName, StepName},
    ops::{Diff, Observed, Op},
};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    pub verb: String,
    pub cluster: NodeName,
    pub simulated: bool,
    pub phases: Vec<PlannedPhase>,
    /// What stands in the way: with any of these, nothing is run.
    pub refusals: Vec<Failure>,
    /// What a person should know, and need not do anything about.
    pub notes: Vec<String>,
    /// Covers the decisions, not what was found: it stays the same while a run is resumed.
    pub hash: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedPhase {
    pub name: PhaseName,
    pub pace: Pace,
    pub lanes: Vec<Lane>,
}

/// What is done for one node, in order, wherever it runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lane {
    pub node: NodeName,
    pub ops: Vec<PlannedOp>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedOp {
    pub on: NodeName,
    pub step: StepName,
    pub op: Op,
    pub verdict: Verdict,
    /// A short hash of the decision, without what was found.
    pub decision: String,
}

/// What the node said when it was asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Holds,
    Changes(Vec<Diff>),
    /// Changes nothing: looked at when it is its turn.
    Check,
    /// Makes something for a later op, in memory only.
    Serves,
    Refused(Box<Failure>),
}

impl Verdict {
    pub fn of(op: &Op, found: Option<&Found>) -> Self {
        let nature = op.nature();
        if nature.check {
            return Verdict::Check;
        }
        if nature.serves {
            return Verdict::Serves;
        }
        match found {
            Some(Found::Observed(Observed::Holds | Observed::Left(_))) => Verdict::Holds,
            Some(Found::Observed(Observed::Differs(diffs))) => Verdict::Changes(diffs.clone()),
            Some(Found::Failed(failure)) => Verdict::Refused(Box::new(failure.clone())),
            // A node that could not be asked: it is away, and what is planned for it will tell.
            None => Verdict::Changes(vec![Diff::say(op.title())]),
        }
    }

    pub fn changes(&self) -> bool {
        matches!(self, Verdict::Changes(_))
    }
}

/// How many of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub change: u32,
    pub hold: u32,
    pub check: u32,
    pub destroy: u32,
}

impl Plan {
    pub fn ops(&self) -> impl Iterator<Item = (&PlannedPhase, &Lane, &PlannedOp)> {
        self.phases.iter().flat_map(|phase| {
            phase
                .lanes
                .iter()
                .flat_map(move |lane| lane.ops.iter().map(move |op| (phase, lane, op)))
        })
    }

    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (_, _, op) in self.ops() {
            match &op.verdict {
                Verdict::Holds => counts.hold += 1,
                Verdict::Changes(_) => {
                    counts.change += 1;
                    counts.destroy += u32::from(op.destroys());
                }
                Verdict::Check | Verdict::Serves => counts.check += 1,
                Verdict::Refused(_) => {}
            }
        }
        counts
    }

    pub fn nodes(&self) -> Vec<NodeName> {
        let mut nodes: Vec<NodeName> = self.ops().map(|(_, lane, _)| lane.node.clone()).collect();
        nodes.sort();
        nodes.dedup();
        nodes
    }
}

impl PlannedOp {
    pub fn destroys(&self) -> bool {
        let lost = |diffs: &[Diff]| diffs.iter().any(|d| matches!(d, Diff::Destroy(_)));
        match &self.verdict {
            Verdict::Changes(diffs) => self.op.nature().destructive || lost(diffs),
            _ => false,
        }
    }
}
