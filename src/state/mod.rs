//! What Slipway remembers between commands: the state directory and, in it, the ledger.
//!
//! The ledger is an append-only journal of the events that are kept: one JSON line each, with a
//! checksum, synced before anything is done on the strength of it. It is a memory, not an
//! authority: nodes are trusted over it, and all of it may be lost without harm to a cluster.
//! Must not know how ops run, how nodes are reached, or what a terminal is. Nobody else writes here.

mod commit;
mod dir;
mod disk;
mod error;
mod ledger;
mod load;
mod lock;
mod memdisk;
pub mod record;
pub mod render;
mod requests;
mod runs;
mod when;
mod writer;

pub use commit::Commit;
pub use dir::{StateDir, StateError};
pub use disk::{Disk, FileDisk};
pub use error::LedgerError;
pub use ledger::{Identity, LeaseSeen, Ledger, Snapshot, Waits};
pub use load::{Loaded, Torn, load, read};
pub use memdisk::{MemDisk, Tear};
pub use record::Header;
pub use requests::Request;
pub use runs::{Approval, Finished, FinishedPhase, Run};
pub use when::{took, utc};
pub use writer::{Opened, Opening, Writer};

/// The journal that an agent keeps on its node.
pub fn node_journal(path: &std::path::Path) -> std::io::Result<Box<dyn Disk>> {
    Ok(Box::new(FileDisk::open(path)?))
}
