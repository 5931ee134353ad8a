//! The simulated pods' network: Cilium as it is noted down, and traffic that works unless a fault says
//! otherwise.

use async_trait::async_trait;

use super::FakeSys;
use crate::{
    names::NodeName,
    ops::{
        cilium::Cilium,
        pod_network::{FileAt, PodNetwork},
        repository::Repository,
        sys::SysResult,
        traffic::Traffic,
    },
};

#[async_trait]
impl PodNetwork for FakeSys {
    /// There is no repository: what lies in it is what its own starter would have written.
    async fn repository_file(&self, repository: &Repository, path: &str) -> SysResult<FileAt> {
        let commit = format!("{:016x}", super::machine::fnv(&repository.revision, 1));
        let text = self.look(|_, world| world.repository.get(path).cloned()).await;
        Ok(FileAt { commit, text: text.unwrap_or_default() })
    }

    async fn cilium_keeper(&self) -> SysResult<Option<String>> {
        let handed_over = self
            .look(|m, world| world.cluster_of(m).is_some_and(|c| !c.applications.is_empty()))
            .await;
        Ok(handed_over.then(|| "Argo CD".into()))
    }

    async fn install_cilium(&self, _: &Cilium, _: &FileAt) -> SysResult<()> {
        self.cluster_act("install-cilium", 9_000, |_, _| Ok(())).await
    }

    async fn pods_unreached(&self, traffic: &Traffic) -> SysResult<Vec<String>> {
        self.cluster_act("prove-pods", 2_500, |_, _| Ok(())).await?;
        Ok(self
            .look(|_, world| {
                let cut = |node| world.machines.get(node).is_some_and(|m| m.no_pod_traffic);
                let pairs = traffic.nodes.iter().flat_map(|from| {
                    let others = traffic.nodes.iter().filter(move |to| *to != from);
                    others.map(move |to| (from, to))
                });
                let unreached = pairs.filter(|(from, to)| cut(from) || cut(to));
                unreached
                    .map(|(from, to)| format!("pods on {from} do not reach pods on {to}"))
                    .collect()
            })
            .await)
    }

    async fn dns_alone_on(&self, coming: &[NodeName]) -> SysResult<Option<NodeName>> {
        let now_ms = self.cell.now_ms();
        Ok(self
            .look(|m, world| {
                let cluster = world.cluster_of(m)?;
                let alone = cluster.dns_alone_on.clone()?;
                let others =
                    cluster.nodes.iter().filter(|(name, x)| **name != alone && !x.cordoned);
                let mut up = others.filter_map(|(name, _)| world.machines.get(name));
                let there = coming.iter().all(|name| cluster.nodes.contains_key(name));
                (!there || up.any(|m| m.runs_pods(now_ms))).then_some(alone)
            })
            .await)
    }

    async fn spread_dns(&self) -> SysResult<()> {
        self.cluster_act("spread-dns", 500, |cluster, _| {
            cluster.dns_alone_on = None;
            Ok(())
        })
        .await
    }
}
