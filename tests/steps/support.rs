//! A fresh fleet or a running cluster, made from the reference inventory, and what a fixture
//! changes about it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use slipway::{
    facts::{
        Addon, ApiFacts, ClockFacts, Disk, EtcdData, KubeFacts, KubeNode, Link, Member, NodeFacts,
        OsFacts,
    },
    inventory::{Inventory, Node, Role},
    names::{NodeName, Serial, Version},
    ops::packages::PackageSet,
    steps::{Memory, Scene, Wish},
};

pub const OLD_CA: &str = "ca-of-this-cluster";

/// One fixture. `"<none>"` in a patch takes a value out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub about: String,
    pub step: String,
    /// On which nodes it is decided; all when left out.
    #[serde(default)]
    pub nodes: Vec<NodeName>,
    /// Whether texts are shown in full.
    #[serde(default)]
    pub show: bool,
    #[serde(default)]
    state: State,
    /// Which nodes did not answer at all.
    #[serde(default)]
    silent: Vec<NodeName>,
    /// Whose API server answers, with a running cluster; all control planes when left out.
    answers: Option<Vec<NodeName>>,
    /// Which nodes have not joined, with a running cluster.
    #[serde(default)]
    outside: Vec<NodeName>,
    inventory: Option<toml::Value>,
    /// Patches of the inventory's nodes, by name.
    #[serde(default)]
    node: BTreeMap<NodeName, toml::Value>,
    #[serde(default)]
    facts: BTreeMap<NodeName, toml::Value>,
    /// Patches of what the API server says, of its nodes, and of etcd's members.
    api: Option<toml::Value>,
    #[serde(default)]
    object: BTreeMap<NodeName, toml::Value>,
    #[serde(default)]
    member: BTreeMap<NodeName, toml::Value>,
    /// Patches of disks, by serial.
    #[serde(default)]
    disk: BTreeMap<Serial, toml::Value>,
    #[serde(default)]
    wish: WishText,
    #[serde(default)]
    memory: MemoryText,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum State {
    #[default]
    Fresh,
    Cluster,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WishText {
    verb: Option<String>,
    target: Option<NodeName>,
    only: Vec<NodeName>,
    to: Option<Version>,
    wipe: Vec<Serial>,
    destroy_osd: BTreeMap<Serial, String>,
    /// Whether a bundle with packages is used.
    bundled: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MemoryText {
    ca_fingerprint: Option<String>,
    approved: BTreeMap<Serial, String>,
}

pub struct World {
    pub inventory: Inventory,
    pub facts: BTreeMap<NodeName, NodeFacts>,
    pub wish: Wish,
    pub memory: Memory,
}

impl World {
    pub fn scene(&self) -> Scene<'_> {
        Scene {
            inventory: &self.inventory,
            facts: &self.facts,
            wish: &self.wish,
            memory: &self.memory,
        }
    }
}

pub fn reference() -> Inventory {
    toml::from_str(include_str!("../../inventory/homelab.toml")).unwrap()
}

fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, Value::String(text)) if text == "<none>" => *into = Value::Null,
        (into, patch) => *into = patch,
    }
}

fn patched<T: serde::Serialize + serde::de::DeserializeOwned>(
    value: &T,
    patch: Option<&toml::Value>,
) -> T {
    let mut json = serde_json::to_value(value).unwrap();
    if let Some(patch) = patch {
        merge(&mut json, serde_json::to_value(patch).unwrap());
    }
    serde_json::from_value(json).unwrap()
}

fn disk(serial: &Serial, is_os: bool) -> Disk {
    let (model, size_bytes) = if is_os {
        ("Kingston KC3000", 1_000_204_886_016)
    } else {
        ("Samsung 990 PRO", 2_000_398_934_016)
    };
    Disk {
        serial: serial.clone(),
        wwn: Some(format!("eui.{serial}").parse().unwrap()),
        model: model.into(),
        size_bytes,
        kernel_name: "nvme0n1".into(),
        mounted: if is_os { vec!["/".into()] } else { vec![] },
        held_by: vec![],
        contents: vec![],
        is_os,
        transport: Some("nvme".into()),
        health: None,
    }
}

/// A machine as it comes, with its addresses already in place.
pub fn fresh(inventory: &Inventory, node: &Node) -> NodeFacts {
    let mut links = vec![Link {
        name: "enp1s0".into(),
        mac: node.lan.mac,
        up: true,
        speed_mbps: Some(2500),
        mtu: 1500,
        addresses: vec![(node.lan.address, inventory.network.lan.cidr.prefix_len())],
    }];
    if let Some(port) = &node.ceph {
        links.push(Link {
            name: "enp2s0".into(),
            mac: port.mac,
            addresses: vec![],
            ..links[0].clone()
        });
    }
    let mut disks = vec![disk(&node.disks.os, true)];
    disks.extend(node.disks.ceph.iter().map(|s| disk(s, false)));
    NodeFacts {
        machine_id: format!("machine-of-{}", node.name),
        boot_id: "boot-1".into(),
        hostname: "archlinux".into(),
        os: OsFacts {
            id: "arch".into(),
            arch: "x86_64".into(),
            kernel_running: "6.17.8".into(),
            kernel_installed: Some("6.17.8".into()),
            cgroup: 2,
            microcode: None,
        },
        cpus: 12,
        memory_mb: 96_000,
        var_free_mb: 800_000,
        clock: ClockFacts { wall_ms: 0, synchronised: true, skew_ms: 0 },
        disks,
        links,
        kube: KubeFacts::default(),
    }
}

fn cluster_api(inventory: &Inventory, case: &Case) -> ApiFacts {
    let joined: Vec<&Node> =
        inventory.nodes.iter().filter(|n| !case.outside.contains(&n.name)).collect();
    let version = inventory.cluster.kubernetes.clone();
    let object = |n: &&Node| KubeNode {
        name: n.name.clone(),
        ready: true,
        kubelet: version.clone(),
        control_plane: n.role == Role::ControlPlane,
        cordoned: false,
        cordoned_by_us: false,
        taints: vec![],
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        pods: 7,
    };
    let member = |n: &&Node| Member {
        id: format!("member-of-{}", n.name),
        name: n.name.to_string(),
        node: n.name.clone(),
        learner: false,
        started: true,
    };
    let planes = joined.iter().filter(|n| n.role == Role::ControlPlane);
    let mut api = ApiFacts {
        version: version.clone(),
        nodes: joined.iter().map(object).collect(),
        members: planes.map(member).collect(),
        etcd_cluster_id: "etcd-of-this-cluster".into(),
        etcd_revision: 100,
        leader: Some("member-of-node-a".into()),
        alarms: vec![],
        hashes_equal: true,
        certificates_end_ms: 1,
        addons: BTreeMap::from([(
            "cilium".to_string(),
            Addon { version: "1.20.1".into(), ready: true },
        )]),
        applications: vec![],
    };
    for node in &mut api.nodes {
        *node = patched(node, case.object.get(&node.name));
    }
    for member in &mut api.members {
        *member = patched(member, case.member.get(&member.node));
    }
    patched(&api, case.api.as_ref())
}

impl Case {
    pub fn world(&self) -> World {
        let mut inventory: Inventory = patched(&reference(), self.inventory.as_ref());
        for node in &mut inventory.nodes {
            *node = patched(node, self.node.get(&node.name));
        }
        let api = (self.state == State::Cluster).then(|| cluster_api(&inventory, self));
        let mut facts = BTreeMap::new();
        for node in inventory.nodes.iter().filter(|n| !self.silent.contains(&n.name)) {
            let mut found = fresh(&inventory, node);
            if let Some(api) = api.as_ref().filter(|_| !self.outside.contains(&node.name)) {
                found.kube = kube(&inventory, node, api, self.answers.as_deref());
            }
            for disk in &mut found.disks {
                *disk = patched(disk, self.disk.get(&disk.serial));
            }
            facts.insert(node.name.clone(), patched(&found, self.facts.get(&node.name)));
        }
        let wish = Wish {
            verb: self.wish.verb.clone().unwrap_or_else(|| "bootstrap".into()),
            target: self.wish.target.clone(),
            only: self.wish.only.iter().cloned().collect(),
            to: self.wish.to.clone(),
            wipe: self.wish.wipe.iter().cloned().collect(),
            destroy_osd: self.wish.destroy_osd.clone(),
            packages: self.wish.bundled.then(|| PackageSet {
                database: "slipway.db".into(),
                files: vec!["slipway.db".into(), "socat-1-1-any.pkg.tar.zst".into()],
            }),
            wait_for: Vec::new(),
        };
        let memory = Memory {
            ca_fingerprint: self.memory.ca_fingerprint.clone(),
            approved: self.memory.approved.clone(),
        };
        World { inventory, facts, wish, memory }
    }
}

fn kube(
    inventory: &Inventory,
    node: &Node,
    api: &ApiFacts,
    answers: Option<&[NodeName]>,
) -> KubeFacts {
    let plane = node.role == Role::ControlPlane;
    let version = Some(inventory.cluster.kubernetes.clone());
    KubeFacts {
        kubelet: version.clone(),
        kubeadm: version,
        ca_fingerprint: Some(OLD_CA.into()),
        kubelet_conf: true,
        manifests: if plane { vec!["etcd".into(), "kube-apiserver".into()] } else { vec![] },
        etcd_data: plane.then(|| EtcdData {
            cluster_id: api.etcd_cluster_id.clone(),
            member_id: format!("member-of-{}", node.name),
        }),
        api: (plane && answers.is_none_or(|a| a.contains(&node.name))).then(|| api.clone()),
    }
}

/// What an op is, for a person who reads a snapshot.
pub fn details(op: &slipway::ops::Op, show: bool) -> String {
    let mut json = serde_json::to_value(op).unwrap();
    let mut texts = Vec::new();
    let Some((_, fields)) = json.as_object_mut().and_then(|o| o.iter_mut().next()) else {
        return String::new();
    };
    take_texts(fields, "", &mut texts);
    let fields = match fields.as_object() {
        Some(f) if f.is_empty() => String::new(),
        _ => format!(" {fields}"),
    };
    let mut out = format!("{fields}\n");
    for (name, text) in texts.iter().filter(|_| show) {
        out.push_str(&format!("    --- {name}\n"));
        for line in text.lines() {
            out.push_str(format!("    {line}").trim_end());
            out.push('\n');
        }
    }
    out
}

/// Long texts out of the line, to be shown below it or not at all.
fn take_texts(value: &mut Value, name: &str, texts: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(k, v)| take_texts(v, k, texts)),
        Value::Array(list) => list.iter_mut().for_each(|v| take_texts(v, name, texts)),
        Value::String(text) if text.contains('\n') => {
            texts.push((name.to_string(), text.clone()));
            *value = json!(format!("<{} lines>", text.lines().count()));
        }
        _ => {}
    }
}
