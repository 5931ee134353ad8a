//! Playbooks: which steps run where and in what order. Data, without a line of shell.
//!
//! They are embedded, and may be overridden by files. A playbook can leave work out; it cannot leave
//! a gate out, for gates belong to the ops. Must not know what steps do, only their names.

mod load;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use load::{BUILT_IN, LoadError, Playbooks, parse};

use crate::{
    events::Pace,
    names::{PhaseName, StepName},
    toml_read::{tables, words},
};

/// The newest format of playbooks that is understood.
pub const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Playbook {
    /// Of the file: 1.
    pub format: u32,
    pub name: PhaseName,
    pub about: String,
    #[serde(rename = "phase")]
    pub phases: Vec<Phase>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    pub name: PhaseName,
    pub nodes: Selector,
    pub run: Pace,
    pub steps: Vec<StepName>,
    /// A later phase, in which all but the first control plane do these steps: what is on the way to
    /// the cluster's making is done by the one that makes it, and by nobody else before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others_in: Option<PhaseName>,
}

/// Whose turn a phase is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Selector {
    All,
    ControlPlanes,
    /// The one that makes the cluster, or through which it is changed.
    FirstControlPlane,
    OtherControlPlanes,
    Workers,
    /// The node that the verb names.
    Target,
    /// All but the node that the verb names.
    Remaining,
}

tables! {
    Playbook { format, name, about = String::new(), phases as "phase" }
    Phase { name, nodes, run, steps, others_in = None }
}

words! {
    Selector {
        All: "all",
        ControlPlanes: "control-planes",
        FirstControlPlane: "first-control-plane",
        OtherControlPlanes: "other-control-planes",
        Workers: "workers",
        Target: "target",
        Remaining: "remaining",
    }
    Pace { Parallel: "parallel", Rolling: "rolling", Once: "once" }
}

impl Selector {
    pub fn word(self) -> &'static str {
        match self {
            Selector::All => "all",
            Selector::ControlPlanes => "control-planes",
            Selector::FirstControlPlane => "first-control-plane",
            Selector::OtherControlPlanes => "other-control-planes",
            Selector::Workers => "workers",
            Selector::Target => "target",
            Selector::Remaining => "remaining",
        }
    }
}
