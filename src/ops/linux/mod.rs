//! Linux behind the door: the only place that changes a node.
//!
//! One file a trait. Everything below a root directory, so that what touches files alone is tested
//! in a directory of its own. Must not know what the ops want, nor who asked.
#![allow(
    clippy::disallowed_methods,
    reason = "this is where files are written and processes started on a node"
)]

mod access;
mod artifacts;
mod cilium;
mod clearing;
mod cluster;
pub mod command;
mod components;
mod delivery;
mod disks;
mod dns_spread;
mod early;
mod echo;
mod endpoint;
mod files;
mod flux_access;
mod git;
mod gitops;
mod gpt;
mod helm;
mod incoming;
mod kernel;
mod kube;
mod kubeadm;
mod kubelet;
mod labels;
mod login;
mod media;
mod neighbour;
mod net;
mod network;
mod packages;
mod partitions;
mod pod_network;
mod release;
mod scopes;
mod secrets;
mod snapshot;
mod task;
mod time;
mod traffic;
mod units;
mod users;

use std::path::PathBuf;

use async_trait::async_trait;

use crate::{
    https::Known,
    names::StepName,
    ops::sys::{Moment, SysError, SysResult, Watch},
};

pub use incoming::Promised;

/// What is still to come on real machines. The command line refuses such phases before it contacts
/// anybody, so this is what an edited playbook gets to see.
fn not_yet<T>(what: &str) -> SysResult<T> {
    Err(SysError::other(format!("this build of Slipway cannot {what} on real machines yet")))
}

#[async_trait]
impl Watch for Linux {
    async fn moment(&self, _: &StepName, _: Moment) -> SysResult<()> {
        Ok(())
    }
}

/// This machine, or what lies below a directory of it.
#[derive(Debug, Clone)]
pub struct Linux {
    root: PathBuf,
    early: early::Early,
    questions: neighbour::Questions,
    servers: Known,
}

impl Linux {
    pub fn here() -> Self {
        Self::at("/")
    }

    /// For tests: paths are below `root`. Commands are the machine's own all the same.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            early: early::Early::default(),
            questions: neighbour::Questions::default(),
            servers: Known::default(),
        }
    }

    /// Where an absolute path of the node lies.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}
