//! Machines as they come out of the box, for the nodes of an inventory.

use std::collections::BTreeMap;

use crate::{
    facts::Contents,
    gitops,
    inventory::{Inventory, Node, Os, SimDisk, SimFaultKind},
    names::Serial,
    ops::fake::{FakeDisk, FakePort, Machine, Power, World},
};

const OS_DISK_GB: u64 = 1_000;
const CEPH_DISK_GB: u64 = 2_000;

/// Adds machines for nodes that the world does not know, and disks' contents that were changed in
/// the inventory since.
pub(super) fn furnish(world: &mut World, inventory: &Inventory) {
    let sim = inventory.sim.clone().unwrap_or_default();
    if world.machines.is_empty() {
        world.seed = sim.seed;
    }
    world.router = Some(inventory.network.lan.gateway);
    world.repository = repository(inventory);
    for (n, node) in inventory.nodes.iter().enumerate() {
        if !world.machines.contains_key(&node.name) {
            let machine = machine(inventory, node, n, world.seed);
            world.machines.insert(node.name.clone(), machine);
        }
    }
    for spec in &sim.disks {
        let told = serde_json::to_string(spec).unwrap_or_default();
        if world.told.insert(spec.serial.to_string(), told.clone()).as_ref() == Some(&told) {
            continue;
        }
        for machine in world.machines.values_mut() {
            lay(machine, spec);
        }
    }
}

/// What of the GitOps repository the bootstrap itself reads, as its starter writes it.
pub fn repository(inventory: &Inventory) -> BTreeMap<String, String> {
    let Some(cilium) = &inventory.cilium else { return BTreeMap::new() };
    let starter = gitops::scaffold(inventory, &gitops::Input::default());
    let mut files = starter.map(|starter| starter.files).unwrap_or_default();
    files.retain(|path, _| *path == cilium.values);
    files
}

/// Turns on what no fault keeps off, and lets due boots happen.
pub(super) fn settle(world: &mut World, inventory: &Inventory, now_ms: u64) {
    let faults = inventory.sim.as_ref().map(|s| s.faults.as_slice()).unwrap_or_default();
    for (name, machine) in &mut world.machines {
        let kept_off = faults
            .iter()
            .any(|f| f.kind == SimFaultKind::PowerOff && f.node.as_ref().is_none_or(|n| n == name));
        if machine.power == Power::Off && !kept_off {
            machine.power = Power::Booting { until_ms: now_ms };
        }
        machine.settle(now_ms);
    }
}

/// A fresh machine for a node, booted.
pub fn machine(inventory: &Inventory, node: &Node, n: usize, seed: u64) -> Machine {
    let os = match node.os {
        Os::Arch => "arch",
        Os::Debian => "debian",
        Os::Talos => "talos",
    };
    let mut machine = Machine::fresh(&node.name, os, seed);
    machine.disks.push(disk(&node.disks.os, "Kingston OM8PGP4", OS_DISK_GB, true));
    for serial in &node.disks.ceph {
        machine.disks.push(disk(serial, "Samsung SSD 990 PRO", CEPH_DISK_GB, false));
    }
    let lan = &inventory.network.lan;
    // The router's leases: high addresses, in the order in which the machines came up.
    let offset = 100 + u32::try_from(n).unwrap_or(0);
    let leased = lan.cidr.nth(offset).unwrap_or(node.lan.address);
    machine.ports.push(FakePort {
        mac: node.lan.mac,
        kernel_name: "enp1s0".into(),
        speed_mbps: 2500,
        mtu: 1500,
        leased: Some((leased, lan.cidr.prefix_len())),
    });
    if let Some(ceph) = &node.ceph {
        machine.ports.push(FakePort {
            mac: ceph.mac,
            kernel_name: "enp2s0".into(),
            speed_mbps: 2500,
            mtu: 1500,
            leased: None,
        });
    }
    machine.boot(super::BEGINNING_MS - 600_000);
    machine
}

fn disk(serial: &Serial, model: &str, size_gb: u64, is_os: bool) -> FakeDisk {
    let contents = if is_os {
        vec![
            Contents::PartitionTable { kind: "gpt".into(), partitions: 2 },
            Contents::Filesystem { kind: "ext4".into(), label: None },
        ]
    } else {
        Vec::new()
    };
    FakeDisk {
        serial: serial.clone(),
        model: model.into(),
        size_bytes: size_gb * 1_000_000_000,
        contents,
        mounted: if is_os { vec!["/".into()] } else { Vec::new() },
        held_by: Vec::new(),
        is_os,
        cleared: false,
        added: Vec::new(),
    }
}

/// Puts on a disk what the inventory says is on it.
fn lay(machine: &mut Machine, spec: &SimDisk) {
    if spec.contents == "missing" {
        machine.disks.retain(|d| d.serial != spec.serial);
        return;
    }
    let Some(disk) = machine.disks.iter_mut().find(|d| d.serial == spec.serial) else { return };
    if let Some(gb) = spec.size_gb {
        disk.size_bytes = gb * 1_000_000_000;
    }
    disk.contents = contents(spec);
}

fn contents(spec: &SimDisk) -> Vec<Contents> {
    if let Some(fsid) = spec.contents.strip_prefix("osd:") {
        return [0, 1, 10, 100, 1000]
            .map(|at_gib| Contents::Osd { fsid: fsid.into(), at_gib })
            .into();
    }
    match spec.contents.as_str() {
        "blank" => Vec::new(),
        kind @ ("gpt" | "mbr") => {
            vec![Contents::PartitionTable { kind: kind.into(), partitions: 1 }]
        }
        kind @ ("lvm" | "luks" | "mdraid" | "zfs" | "swap") => {
            vec![Contents::Member { kind: kind.into() }]
        }
        kind => vec![Contents::Filesystem { kind: kind.into(), label: spec.label.clone() }],
    }
}
