//! systemd's units, one question each.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Linux, command::Command};
use crate::ops::sys::{SysError, SysResult, Time, UnitChange, UnitState, Units};

const ASKED: &str =
    "LoadState,UnitFileState,ActiveState,SubState,ActiveEnterTimestampMonotonic,NeedDaemonReload";

#[derive(Debug, Default, PartialEq)]
struct Shown {
    exists: bool,
    enabled: bool,
    active: bool,
    entered_us: u64,
    stale: bool,
}

/// Reads what `systemctl show` prints.
fn read(text: &str) -> Shown {
    let values: BTreeMap<&str, &str> = text.lines().filter_map(|l| l.split_once('=')).collect();
    let get = |key: &str| values.get(key).copied().unwrap_or_default();
    Shown {
        exists: !matches!(get("LoadState"), "not-found" | ""),
        // What cannot be enabled is started by whoever wants it.
        enabled: matches!(
            get("UnitFileState"),
            "enabled"
                | "enabled-runtime"
                | "static"
                | "alias"
                | "indirect"
                | "generated"
                | "linked"
        ),
        active: matches!(get("ActiveState"), "active" | "reloading"),
        entered_us: get("ActiveEnterTimestampMonotonic").parse().unwrap_or(0),
        stale: get("NeedDaemonReload") == "yes",
    }
}

impl Linux {
    async fn shown(&self, name: &str) -> SysResult<Shown> {
        let asked = Command::new("systemctl").args(["show", "-p", ASKED, "--", name]);
        Ok(read(&asked.done().await?.stdout))
    }
}

async fn systemctl(verb: &[&str], name: &str) -> SysResult<()> {
    let done = Command::new("systemctl").args(verb.iter().copied()).args(["--", name]).done().await;
    let Err(error) = done else { return Ok(()) };
    // What systemctl says is to look elsewhere: look there.
    let log =
        Command::new("journalctl").args(["--no-pager", "-q", "-n", "15", "-o", "cat", "-u", name]);
    let log = log.run().await.map(|done| done.stdout).unwrap_or_default();
    let mut output = error.output;
    output.extend(log.lines().map(str::to_string));
    Err(SysError { output, ..error })
}

#[async_trait]
impl Units for Linux {
    async fn unit(&self, name: &str) -> SysResult<UnitState> {
        let shown = self.shown(name).await?;
        // systemd counts from boot without sleep; the age is what both clocks agree on.
        let now_us = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
            .map(|t| std::time::Duration::from(t).as_micros())
            .unwrap_or_default();
        let now_us = u64::try_from(now_us).unwrap_or(u64::MAX);
        let age_ms = now_us.saturating_sub(shown.entered_us) / 1000;
        Ok(UnitState {
            exists: shown.exists,
            enabled: shown.enabled,
            active: shown.active,
            active_since_ms: if shown.active { self.now_ms().saturating_sub(age_ms) } else { 0 },
        })
    }

    async fn change_unit(&self, name: &str, change: UnitChange) -> SysResult<()> {
        // A unit file that was just written is not known yet; `enable` reads all anew by itself.
        let shown = self.shown(name).await?;
        if change != UnitChange::Enable && (shown.stale || !shown.exists) {
            Command::new("systemctl").arg("daemon-reload").done().await?;
        }
        match change {
            UnitChange::Enable => systemctl(&["enable"], name).await,
            UnitChange::Restart => systemctl(&["restart"], name).await,
            UnitChange::Disable if !shown.exists => Ok(()),
            UnitChange::Disable => systemctl(&["disable", "--now"], name).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemctl_shows() {
        let text = "LoadState=loaded\nUnitFileState=static\nActiveState=active\nActiveEnterTimestampMonotonic=1234567\nNeedDaemonReload=no\n";
        let shown = read(text);
        assert_eq!(
            shown,
            Shown {
                exists: true,
                enabled: true,
                active: true,
                entered_us: 1_234_567,
                stale: false
            }
        );
        let missing = read("LoadState=not-found\nUnitFileState=\nActiveState=inactive\n");
        assert_eq!(missing, Shown::default());
        assert!(!read("LoadState=masked\nUnitFileState=masked\nActiveState=inactive").enabled);
        assert_eq!(read("rubbish"), Shown::default());
    }
}
