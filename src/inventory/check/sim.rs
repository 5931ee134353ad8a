//! The simulated fleet: faults and disk contents must be about machines that exist.

use std::collections::BTreeMap;

use super::{Finding, Findings, at, text};
use crate::{
    inventory::{Inventory, SimFaultKind},
    names::StepName,
    toml_read::{closest, list},
};

const CONTENTS: [&str; 14] = [
    "blank", "missing", "ext4", "xfs", "btrfs", "vfat", "ntfs", "swap", "gpt", "mbr", "lvm",
    "luks", "mdraid", "zfs",
];

pub fn check(inventory: &Inventory, f: &mut Findings<'_>) {
    let Some(sim) = &inventory.sim else { return };
    let names: Vec<&str> = inventory.nodes.iter().map(|n| n.name.as_str()).collect();
    for (i, fault) in sim.faults.iter().enumerate() {
        let path = |key: &str| format!("sim.fault.{i}.{key}");
        if let Some(node) = fault.node.as_ref().filter(|n| inventory.node(n).is_none()) {
            let mut finding = Finding::error(&path("node"), format!("there is no node `{node}`"));
            for n in 0..names.len() {
                finding = finding.given(&at(n, "name"));
            }
            f.add(finding.hint(guess(node.as_str(), &names, "the nodes are")));
        }
        if let Some(step) = &fault.step
            && let Err(why) = step.parse::<StepName>()
        {
            f.add(Finding::error(&path("step"), format!("the step name `{step}` {why}")));
        }
        let timed = matches!(fault.kind, SimFaultKind::Slow | SimFaultKind::ClockSkew);
        if fault.seconds.is_some() && !timed {
            let message = "`seconds` means nothing for this kind of fault";
            f.add(
                Finding::warning(&path("seconds"), message)
                    .on_key()
                    .other(&path("kind"), "only `slow` and `clock-skew` take seconds"),
            );
        }
    }
    disks(inventory, f);
}

fn disks(inventory: &Inventory, f: &mut Findings<'_>) {
    let Some(sim) = &inventory.sim else { return };
    let serials: Vec<&str> = inventory
        .nodes
        .iter()
        .flat_map(|n| n.disks.ceph.iter().chain([&n.disks.os]))
        .map(|serial| serial.as_str())
        .collect();
    let mut seen = BTreeMap::new();
    for (i, disk) in sim.disks.iter().enumerate() {
        let path = |key: &str| format!("sim.disk.{i}.{key}");
        let serial = disk.serial.as_str();
        f.unique(&mut seen, serial, (path("serial"), String::new()), |_| {
            format!("the contents of the disk {serial} are given twice")
        });
        if !serials.contains(&serial) {
            let mut finding = Finding::error(
                &path("serial"),
                format!("no node has a disk with the serial {serial}"),
            );
            for n in 0..inventory.nodes.len() {
                finding = finding.given(&at(n, "disks"));
            }
            let hint = guess(serial, &serials, "the disks are");
            f.add(finding.hint(hint));
        }
        let contents = disk.contents.as_str();
        let problem = match contents.split_once(':') {
            Some(("osd", fsid)) if text::uuid(fsid) => None,
            Some(("osd", fsid)) => Some((
                format!("`{fsid}` is not the id of a Ceph cluster"),
                "for example: osd:d29d8f10-9f3a-4b7e-8a55-2f6d1c0f7a11".into(),
            )),
            _ if CONTENTS.contains(&contents) => None,
            _ => Some((
                format!("a disk cannot hold `{contents}`"),
                match closest(contents, &CONTENTS) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("it is one of {}, or `osd:FSID`", list(&CONTENTS, "and")),
                },
            )),
        };
        if let Some((message, hint)) = problem {
            f.add(Finding::error(&path("contents"), message).hint(hint));
        }
        if disk.size_gb == Some(0) {
            f.add(
                Finding::error(&path("size_gb"), "a disk of 0 GB is no disk")
                    .hint("say `contents = \"missing\"`"),
            );
        }
    }
}

fn guess(word: &str, known: &[&str], otherwise: &str) -> String {
    match closest(word, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("{otherwise} {}", list(known, "and")),
    }
}
