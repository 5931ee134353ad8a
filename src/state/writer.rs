//! The only hand that writes the ledger: opens it, mends a torn end, appends.
//!
//! Must not know what the events mean, nor how records share a sync (`commit`).

use std::sync::Arc;

use rand::RngCore;

use crate::{events::Stamped, names::NodeName};

use super::{
    Commit, Disk, FileDisk, Header, Ledger, LedgerError, StateDir, Torn,
    commit::{self, Queue, Written, put},
    load,
    lock::Lock,
    record,
};

/// Who opens a ledger, and when. Holds all the chance and time that the writer needs, so that a
/// simulated one can be repeated.
#[derive(Debug, Clone)]
pub struct Opening {
    pub cluster: NodeName,
    pub verb: String,
    pub now_ms: u64,
    /// What a new ledger names itself; an existing one has a name.
    pub holder: String,
}

impl Opening {
    pub fn new(
        cluster: &NodeName,
        verb: impl Into<String>,
        now_ms: u64,
        rng: &mut impl RngCore,
    ) -> Self {
        let holder = format!("{:016x}", rng.next_u64());
        Self { cluster: cluster.clone(), verb: verb.into(), now_ms, holder }
    }
}

/// An open ledger.
#[derive(Debug)]
pub struct Opened {
    pub ledger: Ledger,
    pub writer: Writer,
    /// What was cut off, for a note: nobody had acted on it.
    pub torn: Option<Torn>,
}

/// Cheap to clone; the ledger closes when the last clone is gone and all is written.
#[derive(Debug, Clone)]
pub struct Writer {
    handle: Arc<Handle>,
}

/// Closes the queue when the last writer goes.
#[derive(Debug)]
struct Handle {
    queue: Queue,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Writer {
    /// Locks and opens the ledger of a state directory; mends a torn last line. Blocks for as long
    /// as reading takes. Has to be called within a Tokio runtime.
    pub fn open(dir: &StateDir, opening: &Opening) -> Result<Opened, LedgerError> {
        let lock = Lock::take(&dir.lock(), &opening.verb, opening.now_ms)?;
        let path = dir.ledger();
        let disk = FileDisk::open(&path).map_err(|error| LedgerError::io("open", path, error))?;
        Self::start(Box::new(disk), Some(lock), opening)
    }

    /// The same on any disk, without a lock. Has to be called within a Tokio runtime.
    pub fn over(disk: Box<dyn Disk>, opening: &Opening) -> Result<Opened, LedgerError> {
        Self::start(disk, None, opening)
    }

    fn start(
        mut disk: Box<dyn Disk>,
        lock: Option<Lock>,
        opening: &Opening,
    ) -> Result<Opened, LedgerError> {
        let path = disk.path();
        let io = |action| {
            let path = path.clone();
            move |error| LedgerError::io(action, path, error)
        };
        let bytes = disk.load().map_err(io("read"))?;
        let loaded = load(&bytes, &path)?;
        loaded.check_cluster(&opening.cluster, &path)?;
        if loaded.torn.is_some() {
            disk.truncate(loaded.whole_bytes).map_err(io("cut the torn last line off"))?;
        }
        let mut ledger = Ledger::fold(&loaded);
        let mut len = loaded.whole_bytes;
        if loaded.header.is_none() {
            let header = Header {
                cluster: opening.cluster.clone(),
                created_ms: opening.now_ms,
                holder: opening.holder.clone(),
            };
            let mut line = Vec::new();
            record::encode_header(&header, &mut line)
                .map_err(|error| LedgerError::unwritable(&path, error))?;
            put(&mut *disk, &line, len).map_err(io("write"))?;
            len += line.len() as u64;
            ledger.set_header(header);
        } else {
            // A writer that was killed may have left lines that are read, but not yet durable.
            disk.sync().map_err(io("sync"))?;
        }
        let records = loaded.events.len() as u64;
        let queue = commit::start(disk, lock, path, Written { bytes: len, records });
        let writer = Writer { handle: Arc::new(Handle { queue }) };
        Ok(Opened { ledger, writer, torn: loaded.torn })
    }

    /// Enqueues an event behind those before it, and returns at once. Events that the ledger does
    /// not keep are as durable as they will ever be.
    pub fn append(&self, stamped: &Stamped) -> Commit {
        if !stamped.event.is_kept() {
            return self.handle.queue.nothing();
        }
        self.handle.queue.push(|record, lines| record::encode(record, stamped, lines))
    }

    /// Waits until all that was appended so far is durable.
    pub async fn flush(&self) -> Result<(), LedgerError> {
        self.handle.queue.last().durable().await
    }

    /// Writes what is left, then closes file and lock; later appends, by clones, are refused.
    pub async fn close(self) -> Result<(), LedgerError> {
        let flushed = self.flush().await;
        self.handle.queue.close();
        self.handle.queue.ended().await;
        flushed
    }

    /// How many batches were synced since it was opened.
    pub fn syncs(&self) -> u64 {
        self.handle.queue.syncs()
    }
}
