//! The pods' network on a real node: Cilium from the repository's values, and the proof that pods
//! reach each other.

use async_trait::async_trait;

use super::{Linux, git::Git};
use crate::{
    kube::keeper::keeper,
    names::NodeName,
    ops::{
        cilium::{Cilium, NAMESPACE},
        pod_network::{FileAt, PodNetwork},
        repository::Repository,
        sys::SysResult,
        traffic::Traffic,
    },
};

#[async_trait]
impl PodNetwork for Linux {
    async fn repository_file(&self, repository: &Repository, path: &str) -> SysResult<FileAt> {
        let git = Git::new(self, repository)?;
        let commit = git.fetch().await?;
        let text = git.file(&commit, path).await.map_err(|error| match error.hint {
            Some(_) => error,
            None => error.hint(
                "`cilium.values` names it; `slipway gitops init` writes it: commit and push it",
            ),
        })?;
        Ok(FileAt { commit, text })
    }

    async fn cilium_keeper(&self) -> SysResult<Option<String>> {
        let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/cilium");
        let found = self.own_api()?.find(&path).await?;
        Ok(found.as_ref().and_then(keeper).map(str::to_string))
    }

    async fn install_cilium(&self, cilium: &Cilium, values: &FileAt) -> SysResult<()> {
        self.with_cilium(cilium, values).await
    }

    async fn pods_unreached(&self, traffic: &Traffic) -> SysResult<Vec<String>> {
        self.unreached(traffic).await
    }

    async fn dns_alone_on(&self, coming: &[NodeName]) -> SysResult<Option<NodeName>> {
        self.node_with_all_dns(coming).await
    }

    async fn spread_dns(&self) -> SysResult<()> {
        self.dns_anew().await
    }
}
