//! A Secret that the cluster needs before it can get its others by itself. Run on a control plane.
//!
//! Compared in memory, told by names only: a value is in no diff, no file and no message.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Diff, Observed, OpError, OpResult, Output};
use super::sys::Sys;
use crate::secret::Sourced;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterSecret {
    pub namespace: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub labels: BTreeMap<String, String>,
    /// Of the namespace, where it has to be made.
    pub namespace_labels: BTreeMap<String, String>,
    /// Filled in by the controller just before the op is sent.
    pub data: BTreeMap<String, Sourced>,
}

/// One key of a Secret that is there, beside what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    Same,
    Differs,
    Missing,
    /// Put there by an earlier run, and wanted no more.
    Leftover,
}

/// What the API server has of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretFound {
    /// Nobody answers yet: the cluster is still to be made.
    NoCluster,
    NoNamespace,
    Missing,
    /// Somebody else keeps it.
    Kept {
        by: String,
    },
    There {
        kind: String,
        keys: BTreeMap<String, KeyState>,
        labels_differ: bool,
    },
}

impl ClusterSecret {
    pub fn shown(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn is_read(&self) -> bool {
        self.data.values().all(|sourced| sourced.value.is_some())
    }

    fn keys(&self) -> String {
        self.data.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    fn differences(&self, keys: &BTreeMap<String, KeyState>, labels_differ: bool) -> Vec<Diff> {
        let with = |state: KeyState| {
            let all = keys.iter().filter(|(_, s)| **s == state).map(|(key, _)| key.as_str());
            all.collect::<Vec<_>>().join(", ")
        };
        let of = self.shown();
        let said = [
            (with(KeyState::Missing), format!("add to the Secret {of}: ")),
            (with(KeyState::Differs), format!("another value in the Secret {of}: ")),
            (with(KeyState::Leftover), format!("remove from the Secret {of}: ")),
        ];
        let mut all: Vec<Diff> = said
            .into_iter()
            .filter(|(keys, _)| !keys.is_empty())
            .map(|(keys, what)| Diff::say(what + &keys))
            .collect();
        if labels_differ {
            all.push(Diff::say(format!("label the Secret {of}")));
        }
        all
    }
}

#[async_trait]
impl Action for ClusterSecret {
    fn title(&self) -> String {
        format!("Secret {}", self.shown())
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let make = || Diff::say(format!("make the Secret {} with {}", self.shown(), self.keys()));
        let found = sys.secret(self).await?;
        Ok(match found {
            SecretFound::NoCluster | SecretFound::Missing => Observed::Differs(vec![make()]),
            SecretFound::NoNamespace => {
                let namespace = Diff::say(format!("make the namespace {}", self.namespace));
                Observed::Differs(vec![namespace, make()])
            }
            SecretFound::Kept { by } => Observed::Left(format!(
                "the Secret {} is {by}'s and is left as it is; take it out of the inventory, or delete it there to have it made anew",
                self.shown()
            )),
            SecretFound::There { kind, .. } if kind != self.kind => {
                return Err(OpError::new(
                    format!("look at the Secret {}", self.shown()),
                    format!(
                        "it is of the type {kind}, and {} is wanted: a type cannot be changed",
                        self.kind
                    ),
                )
                .hint(format!(
                    "`kubectl -n {} delete secret {}` first, if nobody needs it as it is",
                    self.namespace, self.name
                )));
            }
            SecretFound::There { .. } if !self.is_read() => {
                Observed::Differs(vec![Diff::say("compare it, once its values are read")])
            }
            SecretFound::There { keys, labels_differ, .. } => {
                match self.differences(&keys, labels_differ) {
                    none if none.is_empty() => Observed::Holds,
                    some => Observed::Differs(some),
                }
            }
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        if !self.is_read() {
            return Err(OpError::new(self.title(), "its values were not read"));
        }
        sys.put_secret(self).await?;
        Ok(None)
    }
}
