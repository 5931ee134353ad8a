//! The node's clocks.
#![allow(clippy::disallowed_methods, reason = "this is the clock that ops are handed")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use nix::time::{ClockId, clock_gettime};

use super::{Linux, command::Command};
use crate::ops::sys::{SysResult, Time};

/// timesyncd touches this once a server has answered; chrony's and ntpd's answers are the kernel's.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

#[async_trait]
impl Time for Linux {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn uptime_ms(&self) -> u64 {
        let Ok(time) = clock_gettime(ClockId::CLOCK_BOOTTIME) else { return 0 };
        u64::try_from(Duration::from(time).as_millis()).unwrap_or(u64::MAX)
    }

    async fn sleep_ms(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    async fn clock_is_synchronised(&self) -> SysResult<bool> {
        if self.path(SYNCHRONISED).exists() {
            return Ok(true);
        }
        let asked = Command::new("timedatectl").args(["show", "-p", "NTPSynchronized", "--value"]);
        // A node without systemd says nothing of its clock, which is not the same as a good one.
        Ok(asked.run().await.is_ok_and(|done| done.stdout.trim() == "yes"))
    }
}
