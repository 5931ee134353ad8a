//! The proof that pods reach each other: from every node to every other, through a Service, and by
//! name. Made with the image of the cluster's own DNS, which every node has: it listens, answers and
//! passes questions on, so one pod on each node can ask for what another pod says.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

use super::{
    action::{Action, Nature, Observed, OpError, OpResult},
    sys::Sys,
};
use crate::names::NodeName;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    pub nodes: Vec<NodeName>,
    /// A CoreDNS that is on all of them.
    pub image: String,
    /// The Service of the cluster's DNS.
    pub dns: Ipv4Addr,
    /// What the cluster's names end with.
    pub domain: String,
    pub wait_s: u32,
}

#[async_trait]
impl Action for Traffic {
    fn title(&self) -> String {
        match self.nodes.len() {
            1 => "pods reach Services and DNS".into(),
            nodes => format!("pods reach each other, Services and DNS across {nodes} nodes"),
        }
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: self.wait_s + 120, ..Nature::CHECK }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let unreached = sys.pods_unreached(self).await?;
        if unreached.is_empty() {
            return Ok(Observed::Holds);
        }
        Err(OpError::new(self.title(), format!("after {} s: {}", self.wait_s, unreached.join("; ")))
            .hint("look at the CNI's pods on those nodes (`kubectl -n kube-system get pods -o wide`), at firewalls between them, and at policies that deny all traffic"))
    }
}
