//! One simulated machine: what survives a power cut, and what does not.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use serde::{Deserialize, Serialize};

use crate::{
    facts::{Contents, EtcdData, OsFacts},
    names::{Mac, NodeName, Serial, Version},
    ops::sys::Access,
};

/// After its start, a kubelet of another minor ends the static pods of the one before it, and has its own.
const ANEW_AFTER_MS: u64 = 3_000;
const ANEW_UNTIL_MS: u64 = 15_000;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FakeFile {
    #[serde(with = "serde_bytes")]
    pub content: Vec<u8>,
    pub mode: u32,
    #[serde(default = "root")]
    pub owner: String,
    pub changed_ms: u64,
}

fn root() -> String {
    "root:root".into()
}

pub(super) fn owner_or_root(owner: Option<&String>) -> String {
    owner.cloned().unwrap_or_else(root)
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FakeDisk {
    pub serial: Serial,
    pub model: String,
    pub size_bytes: u64,
    pub contents: Vec<Contents>,
    pub mounted: Vec<String>,
    pub held_by: Vec<String>,
    pub is_os: bool,
    /// Ever written to by a clearing; for the promise that no disk is lost.
    pub cleared: bool,
    /// Partitions that were added to an installed system's own.
    #[serde(default)]
    pub added: Vec<FakePart>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FakePart {
    pub name: String,
    pub uuid: String,
    pub bytes: u64,
    pub filesystem: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FakePort {
    pub mac: Mac,
    pub kernel_name: String,
    pub speed_mbps: u32,
    pub mtu: u16,
    /// By DHCP, until static addresses are set.
    pub leased: Option<(Ipv4Addr, u8)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Power {
    #[default]
    Up,
    Booting {
        until_ms: u64,
    },
    Off,
}

/// Files that come back, unless a connection confirms in time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    pub files: BTreeMap<String, Option<String>>,
    pub until_ms: u64,
}

/// Kubernetes on this machine's disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FakeKube {
    pub ca: Option<String>,
    pub pki_is_partial: bool,
    pub kubelet_conf: bool,
    pub manifests: BTreeSet<String>,
    /// Moved away by an upgrade that has not put the new one in place yet.
    pub backup: BTreeSet<String>,
    pub etcd_data: Option<EtcdData>,
    pub finished: bool,
    pub api_version: Option<Version>,
    pub certificates_end_ms: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    // The disk.
    pub machine_id: String,
    pub os: String,
    pub hostname: String,
    pub kernel_installed: String,
    /// What the boot loader takes, whatever is installed.
    #[serde(default)]
    pub boots_kernel: Option<String>,
    /// Packages an update would bring, with the versions.
    pub updates: Vec<(String, String, String)>,
    pub files: BTreeMap<String, FakeFile>,
    pub links: BTreeMap<String, String>,
    /// Those that were asked for; parents of files are simply there.
    #[serde(default)]
    pub directories: BTreeMap<String, Access>,
    pub packages: BTreeSet<String>,
    #[serde(default)]
    pub users: BTreeMap<String, BTreeSet<String>>,
    /// What iptables writes to.
    #[serde(default)]
    pub iptables: Option<String>,
    pub enabled: BTreeSet<String>,
    pub artifacts: BTreeMap<String, BTreeSet<Version>>,
    pub images: BTreeSet<String>,
    pub swap_at_boot: Vec<String>,
    pub disks: Vec<FakeDisk>,
    pub ports: Vec<FakePort>,
    pub undo: Option<Undo>,
    pub kube: FakeKube,
    pub cpus: u32,
    pub memory_mb: u64,
    pub var_free_mb: u64,
    /// Added to its clock.
    pub skew_ms: i64,
    /// Its pods and those of others do not reach each other.
    #[serde(default)]
    pub no_pod_traffic: bool,
    pub power: Power,
    // What a power cut takes.
    pub ram: Ram,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ram {
    /// Counts boots and agent processes: a door from an earlier one is dead.
    pub epoch: u64,
    pub boots: u64,
    pub booted_ms: u64,
    pub kernel_running: String,
    pub modules: BTreeSet<String>,
    pub sysctls: BTreeMap<String, String>,
    pub swaps: Vec<String>,
    pub active: BTreeMap<String, u64>,
    pub addresses: BTreeMap<Mac, Vec<(Ipv4Addr, u8)>>,
    pub port_names: BTreeMap<Mac, String>,
    /// The kubelet's version is that of its link when it started.
    pub kubelet_version: Option<Version>,
    /// From when to when a new kubelet starts its static pods anew.
    #[serde(default)]
    pub static_pods_away_ms: std::ops::Range<u64>,
    pub osd_noout: bool,
}

impl Machine {
    /// Whether it runs at this moment; a boot that is due is made by [`Machine::settle`].
    pub fn is_up(&self, now_ms: u64) -> bool {
        match self.power {
            Power::Up => true,
            Power::Booting { until_ms } => now_ms >= until_ms,
            Power::Off => false,
        }
    }

    /// Lets happen what time has made due: a boot that ends, an undo that was not disarmed.
    pub fn settle(&mut self, now_ms: u64) {
        if let Power::Booting { until_ms } = self.power
            && now_ms >= until_ms
        {
            self.boot(until_ms);
        }
        if self.power == Power::Up && self.undo.as_ref().is_some_and(|u| now_ms >= u.until_ms) {
            self.take_back(now_ms);
            self.take_up_network();
        }
    }

    /// Power goes, or a reboot begins; what was only in memory is gone.
    pub fn go_down(&mut self, power: Power) {
        self.ram = Ram { epoch: self.ram.epoch + 1, boots: self.ram.boots, ..Ram::default() };
        self.power = power;
    }

    pub fn boot(&mut self, now_ms: u64) {
        self.power = Power::Up;
        self.ram.boots += 1;
        self.ram.booted_ms = now_ms;
        let kernel = self.boots_kernel.as_ref().unwrap_or(&self.kernel_installed);
        self.ram.kernel_running = kernel.clone();
        self.ram.modules = BTreeSet::from(["ext4".to_string(), "nvme".to_string()]);
        self.ram.sysctls = default_sysctls();
        for (path, file) in &self.files {
            let text = String::from_utf8_lossy(&file.content);
            let lines =
                text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
            if path.starts_with("/etc/modules-load.d/") {
                self.ram.modules.extend(lines.map(String::from));
            } else if path.starts_with("/etc/sysctl.d/") {
                self.ram.sysctls.extend(lines.filter_map(|l| {
                    let (key, value) = l.split_once('=')?;
                    Some((key.trim().to_string(), value.trim().to_string()))
                }));
            }
        }
        self.ram.swaps = self.swap_at_boot.clone();
        self.ram.active = self.enabled.iter().map(|u| (u.clone(), now_ms)).collect();
        // An undo that was armed before the cut comes before the network does.
        if self.undo.is_some() {
            self.take_back(now_ms);
        }
        self.name_ports();
        self.take_up_network();
        self.note_kubelet(now_ms);
    }

    pub fn boot_id(&self) -> String {
        format!("{}-boot-{}", self.machine_id, self.ram.boots)
    }

    pub fn write(&mut self, path: &str, content: &[u8], access: &Access, now_ms: u64) {
        let had = self.files.get(path).map(|f| &f.owner);
        let owner = owner_or_root(access.owner.as_ref().or(had));
        let (content, changed_ms) = (content.to_vec(), self.wall_ms(now_ms));
        let file = FakeFile { content, mode: access.mode, owner, changed_ms };
        self.files.insert(path.into(), file);
    }

    pub fn text(&self, path: &str) -> Option<String> {
        self.files.get(path).map(|f| String::from_utf8_lossy(&f.content).into_owned())
    }

    /// The machine's own clock.
    pub fn wall_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add_signed(self.skew_ms)
    }

    pub fn os_facts(&self) -> OsFacts {
        OsFacts {
            id: self.os.clone(),
            arch: "x86_64".into(),
            kernel_running: self.ram.kernel_running.clone(),
            kernel_installed: Some(self.kernel_installed.clone()),
            cgroup: 2,
            microcode: Some("amd".into()),
        }
    }

    /// `.link` files rename ports at boot, or when they are triggered.
    pub fn name_ports(&mut self) {
        let mut names = BTreeMap::new();
        for port in &self.ports {
            let named = self.files.iter().find_map(|(path, file)| {
                let text = String::from_utf8_lossy(&file.content).into_owned();
                let ours = path.ends_with(".link") && text.contains(&port.mac.to_string());
                let line = text.lines().find_map(|l| l.strip_prefix("Name="))?.to_string();
                ours.then_some(line)
            });
            names.insert(port.mac, named.unwrap_or_else(|| port.kernel_name.clone()));
        }
        self.ram.port_names = names;
    }

    /// What networkd makes of its files; without one a port asks DHCP.
    pub fn take_up_network(&mut self) {
        for port in &mut self.ports {
            let network = self.files.iter().find_map(|(path, file)| {
                let text = String::from_utf8_lossy(&file.content).into_owned();
                (path.ends_with(".network") && text.contains(&port.mac.to_string())).then_some(text)
            });
            let mut addresses: Vec<_> = port.leased.into_iter().collect();
            port.mtu = 1500;
            if let Some(text) = network {
                let value =
                    |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).map(str::trim);
                if let Some((address, prefix)) = value("Address=").and_then(|a| a.split_once('/'))
                    && let (Ok(address), Ok(prefix)) = (address.parse(), prefix.parse())
                {
                    addresses = vec![(address, prefix)];
                }
                port.mtu = value("MTUBytes=").and_then(|m| m.parse().ok()).unwrap_or(1500);
            }
            self.ram.addresses.insert(port.mac, addresses);
        }
    }

    fn take_back(&mut self, now_ms: u64) {
        if let Some(undo) = self.undo.take() {
            for (path, old) in undo.files {
                match old {
                    Some(text) => self.write(&path, text.as_bytes(), &Access::mode(0o644), now_ms),
                    None => drop(self.files.remove(&path)),
                }
            }
        }
    }

    pub fn has_address(&self, address: Ipv4Addr) -> bool {
        self.ram.addresses.values().flatten().any(|(a, _)| *a == address)
    }

    /// The kubelet that runs is the one that was linked when it started. One of another minor reads the
    /// manifests otherwise: what the one before it started is ended, though not at once.
    pub fn note_kubelet(&mut self, now_ms: u64) {
        let before = self.ram.kubelet_version.take();
        self.ram.kubelet_version = if self.ram.active.contains_key("kubelet.service") {
            self.linked("/usr/local/bin/kubelet")
        } else {
            None
        };
        if let (Some(before), Some(now)) = (before, &self.ram.kubelet_version)
            && before.minor() != now.minor()
        {
            self.ram.static_pods_away_ms = now_ms + ANEW_AFTER_MS..now_ms + ANEW_UNTIL_MS;
        }
    }

    pub fn linked(&self, link: &str) -> Option<Version> {
        self.links.get(link)?.split('/').nth(4)?.parse().ok()
    }

    /// Static pods run where kubelet and containerd do.
    pub fn runs_pods(&self, now_ms: u64) -> bool {
        let active = |unit| match self.power {
            // Not yet settled: everything enabled comes up with the boot.
            Power::Booting { .. } => self.enabled.contains(unit),
            _ => self.ram.active.contains_key(unit),
        };
        self.is_up(now_ms) && active("kubelet.service") && active("containerd.service")
    }

    pub fn runs_static_pod(&self, name: &str, now_ms: u64) -> bool {
        self.kube.manifests.contains(name)
            && self.runs_pods(now_ms)
            && !self.ram.static_pods_away_ms.contains(&now_ms)
    }
}

/// What a fresh kernel says.
fn default_sysctls() -> BTreeMap<String, String> {
    [
        ("net.ipv4.ip_forward", "0"),
        ("net.ipv4.conf.all.rp_filter", "2"),
        ("vm.overcommit_memory", "0"),
        ("vm.max_map_count", "65530"),
        ("kernel.panic", "0"),
        ("kernel.pid_max", "4194304"),
        ("fs.inotify.max_user_instances", "128"),
        ("fs.inotify.max_user_watches", "65536"),
        ("fs.aio-max-nr", "65536"),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_string(), v.to_string()))
    .collect()
}

/// A machine as it comes: a booted Arch with sshd and your key, addresses by DHCP.
impl Machine {
    pub fn fresh(name: &NodeName, os: &str, seed: u64) -> Self {
        let mut machine = Machine {
            machine_id: format!("{:032x}", u128::from(fnv(name.as_str(), seed)) << 32 | 0x51),
            os: os.into(),
            hostname: "archlinux".into(),
            kernel_installed: "6.17.8-arch1-1".into(),
            updates: vec![("openssl".into(), "3.6.0-1".into(), "3.6.1-1".into())],
            cpus: 12,
            memory_mb: 96_000,
            var_free_mb: 800_000,
            swap_at_boot: vec!["/dev/zram0".into()],
            enabled: ["sshd.service", "systemd-networkd.service", "systemd-resolved.service"]
                .map(String::from)
                .into(),
            packages: ["base", "linux", "openssh"].map(String::from).into(),
            users: BTreeMap::new(),
            iptables: Some("legacy".into()),
            directories: BTreeMap::new(),
            ..Machine::default()
        };
        if os == "arch" {
            let text =
                b"[options]\nArchitecture = auto\n\n[core]\nInclude = /etc/pacman.d/mirrorlist\n";
            machine.write("/etc/pacman.conf", text, &Access::mode(0o644), 0);
        }
        machine.write("/etc/hosts", b"127.0.0.1 localhost\n", &Access::mode(0o644), 0);
        machine
    }
}

/// A small, stable hash: machine-ids, fingerprints and the like come from the seed.
pub fn fnv(text: &str, seed: u64) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}
