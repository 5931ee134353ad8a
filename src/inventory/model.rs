//! The inventory as the rest of Slipway sees it: checked, typed, complete.
//!
//! The field docs end up in `slipway schema inventory`, so they are written for the person who
//! fills in the file.

use std::{collections::BTreeMap, net::Ipv4Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Backup, Gitops, Kubeadm};
use crate::names::{Cidr, HostKey, Mac, NodeName, Serial, Version};

/// Which machines exist and what they should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    pub cluster: Cluster,
    #[serde(default)]
    pub ssh: Ssh,
    pub network: Networks,
    #[serde(default)]
    pub cni: Cni,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cilium: Option<Cilium>,
    /// What runs the cluster after the hand-off; without it, the last two phases do nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gitops: Option<Gitops>,
    #[serde(default)]
    pub host: Host,
    #[serde(default)]
    pub os_disk: OsDisk,
    #[serde(default)]
    pub artifacts: Artifacts,
    #[serde(default)]
    pub kubeadm: Kubeadm,
    #[serde(default)]
    pub backup: Backup,
    #[serde(rename = "node")]
    pub nodes: Vec<Node>,
    /// Present only in an inventory of the simulated fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sim: Option<Sim>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// The cluster's name; also the ledger's.
    pub name: NodeName,
    /// The exact Kubernetes version.
    pub kubernetes: Version,
    /// Addresses of pods.
    #[serde(default = "defaults::pod_cidr")]
    pub pod_cidr: Cidr,
    /// Addresses of services.
    #[serde(default = "defaults::service_cidr")]
    pub service_cidr: Cidr,
    pub endpoint: Endpoint,
}

/// The ports' names on every node, whatever the kernel called them.
pub const LAN_PORT: &str = "lan0";
pub const CEPH_PORT: &str = "ceph0";

/// The release files and images that are installed on nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Artifacts {
    /// Where they lie on this machine, each with its checksum; relative to this file. Left out:
    /// `slipway/releases` in your cache directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// What is not there is fetched from the projects that publish it; without this, it is an error.
    #[serde(default = "defaults::yes")]
    pub download: bool,
    /// Where to fetch from in the projects' place: the same files below `MIRROR/HOST/PATH`, as in
    /// `http://nas.lan/mirror` for `http://nas.lan/mirror/dl.k8s.io/release/...`; images as registries
    /// answer, below `MIRROR/REGISTRY/v2/NAME/`, which may be plain files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// More images that every node gets ahead, as pods name them, such as Cilium's on machines without
    /// internet: `"quay.io/cilium/cilium:v1.20.2@sha256:..."`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Images that have to be exactly these: `"registry.k8s.io/pause:3.10.2" = "sha256:..."`, as the
    /// registry shows it for the tag; and release files, as `"gateway-api:1.6.1"`. Another one is
    /// refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, String>,
}

impl Default for Artifacts {
    fn default() -> Self {
        Self {
            dir: None,
            download: true,
            mirror: None,
            images: Vec::new(),
            digests: BTreeMap::new(),
        }
    }
}

/// Where the API server is reached, whichever control plane is up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The name in every kubeconfig and certificate.
    pub host: String,
    #[serde(default = "defaults::api_port")]
    pub port: u16,
    pub kind: EndpointKind,
    /// The address that moves between control planes (keepalived, kube-vip).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<Ipv4Addr>,
    /// VRRP router id, 1 to 255: one that no router on the LAN uses (keepalived).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrid: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointKind {
    /// The nodes carry a virtual address by unicast VRRP.
    Keepalived,
    /// A static pod carries the virtual address.
    KubeVip,
    /// A load balancer or DNS that is not managed here.
    External,
}

/// How nodes are logged in to. What is left out comes from your own SSH configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ssh {
    /// root when neither this nor your SSH configuration names one; others need sudo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// An SSH configuration to use in your own's place, as `ssh -F` takes it; relative to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Networks {
    pub lan: Lan,
    /// Leave it out where there is no Ceph port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceph: Option<CephNet>,
    /// How long a node waits to be reached at its new address before it goes back to its old
    /// network by itself. More, where a switch takes its time to let a port through.
    #[serde(default = "defaults::confirm_s")]
    pub confirm_s: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lan {
    pub cidr: Cidr,
    pub gateway: Ipv4Addr,
    /// Name servers; the gateway when left out.
    #[serde(default)]
    pub dns: Vec<Ipv4Addr>,
    /// Time servers; the distribution's own when left out.
    #[serde(default)]
    pub ntp: Vec<String>,
    #[serde(default = "defaults::mtu")]
    pub mtu: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_speed_mbps: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CephNet {
    pub cidr: Cidr,
    #[serde(default = "defaults::mtu")]
    pub mtu: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_speed_mbps: Option<u32>,
    #[serde(default)]
    pub carries: CephCarries,
}

/// What of Ceph's traffic its own network carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CephCarries {
    /// Clients, monitors and replication.
    #[default]
    All,
    /// Replication only; clients use the LAN.
    Replication,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cni {
    #[serde(default)]
    pub kind: CniKind,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CniKind {
    /// Cilium in kube-proxy's place; wants a `[cilium]` table.
    #[default]
    Cilium,
    /// The bridge plugin with kube-proxy, for small labs.
    Bridge,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cilium {
    pub version: Version,
    /// The chart's values file, a path in the GitOps repository: the only source of values, so that
    /// GitOps adopts what was installed without a diff.
    pub values: String,
}

/// How hosts are prepared, beyond what every cluster needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Further packages for every node.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Further sysctls for every node; they win over Slipway's own.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// What journald may keep on disk.
    #[serde(default = "defaults::journal_max")]
    pub journal_max: String,
    /// Bring the OS up to date before a node joins.
    #[serde(default = "defaults::yes")]
    pub update_os: bool,
    /// Which of the kernel's packet filters `iptables` writes to.
    #[serde(default)]
    pub iptables: IptablesKind,
    /// Control groups of version 1 are accepted: for labs in containers. The kubelet of a real node
    /// does not start on them.
    #[serde(default)]
    pub allow_cgroup_v1: bool,
    /// Pods keep at least containerd's own OOM score: for labs in containers, where nothing may
    /// lower it.
    #[serde(default)]
    pub containerd_restrict_oom: bool,
    /// Directories on every node.
    #[serde(default, rename = "directory")]
    pub directories: Vec<HostDirectory>,
    /// Files on every node.
    #[serde(default, rename = "file")]
    pub files: Vec<HostFile>,
    /// People on every node, with the keys that let them in.
    #[serde(default, rename = "user")]
    pub users: Vec<HostUser>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IptablesKind {
    #[default]
    Nft,
    Legacy,
}

impl IptablesKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nft => "nft",
            Self::Legacy => "legacy",
        }
    }
}

/// The layout of the disk that carries the OS. Partitions are only ever added, in its free space;
/// what the installed system has is neither moved nor shrunk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OsDisk {
    /// What the EFI system partition has to have at least: `512M`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub esp: Option<String>,
    /// What the root partition has to have at least: `60G`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Partitions of their own, on every node.
    #[serde(default, rename = "partition")]
    pub partitions: Vec<OsPartition>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OsPartition {
    /// `/var/lib/etcd` or `/var/lib/containerd`.
    pub mount: String,
    /// In binary units: `20G`.
    pub size: String,
    #[serde(default)]
    pub filesystem: FilesystemKind,
    /// Mount options.
    #[serde(default = "defaults::mount_options")]
    pub options: Vec<String>,
}

impl OsPartition {
    pub const ETCD: &str = "/var/lib/etcd";
    pub const CONTAINERD: &str = "/var/lib/containerd";
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FilesystemKind {
    #[default]
    Ext4,
    Xfs,
}

impl FilesystemKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }
}

/// A size in binary units, as the checks leave it.
pub fn size_bytes(size: &str) -> Option<u64> {
    let unit = match size.bytes().last()? {
        b'K' => 10,
        b'M' => 20,
        b'G' => 30,
        b'T' => 40,
        _ => return None,
    };
    let number: u64 = size.get(..size.len() - 1)?.parse().ok()?;
    number.checked_shl(unit).filter(|bytes| bytes >> unit == number)
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostDirectory {
    pub path: String,
    /// In octal, as `chmod` takes it.
    #[serde(default = "defaults::directory_mode")]
    pub mode: String,
    /// `user:group`; root's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostFile {
    pub path: String,
    /// All of it. No secrets: this is shown in plans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A file that holds the text, in its place: a path relative to the inventory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// In octal, as `chmod` takes it.
    #[serde(default = "defaults::file_mode")]
    pub mode: String,
    /// `user:group`; root's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostUser {
    pub name: String,
    /// Beside its own; `wheel` may use sudo where sudoers says so.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Public keys, as lines of authorized_keys.
    #[serde(default)]
    pub keys: Vec<String>,
}

/// Octal, as the checks leave it.
pub fn octal(mode: &str) -> Option<u32> {
    let digits = (3..=4).contains(&mode.len()) && mode.bytes().all(|b| (b'0'..=b'7').contains(&b));
    digits.then(|| u32::from_str_radix(mode, 8).ok())?
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    pub name: NodeName,
    #[serde(default)]
    pub os: Os,
    pub role: Role,
    /// Whether ordinary workloads run here; control planes are workers too unless this is false.
    #[serde(default = "defaults::yes")]
    pub schedulable: bool,
    #[serde(default)]
    pub ssh: NodeSsh,
    pub lan: Port,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceph: Option<Port>,
    pub disks: NodeDisks,
    /// Labels of the Node object.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Os {
    #[default]
    Arch,
    Debian,
    Talos,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    ControlPlane,
    Worker,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeSsh {
    /// Today's address or name, when it is not the LAN address yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The host key's fingerprint, as `ssh-keygen -l` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<HostKey>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// The port's permanent MAC address.
    pub mac: Mac,
    pub address: Ipv4Addr,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeDisks {
    /// Serial of the disk that carries the OS.
    pub os: Serial,
    /// Serials of the disks that are left raw for Rook.
    #[serde(default)]
    pub ceph: Vec<Serial>,
}

/// The simulated fleet: what its machines are like, and what goes wrong with them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sim {
    /// Everything random in the fleet comes from this.
    #[serde(default)]
    pub seed: u64,
    /// Simulated seconds per real second on a terminal; 0 is as fast as it goes. Off a terminal it
    /// is always as fast as it goes.
    #[serde(default = "defaults::speed")]
    pub speed: u32,
    /// What lies on disks at the start; a disk not named here is blank (or holds the OS).
    #[serde(default, rename = "disk")]
    pub disks: Vec<SimDisk>,
    /// What goes wrong, and when.
    #[serde(default, rename = "fault")]
    pub faults: Vec<SimFault>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimDisk {
    pub serial: Serial,
    /// `blank`, `missing`, a filesystem such as `ext4`, `gpt`, `lvm`, `luks`, `mdraid`, or
    /// `osd:FSID` for a disk of a Ceph cluster.
    pub contents: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_gb: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimFault {
    /// Whose fault; any node when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// In which step; the first op at all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    pub kind: SimFaultKind,
    #[serde(default)]
    pub at: SimFaultAt,
    /// How many times it strikes; 0 is always.
    #[serde(default = "defaults::once")]
    pub times: u32,
    /// For `slow`: how much longer; for `clock-skew`: by how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SimFaultKind {
    /// The connection drops; the agent goes on.
    DropConnection,
    /// The agent process dies; the node stays up.
    KillAgent,
    /// The node reboots cleanly and returns.
    Reboot,
    /// Power is cut, everything unsynced is lost; the node returns.
    PowerCut,
    /// Power is cut and the node stays off.
    PowerOff,
    /// Everything on the node takes longer.
    Slow,
    /// The op fails.
    Fail,
    /// The node's disk is full.
    DiskFull,
    /// The node's clock is off.
    ClockSkew,
    /// The node changes after its facts were read.
    StaleFacts,
    /// The controller is killed, everything unsynced is lost.
    KillController,
    /// Pods on the node no longer reach those on others, nor these them.
    NoPodTraffic,
}

/// Where in an op a fault strikes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SimFaultAt {
    #[default]
    Before,
    Middle,
    After,
}

pub(super) mod defaults {
    use super::Cidr;

    #[expect(clippy::expect_used, reason = "a literal, covered by the test of the defaults")]
    fn cidr(text: &str) -> Cidr {
        text.parse().expect("a default network is well formed")
    }
    pub fn pod_cidr() -> Cidr {
        cidr("10.42.0.0/16")
    }
    pub fn service_cidr() -> Cidr {
        cidr("10.43.0.0/16")
    }
    pub fn api_port() -> u16 {
        6443
    }
    pub fn confirm_s() -> u32 {
        60
    }
    pub fn mtu() -> u16 {
        1500
    }
    pub fn journal_max() -> String {
        "1G".into()
    }
    pub fn speed() -> u32 {
        20
    }
    pub fn once() -> u32 {
        1
    }
    pub fn yes() -> bool {
        true
    }
    pub fn directory_mode() -> String {
        "0755".into()
    }
    pub fn mount_options() -> Vec<String> {
        vec!["noatime".into()]
    }
    pub fn file_mode() -> String {
        "0644".into()
    }
}

impl Default for Host {
    fn default() -> Self {
        Self {
            packages: Vec::new(),
            sysctls: BTreeMap::new(),
            journal_max: defaults::journal_max(),
            update_os: true,
            iptables: IptablesKind::default(),
            allow_cgroup_v1: false,
            containerd_restrict_oom: false,
            directories: Vec::new(),
            files: Vec::new(),
            users: Vec::new(),
        }
    }
}

impl Inventory {
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.iter().find(|n| &n.name == name)
    }

    pub fn control_planes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|n| n.role == Role::ControlPlane)
    }

    /// The control plane that initialises the cluster: the first in the file.
    pub fn first_control_plane(&self) -> Option<&Node> {
        self.control_planes().next()
    }

    /// Whether this is the simulated fleet; every screen says so when it is.
    pub fn simulated(&self) -> bool {
        self.sim.is_some()
    }
}
