//! What of Kubernetes lies on a node: looked at, and nothing more yet.

use std::{collections::BTreeMap, fs, net::Ipv4Addr, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::{Linux, not_yet};
use crate::{
    facts::{ApiFacts, EtcdData},
    names::{NodeName, Version, hex},
    ops::sys::{
        Cluster, InitPhase, JoinMaterial, Kubeadm, LocalKube, Moment, SnapshotInfo, SysResult,
        Watch,
    },
    secret::Sealed,
};

const PKI: &str = "/etc/kubernetes/pki";
const MANIFESTS: &str = "/etc/kubernetes/manifests";
const BACKUPS: &str = "/etc/kubernetes/tmp";
const STATIC_PODS: [&str; 4] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];
const API_PORT: u16 = 6443;

/// SHA-256 of the first certificate of a PEM file.
fn fingerprint(pem: &str) -> Option<String> {
    let body = pem.split_once("-----BEGIN CERTIFICATE-----")?.1.split_once("-----END")?.0;
    let compact: String = body.split_ascii_whitespace().collect();
    let der = STANDARD.decode(compact).ok()?;
    Some(hex(&Sha256::digest(der)))
}

impl Linux {
    fn names_in(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(dir)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Static pods of the control plane; others (kube-vip) are somebody else's business.
    fn manifests_in(&self, dir: &str) -> Vec<String> {
        let names = self.names_in(dir);
        let pods = names.iter().filter_map(|n| n.strip_suffix(".yaml"));
        pods.filter(|n| STATIC_PODS.contains(n)).map(str::to_string).collect()
    }
}

#[async_trait]
impl Kubeadm for Linux {
    async fn local_kube(&self) -> SysResult<LocalKube> {
        let pki = self.names_in(PKI);
        let ca = fs::read_to_string(self.path(&format!("{PKI}/ca.crt"))).ok();
        let has = |path: &str| self.path(path).exists();
        let whole = ca.is_some() && (has("/etc/kubernetes/pki/ca.key") || !has(MANIFESTS));
        let manifests = self.manifests_in(MANIFESTS);
        let mut in_backup: Vec<String> = self
            .names_in(BACKUPS)
            .iter()
            .filter(|n| n.starts_with("kubeadm-backup-manifests"))
            .flat_map(|n| self.manifests_in(&format!("{BACKUPS}/{n}")))
            .filter(|n| !manifests.contains(n))
            .collect();
        in_backup.sort();
        in_backup.dedup();
        // Which member of which cluster it is stands in its write-ahead log, which only etcd reads.
        let unknown = || "unknown".to_string();
        let etcd_data = has("/var/lib/etcd/member/wal")
            .then(|| EtcdData { cluster_id: unknown(), member_id: unknown() });
        let api_answers = manifests.iter().any(|m| m == "kube-apiserver") && {
            let connecting = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, API_PORT));
            matches!(tokio::time::timeout(Duration::from_secs(2), connecting).await, Ok(Ok(_)))
        };
        Ok(LocalKube {
            ca_fingerprint: ca.as_deref().and_then(fingerprint),
            pki_is_partial: !pki.is_empty() && !whole,
            kubelet_conf: has("/etc/kubernetes/kubelet.conf"),
            finished: has("/etc/kubernetes/kubelet.conf") && !manifests.is_empty(),
            manifests_in_backup: if has(MANIFESTS) { in_backup } else { Vec::new() },
            manifests,
            etcd_data,
            etcd_votes: None,
            api_answers,
            api_version: None,
            kubelet_version: None,
        })
    }

    async fn kubeadm_init(&self, _: &str) -> SysResult<()> {
        not_yet("run kubeadm init")
    }

    async fn kubeadm_init_phase(&self, _: &str, _: InitPhase) -> SysResult<()> {
        not_yet("run kubeadm init")
    }

    async fn kubeadm_join(&self, _: &Sealed) -> SysResult<()> {
        not_yet("run kubeadm join")
    }

    async fn finish_join(&self, _: &Sealed) -> SysResult<()> {
        not_yet("run kubeadm join")
    }

    async fn restore_manifests(&self) -> SysResult<()> {
        not_yet("put static pods back")
    }

    async fn kubeadm_reset(&self) -> SysResult<()> {
        not_yet("run kubeadm reset")
    }

    async fn upgrade_apply(&self, _: &str, _: &Version) -> SysResult<()> {
        not_yet("run kubeadm upgrade")
    }

    async fn upgrade_node(&self, _: &str) -> SysResult<()> {
        not_yet("run kubeadm upgrade")
    }

    async fn mint_join(&self, _: bool) -> SysResult<JoinMaterial> {
        not_yet("make a join token")
    }
}

#[async_trait]
impl Cluster for Linux {
    async fn api(&self) -> SysResult<Option<ApiFacts>> {
        // It is not asked yet. No verb that would rely on the answer runs on real machines.
        Ok(None)
    }

    async fn cordon(&self, node: &NodeName, _: bool) -> SysResult<()> {
        not_yet(&format!("cordon {node}"))
    }

    async fn drain(&self, node: &NodeName, _: u32) -> SysResult<()> {
        not_yet(&format!("drain {node}"))
    }

    async fn label_node(
        &self,
        node: &NodeName,
        _: bool,
        _: &BTreeMap<String, String>,
    ) -> SysResult<()> {
        not_yet(&format!("label {node}"))
    }

    async fn delete_node(&self, node: &NodeName) -> SysResult<()> {
        not_yet(&format!("take {node} out of the cluster"))
    }

    async fn remove_member(&self, _: &str) -> SysResult<()> {
        not_yet("change etcd's members")
    }

    async fn promote_member(&self, _: &str) -> SysResult<()> {
        not_yet("change etcd's members")
    }

    async fn snapshot(&self) -> SysResult<SnapshotInfo> {
        not_yet("take a snapshot of etcd")
    }

    async fn install_addon(&self, name: &str, _: &str, _: &str) -> SysResult<()> {
        not_yet(&format!("install {name}"))
    }

    async fn ceph_noout(&self, _: &NodeName, _: bool) -> SysResult<()> {
        not_yet("set Ceph's noout")
    }

    async fn ceph_has_noout(&self, _: &NodeName) -> SysResult<Option<bool>> {
        Ok(None)
    }

    async fn ceph_is_clean(&self) -> SysResult<Option<bool>> {
        Ok(None)
    }
}

#[async_trait]
impl Watch for Linux {
    async fn moment(&self, _: &crate::names::StepName, _: Moment) -> SysResult<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::sys::Access;

    #[tokio::test]
    async fn a_node_that_was_never_touched_and_one_that_was() {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::at(dir.path());
        assert_eq!(linux.local_kube().await.unwrap(), LocalKube::default());
        let put = |path: &str, text: &str| {
            linux.write_now(path, text.as_bytes(), &Access::mode(0o600)).unwrap()
        };
        put(
            "/etc/kubernetes/pki/ca.crt",
            "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n",
        );
        put("/etc/kubernetes/manifests/etcd.yaml", "");
        put("/etc/kubernetes/manifests/kube-vip.yaml", "");
        put("/etc/kubernetes/tmp/kubeadm-backup-manifests-1/kube-scheduler.yaml", "");
        let found = linux.local_kube().await.unwrap();
        // SHA-256 of `abc`.
        assert_eq!(found.ca_fingerprint.as_deref().map(|f| &f[..8]), Some("ba7816bf"));
        assert!(found.pki_is_partial, "a CA without its key, where there are static pods");
        assert_eq!(found.manifests, ["etcd"]);
        assert_eq!(found.manifests_in_backup, ["kube-scheduler"]);
    }
}
