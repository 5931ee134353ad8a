//! Ops on what the API server holds, run on a control plane: nodes, add-ons, the hand-off.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Diff, Nature, Observed, OpError, OpResult, Output};
use super::sys::Sys;
use crate::{
    events::Refusal,
    facts::{ApiFacts, KubeNode},
    names::NodeName,
    ops::repository::Kustomization,
};

pub const CONTROL_PLANE_TAINT: &str = "node-role.kubernetes.io/control-plane";
/// With it on every node of a fleet of control planes, MetalLB announces nothing.
pub const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

fn silent(what: String) -> OpError {
    OpError::new(what, "the API server does not answer on this control plane")
        .passing()
        .hint("`crictl ps -a` on the node shows why it does not run")
}

/// Before anything is done: the API server answers, or a failure that may pass.
async fn answers(sys: &dyn Sys, what: String) -> OpResult<()> {
    let nodes = sys.nodes().await.map_err(|e| OpError::from(e).looked())?;
    nodes.map(drop).ok_or_else(|| silent(what).looked())
}

/// What is known of the whole cluster, or the same failure.
async fn asked(sys: &dyn Sys, what: String) -> OpResult<ApiFacts> {
    sys.api().await?.ok_or_else(|| silent(what))
}

/// Before there is a cluster here there is no node object. Once there is one, an API server that
/// does not answer says nothing about it: that must not pass for "not there".
async fn node_object(sys: &dyn Sys, name: &NodeName) -> OpResult<Option<KubeNode>> {
    if let Some(nodes) = sys.nodes().await? {
        return Ok(nodes.into_iter().find(|node| node.name == *name));
    }
    if sys.local_kube().await?.finished {
        return Err(OpError::new(format!("look at {name}"), "the API server does not answer here")
            .passing());
    }
    Ok(None)
}

/// Labels of a node, and whether workloads may run on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeLabels {
    pub node: NodeName,
    pub schedulable: bool,
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[async_trait]
impl Action for NodeLabels {
    fn title(&self) -> String {
        let what = if self.schedulable { "open to workloads" } else { "closed to workloads" };
        format!("{} is {what}", self.node)
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let Some(node) = node_object(sys, &self.node).await? else {
            return Ok(Observed::Differs(vec![Diff::say(self.title())]));
        };
        let mut differences = Vec::new();
        let tainted = node.taints.iter().any(|t| t == CONTROL_PLANE_TAINT);
        let excluded = node.labels.contains_key(EXCLUDE_LABEL);
        if self.schedulable && tainted {
            differences.push(Diff::say(format!("remove taint {CONTROL_PLANE_TAINT}")));
        }
        if self.schedulable && excluded {
            differences.push(Diff::say(format!("remove label {EXCLUDE_LABEL}")));
        }
        if !self.schedulable && node.control_plane && !tainted {
            differences.push(Diff::say(format!("add taint {CONTROL_PLANE_TAINT}")));
        }
        for (key, value) in &self.labels {
            if node.labels.get(key) != Some(value) {
                differences.push(Diff::say(format!("label {key}={value}")));
            }
        }
        for (key, value) in &self.annotations {
            if node.annotations.get(key) != Some(value) {
                differences.push(Diff::say(format!("annotate {key}={value}")));
            }
        }
        Ok(if differences.is_empty() { Observed::Holds } else { Observed::Differs(differences) })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        answers(sys, self.title()).await?;
        sys.label_node(&self.node, self.schedulable, &self.labels, &self.annotations).await?;
        Ok(None)
    }
}

/// A node takes no new pods, or takes them again. Only what Slipway cordoned does it uncordon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cordon {
    pub node: NodeName,
    pub cordoned: bool,
}

#[async_trait]
impl Action for Cordon {
    fn title(&self) -> String {
        format!("{} {}", if self.cordoned { "cordon" } else { "uncordon" }, self.node)
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let Some(node) = node_object(sys, &self.node).await? else { return Ok(Observed::Holds) };
        let holds =
            if self.cordoned { node.cordoned } else { !(node.cordoned && node.cordoned_by_us) };
        Ok(if holds { Observed::Holds } else { Observed::Differs(vec![Diff::say(self.title())]) })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        answers(sys, self.title()).await?;
        sys.cordon(&self.node, self.cordoned).await?;
        Ok(None)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drain {
    pub node: NodeName,
    pub timeout_s: u32,
}

#[async_trait]
impl Action for Drain {
    fn title(&self) -> String {
        format!("drain {}", self.node)
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: self.timeout_s + 60, ..Nature::ONCE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let pods = node_object(sys, &self.node).await?.map_or(0, |n| n.pods);
        Ok(if pods == 0 {
            Observed::Holds
        } else {
            Observed::Differs(vec![Diff::say(format!("evict {pods} pods from {}", self.node))])
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        answers(sys, self.title()).await?;
        sys.drain(&self.node, self.timeout_s).await?;
        Ok(None)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeleteNode {
    pub node: NodeName,
}

#[async_trait]
impl Action for DeleteNode {
    fn title(&self) -> String {
        format!("delete the Node object of {}", self.node)
    }

    fn nature(&self) -> Nature {
        Nature { destructive: true, ..Nature::CHANGE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        Ok(match node_object(sys, &self.node).await? {
            None => Observed::Holds,
            Some(_) => Observed::Differs(vec![Diff::say(self.title())]),
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        answers(sys, self.title()).await?;
        sys.delete_node(&self.node).await?;
        Ok(None)
    }
}

/// Ceph does not rebalance while one node is away on purpose; for this node only, always cleared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CephNoout {
    pub node: NodeName,
    pub set: bool,
}

#[async_trait]
impl Action for CephNoout {
    fn title(&self) -> String {
        format!("{} noout for {}", if self.set { "set" } else { "clear" }, self.node)
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        Ok(match sys.ceph_has_noout(&self.node).await? {
            Some(set) if set != self.set => Observed::Differs(vec![Diff::say(self.title())]),
            _ => Observed::Holds,
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        sys.ceph_noout(&self.node, self.set).await?;
        Ok(None)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CephGate {
    pub wait_s: u32,
}

#[async_trait]
impl Action for CephGate {
    fn title(&self) -> String {
        "Ceph gate".into()
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: self.wait_s + 60, ..Nature::CHECK }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let deadline = sys.now_ms() + u64::from(self.wait_s) * 1000;
        while sys.ceph_is_clean().await? == Some(false) {
            if sys.now_ms() >= deadline {
                return Err(OpError::refused(
                    Refusal::Quorum,
                    "pass the Ceph gate",
                    format!("not all placement groups are active+clean after {} s", self.wait_s),
                )
                .hint("`ceph status` in the toolbox; wait for recovery, then run the same command again"));
            }
            sys.sleep_ms(5000).await;
        }
        Ok(Observed::Holds)
    }
}

/// Something installed into the cluster, and waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Addon {
    pub name: String,
    pub version: String,
    pub manifest: String,
    /// Where it comes from, when that is the GitOps repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Kustomization>,
    /// A manifest that lies on the node, when that is where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    pub wait_s: u32,
}

#[async_trait]
impl Action for Addon {
    fn title(&self) -> String {
        format!("install {} {}", self.name, self.version)
    }

    fn nature(&self) -> Nature {
        // A fetch and a build come before the wait.
        let before = if self.from.is_some() || self.file.is_some() { 600 } else { 120 };
        Nature { timeout_s: self.wait_s + before, ..Nature::CHANGE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let api = sys.api().await?;
        let found = api.as_ref().and_then(|api| api.addons.get(&self.name));
        Ok(match found {
            Some(addon) if addon.version == self.version && addon.ready => Observed::Holds,
            Some(addon) if addon.version == self.version => {
                Observed::Differs(vec![Diff::say(format!("wait for {} to be ready", self.name))])
            }
            Some(addon) => Observed::Differs(vec![Diff::say(format!(
                "{} from {} to {}",
                self.name, addon.version, self.version
            ))]),
            None => Observed::Differs(vec![Diff::say(self.title())]),
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        let api = asked(sys, self.title()).await?;
        if api.addons.get(&self.name).is_none_or(|a| a.version != self.version) {
            match (&self.from, &self.file) {
                (None, Some(file)) => {
                    sys.install_manifest(&self.name, file, self.wait_s).await?;
                    sys.note_addon(&self.name, &self.version).await?;
                }
                (Some(from), _) => {
                    sys.install_kustomization(&self.name, from, self.wait_s).await?;
                    sys.note_addon(&self.name, &self.version).await?;
                }
                (None, None) => {
                    sys.install_addon(&self.name, &self.version, &self.manifest).await?
                }
            }
        }
        let deadline = sys.now_ms() + u64::from(self.wait_s) * 1000;
        while !asked(sys, self.title()).await?.addons.get(&self.name).is_some_and(|a| a.ready) {
            if sys.now_ms() >= deadline {
                return Err(OpError::new(
                    format!("wait for {}", self.name),
                    format!("it was installed, but is not ready after {} s", self.wait_s),
                )
                .hint(format!(
                    "`kubectl get pods -A | grep {}` shows what it waits for",
                    self.name
                )));
            }
            sys.sleep_ms(2000).await;
        }
        Ok(None)
    }
}
