//! Cilium: its values are checked where they are read, and the chart is rendered with them and with
//! nothing else, so that the GitOps engine adopts what was installed without a diff.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    action::{Action, Diff, Nature, Observed, OpResult, Output},
    pod_network::FileAt,
    repository::Repository,
    sys::Sys,
};
use crate::{
    gitops::values::{self, Must},
    names::Version,
};

/// What the chart's release is called; the GitOps engine's Application calls it the same.
pub const RELEASE: &str = "cilium";
/// Where it goes.
pub const NAMESPACE: &str = "kube-system";

/// The values file of the repository, and what it has to hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CiliumValues {
    pub repository: Repository,
    pub path: String,
    pub must: Must,
}

impl CiliumValues {
    async fn read(&self, sys: &dyn Sys) -> OpResult<FileAt> {
        let file = sys.repository_file(&self.repository, &self.path).await?;
        let checked = values::check(&self.must, &self.path, &file.text);
        checked.map_err(|failure| failure.left("nothing was applied"))?;
        Ok(file)
    }
}

#[async_trait]
impl Action for CiliumValues {
    fn title(&self) -> String {
        format!("{} fits the inventory", self.path)
    }

    fn nature(&self) -> Nature {
        Nature::CHECK
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        self.read(sys).await?;
        Ok(Observed::Holds)
    }
}

/// Cilium with the Gateway API's definitions before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cilium {
    pub version: Version,
    pub gateway_api: Version,
    pub helm: Version,
    /// What the chart is rendered for.
    pub kubernetes: Version,
    pub values: CiliumValues,
    pub wait_s: u32,
}

#[async_trait]
impl Action for Cilium {
    fn title(&self) -> String {
        format!("install cilium {}", self.version)
    }

    fn nature(&self) -> Nature {
        // A fetch and two renderings come before the wait.
        Nature { timeout_s: self.wait_s + 600, ..Nature::CHANGE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let Some(api) = sys.api().await? else {
            return Ok(Observed::Differs(vec![Diff::say(self.title())]));
        };
        let noted = api.addons.get(RELEASE).map(|addon| &addon.version);
        if noted == Some(&self.version.to_string()) || sys.cilium_keeper().await?.is_some() {
            return Ok(Observed::Holds);
        }
        Ok(Observed::Differs(vec![Diff::say(match noted {
            Some(other) => format!("cilium from {other} to {}", self.version),
            None => self.title(),
        })]))
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        let file = self.values.read(sys).await?;
        // Right before: what was observed may be old by now.
        if sys.cilium_keeper().await?.is_none() {
            sys.install_cilium(self, &file).await?;
            sys.note_addon(RELEASE, &self.version.to_string()).await?;
        }
        Ok(None)
    }
}
