//! A snapshot on its way off a node: fetched part by part, handed to whoever keeps it, and then taken
//! away from the node.

use super::session::Session;
use crate::{
    agent::frames::ToAgent, events::Failure, names::NodeName, news, ops::sys::SnapshotInfo,
};

/// Keeps snapshots away from the nodes.
pub trait Keeper: Send + Sync {
    /// Makes room for one that is about to come.
    fn begin(&self, node: &NodeName, snapshot: &SnapshotInfo) -> Result<Box<dyn Keeping>, Failure>;
}

/// One that is coming. Dropped before it is done, it leaves nothing behind.
pub trait Keeping: Send {
    fn part(&mut self, bytes: &[u8]) -> Result<(), Failure>;
    /// All of it is there: compares it with what was promised, and syncs it.
    fn done(self: Box<Self>) -> Result<Kept, Failure>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub file: String,
    /// What the operator should know of it, and do.
    pub note: Option<(String, String)>,
}

/// None when that was cancelled.
pub async fn keep(
    session: &mut Session,
    keeper: &dyn Keeper,
    snapshot: &SnapshotInfo,
    cancel: news::Receiver<bool>,
) -> Result<Option<Kept>, Failure> {
    let boot = session.welcome.boot_id.clone();
    let kept = fetched(session, keeper, snapshot, cancel).await;
    // One that stays goes with the next snapshot that is taken there. But a node that is silent now may
    // have gone, and with it a member that the gate has counted on: nothing is done to another one.
    let discard = ToAgent::Discard { file: snapshot.file.clone() };
    let answered =
        session.mention(&discard).await || (kept.is_ok() && session.ask(&discard).await.is_ok());
    let kept = kept.and_then(|kept| match answered && session.welcome.boot_id == boot {
        true => Ok(kept),
        false => Err(Failure::new("keep an etcd snapshot", "its node was lost while it came")
            .hint("run the same command again: it looks at etcd's members first")),
    });
    kept.map_err(|mut failure| {
        failure.node.get_or_insert_with(|| session.node.clone());
        failure
    })
}

async fn fetched(
    session: &mut Session,
    keeper: &dyn Keeper,
    snapshot: &SnapshotInfo,
    cancel: news::Receiver<bool>,
) -> Result<Option<Kept>, Failure> {
    let mut keeping = keeper.begin(&session.node, snapshot)?;
    if !session.fetch(&snapshot.file, cancel, &mut |bytes| keeping.part(bytes)).await? {
        return Ok(None);
    }
    keeping.done().map(Some)
}
