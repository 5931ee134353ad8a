//! A value that changes, and those who wait for it, woken in the order in which they came.
//!
//! tokio's own `watch` does the same, but wakes its waiters in an order drawn by lot, which no seed
//! of ours can repeat. Must not know what the news is about.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    notify: Notify,
}

#[derive(Debug)]
struct State<T> {
    value: T,
    version: u64,
    closed: bool,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who has the news. When it goes, whoever waits is told so.
#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

#[derive(Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

/// The sender is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

impl<T> Sender<T> {
    pub fn new(value: T) -> Self {
        let state = Mutex::new(State { value, version: 0, closed: false });
        Self(Arc::new(Shared { state, notify: Notify::new() }))
    }

    pub fn subscribe(&self) -> Receiver<T> {
        let seen = self.0.state().version;
        Receiver { shared: self.0.clone(), seen }
    }

    pub fn update(&self, change: impl FnOnce(&mut T)) {
        {
            let mut state = self.0.state();
            change(&mut state.value);
            state.version += 1;
        }
        self.0.notify.notify_waiters();
    }

    pub fn set(&self, value: T) {
        self.update(|old| *old = value);
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.notify.notify_waiters();
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Receiver<T> {
    /// Looks at the value as it is.
    pub fn look<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.shared.state().value)
    }

    /// What has happened so far is known: only what comes later is news.
    pub fn catch_up(&mut self) {
        self.seen = self.shared.state().version;
    }

    /// Returns at the next change after the last one that was seen.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        let seen = self.seen;
        self.until(|state| (state.version != seen).then_some(())).await?;
        self.catch_up();
        Ok(())
    }

    /// Returns what `test` makes of the value, as soon as it makes something of it.
    pub async fn wait_for<R>(&self, test: impl Fn(&T) -> Option<R>) -> Result<R, Closed> {
        self.until(|state| test(&state.value)).await
    }

    async fn until<R>(&self, test: impl Fn(&State<T>) -> Option<R>) -> Result<R, Closed> {
        loop {
            // In line before looking, so that nothing can happen in between.
            let notified = self.shared.notify.notified();
            let mut notified = std::pin::pin!(notified);
            notified.as_mut().enable();
            {
                let state = self.shared.state();
                if let Some(result) = test(&state) {
                    return Ok(result);
                }
                if state.closed {
                    return Err(Closed);
                }
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiters_are_woken_in_order() {
        let (sender, receiver) = channel(0);
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for n in 0..16 {
            let (receiver, order) = (receiver.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                receiver.wait_for(|v| (*v == 1).then_some(())).await.unwrap();
                order.lock().unwrap().push(n);
            }));
        }
        tokio::task::yield_now().await;
        sender.set(1);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..16).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_change_is_news_once_and_an_end_is_told() {
        let (sender, mut receiver) = channel("a");
        sender.set("b");
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(receiver.look(|v| *v), "b");
        drop(sender);
        assert_eq!(receiver.changed().await, Err(Closed));
    }
}
