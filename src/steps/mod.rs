//! Steps: pure decisions, one file each. Facts in, ops out.
//!
//! A step says what must be so, not what to do about it: whether anything has to change is found
//! by the op when it looks. So a step gives the same ops on every run, and a plan's hash stays what
//! it was while a run is resumed. Must not do IO, nor ask what time it is.

pub mod scene;

use crate::{
    events::Failure,
    inventory::Node,
    names::{NodeName, StepName},
    ops::Op,
};

pub use scene::{Memory, Scene, Wish, is_control_plane};

/// An op, and the node it runs on: the lane's own, or a control plane that acts for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub on: NodeName,
    pub op: Op,
}

impl Draft {
    pub fn new(on: &NodeName, op: impl Into<Op>) -> Self {
        Self { on: on.clone(), op: op.into() }
    }
}

/// What a step decided for one node, or why it cannot: nothing of the plan is run then.
pub type Decision = Result<Vec<Draft>, Box<Failure>>;

pub struct Step {
    pub name: &'static str,
    /// For `slipway playbook show`.
    pub about: &'static str,
    pub decide: fn(&Scene, &Node) -> Decision,
}

impl Step {
    pub fn find(name: &StepName) -> Option<&'static Step> {
        STEPS.iter().find(|s| s.name == name.as_str())
    }
}

/// Every step there is, in the order in which a bootstrap uses them.
pub static STEPS: &[Step] = &[];
