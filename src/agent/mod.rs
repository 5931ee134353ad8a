//! The agent: this same binary on a node, running ops that a controller sends.
//!
//! It outlives its connections: an op that runs goes on when nobody listens, the next one waits
//! until somebody does. Events are kept by index, so that who comes back misses none. Must not know
//! the inventory, the plan or how its connections came to be.

pub mod bridge;
pub mod daemon;
pub mod frames;
mod journal;
mod lease;
pub mod place;
mod run;
mod serve;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::news;

use frames::{AgentEvent, RequestEnd};
pub use journal::Journal;

use crate::{events::RequestId, ops::sys::Sys};

/// With nobody attached and nothing running, the agent ends.
pub const IDLE_MS: u64 = 10 * 60 * 1000;

pub struct Agent {
    sys: Arc<dyn Sys>,
    journal: Mutex<Journal>,
    state: Mutex<State>,
    process: String,
    /// Taken to change who may work here, and to begin work: never both at the same time.
    turn: tokio::sync::Mutex<()>,
    /// Counts up whenever the state changed.
    changed: news::Sender<()>,
}

#[derive(Default)]
struct State {
    running: Option<RequestId>,
    /// An op is at work right now; between two ops a request may wait for somebody to listen.
    op_runs: bool,
    /// Requests that this agent process has seen, with all their events.
    requests: BTreeMap<RequestId, Live>,
    /// Connections that listen to the running request.
    listeners: u32,
    /// Its files were taken away: the process has nothing left to serve from.
    dismissed: bool,
}

#[derive(Default)]
struct Live {
    events: Vec<AgentEvent>,
    end: Option<RequestEnd>,
    cancelled: bool,
}

impl Agent {
    /// `process` tells this agent process from earlier ones on the same node.
    pub fn new(sys: Arc<dyn Sys>, journal: Journal, process: String) -> Arc<Self> {
        Arc::new(Self {
            sys,
            journal: Mutex::new(journal),
            state: Mutex::new(State::default()),
            process,
            turn: tokio::sync::Mutex::default(),
            changed: news::Sender::new(()),
        })
    }

    /// Whether a request runs, or waits for somebody to listen.
    pub fn is_busy(&self) -> bool {
        self.state().running.is_some()
    }

    pub fn is_dismissed(&self) -> bool {
        self.state().dismissed
    }

    /// The op that runs comes to its end; none follows it, whoever asked for it.
    pub fn stop_between_ops(&self) {
        self.update(|state| {
            for live in state.requests.values_mut() {
                live.cancelled = true;
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves plain data behind; it is still the best there is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.set(());
        result
    }

    fn emit(&self, request: &RequestId, event: AgentEvent) {
        self.update(|state| state.requests.entry(request.clone()).or_default().events.push(event));
    }
}
