//! The first half of a plan: the steps' decisions, phase by phase and lane by lane.

use std::collections::BTreeSet;

use super::{Lane, PlannedOp, PlannedPhase, Verdict, hash::decision};
use crate::{
    events::Failure,
    inventory::{Node, Role},
    names::{NodeName, PhaseName, StepName},
    playbook::{Phase, Playbook, Selector},
    steps::{Scene, Step},
};

/// What the operator narrowed the run to.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub only: BTreeSet<NodeName>,
    /// The last phase to run.
    pub until: Option<PhaseName>,
}

#[derive(Debug, Clone)]
pub struct Draft {
    pub phases: Vec<PlannedPhase>,
    pub refusals: Vec<Failure>,
}

/// Asks every step of every phase for every node that it concerns.
pub fn draft(scene: &Scene, playbook: &Playbook, scope: &Scope) -> Draft {
    let mut draft = Draft { phases: Vec::new(), refusals: Vec::new() };
    for phase in &playbook.phases {
        let mut lanes = Vec::new();
        for node in selected(scene, phase, scope) {
            if later(scene, playbook, phase, node, scope).is_some() {
                continue;
            }
            // What this node left for this phase comes first, in the playbook's order.
            let left = playbook.phases.iter().take_while(|p| p.name != phase.name);
            let left = left.filter(|p| {
                later(scene, playbook, p, node, scope).is_some_and(|to| to.name == phase.name)
                    && selected(scene, p, scope).iter().any(|n| n.name == node.name)
            });
            let steps = left.flat_map(|p| &p.steps).chain(&phase.steps);
            let lane = lane(scene, phase, steps, node, &mut draft.refusals);
            if !lane.ops.is_empty() {
                lanes.push(lane);
            }
        }
        draft.phases.push(PlannedPhase { name: phase.name.clone(), pace: phase.run, lanes });
        if scope.until.as_ref() == Some(&phase.name) {
            break;
        }
    }
    draft
}

/// The phase in which a node does the steps of this one instead: while the first control plane makes
/// the cluster. Where that one is not at it in this run, nobody waits for it.
fn later<'a>(
    scene: &Scene,
    playbook: &'a Playbook,
    phase: &Phase,
    node: &Node,
    scope: &Scope,
) -> Option<&'a Phase> {
    let to = phase.others_in.as_ref()?;
    let first = scene.initialiser();
    if node.name == first || !(scope.only.is_empty() || scope.only.contains(&first)) {
        return None;
    }
    scene.facts_of(&first)?;
    let place = |name: &PhaseName| playbook.phases.iter().position(|p| p.name == *name);
    let last = scope.until.as_ref().and_then(place).unwrap_or(playbook.phases.len());
    let at = place(to).filter(|at| *at <= last)?;
    playbook.phases.get(at)
}

fn lane<'a>(
    scene: &Scene,
    phase: &Phase,
    steps: impl Iterator<Item = &'a StepName>,
    node: &Node,
    refusals: &mut Vec<Failure>,
) -> Lane {
    let mut ops = Vec::new();
    for name in steps {
        // The playbook was checked against the steps that exist.
        let Some(step) = Step::find(name) else { continue };
        match (step.decide)(scene, node) {
            Ok(drafts) => ops.extend(drafts.into_iter().map(|draft| PlannedOp {
                decision: decision(&phase.name, &node.name, name, &draft.on, &draft.op),
                verdict: Verdict::Check,
                step: name.clone(),
                on: draft.on,
                op: draft.op,
            })),
            Err(failure) => {
                let mut failure = failure.at(&phase.name, name);
                failure.node.get_or_insert_with(|| node.name.clone());
                failure.left.get_or_insert_with(|| "nothing was changed anywhere".into());
                if !refusals.contains(&failure) {
                    refusals.push(failure);
                }
            }
        }
    }
    Lane { node: node.name.clone(), ops }
}

fn selected<'a>(scene: &Scene<'a>, phase: &Phase, scope: &Scope) -> Vec<&'a Node> {
    let initialiser = scene.initialiser();
    let target = scene.wish.target.as_ref();
    let fits = |node: &Node| match phase.nodes {
        Selector::All => true,
        Selector::ControlPlanes => node.role == Role::ControlPlane,
        Selector::FirstControlPlane => node.name == initialiser,
        Selector::OtherControlPlanes => node.role == Role::ControlPlane && node.name != initialiser,
        Selector::Workers => node.role == Role::Worker,
        Selector::Target => Some(&node.name) == target,
        Selector::Remaining => Some(&node.name) != target,
    };
    // A node that is not in this run has no facts; the target of remove-node may be dead.
    let known = |node: &Node| scene.facts_of(&node.name).is_some() || Some(&node.name) == target;
    let wanted = |node: &Node| {
        scope.only.is_empty()
            || scope.only.contains(&node.name)
            // Acting for the others is not a change of its own; making the cluster would be.
            || (phase.nodes == Selector::FirstControlPlane && scene.api().is_some())
    };
    scene.inventory.nodes.iter().filter(|n| fits(n) && known(n) && wanted(n)).collect()
}
