//! What was decided, in a few letters: to bind a run to a plan that was shown.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{PlannedPhase, Verdict};
use crate::{
    names::{NodeName, PhaseName, StepName, hex},
    ops::Op,
};

/// What an op carries of the state that it was decided in. A cut run leaves another state behind;
/// the decision is still the same.
const CIRCUMSTANCES: [&str; 3] = ["data_of", "data_is_orphaned", "known_ca"];

pub(super) fn decision(
    phase: &PhaseName,
    lane: &NodeName,
    step: &StepName,
    on: &NodeName,
    op: &Op,
) -> String {
    // Every op is plain data; should one ever not serialise, its title still tells it apart.
    let mut json = serde_json::to_value(op).unwrap_or_else(|_| Value::String(op.title()));
    without_circumstances(&mut json);
    digest(&format!("{phase}\n{lane}\n{step}\n{on}\n{json}"), 12)
}

/// Of the whole plan: its decisions in order.
pub(super) fn plan(verb: &str, cluster: &NodeName, phases: &[PlannedPhase]) -> String {
    let mut text = format!("{verb}\n{cluster}\n");
    for op in phases.iter().flat_map(|p| &p.lanes).flat_map(|l| &l.ops) {
        text.push_str(&op.decision);
        text.push('\n');
        // What would be lost is part of what was agreed to.
        if let Verdict::Changes(diffs) = &op.verdict
            && op.destroys()
        {
            diffs.iter().for_each(|diff| text.push_str(&diff.summary()));
        }
    }
    digest(&text, 16)
}

fn without_circumstances(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|key, _| !CIRCUMSTANCES.contains(&key.as_str()));
        map.values_mut().for_each(without_circumstances);
    }
}

fn digest(text: &str, letters: usize) -> String {
    hex(&Sha256::digest(text))[..letters].into()
}
