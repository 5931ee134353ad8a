//! What went wrong, in the parts that a person needs.

use serde::{Deserialize, Serialize};

use crate::{
    names::{NodeName, PhaseName, StepName},
    redact::Redactor,
};

/// A failure says what, where, why, and what to do (promise 10).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// What was being done: `write /etc/hosts`.
    pub what: String,
    pub node: Option<NodeName>,
    pub phase: Option<PhaseName>,
    pub step: Option<StepName>,
    /// The causes, outermost first.
    pub causes: Vec<String>,
    /// The last lines of output, redacted.
    pub output: Vec<String>,
    /// What was left as it was: `nothing on the node was changed`.
    pub left: Option<String>,
    pub hint: Option<String>,
    /// Set when a safety rule said no, rather than something having broken.
    pub refusal: Option<Refusal>,
}

/// Which safety rule refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    Disk,
    HostKey,
    Quorum,
    Lease,
    Identity,
    Plan,
    Version,
    Network,
}

impl Failure {
    pub fn new(what: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            node: None,
            phase: None,
            step: None,
            causes: vec![cause.into()],
            output: Vec::new(),
            left: None,
            hint: None,
            refusal: None,
        }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn left(mut self, left: impl Into<String>) -> Self {
        self.left = Some(left.into());
        self
    }

    pub fn on(mut self, node: &NodeName) -> Self {
        self.node = Some(node.clone());
        self
    }

    pub fn at(mut self, phase: &PhaseName, step: &StepName) -> Self {
        self.phase = Some(phase.clone());
        self.step = Some(step.clone());
        self
    }

    /// Without secrets and control characters, in all of its texts.
    pub fn clean(&mut self, redactor: &Redactor) {
        redactor.clean(&mut self.what);
        redactor.clean_lines(&mut self.causes);
        redactor.clean_lines(&mut self.output);
        for text in self.left.iter_mut().chain(&mut self.hint) {
            redactor.clean(text);
        }
    }

    pub fn refused(mut self, rule: Refusal) -> Self {
        self.refusal = Some(rule);
        self
    }
}

impl std::fmt::Display for Failure {
    /// One line; the UI has the long form.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(node) = &self.node {
            write!(f, "{node}: ")?;
        }
        write!(f, "{}: {}", self.what, self.causes.join(": "))
    }
}
