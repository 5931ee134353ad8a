//! Group commit: records come in one by one and go to the disk together.
//!
//! Records are enqueued in order and at once; one task owns the disk, and writes and syncs whatever
//! has come together since its last sync. A hundred waiting writers cost one sync, not a hundred.
//! Must not know what a record says.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{Disk, LedgerError, lock::Lock};
use crate::news::{self, Receiver, Sender};

/// A record on its way to the disk.
#[derive(Debug)]
pub struct Commit {
    /// The record is durable when this many are.
    records: u64,
    progress: Receiver<Progress>,
    refused: Option<LedgerError>,
    path: PathBuf,
}

/// The writers' end.
#[derive(Debug)]
pub(super) struct Queue {
    shared: Arc<Shared>,
    progress: Receiver<Progress>,
}

/// What a disk holds, whole and durable.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub bytes: u64,
    pub records: u64,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug)]
struct Waiting {
    /// Lines that are not yet on their way. Not bounded here: those who append wait for durability.
    lines: Vec<u8>,
    /// How many records there are, these lines included.
    records: u64,
    closed: bool,
    failed: Option<LedgerError>,
}

#[derive(Debug, Clone)]
struct Progress {
    records: u64,
    syncs: u64,
    failed: Option<LedgerError>,
}

/// Starts the task that owns the disk, and the lock until the end.
pub(super) fn start(
    disk: Box<dyn Disk>,
    lock: Option<Lock>,
    path: PathBuf,
    written: Written,
) -> Queue {
    let records = written.records;
    let waiting = Waiting { lines: Vec::new(), records, closed: false, failed: None };
    let shared = Arc::new(Shared { path, waiting: Mutex::new(waiting), wake: Notify::new() });
    let (report, progress) = news::channel(Progress { records, syncs: 0, failed: None });
    let task = Task { shared: Arc::clone(&shared), disk: Some(disk), written, _lock: lock, report };
    tokio::spawn(task.run());
    Queue { shared, progress }
}

impl Queue {
    /// Enqueues the record that `encode` writes, given its number.
    pub fn push(&self, encode: impl FnOnce(u64, &mut Vec<u8>) -> serde_json::Result<()>) -> Commit {
        let mut waiting = self.shared.waiting();
        let refused = if waiting.failed.is_some() {
            waiting.failed.clone()
        } else if waiting.closed {
            Some(LedgerError::Closed { path: self.shared.path.clone() })
        } else {
            let next = waiting.records;
            match encode(next, &mut waiting.lines) {
                Ok(()) => {
                    waiting.records += 1;
                    None
                }
                Err(error) => Some(LedgerError::unwritable(&self.shared.path, error)),
            }
        };
        let records = waiting.records;
        drop(waiting);
        self.shared.wake.notify_one();
        self.commit(records, refused)
    }

    /// The last record that was enqueued.
    pub fn last(&self) -> Commit {
        let waiting = self.shared.waiting();
        let (records, failed) = (waiting.records, waiting.failed.clone());
        drop(waiting);
        self.commit(records, failed)
    }

    /// No record: durable at once.
    pub fn nothing(&self) -> Commit {
        self.commit(0, None)
    }

    pub fn close(&self) {
        self.shared.waiting().closed = true;
        self.shared.wake.notify_one();
    }

    /// Waits until a closed queue is empty, and disk and lock are let go.
    pub async fn ended(&self) {
        // Never true: what is waited for is the sender's end.
        let _ = self.progress.clone().wait_for(|_| None::<()>).await;
    }

    pub fn syncs(&self) -> u64 {
        self.progress.look(|p| p.syncs)
    }

    fn commit(&self, records: u64, refused: Option<LedgerError>) -> Commit {
        let path = self.shared.path.clone();
        Commit { records, progress: self.progress.clone(), refused, path }
    }
}

impl Commit {
    /// Resolves once the record would survive a loss of power. Need not be awaited.
    pub async fn durable(self) -> Result<(), LedgerError> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        let reached = |progress: &Progress| match &progress.failed {
            _ if progress.records >= self.records => Some(Ok(())),
            Some(error) => Some(Err(error.clone())),
            None => None,
        };
        match self.progress.wait_for(reached).await {
            Ok(result) => result,
            // The runtime went away under the task.
            Err(news::Closed) => Err(LedgerError::Closed { path: self.path }),
        }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Its fields drop in this order: whoever sees `report` go finds the lock free.
struct Task {
    shared: Arc<Shared>,
    /// None once it failed.
    disk: Option<Box<dyn Disk>>,
    written: Written,
    _lock: Option<Lock>,
    report: Sender<Progress>,
}

impl Task {
    async fn run(mut self) {
        if let Err(error) = self.serve().await {
            let error = LedgerError::io("write", &self.shared.path, error);
            {
                let mut waiting = self.shared.waiting();
                waiting.failed = Some(error.clone());
                waiting.lines = Vec::new();
            }
            self.report.update(|progress| progress.failed = Some(error));
            // The lock is kept: this slipway may still be at work on its nodes.
            while !self.shared.waiting().closed {
                self.shared.wake.notified().await;
            }
        }
    }

    /// Until the queue is closed and empty, or the disk fails.
    async fn serve(&mut self) -> io::Result<()> {
        loop {
            // Whoever is ready to append does so first, and shares the sync.
            tokio::task::yield_now().await;
            let (lines, records, closed) = {
                let mut waiting = self.shared.waiting();
                (std::mem::take(&mut waiting.lines), waiting.records, waiting.closed)
            };
            if !lines.is_empty() {
                let len = lines.len() as u64;
                self.commit(lines).await?;
                self.written = Written { bytes: self.written.bytes + len, records };
                self.report.update(|progress| {
                    progress.records = records;
                    progress.syncs += 1;
                });
            } else if closed {
                return Ok(());
            } else {
                self.shared.wake.notified().await;
            }
        }
    }

    /// One batch. A disk that may block does so on a thread of its own, which also keeps a paused
    /// clock from running ahead while a real disk works.
    async fn commit(&mut self, lines: Vec<u8>) -> io::Result<()> {
        let whole = self.written.bytes;
        let Some(mut disk) = self.disk.take() else {
            return Err(io::Error::other("the disk is gone"));
        };
        let disk = if disk.blocking() {
            let work =
                tokio::task::spawn_blocking(move || put(&mut *disk, &lines, whole).map(|()| disk));
            work.await.map_err(io::Error::other)??
        } else {
            put(&mut *disk, &lines, whole)?;
            disk
        };
        self.disk = Some(disk);
        Ok(())
    }
}

/// Writes and syncs a batch; what a failed one may have left is cut off, so that the file is whole.
pub(super) fn put(disk: &mut dyn Disk, lines: &[u8], whole: u64) -> io::Result<()> {
    let result = disk.append(lines).and_then(|()| disk.sync());
    if result.is_err() {
        // If this fails too, the next writer cuts it off; the first error is the one to tell.
        let _ = disk.truncate(whole);
    }
    result
}
