//! The upgrade of one node, in its three parts.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Diff, Nature, Observed, OpError, OpResult, Output, Touch};
use super::sys::{Sys, UnitChange};
use crate::{events::Refusal, names::Version};

/// Whether a cluster at `from` may go to `to`: one minor at a time, never back.
pub fn skew(from: &Version, to: &Version) -> Result<(), String> {
    if to < from {
        return Err(format!("the cluster runs {from}; Kubernetes cannot go back to {to}"));
    }
    if to.major() != from.major() || to.minor() > from.minor() + 1 {
        return Err(format!(
            "from {from} to {to} skips a minor version; go to {}.{} first",
            from.major(),
            from.minor() + 1
        ));
    }
    Ok(())
}

/// No static pod is missing because an upgrade was cut off between taking the old one away and
/// putting the new one in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StaticPods {}

#[async_trait]
impl Action for StaticPods {
    fn title(&self) -> String {
        "no static pod left out by a cut upgrade".into()
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let missing = sys.local_kube().await?.manifests_in_backup;
        Ok(if missing.is_empty() {
            Observed::Holds
        } else {
            let say = |name: &String| Diff::say(format!("put {name} back from kubeadm's backup"));
            Observed::Differs(missing.iter().map(say).collect())
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        sys.restore_manifests().await?;
        Ok(None)
    }
}

/// `kubeadm upgrade apply`, on the first control plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpgradeApply {
    pub version: Version,
    pub config: String,
}

#[async_trait]
impl Action for UpgradeApply {
    fn title(&self) -> String {
        format!("kubeadm upgrade apply {}", self.version)
    }

    fn nature(&self) -> Nature {
        Nature { touch: Touch::StopsMember, timeout_s: 1200, ..Nature::ONCE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let local = sys.local_kube().await?;
        let cluster = sys.api().await?.map(|api| api.version);
        let here = local.api_version.as_ref() == Some(&self.version);
        Ok(match cluster {
            Some(found) if found == self.version && here => Observed::Holds,
            Some(found) => {
                if let Err(why) = skew(&found, &self.version) {
                    return Err(OpError::refused(Refusal::Version, self.title(), why)
                        .hint("`slipway status` shows every node's version"));
                }
                Observed::Differs(vec![Diff::say(format!(
                    "cluster from {found} to {}",
                    self.version
                ))])
            }
            None => Observed::Differs(vec![Diff::say(self.title())]),
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        sys.upgrade_apply(&self.config, &self.version).await?;
        Ok(None)
    }
}

/// `kubeadm upgrade node`, on every other node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpgradeNode {
    pub version: Version,
    pub config: String,
    pub control_plane: bool,
}

#[async_trait]
impl Action for UpgradeNode {
    fn title(&self) -> String {
        format!("kubeadm upgrade node to {}", self.version)
    }

    fn nature(&self) -> Nature {
        let touch = if self.control_plane { Touch::StopsMember } else { Touch::Nothing };
        Nature { touch, timeout_s: 1200, ..Nature::ONCE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let local = sys.local_kube().await?;
        // A worker shows nothing of `upgrade node` but its kubelet's configuration, so it is done
        // again until the kubelet itself has moved: it is idempotent.
        let found = if self.control_plane { local.api_version } else { local.kubelet_version };
        Ok(if found.as_ref() == Some(&self.version) {
            Observed::Holds
        } else {
            Observed::Differs(vec![Diff::say(self.title())])
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        sys.upgrade_node(&self.config).await?;
        if !self.control_plane {
            // Seen only once the kubelet has been swapped; the op that follows does that.
            let link = super::packages::Artifact {
                name: "kubelet".into(),
                version: self.version.clone(),
                links: vec![],
            };
            if let Observed::Differs(_) = link.observe(sys).await? {
                return Err(OpError::new(
                    self.title(),
                    "the new kubelet is not staged on this node",
                )
                .hint("run the same command again: staging comes first"));
            }
            SwapKubelet { version: self.version.clone() }.apply(sys).await?;
        }
        Ok(None)
    }
}

/// The new kubelet in the old one's place; pods go on while it restarts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SwapKubelet {
    pub version: Version,
}

const KUBELET: &str = "/usr/local/bin/kubelet";

impl SwapKubelet {
    fn target(&self) -> String {
        format!("/opt/slipway/kubelet/{}/kubelet", self.version)
    }
}

#[async_trait]
impl Action for SwapKubelet {
    fn title(&self) -> String {
        format!("kubelet {}", self.version)
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: 300, ..Nature::CHANGE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let linked = sys.link_target(KUBELET).await?.as_ref() == Some(&self.target());
        let running = sys.local_kube().await?.kubelet_version;
        Ok(if linked && running.as_ref() == Some(&self.version) {
            Observed::Holds
        } else {
            let from = running.map_or("none".into(), |v| v.to_string());
            Observed::Differs(vec![Diff::say(format!("kubelet from {from} to {}", self.version))])
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        sys.link(KUBELET, &self.target()).await?;
        sys.change_unit("kubelet.service", UnitChange::Restart).await?;
        Ok(None)
    }
}
