//! systemd units: enabled, running, and running with today's configuration.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Diff, Observed, OpResult, Output};
use super::sys::{Sys, UnitChange};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    pub name: String,
    /// False for one that something else starts when it is time (the kubelet, before init).
    pub running: bool,
    /// A unit that started before one of these changed is restarted. Comparing times, not
    /// remembering that we wrote the file, is what survives a crash between the two.
    pub config: Vec<String>,
}

impl Unit {
    async fn stale_config(&self, sys: &dyn Sys, since_ms: u64) -> OpResult<Option<&String>> {
        for path in &self.config {
            if let Some(file) = sys.read(path).await?
                && file.changed_ms > since_ms
            {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl Action for Unit {
    fn title(&self) -> String {
        if self.running { format!("run {}", self.name) } else { format!("enable {}", self.name) }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let unit = sys.unit(&self.name).await?;
        let mut differences = Vec::new();
        if !unit.enabled {
            differences.push(Diff::say(format!("enable {}", self.name)));
        }
        if self.running && !unit.active {
            differences.push(Diff::say(format!("start {}", self.name)));
        } else if unit.active
            && let Some(path) = self.stale_config(sys, unit.active_since_ms).await?
        {
            differences.push(Diff::say(format!("restart {}: {path} is newer", self.name)));
        }
        Ok(if differences.is_empty() { Observed::Holds } else { Observed::Differs(differences) })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        let unit = sys.unit(&self.name).await?;
        if !unit.enabled {
            sys.change_unit(&self.name, UnitChange::Enable).await?;
        }
        let stale = unit.active && self.stale_config(sys, unit.active_since_ms).await?.is_some();
        if stale || (self.running && !unit.active) {
            sys.change_unit(&self.name, UnitChange::Restart).await?;
        }
        Ok(None)
    }
}

/// A unit that must not run: one that fights with ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnitOff {
    pub name: String,
}

#[async_trait]
impl Action for UnitOff {
    fn title(&self) -> String {
        format!("turn off {}", self.name)
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let unit = sys.unit(&self.name).await?;
        Ok(if unit.exists && (unit.enabled || unit.active) {
            Observed::Differs(vec![Diff::say(format!("stop and disable {}", self.name))])
        } else {
            Observed::Holds
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        sys.change_unit(&self.name, UnitChange::Disable).await?;
        Ok(None)
    }
}
