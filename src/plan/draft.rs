//! The first half of a plan: the steps' decisions, phase by phase and lane by lane.

use std::collections::BTreeSet;

use super::{Lane, PlannedOp, PlannedPhase, Verdict, hash::decision};
use crate::{
    events::Failure,
    inventory::{Node, Role},
    names::{NodeName, PhaseName},
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
            let lane = lane(scene, phase, node, &mut draft.refusals);
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

fn lane(scene: &Scene, phase: &Phase, node: &Node, refusals: &mut Vec<Failure>) -> Lane {
    let mut ops = Vec::new();
    for name in &phase.steps {
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
