//! What every op has in common: it observes, applies, and is verified by being observed again.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::sys::{
    EngineLogin, JoinMaterial, SnapshotInfo, Sys, SysError, SysErrorKind, UserCertificate,
};
use crate::{
    etcd::report::EtcdReport,
    events::{AppState, Failure, Refusal},
    secret::Sealed,
};

/// What an op found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observed {
    /// Things are as they should be.
    Holds,
    Differs(Vec<Diff>),
    /// Not as it was asked for, and not Slipway's to change: why.
    Left(String),
}

/// One difference, as it is shown before it is made to go away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Diff {
    /// `old` is None for a new file; `new` is None for one that goes.
    File { path: String, old: Option<String>, new: Option<String> },
    /// In words: `load module rbd`.
    Say(String),
    /// What will be lost.
    Destroy(String),
}

impl Diff {
    pub fn say(text: impl Into<String>) -> Self {
        Diff::Say(text.into())
    }

    /// A line for the event stream: never the contents of a file.
    pub fn summary(&self) -> String {
        match self {
            Diff::File { path, old: None, .. } => format!("create {path}"),
            Diff::File { path, new: None, .. } => format!("remove {path}"),
            Diff::File { path, .. } => format!("change {path}"),
            Diff::Say(text) => text.clone(),
            Diff::Destroy(what) => format!("DESTROYED: {what}"),
        }
    }
}

/// What later ops get from this one. Some of it is secret: it travels in frames of its own and is
/// never part of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    Join(JoinMaterial),
    /// The file that encrypts secrets at rest.
    EncryptionConfig(Sealed),
    Snapshot(SnapshotInfo),
    Identity {
        ca_fingerprint: String,
        etcd_cluster_id: String,
    },
    HandedOff {
        repo: String,
        commit: String,
        applications: Vec<String>,
        still_ours: Vec<String>,
    },
    UserCertificate(UserCertificate),
    EngineLogin(EngineLogin),
    Etcd(EtcdReport),
}

/// What an op that takes long tells on its way, without being asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Telling {
    Applications(Vec<AppState>),
    /// The hand-off is done, and waited for.
    HandOffWaits {
        repo: String,
        commit: String,
        waiting: Vec<String>,
    },
}

pub type Tell<'t> = &'t (dyn Fn(Telling) + Send + Sync);

/// Why an op could not do its work.
#[derive(Debug, Clone, PartialEq)]
pub struct OpError {
    pub failure: Box<Failure>,
    /// Another try may help, and does no harm.
    pub passing: bool,
    /// Nothing had been done yet: another try does no harm whatever the op is.
    pub looked: bool,
}

impl OpError {
    pub fn new(what: impl Into<String>, cause: impl Into<String>) -> Self {
        Failure::new(what, cause).into()
    }

    /// A safety rule says no.
    pub fn refused(rule: Refusal, what: impl Into<String>, cause: impl Into<String>) -> Self {
        let failure = Failure::new(what, cause).refused(rule);
        failure.left("nothing was changed by this op").into()
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.failure.hint = Some(hint.into());
        self
    }

    pub fn passing(mut self) -> Self {
        self.passing = true;
        self
    }

    pub fn looked(mut self) -> Self {
        self.looked = true;
        self
    }
}

impl From<Failure> for OpError {
    fn from(failure: Failure) -> Self {
        Self { failure: Box::new(failure), passing: false, looked: false }
    }
}

impl From<SysError> for OpError {
    fn from(error: SysError) -> Self {
        let mut failure = Failure::new("", error.message);
        failure.output = error.output;
        if error.kind == SysErrorKind::NoSpace {
            failure.hint = Some("free space on the node (journalctl --vacuum-size, old images), then run the same command again".into());
        }
        if error.hint.is_some() {
            failure.hint = error.hint;
        }
        Self { passing: error.kind == SysErrorKind::Passing, ..failure.into() }
    }
}

pub type OpResult<T> = Result<T, OpError>;

/// What an op does to the set of etcd members that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    Nothing,
    AddsMember,
    RemovesMember,
    /// Takes one down for a while: it comes back by itself.
    StopsMember,
}

/// How an op may be treated; the defaults are those of an ordinary change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nature {
    /// A check changes nothing: it holds or it fails.
    pub check: bool,
    /// May be tried again by itself when it fails in passing.
    pub retry: bool,
    pub destructive: bool,
    /// Ops that touch the quorum get their gates from the planner, whatever the playbook says.
    pub touch: Touch,
    /// Ends only when a fresh connection to the node has confirmed it.
    pub wants_confirmation: bool,
    /// Makes something fresh for a later op and holds only in memory: done anew each time.
    pub serves: bool,
    /// Changes nothing that a run rests on, and so may be asked for by itself, without the lease and
    /// while somebody else is at work.
    pub unleased: bool,
    pub timeout_s: u32,
}

impl Nature {
    pub const CHANGE: Nature = Nature {
        check: false,
        retry: true,
        destructive: false,
        touch: Touch::Nothing,
        wants_confirmation: false,
        serves: false,
        unleased: false,
        timeout_s: 120,
    };
    /// Checks wait for things to settle, so they have longer.
    pub const CHECK: Nature = Nature { check: true, timeout_s: 300, ..Nature::CHANGE };
    /// Serves a later op: a token, a gate's snapshot.
    pub const SERVES: Nature = Nature { serves: true, ..Nature::CHANGE };
    /// Serves a person.
    pub const ANSWERS: Nature = Nature { unleased: true, ..Nature::SERVES };
    /// One that must not simply be tried again.
    pub const ONCE: Nature = Nature { retry: false, timeout_s: 600, ..Nature::CHANGE };
}

/// What an op kind implements.
#[async_trait]
pub trait Action: Send + Sync {
    /// In a few words, with its object: `write /etc/hosts`.
    fn title(&self) -> String;

    fn nature(&self) -> Nature {
        Nature::CHANGE
    }

    /// Reads only. For a check: `Holds`, or an error that says what does not.
    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed>;

    /// Called while a plan is made that is going to be run: a check that waits may begin to. Changes nothing.
    fn begin(&self, _sys: &dyn Sys) {}

    /// What it made, told again after a cut: for an op that holds, and whose output is no secret.
    async fn recall(&self, _sys: &dyn Sys) -> OpResult<Option<Output>> {
        Ok(None)
    }

    /// Makes the differences go away. Called only when there are some, and again after a crash.
    async fn apply(&self, _sys: &dyn Sys) -> OpResult<Option<Output>> {
        Ok(None)
    }

    /// The same, for one that has something to tell meanwhile.
    async fn apply_telling(&self, sys: &dyn Sys, _tell: Tell<'_>) -> OpResult<Option<Output>> {
        self.apply(sys).await
    }
}

/// What an op changed, a line each, and what it made for later ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    pub changed: Vec<String>,
    pub output: Option<Output>,
}

/// Applies what `observe` found to differ, then looks again: an op that says it changed something
/// and did not is a failure, not a success.
pub async fn finish(
    action: &dyn Action,
    sys: &dyn Sys,
    differences: Vec<Diff>,
    tell: Tell<'_>,
) -> OpResult<Done> {
    let output = action.apply_telling(sys, tell).await?;
    if !action.nature().serves
        && let Observed::Differs(left) = action.observe(sys).await?
    {
        let left: Vec<String> = left.iter().map(Diff::summary).collect();
        return Err(OpError::new(
            action.title(),
            format!("was applied, but still differs: {}", left.join("; ")),
        )
        .hint("something else on the node may be changing it back"));
    }
    Ok(Done { changed: differences.iter().map(Diff::summary).collect(), output })
}
