//! The operator's own secrets: how they are read, and what of them is known before a run begins.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::BoxFuture;

use crate::{
    events::Failure,
    ops::{Op, repository::RepositoryReached},
    secret::{Sealed, Source},
};

/// What was read, and what the operator should know about where it lies.
#[derive(Debug, Clone)]
pub struct Read {
    pub secret: Sealed,
    pub warning: Option<String>,
}

impl From<Sealed> for Read {
    fn from(secret: Sealed) -> Self {
        Self { secret, warning: None }
    }
}

/// Reads a secret of the operator's from where the inventory says.
pub type ReadSecret =
    Arc<dyn Fn(Source) -> BoxFuture<'static, Result<Read, Failure>> + Send + Sync>;
/// Told every secret before it could be printed.
pub type Hide = Arc<dyn Fn(&str) + Send + Sync>;

/// What came of trying from here what a node will have to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Reach {
    /// Everything is there.
    Fine,
    /// It cannot be told from here, and why.
    Unknown(String),
}

/// Reaches the repository as a node would, before any node is changed.
pub type TryRepository =
    Arc<dyn Fn(RepositoryReached) -> BoxFuture<'static, Result<Reach, Failure>> + Send + Sync>;

/// What is done on this machine for the ops that need something of the operator's.
#[derive(Clone)]
pub struct Desk {
    pub read_secret: ReadSecret,
    pub hide: Hide,
    pub try_repository: TryRepository,
}

/// What was read before the plan was shown.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub secrets: BTreeMap<Source, Sealed>,
    pub notes: Vec<String>,
}

impl Known {
    /// The op with what is known filled in.
    pub fn fill(&self, op: &Op) -> Op {
        let mut op = op.clone();
        for sourced in op.sourced() {
            sourced.value = self.secrets.get(&sourced.source).cloned();
        }
        op
    }

    /// For the run; what would have ended by then is asked for anew.
    pub fn lasting(mut self) -> BTreeMap<Source, Sealed> {
        self.secrets.retain(|source, _| !source.is_short_lived());
        self.secrets
    }
}

/// Reads what these ops are compared with or must not fail for later, and reaches the repository.
/// One after the other: a command may ask somebody to touch a key.
pub async fn look_ahead(
    desk: &Desk,
    ops: impl Iterator<Item = &Op>,
) -> Result<Known, Vec<Failure>> {
    let (mut known, mut failures) = (Known::default(), Vec::new());
    let mut failed: Vec<Source> = Vec::new();
    let wanted: Vec<&Op> =
        ops.filter(|op| matches!(op, Op::ClusterSecret(_) | Op::RepositoryReached(_))).collect();
    for op in &wanted {
        for sourced in (*op).clone().sourced() {
            let source = sourced.source.clone();
            if known.secrets.contains_key(&source) || failed.contains(&source) {
                continue;
            }
            match (desk.read_secret)(source.clone()).await {
                Ok(Read { secret, warning }) => {
                    (desk.hide)(secret.reveal());
                    known.notes.extend(warning);
                    known.secrets.insert(source, secret);
                }
                Err(failure) => {
                    failures.push(failure.left("nothing was changed anywhere"));
                    failed.push(source);
                }
            }
        }
    }
    if !failures.is_empty() {
        return Err(failures);
    }
    for op in wanted {
        let Op::RepositoryReached(reached) = known.fill(op) else { continue };
        match (desk.try_repository)(reached).await {
            Ok(Reach::Fine) => {}
            Ok(Reach::Unknown(why)) => known.notes.push(why),
            Err(failure) => return Err(vec![failure.left("nothing was changed anywhere")]),
        }
    }
    Ok(known)
}
