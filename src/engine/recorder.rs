//! The one place that makes events: stamped, in order, to the ledger first and then to who watches.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    clock::Clock,
    events::{Event, Failure, Stamped},
    state::{Commit, LedgerError, Writer},
};

/// Makes an event fit to be kept and shown: what a command printed may hold a token.
pub type Clean = Box<dyn FnMut(Stamped) -> Stamped + Send>;
/// Who watches: the UI, the log file.
pub type Watcher = Box<dyn FnMut(&Stamped) + Send>;

#[derive(Clone)]
pub struct Recorder {
    clock: Clock,
    writer: Writer,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    next: u64,
    clean: Clean,
    watchers: Vec<Watcher>,
}

impl Recorder {
    pub fn new(clock: Clock, writer: Writer, clean: Clean, watchers: Vec<Watcher>) -> Self {
        Self { clock, writer, inner: Arc::new(Mutex::new(Inner { next: 0, clean, watchers })) }
    }

    /// Written soon; everything durable that follows brings it along.
    pub fn emit(&self, event: Event) -> Commit {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let stamped = Stamped { index: inner.next, at_ms: self.clock.now_ms(), event };
        inner.next += 1;
        let stamped = (inner.clean)(stamped);
        let commit = self.writer.append(&stamped);
        for watcher in &mut inner.watchers {
            watcher(&stamped);
        }
        commit
    }

    /// Returns once it would survive a crash.
    pub async fn emit_durably(&self, event: Event) -> Result<(), Failure> {
        self.emit(event).durable().await.map_err(unwritable)
    }

    pub async fn flush(&self) -> Result<(), Failure> {
        self.writer.flush().await.map_err(unwritable)
    }
}

/// Without a ledger there is no promise to keep: the run stops.
fn unwritable(error: LedgerError) -> Failure {
    let mut failure = Failure::new("write the ledger", error.to_string());
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        failure.causes.push(cause.to_string());
        source = cause.source();
    }
    let failure =
        failure.left("ops that were under way end on their nodes; no further one is started");
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
