//! What of Kubernetes lies on a node, and the ways in to what runs on it.

use std::{fs, net::Ipv4Addr, path::PathBuf};

use super::Linux;
use crate::{
    etcd::{self, Etcd, wal},
    facts::EtcdData,
    https::{Credentials, Https, Trouble},
    kube::{
        self,
        certificate::{self, Certificate},
    },
    names::Version,
    ops::sys::{LocalKube, SysError, SysResult},
};

pub const PKI: &str = "/etc/kubernetes/pki";
pub const MANIFESTS: &str = "/etc/kubernetes/manifests";
pub const BACKUPS: &str = "/etc/kubernetes/tmp";
pub const ADMIN: &str = "/etc/kubernetes/admin.conf";
/// Below it each version has a directory.
const KUBELETS: &str = "/opt/slipway/kubelet";
pub const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
/// Written last: kubeadm's own work leaves no sign that all of it was done. Names the CA that it was
/// done under.
pub const MADE: &str = "/etc/kubernetes/slipway/made";
pub const ETCD_MEMBER: &str = "/var/lib/etcd/member";
const STATIC_PODS: [&str; 4] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];
const API_PORT: u16 = 6443;
const HERE: &str = "127.0.0.1";
/// How much of a log's beginning is read: its first records are small.
const LOG_HEAD: u64 = 4096;

impl From<Trouble> for SysError {
    fn from(trouble: Trouble) -> Self {
        let text = trouble.to_string();
        if trouble.passes() { SysError::passing(text) } else { SysError::other(text) }
    }
}

impl Linux {
    pub(super) fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    pub(super) fn names_in(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(dir)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    pub(super) fn text_of(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    /// Static pods of the control plane; others (kube-vip) are somebody else's business.
    pub(super) fn manifests_in(&self, dir: &str) -> Vec<String> {
        let names = self.names_in(dir);
        let pods = names.iter().filter_map(|n| n.strip_suffix(".yaml"));
        pods.filter(|n| STATIC_PODS.contains(n)).map(str::to_string).collect()
    }

    pub(super) fn ca(&self) -> Option<Certificate> {
        certificate::read(&self.text_of(&format!("{PKI}/ca.crt"))?)
    }

    /// Which member of which cluster wrote the etcd data here.
    fn etcd_data(&self) -> Option<EtcdData> {
        use std::io::Read;
        let dir = format!("{ETCD_MEMBER}/wal");
        if !self.has(&dir) {
            return None;
        }
        let logs = self.names_in(&dir).into_iter().filter(|n| n.ends_with(".wal"));
        let mut owner = logs.filter_map(|name| {
            let mut head = Vec::new();
            let file = fs::File::open(self.path(&format!("{dir}/{name}"))).ok()?;
            file.take(LOG_HEAD).read_to_end(&mut head).ok()?;
            wal::owner(&head)
        });
        // Data whose owner cannot be read is data all the same.
        let unknown = || "unknown".to_string();
        Some(owner.next_back().map_or_else(
            || EtcdData { cluster_id: unknown(), member_id: unknown() },
            |o| EtcdData {
                cluster_id: format!("{:x}", o.cluster),
                member_id: format!("{:x}", o.member),
            },
        ))
    }

    /// The port that this node's API server listens on.
    pub(super) fn api_port(&self) -> u16 {
        let manifest = self.text_of(&format!("{MANIFESTS}/kube-apiserver.yaml"));
        let flag = manifest.as_deref().and_then(|text| {
            text.lines().find_map(|l| l.trim().strip_prefix("- --secure-port=")?.parse().ok())
        });
        flag.unwrap_or(API_PORT)
    }

    /// With the administrator's rights; None where there are none.
    pub(super) fn api_at(&self, host: Ipv4Addr) -> Option<SysResult<Https>> {
        let credentials = kube::credentials(&self.text_of(ADMIN)?)?;
        Some(self.server(&host.to_string(), self.api_port(), &credentials))
    }

    /// Of this node's own servers the kernel knows when they have gone; another's may be dark.
    fn server(&self, host: &str, port: u16, with: &Credentials) -> SysResult<Https> {
        let base = format!("https://{host}:{port}");
        Ok(if host == HERE { self.servers.server(base, with)? } else { Https::new(base, with)? })
    }

    /// This node's own API server.
    pub(super) fn own_api(&self) -> SysResult<Https> {
        self.api_at(Ipv4Addr::LOCALHOST).unwrap_or_else(|| {
            Err(SysError::other("there is no admin.conf here: this is no control plane"))
        })
    }

    pub(super) fn etcd_at(&self, host: &str) -> Option<SysResult<Etcd>> {
        let bytes = |name: &str| fs::read(self.path(&format!("{PKI}/etcd/{name}"))).ok();
        let client = (bytes("healthcheck-client.crt")?, bytes("healthcheck-client.key")?);
        let credentials = Credentials { ca: bytes("ca.crt")?, client: Some(client) };
        Some(self.server(host, etcd::PORT, &credentials).map(Etcd::at))
    }

    pub(super) fn own_etcd(&self) -> SysResult<Etcd> {
        self.etcd_at(HERE).unwrap_or_else(|| {
            Err(SysError::other(
                "there are no certificates for etcd here: this is no control plane",
            ))
        })
    }

    pub(super) async fn api_answers(&self) -> bool {
        let Some(ca) = fs::read(self.path(&format!("{PKI}/ca.crt"))).ok() else { return false };
        let base = format!("https://127.0.0.1:{}", self.api_port());
        let Ok(https) = Https::new(base, &Credentials { ca, client: None }) else { return false };
        // Ready, not only alive: one that has lost etcd answers nothing.
        https.is_well("/readyz").await.is_ok()
    }

    async fn etcd_votes(&self) -> Option<bool> {
        let etcd = self.etcd_at(HERE)?.ok()?;
        Some(!etcd.status().await.ok()?.learner)
    }

    pub(super) async fn look_at_kube(&self) -> LocalKube {
        let pki = self.names_in(PKI);
        let ca = self.ca();
        // A worker has the CA's certificate and nothing else.
        let is_worker = pki.iter().all(|name| name == "ca.crt");
        let whole = ca.is_some() && (is_worker || self.has(&format!("{PKI}/ca.key")));
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
        let has_api = manifests.iter().any(|m| m == "kube-apiserver");
        let (api_answers, etcd_votes) =
            tokio::join!(async { has_api && self.api_answers().await }, async {
                if manifests.iter().any(|m| m == "etcd") { self.etcd_votes().await } else { None }
            });
        let kubelet_conf = self.has(KUBELET_CONF);
        let made = self.text_of(MADE);
        let same = made.as_deref().map(str::trim) == ca.as_ref().map(|ca| ca.fingerprint.as_str());
        LocalKube {
            ca_fingerprint: ca.filter(|_| whole).map(|ca| ca.fingerprint),
            pki_is_partial: !pki.is_empty() && !whole,
            kubelet_conf,
            finished: made.is_some()
                && same
                && kubelet_conf
                && (is_worker || !manifests.is_empty()),
            // Where kubeadm never came, there is nothing that it took away.
            manifests_in_backup: if self.has(MANIFESTS) { in_backup } else { Vec::new() },
            manifests,
            etcd_data: self.etcd_data(),
            etcd_votes,
            api_answers,
            api_version: None,
            kubelet_version: self.running_kubelet(),
        }
    }
}

impl Linux {
    /// What runs on this node: each process in /proc, and the file that it came from.
    pub(super) fn processes(&self) -> impl Iterator<Item = (PathBuf, PathBuf)> {
        let all = fs::read_dir(self.path("/proc")).into_iter().flatten().flatten();
        all.filter_map(|process| {
            Some((process.path(), fs::read_link(process.path().join("exe")).ok()?))
        })
    }

    /// The version that runs, whatever the link says: that of the file which the process came from.
    fn running_kubelet(&self) -> Option<Version> {
        self.processes().find_map(|(_, program)| {
            program.strip_prefix(KUBELETS).ok()?.iter().next()?.to_str()?.parse().ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelet_that_runs_and_not_the_one_that_is_linked() {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::at(dir.path());
        assert_eq!(linux.running_kubelet(), None);
        let process = |pid: &str, program: &str| {
            let process = dir.path().join("proc").join(pid);
            fs::create_dir_all(&process).unwrap();
            std::os::unix::fs::symlink(program, process.join("exe")).unwrap();
        };
        process("1", "/usr/lib/systemd/systemd");
        assert_eq!(linux.running_kubelet(), None);
        process("77", "/opt/slipway/kubelet/1.35.4/kubelet");
        assert_eq!(linux.running_kubelet(), Some("1.35.4".parse().unwrap()));
    }
    use crate::ops::sys::{Access, Kubeadm};

    const CA: &str = include_str!("../../../tests/facts/certificate.pem");

    #[tokio::test]
    async fn a_node_that_was_never_touched_and_one_that_was() {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::at(dir.path());
        assert_eq!(linux.local_kube().await.unwrap(), LocalKube::default());
        let put = |path: &str, bytes: &[u8]| {
            linux.write_now(path, bytes, &Access::mode(0o600)).unwrap();
        };
        put("/etc/kubernetes/pki/ca.crt", CA.as_bytes());
        let worker = linux.local_kube().await.unwrap();
        assert!(!worker.pki_is_partial && worker.ca_fingerprint.is_some(), "a worker has no more");
        put("/etc/kubernetes/pki/sa.key", b"");
        put("/etc/kubernetes/manifests/etcd.yaml", b"");
        put("/etc/kubernetes/manifests/kube-vip.yaml", b"");
        put("/etc/kubernetes/tmp/kubeadm-backup-manifests-1/kube-scheduler.yaml", b"");
        put("/var/lib/etcd/member/wal/0.wal", include_bytes!("../../../tests/facts/etcd.wal"));
        let cut = linux.local_kube().await.unwrap();
        assert!(cut.pki_is_partial && cut.ca_fingerprint.is_none(), "a CA without its key");
        assert_eq!(cut.manifests, ["etcd"]);
        assert_eq!(cut.manifests_in_backup, ["kube-scheduler"]);
        assert_eq!(cut.etcd_data.unwrap().cluster_id, "cdf818194e3a8c32");
        put("/etc/kubernetes/pki/ca.key", b"");
        put("/etc/kubernetes/kubelet.conf", b"");
        let unfinished = linux.local_kube().await.unwrap();
        assert!(!unfinished.finished && !unfinished.pki_is_partial);
        let ca = unfinished.ca_fingerprint.unwrap();
        put(MADE, format!("{ca}\n").as_bytes());
        assert!(linux.local_kube().await.unwrap().finished);
        put(MADE, b"of another cluster\n");
        assert!(!linux.local_kube().await.unwrap().finished);
    }

    #[test]
    fn the_port_is_the_manifests() {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::at(dir.path());
        assert_eq!(linux.api_port(), 6443);
        let manifest = b"    - --secure-port=7443\n";
        let path = "/etc/kubernetes/manifests/kube-apiserver.yaml";
        linux.write_now(path, manifest, &Access::mode(0o600)).unwrap();
        assert_eq!(linux.api_port(), 7443);
    }
}
