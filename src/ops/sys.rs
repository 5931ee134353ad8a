//! The door to a node: everything that an op may ask of it or do to it.
//!
//! Typed and small on purpose. An op never sees a command line, and whatever stands behind the door
//! (Linux, or the simulated machine) does one thing a call, so that every call is a place where a
//! crash can be tried. Contracts that both sides keep:
//! - a write is atomic and durable when the call returns;
//! - a call that reads changes nothing;
//! - a call may be repeated after any crash.

use std::{collections::BTreeMap, net::Ipv4Addr};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    endpoint,
    packages::{PackageSet, Wanted},
    pod_network::PodNetwork,
    repository::{Kustomization, Repository},
    scopes::Scopes,
    secrets::{ClusterSecret, SecretFound},
};
use crate::{
    etcd::report::EtcdReport,
    facts::{ApiFacts, Disk, EtcdData, Health, KubeNode, Link, OsFacts},
    kube::{
        delivery::{Roots, Seen},
        overlap::Scope,
    },
    names::{NodeName, Serial, Version},
    secret::Sealed,
};

/// Why a call on a node failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct SysError {
    pub message: String,
    /// What the command behind it printed last.
    pub output: Vec<String>,
    pub kind: SysErrorKind,
    /// What to do about it, where the one who failed knows.
    pub hint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SysErrorKind {
    /// May be gone in a moment: worth another try.
    Passing,
    NoSpace,
    Other,
}

impl SysError {
    pub fn new(kind: SysErrorKind, message: impl Into<String>) -> Self {
        Self { message: message.into(), output: Vec::new(), kind, hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn other(message: impl Into<String>) -> Self {
        Self::new(SysErrorKind::Other, message)
    }

    pub fn passing(message: impl Into<String>) -> Self {
        Self::new(SysErrorKind::Passing, message)
    }
}

pub type SysResult<T> = Result<T, SysError>;

/// Who may do what with a file or directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    pub mode: u32,
    /// `user:group` by name. None leaves it: to whoever has it, or to root for what is new.
    pub owner: Option<String>,
}

impl Access {
    pub fn mode(mode: u32) -> Self {
        Self { mode, owner: None }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileState {
    pub content: Vec<u8>,
    pub mode: u32,
    /// `user:group`; numbers where there is no such name.
    pub owner: String,
    /// By the node's clock: an older unit than its configuration wants a restart.
    pub changed_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirState {
    pub mode: u32,
    pub owner: String,
}

#[async_trait]
pub trait Files: Send + Sync {
    async fn read(&self, path: &str) -> SysResult<Option<FileState>>;
    /// At most so many bytes of a file, from a place in it; None where there is no file.
    async fn read_part(&self, path: &str, from: u64, most: usize) -> SysResult<Option<Vec<u8>>>;
    /// Parents are made as needed, with mode 0755.
    async fn write_as(&self, path: &str, content: &[u8], access: &Access) -> SysResult<()>;
    async fn write(&self, path: &str, content: &[u8], mode: u32) -> SysResult<()> {
        self.write_as(path, content, &Access::mode(mode)).await
    }
    /// A directory; None where there is none. Something else in its place is an error.
    async fn directory(&self, path: &str) -> SysResult<Option<DirState>>;
    /// Made with its parents, or given this mode and owner.
    async fn make_directory(&self, path: &str, access: &Access) -> SysResult<()>;
    /// A file, a link, or a whole directory. Nothing there is fine.
    async fn remove(&self, path: &str) -> SysResult<()>;
    async fn link_target(&self, path: &str) -> SysResult<Option<String>>;
    async fn link(&self, path: &str, target: &str) -> SysResult<()>;
    /// Paths of the files below a directory.
    async fn list(&self, dir: &str) -> SysResult<Vec<String>>;
}

#[async_trait]
pub trait Kernel: Send + Sync {
    async fn machine_id(&self) -> SysResult<String>;
    async fn boot_id(&self) -> SysResult<String>;
    async fn os(&self) -> SysResult<OsFacts>;
    async fn cpus_and_memory_mb(&self) -> SysResult<(u32, u64)>;
    async fn var_free_mb(&self) -> SysResult<u64>;
    /// Told after facts were gathered, so that the fleet can make them stale. Nothing on a real node.
    async fn facts_were_read(&self) {}
    async fn hostname(&self) -> SysResult<String>;
    async fn set_hostname(&self, name: &str) -> SysResult<()>;
    async fn module_is_loaded(&self, name: &str) -> SysResult<bool>;
    async fn load_module(&self, name: &str) -> SysResult<()>;
    async fn sysctl(&self, key: &str) -> SysResult<Option<String>>;
    async fn set_sysctl(&self, key: &str, value: &str) -> SysResult<()>;
    /// Active swap devices and files, zram included, and what would bring them back at boot.
    async fn swaps(&self) -> SysResult<Vec<String>>;
    async fn swap_off(&self) -> SysResult<()>;
    /// From the kernel's own source.
    async fn random_bytes(&self, count: usize) -> SysResult<Vec<u8>>;
    /// Does not come back when it works.
    async fn reboot(&self) -> SysResult<()>;
}

#[async_trait]
pub trait Time: Send + Sync {
    fn now_ms(&self) -> u64;
    /// Since boot; no wall clock can bend it.
    fn uptime_ms(&self) -> u64;
    async fn sleep_ms(&self, ms: u64);
    async fn clock_is_synchronised(&self) -> SysResult<bool>;
}

#[async_trait]
pub trait Packages: Send + Sync {
    async fn missing_packages(&self, names: &[String]) -> SysResult<Vec<String>>;
    async fn install_packages(&self, names: &[String]) -> SysResult<()>;
    /// The same, from what was brought along and from nowhere else; nothing of it stays but what was
    /// installed.
    async fn install_packages_from(&self, names: &[String], set: &PackageSet) -> SysResult<()>;
    /// What a whole update would bring: `linux 6.17.1 -> 6.17.3`.
    async fn updates(&self) -> SysResult<Vec<String>>;
    /// All of them, in one transaction; never a part.
    async fn update_all(&self) -> SysResult<()>;
    /// `nft` or `legacy`; None where there is no iptables.
    async fn iptables_backend(&self) -> SysResult<Option<String>>;
    async fn set_iptables_backend(&self, backend: &str) -> SysResult<()>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserState {
    pub home: String,
    /// Its own group.
    pub group: String,
    /// Those that it is in besides.
    pub groups: Vec<String>,
}

#[async_trait]
pub trait Users: Send + Sync {
    async fn user(&self, name: &str) -> SysResult<Option<UserState>>;
    /// With a home, a shell and no password.
    async fn add_user(&self, name: &str) -> SysResult<()>;
    async fn add_to_groups(&self, name: &str, groups: &[String]) -> SysResult<()>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitState {
    pub exists: bool,
    pub enabled: bool,
    pub active: bool,
    /// When it became active, by the node's clock.
    pub active_since_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitChange {
    Enable,
    Restart,
    /// Stop it, and keep it from starting at boot.
    Disable,
}

#[async_trait]
pub trait Units: Send + Sync {
    async fn unit(&self, name: &str) -> SysResult<UnitState>;
    async fn change_unit(&self, name: &str, change: UnitChange) -> SysResult<()>;
}

#[async_trait]
pub trait Artifacts: Send + Sync {
    /// Versions of an artifact that lie whole under /opt/slipway.
    async fn artifact_versions(&self, name: &str) -> SysResult<Vec<Version>>;
    async fn install_artifact(&self, name: &str, version: &Version) -> SysResult<()>;
    /// Whether an image is whole in the runtime, ready to be run. False where there is no runtime yet.
    async fn has_image(&self, image: &str) -> SysResult<bool>;
    /// From the archive that was brought to this node, which goes when all of it is in place.
    async fn import_image(&self, image: &str) -> SysResult<()>;
    /// Makes ready in the background what is on its way to this node. It only ever saves time.
    fn begin_early(&self, _: &[Wanted]) {}
    fn stop_early(&self) {}
}

/// A part of clearing a disk: each may be cut off and repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClearPart {
    /// LVM and dm on it are taken down.
    Holders,
    /// Signatures and both ends.
    Signatures,
    /// BlueStore's labels at 0, 1, 10, 100 and 1000 GiB.
    OsdLabels,
    Discard,
}

impl ClearPart {
    pub const ALL: [ClearPart; 4] =
        [ClearPart::Holders, ClearPart::Signatures, ClearPart::OsdLabels, ClearPart::Discard];
}

/// A partition of the disk that runs the OS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OsPart {
    /// Of the partition itself, not of what is in it.
    pub name: String,
    pub uuid: String,
    pub bytes: u64,
    pub is_esp: bool,
    pub filesystem: Option<String>,
    /// Where it, or something on it, is mounted.
    pub mounted: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OsTable {
    pub parts: Vec<OsPart>,
    /// Free space that partitions could take, in the order in which it is taken.
    pub gaps: Vec<u64>,
    /// A change of the table was cut off after it had taken effect: its last part is to do.
    pub unfinished: bool,
}

/// What the name of a partition ends with until its filesystem is made.
pub const IN_MAKING: char = '~';

#[async_trait]
pub trait Disks: Send + Sync {
    async fn disks(&self) -> SysResult<Vec<Disk>>;
    /// What the disk says of its own health; None where it does not, or nobody here can ask it.
    async fn health(&self, disk: &Disk) -> SysResult<Option<Health>>;
    /// The partition table of the disk that runs the OS.
    async fn os_table(&self, disk: &Serial) -> SysResult<OsTable>;
    /// In its free space, and named as one that is in the making.
    async fn add_partition(&self, disk: &Serial, name: &str, bytes: u64) -> SysResult<()>;
    /// On a partition in the making, which it then is no longer; its UUID is the partition's.
    async fn make_filesystem(&self, disk: &Serial, name: &str, kind: &str) -> SysResult<()>;
    /// The last part of a change that was cut off.
    async fn finish_table(&self, disk: &Serial) -> SysResult<()>;
    /// What is mounted at a directory.
    async fn mounted_at(&self, directory: &str) -> SysResult<Option<String>>;
    /// Whether anything lies in a directory.
    async fn holds_anything(&self, directory: &str) -> SysResult<bool>;
    /// Opens the disk exclusively, and refuses when what it finds is not `evidence` or `HalfCleared`.
    async fn clear_disk(&self, serial: &Serial, evidence: &str, part: ClearPart) -> SysResult<()>;
    /// Whether a running cluster still counts this OSD's filesystem id as its own; None when that
    /// cannot be learned.
    async fn osd_lives(&self, fsid: &str) -> SysResult<Option<bool>>;
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    pub to: Ipv4Addr,
    /// The port that the packets left by.
    pub port: String,
    /// What the port has agreed on with the switch; None where it does not say.
    pub speed_mbps: Option<u32>,
    pub half_duplex: bool,
    /// None of a hundred: all got through. A hundred: nobody there.
    pub loss_percent: u8,
    pub latency_us: u32,
    /// Largest packet that passed with DF set.
    pub path_mtu: u16,
    /// Both ways at the same time, this much each; None where it was not measured.
    pub mbps: Option<u32>,
}

#[async_trait]
pub trait Net: Send + Sync {
    async fn links(&self) -> SysResult<Vec<Link>>;
    /// Makes networkd take up its files. Whatever is armed undoes it unless it is confirmed.
    async fn reload_network(&self) -> SysResult<()>;
    /// Arms the persistent undo: these files come back, in that shape, unless disarmed in time. One
    /// that is armed keeps the older files that it has, and only gets its time anew.
    async fn arm_undo(
        &self,
        files: &BTreeMap<String, Option<String>>,
        within_s: u32,
    ) -> SysResult<()>;
    async fn undo_is_armed(&self) -> SysResult<bool>;
    async fn disarm_undo(&self) -> SysResult<()>;
    /// Sends what proves a path: loss, latency, packet size and, if asked for, throughput.
    async fn prove(&self, to: Ipv4Addr, mtu: u16, throughput: bool) -> SysResult<Proof>;
    /// Puts the question of `who_has`, for whoever asks soon.
    fn ask_who_has(&self, _: Ipv4Addr) {}
    /// Who answers for an address on the LAN, by MAC.
    async fn who_has(&self, address: Ipv4Addr) -> SysResult<Option<crate::names::Mac>>;
    async fn resolve(&self, host: &str) -> SysResult<Option<Ipv4Addr>>;
    /// Whether something listens on a TCP port here.
    async fn port_in_use(&self, port: u16) -> SysResult<bool>;
}

/// What lets a node join; lives for minutes, in memory only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JoinMaterial {
    pub token: Sealed,
    /// Absent for a worker.
    pub certificate_key: Option<Sealed>,
    pub ca_fingerprint: String,
}

/// The phases of `kubeadm init` that a cut one is finished by, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitPhase {
    Certs,
    Kubeconfig,
    Etcd,
    ControlPlane,
    KubeletStart,
    WaitControlPlane,
    UploadConfig,
    MarkControlPlane,
    BootstrapToken,
    Addons,
}

impl InitPhase {
    pub const ALL: [InitPhase; 10] = [
        InitPhase::Certs,
        InitPhase::Kubeconfig,
        InitPhase::Etcd,
        InitPhase::ControlPlane,
        InitPhase::KubeletStart,
        InitPhase::WaitControlPlane,
        InitPhase::UploadConfig,
        InitPhase::MarkControlPlane,
        InitPhase::BootstrapToken,
        InitPhase::Addons,
    ];
}

#[async_trait]
pub trait Kubeadm: Send + Sync {
    /// What is on this node, whether or not anything answers.
    async fn local_kube(&self) -> SysResult<LocalKube>;
    /// All phases, in one go.
    async fn kubeadm_init(&self, config: &str) -> SysResult<()>;
    async fn kubeadm_init_phase(&self, config: &str, phase: InitPhase) -> SysResult<()>;
    async fn kubeadm_join(&self, config: &Sealed) -> SysResult<()>;
    /// The last part of a control plane's join, for one that was cut after its member was promoted.
    async fn finish_join(&self, config: &Sealed) -> SysResult<()>;
    /// Puts back what a cut upgrade left in kubeadm's backup only.
    async fn restore_manifests(&self) -> SysResult<()>;
    async fn kubeadm_reset(&self) -> SysResult<()>;
    async fn upgrade_apply(&self, config: &str, version: &Version) -> SysResult<()>;
    async fn upgrade_node(&self, config: &str) -> SysResult<()>;
    /// Makes a token and, for a control plane, uploads the certificates under a new key.
    async fn mint_join(&self, control_plane: bool) -> SysResult<JoinMaterial>;
    /// Who or what is at an endpoint that somebody else runs.
    async fn look_at_endpoint(&self, at: &EndpointAt) -> SysResult<endpoint::Seen>;
    /// Why the API server cannot be had through the cluster's endpoint from here; None when it can.
    async fn endpoint_trouble(&self, at: &EndpointAt) -> SysResult<Option<String>>;
    /// What is wrong with this node's own part of the control plane, each component in words; and with
    /// how the API shows it.
    async fn component_troubles(&self, shown: bool) -> SysResult<Vec<String>>;
}

/// Where a cluster's API server is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointAt {
    pub host: String,
    /// None for a name that only DNS knows: asked on each node.
    pub address: Option<Ipv4Addr>,
    pub port: u16,
}

/// A node as it has to be seen by the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plane {
    pub node: NodeName,
    pub address: Ipv4Addr,
    pub control_plane: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LocalKube {
    pub ca_fingerprint: Option<String>,
    /// Some files of a PKI, but no whole CA: a making that was cut off.
    pub pki_is_partial: bool,
    pub kubelet_conf: bool,
    pub manifests: Vec<String>,
    /// Static pods that an upgrade took away and did not bring back: kubeadm's backup has them.
    pub manifests_in_backup: Vec<String>,
    pub etcd_data: Option<EtcdData>,
    /// Whether the etcd that runs here is a voter; None when it does not run.
    pub etcd_votes: Option<bool>,
    /// The API server on this node answers.
    pub api_answers: bool,
    /// This node's control plane carries the marks of a finished init or join.
    pub finished: bool,
    /// The kubelet's and API server's own versions, as running.
    pub api_version: Option<Version>,
    pub kubelet_version: Option<Version>,
}

/// What came of building and applying a directory of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installed {
    pub commit: String,
    /// Applications and Flux's own objects among it.
    pub roots: Roots,
}

/// An object that was applied from a node, and who manages it besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Managed {
    /// `Deployment argocd/argocd-server`.
    pub object: String,
    pub by: Vec<String>,
}

#[async_trait]
pub trait Cluster: Send + Sync {
    /// Through this control plane's own API server and etcd; None when it does not answer.
    async fn api(&self) -> SysResult<Option<ApiFacts>>;
    /// The nodes alone, without a look at etcd; None when the API server does not answer.
    async fn nodes(&self) -> SysResult<Option<Vec<KubeNode>>> {
        Ok(self.api().await?.map(|api| api.nodes))
    }
    /// When the first of this control plane's own certificates ends; None where it has none.
    async fn certificates_end_ms(&self) -> SysResult<Option<u64>> {
        Ok(self.api().await?.map(|api| api.certificates_end_ms))
    }
    async fn cordon(&self, node: &NodeName, cordoned: bool) -> SysResult<()>;
    /// Evicts, politely; says what stands in the way when it cannot.
    async fn drain(&self, node: &NodeName, timeout_s: u32) -> SysResult<()>;
    /// Removes taints and labels that keep workloads away, or sets them.
    async fn label_node(
        &self,
        node: &NodeName,
        schedulable: bool,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
    ) -> SysResult<()>;
    async fn delete_node(&self, node: &NodeName) -> SysResult<()>;
    async fn remove_member(&self, id: &str) -> SysResult<()>;
    async fn promote_member(&self, id: &str) -> SysResult<()>;
    /// etcd as it is, asked through this control plane's member; also where there is no quorum.
    async fn etcd(&self) -> SysResult<EtcdReport>;
    /// Has a request for a client certificate (PEM) signed by the cluster.
    async fn sign_user(&self, request: &str, valid_s: u32) -> SysResult<UserCertificate>;
    /// A snapshot, hashed and verified on the node, where it lies until it is fetched.
    async fn snapshot(&self) -> SysResult<SnapshotInfo>;
    async fn install_addon(&self, name: &str, version: &str, manifest: &str) -> SysResult<()>;
    /// Notes down that an add-on is there, in this version.
    async fn note_addon(&self, name: &str, version: &str) -> SysResult<()>;
    /// The commit that a revision of a repository is; an error where one of these paths is not in it.
    async fn commit_of(&self, repository: &Repository, paths: &[String]) -> SysResult<String>;
    /// Whether a commit is another one or comes after it.
    async fn descends(&self, repository: &Repository, from: &str, commit: &str) -> SysResult<bool>;
    /// Builds and applies a directory of the repository, and waits until what it brought runs.
    async fn install_kustomization(
        &self,
        name: &str,
        from: &Kustomization,
        wait_s: u32,
    ) -> SysResult<Installed>;
    /// The first way into Argo CD.
    async fn argocd_login(&self) -> SysResult<EngineLogin>;
    /// A Secret beside what is wanted of it.
    async fn secret(&self, wanted: &ClusterSecret) -> SysResult<SecretFound>;
    /// Puts it there, with its namespace where that is missing.
    async fn put_secret(&self, wanted: &ClusterSecret) -> SysResult<()>;
    /// Applies a manifest that lies on this node, and waits until what it brought runs.
    async fn install_manifest(&self, name: &str, file: &str, wait_s: u32) -> SysResult<()>;
    /// What each engine has of the repository, from its roots on.
    async fn scopes(&self, roots: &[Kustomization]) -> SysResult<Scopes>;
    /// What a directory of the repository is built to.
    async fn built(&self, from: &Kustomization) -> SysResult<Scope>;
    /// What the GitOps engines say of all that they bring.
    async fn gitops_seen(&self) -> SysResult<Seen>;
    /// What was applied here for the engines, with those who manage it by now.
    async fn managed(&self) -> SysResult<Vec<Managed>>;
    /// What is wrong with the nodes, each in words: static pods that do not run, addresses on the
    /// wrong network, an API server that reads another Secret than its neighbours.
    async fn cluster_trouble(&self, planes: &[Plane]) -> SysResult<Vec<String>>;
    /// Why the cluster's DNS does not know a name, asked from here; None when it does.
    async fn dns_trouble(&self, server: Ipv4Addr, name: &str) -> SysResult<Option<String>>;
    async fn ceph_noout(&self, node: &NodeName, set: bool) -> SysResult<()>;
    /// Whether noout is set for this node; None where there is no Ceph.
    async fn ceph_has_noout(&self, node: &NodeName) -> SysResult<Option<bool>>;
    /// None where there is no Ceph; else whether all placement groups are active and clean.
    async fn ceph_is_clean(&self) -> SysResult<Option<bool>>;
}

/// How a person gets into the GitOps engine's own interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineLogin {
    pub installed: bool,
    /// None where it was changed, and its Secret deleted.
    pub password: Option<Sealed>,
    pub addresses: Vec<String>,
}

/// A snapshot, and with it what a cluster cannot be restored without.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotInfo {
    pub revision: u64,
    pub sha256: String,
    pub bytes: u64,
    /// Its name among what waits to be fetched.
    pub file: String,
    pub keys: Vec<KeyFile>,
}

/// A file of the PKI, or the key that encrypts Secrets at rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyFile {
    /// `pki/ca.key`
    pub name: String,
    /// In base64.
    pub content: Sealed,
}

/// A client certificate, and the CA that its servers are known by; PEM. No key: that never was here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCertificate {
    pub certificate: String,
    pub ca: String,
    pub ends_ms: u64,
}

/// A moment in an op's life, told to the node so that a crash can be tried there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Begun,
    /// The journal holds the intent.
    Intended,
    /// The work is done, and nobody knows.
    Applied,
    /// The journal holds the outcome; the controller does not know yet.
    Recorded,
}

#[async_trait]
pub trait Watch: Send + Sync {
    /// Nothing on a real node. An op that fails at `Begun` fails before it looked.
    async fn moment(&self, step: &crate::names::StepName, moment: Moment) -> SysResult<()>;
}

/// All of it.
pub trait Sys:
    Files
    + Kernel
    + Time
    + Packages
    + Users
    + Units
    + Artifacts
    + Disks
    + Net
    + Kubeadm
    + Cluster
    + PodNetwork
    + Watch
{
}

impl<T> Sys for T where
    T: Files
        + Kernel
        + Time
        + Packages
        + Users
        + Units
        + Artifacts
        + Disks
        + Net
        + Kubeadm
        + Cluster
        + PodNetwork
        + Watch
{
}
