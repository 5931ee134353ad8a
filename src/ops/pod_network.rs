//! What of the door to a node concerns the pods' network: Cilium, and whether pods reach each other.

use async_trait::async_trait;

use super::{cilium::Cilium, repository::Repository, sys::SysResult, traffic::Traffic};
use crate::names::NodeName;

/// A file of the repository, and the commit that it was read at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileAt {
    pub commit: String,
    pub text: String,
}

#[async_trait]
pub trait PodNetwork: Send + Sync {
    /// The text of a file at the commit that the revision is now.
    async fn repository_file(&self, repository: &Repository, path: &str) -> SysResult<FileAt>;
    /// The GitOps engine that keeps Cilium; None where none does, or there is no Cilium.
    async fn cilium_keeper(&self) -> SysResult<Option<String>>;
    /// Renders the chart with these values and nothing else, applies what came of it, and waits
    /// until the agents and an operator run.
    async fn install_cilium(&self, cilium: &Cilium, values: &FileAt) -> SysResult<()>;
    /// Which pods do not reach which, in words, asked by pods that are made for it and go again.
    async fn pods_unreached(&self, traffic: &Traffic) -> SysResult<Vec<String>>;
    /// The node that has all pods of the cluster's DNS, if they are from when there was no other: with one
    /// of these that is not there yet, there will be.
    async fn dns_alone_on(&self, coming: &[NodeName]) -> SysResult<Option<NodeName>>;
    /// Starts one of those anew, where the scheduler has a choice by now.
    async fn spread_dns(&self) -> SysResult<()>;
}
