//! The cluster's DNS on more than one node.
//!
//! kubeadm starts it when there is one node only, and nothing moves it when others come: with that node
//! all names in the cluster are gone. Where the scheduler had a choice, what it chose is left alone.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    action::{Action, Diff, Nature, Observed, OpResult, Output},
    sys::Sys,
};
use crate::names::NodeName;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DnsSpread {
    /// Who is in the cluster when it is this one's turn: some of them come in the same run.
    pub nodes: Vec<NodeName>,
}

#[async_trait]
impl Action for DnsSpread {
    fn title(&self) -> String {
        "the cluster's DNS is on more than one node".into()
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: 120, ..Nature::CHANGE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        // Before there is a cluster, there is nothing to look at; it is going to be so.
        if !sys.local_kube().await?.finished {
            let text = "start one of its pods anew, once there is another node";
            return Ok(Observed::Differs(vec![Diff::say(text)]));
        }
        Ok(match sys.dns_alone_on(&self.nodes).await? {
            None => Observed::Holds,
            Some(node) => {
                let text = format!(
                    "start one of its pods anew: all of them are on {node}, from when there was no other"
                );
                Observed::Differs(vec![Diff::say(text)])
            }
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        sys.spread_dns().await?;
        Ok(None)
    }
}
