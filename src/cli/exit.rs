//! Exit codes, and errors on their way to one.

use std::process::ExitCode;

use super::output;
use crate::{
    events::{Failure, RunResult},
    inventory, playbook,
    sim::StoreError,
    state::{LedgerError, StateError},
    toml_read::Diagnostics,
    ui::{Mode, render_failures},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done; for a plan: nothing to change.
    Done,
    /// Failed; the ledger says where, the same command goes on.
    Failed,
    /// Bad usage or bad inventory: nothing was contacted.
    Usage,
    /// A plan with changes.
    Changes,
    /// Refused by a safety rule.
    Refused,
    /// Doctor found something.
    Unhealthy,
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Changes => 3,
            Exit::Refused => 4,
            Exit::Unhealthy => 5,
            Exit::Interrupted => 130,
        })
    }
}

impl From<RunResult> for Exit {
    fn from(result: RunResult) -> Self {
        match result {
            RunResult::Done => Exit::Done,
            RunResult::Failed => Exit::Failed,
            RunResult::Refused => Exit::Refused,
            RunResult::Interrupted => Exit::Interrupted,
        }
    }
}

impl Exit {
    /// Of failures that kept a run from starting: a refusal, if they are nothing else.
    pub fn of(failures: &[Failure]) -> Self {
        let all_refused = failures.iter().all(|f| f.refusal.is_some());
        if all_refused { Exit::Refused } else { Exit::Failed }
    }
}

/// An error at the top: what it says, what to do, and the code.
pub struct Error {
    pub exit: Exit,
    body: Body,
}

enum Body {
    /// A message, its causes, a hint.
    Text {
        message: String,
        causes: Vec<String>,
        hint: Option<String>,
    },
    /// Findings in a file, which point at their places themselves.
    Findings(Diagnostics),
    Failures {
        failures: Vec<Failure>,
        command: Option<String>,
    },
}

impl Error {
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::text(Exit::Usage, message, Some(hint.into()))
    }

    pub fn text(exit: Exit, message: impl Into<String>, hint: Option<String>) -> Self {
        Self { exit, body: Body::Text { message: message.into(), causes: Vec::new(), hint } }
    }

    pub fn findings(found: Diagnostics) -> Self {
        Self { exit: Exit::Usage, body: Body::Findings(found) }
    }

    pub fn failures(failures: Vec<Failure>, command: Option<String>) -> Self {
        Self { exit: Exit::of(&failures), body: Body::Failures { failures, command } }
    }

    fn of(exit: Exit, error: &dyn std::error::Error, hint: Option<String>) -> Self {
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        Self { exit, body: Body::Text { message: error.to_string(), causes, hint } }
    }

    pub fn show(&self, mode: Mode) {
        if mode == Mode::Json {
            output::json(&self.json());
        }
        output::err(&match &self.body {
            Body::Text { message, causes, hint } => {
                let mut text = format!("error: {message}\n");
                for cause in causes {
                    text.push_str(&format!("  why: {cause}\n"));
                }
                if let Some(hint) = hint {
                    text.push_str(&format!("hint: {hint}\n"));
                }
                text
            }
            Body::Findings(found) => format!("{}\n", found.render(output::paint()).trim_end()),
            Body::Failures { failures, command } => {
                render_failures(failures, None, command.as_deref())
            }
        });
    }

    fn json(&self) -> serde_json::Value {
        let exit = self.exit as u8;
        match &self.body {
            Body::Text { message, causes, hint } => serde_json::json!({
                "version": 1, "error": message, "causes": causes, "hint": hint, "kind": exit,
            }),
            Body::Findings(found) => serde_json::json!({
                "version": 1,
                "error": "findings",
                "findings": found.iter().map(|d| serde_json::json!({
                    "message": d.message, "hint": d.hint,
                    "start": d.span.start, "end": d.span.end,
                })).collect::<Vec<_>>(),
            }),
            Body::Failures { failures, .. } => serde_json::json!({
                "version": 1, "error": "failures", "failures": failures,
            }),
        }
    }
}

impl From<inventory::LoadError> for Error {
    fn from(error: inventory::LoadError) -> Self {
        match error {
            inventory::LoadError::Invalid(found) => Self::findings(found),
            other => Self::of(Exit::Usage, &other, other.hint()),
        }
    }
}

impl From<playbook::LoadError> for Error {
    fn from(error: playbook::LoadError) -> Self {
        match error {
            playbook::LoadError::Invalid(found) => Self::findings(found),
            other => Self::of(Exit::Usage, &other, other.hint()),
        }
    }
}

impl From<StateError> for Error {
    fn from(error: StateError) -> Self {
        Self::of(Exit::Usage, &error, error.hint())
    }
}

impl From<LedgerError> for Error {
    fn from(error: LedgerError) -> Self {
        // Somebody else at work is a refusal, not a slip.
        let exit = match error {
            LedgerError::Locked { .. } => Exit::Refused,
            _ => Exit::Usage,
        };
        Self::of(exit, &error, error.hint())
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::of(Exit::Usage, &error, error.hint())
    }
}
