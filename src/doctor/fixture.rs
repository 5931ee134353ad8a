//! A fleet in perfect health, for tests to break.

use std::collections::BTreeMap;

use super::Exam;
use crate::{
    events::{Event, Failure, PhaseResult, RunFinished, RunResult, RunStarted, Stamped},
    facts::*,
    inventory::{self, Inventory, Node, Role},
    names::NodeName,
    state::Ledger,
};

pub const NOW_MS: u64 = 1_795_226_400_000;
pub const DAY_MS: u64 = 86_400_000;
pub const CA: &str = "ca5e1c0d2a99887766";
pub const ETCD: &str = "e7cd0000c1u57e70";

pub struct Fleet {
    pub inventory: Inventory,
    pub facts: BTreeMap<NodeName, NodeFacts>,
    pub unreachable: BTreeMap<NodeName, Failure>,
    pub ledger: Option<Ledger>,
    index: u64,
}

pub fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

impl Fleet {
    /// The reference fleet as it comes: Arch with sshd, addresses by DHCP, blank disks.
    pub fn fresh() -> Self {
        let text = include_str!("../../inventory/homelab.toml");
        Self::of(inventory::parse("homelab.toml", text).unwrap().inventory)
    }

    fn of(inventory: Inventory) -> Self {
        let facts = inventory.nodes.iter().enumerate();
        let facts = facts.map(|(n, node)| (node.name.clone(), fresh(node, n))).collect();
        Self { inventory, facts, unreachable: BTreeMap::new(), ledger: None, index: 0 }
    }

    /// Three nodes, all of them members.
    pub fn healthy() -> Self {
        let mut fleet = Self::fresh();
        fleet.join_all();
        fleet.remember_identity();
        fleet
    }

    /// Three control planes and so many workers.
    pub fn large(workers: usize) -> Self {
        let mut fleet = Self::fresh();
        for n in 0..workers {
            let mut node = fleet.inventory.nodes[0].clone();
            node.name = name(&format!("worker-{n:02}"));
            node.role = Role::Worker;
            node.lan.mac = format!("58:47:cb:00:{n:02x}:01").parse().unwrap();
            node.lan.address = format!("192.168.1.{}", 20 + n).parse().unwrap();
            node.ceph = None;
            node.disks.os = format!("S6XNNS0W3{n:05}").parse().unwrap();
            node.disks.ceph.clear();
            fleet.inventory.nodes.push(node);
        }
        let mut fleet = Self::of(fleet.inventory);
        fleet.join_all();
        fleet.remember_identity();
        fleet
    }

    fn join_all(&mut self) {
        let nodes = self.inventory.nodes.clone();
        let api = api(&self.inventory);
        for node in &nodes {
            self.join(node, &api);
        }
    }

    fn join(&mut self, node: &Node, api: &ApiFacts) {
        let version = self.inventory.cluster.kubernetes.clone();
        let (lan, ceph) = (&self.inventory.network.lan, self.inventory.network.ceph.clone());
        let facts = self.facts.get_mut(&node.name).unwrap();
        facts.hostname = node.name.to_string();
        facts.links[0].name = "lan0".into();
        facts.links[0].addresses = vec![(node.lan.address, lan.cidr.prefix_len())];
        if let (Some(port), Some(net)) = (&node.ceph, ceph) {
            facts.links[1].name = "ceph0".into();
            facts.links[1].mtu = net.mtu;
            facts.links[1].addresses = vec![(port.address, net.cidr.prefix_len())];
        }
        for disk in facts.disks.iter_mut().filter(|disk| !disk.is_os) {
            disk.contents = vec![Contents::Osd { fsid: "d29d8f10".into(), at_gib: 0 }];
        }
        let plane = node.role == Role::ControlPlane;
        let manifests = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];
        facts.kube = KubeFacts {
            kubelet: Some(version.clone()),
            kubeadm: Some(version),
            ca_fingerprint: Some(CA.into()),
            kubelet_conf: true,
            manifests: if plane { manifests.map(String::from).into() } else { Vec::new() },
            etcd_data: plane.then(|| EtcdData {
                cluster_id: ETCD.into(),
                member_id: format!("m-{}", node.name),
            }),
            api: plane.then(|| api.clone()),
        };
    }

    pub fn exam(&self) -> Exam<'_> {
        Exam {
            inventory: &self.inventory,
            facts: &self.facts,
            unreachable: &self.unreachable,
            ledger: self.ledger.as_ref(),
            now_ms: NOW_MS,
        }
    }

    pub fn node(&mut self, node: &str) -> &mut NodeFacts {
        self.facts.get_mut(&name(node)).unwrap()
    }

    /// Changes what every API server says.
    pub fn api(&mut self, change: impl Fn(&mut ApiFacts)) {
        self.facts.values_mut().filter_map(|facts| facts.kube.api.as_mut()).for_each(change);
    }

    pub fn kube_node(&mut self, node: &str, change: impl Fn(&mut KubeNode)) {
        self.api(|api| change(api.nodes.iter_mut().find(|n| n.name.as_str() == node).unwrap()));
    }

    pub fn lose(&mut self, node: &str) {
        let failure = Failure::new("connect", "no answer from 192.168.1.13:22 in 10 s");
        let failure = failure.hint("is it switched on?").on(&name(node));
        self.facts.remove(&name(node));
        self.unreachable.insert(name(node), failure);
    }

    /// A node that is gone, as the rest of the cluster sees it.
    pub fn power_off(&mut self, node: &str) {
        self.lose(node);
        self.kube_node(node, |n| n.ready = false);
        self.api(|api| {
            let gone = api.members.iter_mut().filter(|member| member.node.as_str() == node);
            gone.for_each(|member| member.started = false);
        });
    }

    pub fn remember(&mut self, at_ms: u64, event: Event) {
        self.index += 1;
        let stamped = Stamped { index: self.index, at_ms, event };
        self.ledger.get_or_insert_default().apply(&stamped);
    }

    pub fn remember_identity(&mut self) {
        let (ca_fingerprint, etcd_cluster_id) = (CA.into(), Some(ETCD.into()));
        self.remember(NOW_MS - DAY_MS, Event::ClusterIdentity { ca_fingerprint, etcd_cluster_id });
    }

    /// A run of four phases that began so long ago, took five minutes and ended so, after so many
    /// phases; with None it never ended.
    pub fn ran(&mut self, verb: &str, ago_ms: u64, done: usize, result: Option<RunResult>) {
        let (run, started_ms) = (format!("{verb}-{ago_ms}"), NOW_MS - ago_ms);
        let phases = ["connect", "host-prep", "network", "control-plane-init"];
        self.index = 0;
        let started = RunStarted {
            run: run.clone(),
            verb: verb.into(),
            cluster: self.inventory.cluster.name.clone(),
            slipway: "0.1.0".into(),
            simulated: self.inventory.simulated(),
            nodes: self.inventory.nodes.iter().map(|node| node.name.clone()).collect(),
            plan_hash: "5e1c0d2a99887766".into(),
            decisions: Vec::new(),
            destructive: Vec::new(),
            changes: 40,
            unchanged: 2,
            phases: phases.map(|phase| phase.parse().unwrap()).into(),
            command: format!("slipway {verb} -i homelab.toml"),
        };
        self.remember(started_ms, Event::RunStarted(started));
        for (n, phase) in phases.iter().enumerate().take(done + 1) {
            let ended = match (n < done, result) {
                (true, _) => PhaseResult::Done,
                (false, Some(RunResult::Failed)) => PhaseResult::Failed,
                (false, Some(RunResult::Interrupted)) => PhaseResult::Interrupted,
                (false, _) => continue,
            };
            let phase = phase.parse().unwrap();
            let event = Event::PhaseFinished { phase, result: ended, elapsed_ms: 60_000 };
            self.remember(started_ms + 60_000 * (n as u64 + 1), event);
        }
        if let Some(result) = result {
            let (elapsed_ms, failures) = (300_000, Vec::new());
            let done = RunFinished { run, result, changed: 40, unchanged: 2, elapsed_ms, failures };
            self.remember(started_ms + elapsed_ms, Event::RunFinished(done));
        }
    }
}

fn fresh(node: &Node, n: usize) -> NodeFacts {
    let disk = |serial: &crate::names::Serial, is_os: bool| Disk {
        serial: serial.clone(),
        wwn: None,
        model: if is_os { "Kingston OM8PGP4" } else { "Samsung SSD 990 PRO" }.into(),
        size_bytes: if is_os { 1_000_204_886_016 } else { 2_000_398_934_016 },
        kernel_name: "nvme0n1".into(),
        mounted: if is_os { vec!["/".into()] } else { Vec::new() },
        held_by: Vec::new(),
        contents: if is_os {
            vec![Contents::PartitionTable { kind: "gpt".into(), partitions: 2 }]
        } else {
            Vec::new()
        },
        is_os,
        transport: Some("nvme".into()),
        health: Some(Health {
            used_percent: 3,
            spare_percent: 100,
            spare_least_percent: 10,
            warns: false,
            media_errors: 0,
        }),
    };
    let link = |name: &str, mac| Link {
        name: name.into(),
        mac,
        up: true,
        speed_mbps: Some(2500),
        mtu: 1500,
        addresses: Vec::new(),
    };
    let mut links = vec![link("enp1s0", node.lan.mac)];
    links[0].addresses = vec![(std::net::Ipv4Addr::new(192, 168, 1, 100 + (n % 100) as u8), 24)];
    links.extend(node.ceph.as_ref().map(|port| link("enp2s0", port.mac)));
    let mut disks = vec![disk(&node.disks.os, true)];
    disks.extend(node.disks.ceph.iter().map(|serial| disk(serial, false)));
    NodeFacts {
        machine_id: format!("{:032x}", 0xa000 + n),
        boot_id: format!("boot-{n}"),
        hostname: "archlinux".into(),
        os: OsFacts {
            id: "arch".into(),
            arch: "x86_64".into(),
            kernel_running: "6.17.8-arch1-1".into(),
            kernel_installed: Some("6.17.8-arch1-1".into()),
            cgroup: 2,
            microcode: None,
        },
        cpus: 12,
        memory_mb: 96_000,
        var_free_mb: 800_000,
        clock: ClockFacts { wall_ms: NOW_MS, synchronised: true, skew_ms: 3 * n as i64 % 20 },
        disks,
        links,
        kube: KubeFacts::default(),
    }
}

fn api(inventory: &Inventory) -> ApiFacts {
    let version = &inventory.cluster.kubernetes;
    let nodes = inventory.nodes.iter().map(|node| KubeNode {
        name: node.name.clone(),
        ready: true,
        kubelet: version.clone(),
        control_plane: node.role == Role::ControlPlane,
        cordoned: false,
        cordoned_by_us: false,
        taints: Vec::new(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        pods: 12,
    });
    let member = |node: &Node| Member {
        id: format!("m-{}", node.name),
        name: node.name.to_string(),
        node: node.name.clone(),
        learner: false,
        started: true,
    };
    let addon = |version: &str| Addon { version: version.into(), ready: true };
    ApiFacts {
        version: version.clone(),
        nodes: nodes.collect(),
        members: inventory.control_planes().map(member).collect(),
        etcd_cluster_id: ETCD.into(),
        etcd_revision: 48_211,
        leader: Some("m-node-a".into()),
        alarms: Vec::new(),
        hashes_equal: true,
        certificates_end_ms: NOW_MS + 351 * DAY_MS + 1,
        addons: [("cilium", "1.20.1"), ("argocd", "3.5.1")]
            .map(|(name, version)| (name.to_string(), addon(version)))
            .into(),
        applications: ["root", "platform", "storage"]
            .map(|name| Application {
                name: name.into(),
                synced: true,
                healthy: true,
                revision: "8c1f0a2".into(),
            })
            .into(),
    }
}
