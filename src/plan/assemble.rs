//! The second half of a plan: what the nodes found, the gates, and what turned out not to be needed.

use std::collections::BTreeMap;

use super::{Draft, Lane, Plan, PlannedOp, PlannedPhase, Verdict, hash};
use crate::{
    agent::frames::Found,
    events::{Failure, Pace},
    names::{NodeName, StepName},
    ops::{
        Observed, Op, Touch,
        etcd::{EtcdGate, Snapshot},
    },
    steps::Scene,
};

/// What each node found, for the ops that run on it, in the order of the draft.
pub type Finds = BTreeMap<NodeName, Vec<Found>>;

/// How long a gate waits for members that are starting.
const GATE_S: u32 = 120;

pub fn assemble(scene: &Scene, draft: Draft, finds: &Finds) -> Plan {
    let mut next: BTreeMap<NodeName, usize> = BTreeMap::new();
    let mut refusals = draft.refusals;
    let mut notes = Vec::new();
    let mut phases = Vec::new();
    for mut phase in draft.phases {
        for lane in &mut phase.lanes {
            for planned in &mut lane.ops {
                let n = next.entry(planned.on.clone()).or_default();
                let found = finds.get(&planned.on).and_then(|all| all.get(*n));
                *n += 1;
                planned.verdict = Verdict::of(&planned.op, found);
                if let Some(Found::Observed(Observed::Left(why))) = found {
                    notes.push(why.clone());
                }
                if let Verdict::Refused(failure) = &planned.verdict {
                    let mut failure = failure.as_ref().clone().at(&phase.name, &planned.step);
                    failure.node = Some(planned.on.clone());
                    failure.left = Some("nothing was changed anywhere".into());
                    // The step may have said it already, and better.
                    let said = |f: &Failure| f.refusal == failure.refusal && f.node == failure.node;
                    if !refusals.iter().any(said) {
                        refusals.push(failure);
                    }
                }
            }
        }
        for lane in &mut phase.lanes {
            keep_what_serves(lane);
            add_gates(scene, &phase.name, lane);
        }
        if touching_lanes(&phase) > 1 && phase.pace == Pace::Parallel {
            notes.push(format!(
                "phase {} touches etcd on several nodes, so it runs one node at a time, whatever the playbook says",
                phase.name
            ));
            phase.pace = Pace::Rolling;
        }
        phase.lanes.retain(|lane| !lane.ops.is_empty());
        if !phase.lanes.is_empty() {
            phases.push(phase);
        }
    }
    let verb = scene.wish.verb.clone();
    let cluster = scene.inventory.cluster.name.clone();
    let hash = hash::plan(&verb, &cluster, &phases);
    Plan { verb, cluster, simulated: scene.inventory.simulated(), phases, refusals, notes, hash }
}

/// What serves a later op of its step goes when none of them has anything to do.
fn keep_what_serves(lane: &mut Lane) {
    let busy: Vec<(StepName, usize)> = lane
        .ops
        .iter()
        .enumerate()
        .filter(|(_, op)| op.verdict.changes())
        .map(|(n, op)| (op.step.clone(), n))
        .collect();
    let mut n = 0;
    lane.ops.retain(|op| {
        let place = n;
        n += 1;
        op.verdict != Verdict::Serves
            || busy.iter().any(|(step, at)| *step == op.step && *at > place)
    });
}

/// Gates belong to the ops: whichever playbook brought them here.
fn add_gates(scene: &Scene, phase: &crate::names::PhaseName, lane: &mut Lane) {
    let mut ops = Vec::with_capacity(lane.ops.len());
    for planned in std::mem::take(&mut lane.ops) {
        let touch = planned.op.nature().touch;
        if touch == Touch::Nothing || !planned.verdict.changes() {
            ops.push(planned);
            continue;
        }
        let leaving = (touch == Touch::RemovesMember).then(|| lane.node.clone());
        let before = EtcdGate {
            ignoring: leaving.clone(),
            must_bear_a_loss: touch == Touch::StopsMember,
            wait_s: GATE_S,
        };
        let after = EtcdGate { ignoring: None, must_bear_a_loss: false, wait_s: GATE_S };
        let on = scene.acting(Some(&lane.node));
        let step = planned.step.clone();
        let gate = |op: Op, verdict| PlannedOp {
            decision: hash::decision(phase, &lane.node, &step, &on, &op),
            verdict,
            step: step.clone(),
            on: on.clone(),
            op,
        };
        ops.push(gate(before.into(), Verdict::Check));
        ops.push(gate(Snapshot {}.into(), Verdict::Serves));
        ops.push(planned);
        ops.push(gate(after.into(), Verdict::Check));
    }
    lane.ops = ops;
}

fn touching_lanes(phase: &PlannedPhase) -> usize {
    let touches = |op: &PlannedOp| op.verdict.changes() && op.op.nature().touch != Touch::Nothing;
    phase.lanes.iter().filter(|lane| lane.ops.iter().any(touches)).count()
}
