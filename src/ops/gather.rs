//! A node's facts, gathered through the same door that ops use. Reads only.

use super::sys::{Sys, SysResult};
use crate::{
    facts::{ClockFacts, KubeFacts, NodeFacts},
    names::Version,
};

/// `controller_now_ms` is the controller's clock, to tell the skew.
pub async fn facts(sys: &dyn Sys, controller_now_ms: u64) -> SysResult<NodeFacts> {
    let local = sys.local_kube().await?;
    // Only a control plane has somebody to ask; elsewhere the question would only cost time.
    let api = if local.api_answers { sys.api().await? } else { None };
    let (cpus, memory_mb) = sys.cpus_and_memory_mb().await?;
    let mut disks = sys.disks().await?;
    // All at once: every run waits for this.
    let asked = futures::future::try_join_all(disks.iter().map(|disk| sys.health(disk))).await?;
    for (disk, health) in disks.iter_mut().zip(asked) {
        disk.health = health;
    }
    let wall_ms = sys.now_ms();
    let facts = NodeFacts {
        machine_id: sys.machine_id().await?,
        boot_id: sys.boot_id().await?,
        hostname: sys.hostname().await?,
        os: sys.os().await?,
        cpus,
        memory_mb,
        var_free_mb: sys.var_free_mb().await?,
        clock: ClockFacts {
            wall_ms,
            synchronised: sys.clock_is_synchronised().await?,
            skew_ms: wall_ms.cast_signed() - controller_now_ms.cast_signed(),
        },
        disks,
        links: sys.links().await?,
        kube: KubeFacts {
            kubelet: linked_version(sys, "/usr/local/bin/kubelet").await?,
            kubeadm: linked_version(sys, "/usr/local/bin/kubeadm").await?,
            ca_fingerprint: local.ca_fingerprint,
            kubelet_conf: local.kubelet_conf,
            manifests: local.manifests,
            etcd_data: local.etcd_data,
            api,
        },
    };
    sys.facts_were_read().await;
    Ok(facts)
}

/// The version that a link under /opt/slipway/NAME/VERSION/ points at.
async fn linked_version(sys: &dyn Sys, link: &str) -> SysResult<Option<Version>> {
    let target = sys.link_target(link).await?;
    Ok(target.and_then(|t| t.split('/').nth(4).and_then(|v| v.parse().ok())))
}
