//! Facts: a typed snapshot of one node, as the agent found it.
//!
//! Stale by definition: a step decides from it, and the op that follows looks again. Must not know
//! how facts are gathered, nor what anybody wants them to be.

mod disks;
mod kube;
mod links;
pub mod read;

pub(crate) use disks::human_size;
pub use disks::{Contents, Disk, Health};
pub use kube::{Addon, ApiFacts, Application, EtcdData, KubeFacts, KubeNode, MON_IP, Member};
pub use links::Link;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// Changes when the OS is installed anew.
    pub machine_id: String,
    /// Changes with every boot.
    pub boot_id: String,
    pub hostname: String,
    pub os: OsFacts,
    pub cpus: u32,
    pub memory_mb: u64,
    /// Free space under /var, where images, etcd and the agent live.
    pub var_free_mb: u64,
    pub clock: ClockFacts,
    pub disks: Vec<Disk>,
    pub links: Vec<Link>,
    pub kube: KubeFacts,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OsFacts {
    /// `ID` of os-release: `arch`, `debian`.
    pub id: String,
    pub arch: String,
    pub kernel_running: String,
    /// The kernel whose modules are installed; when it differs, modules can no longer be loaded.
    pub kernel_installed: Option<String>,
    /// 1 or 2.
    pub cgroup: u8,
    /// Whose microcode the processor takes: `amd` or `intel`. None for a guest, which has its host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microcode: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClockFacts {
    pub wall_ms: u64,
    pub synchronised: bool,
    /// The node's wall clock minus the controller's, when these facts were read.
    pub skew_ms: i64,
}

impl NodeFacts {
    pub fn disk(&self, serial: &crate::names::Serial) -> Option<&Disk> {
        self.disks.iter().find(|d| d.is_named(serial))
    }

    pub fn link(&self, mac: &crate::names::Mac) -> Option<&Link> {
        self.links.iter().find(|l| &l.mac == mac)
    }
}
