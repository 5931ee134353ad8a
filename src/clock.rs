//! The one clock: given to whoever needs time, so that the simulated fleet can bend it.
//!
//! On real nodes it is the wall clock. On the simulated fleet it either runs faster than the wall
//! (`speed`), or tokio's own clock is paused and jumps ahead whenever nothing else is left to do.

use std::{
    future::Future,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    base_ms: u64,
    speed: u32,
}

impl Clock {
    /// Wall time. Needs a runtime, as every clock does.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that is handed in")]
    pub fn wall() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::simulated(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX), 1)
    }

    /// Starts at `base_ms` and runs `speed` times as fast as tokio's clock.
    pub fn simulated(base_ms: u64, speed: u32) -> Self {
        Self { started: Instant::now(), base_ms, speed: speed.max(1) }
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        let elapsed = self.started.elapsed() * self.speed;
        self.base_ms + u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    pub async fn sleep_ms(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms) / self.speed).await;
    }

    /// None when time ran out first.
    pub async fn within<T>(&self, ms: u64, future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(Duration::from_millis(ms) / self.speed, future).await.ok()
    }
}
