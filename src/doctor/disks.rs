//! Disks: the one that carries the OS, and those that are meant for Ceph.

use super::{Check, Exam, Finding, Severity, Verdict, exam::NONE_ANSWERED};
use crate::{
    facts::{Disk, human_size},
    names::{NodeName, Serial},
};

const FAMILY: &str = "disks";

pub(super) const OS_DISK: Check = Check {
    id: "os-disk",
    family: FAMILY,
    severity: Severity::Error,
    about: "the system runs from the disk that the inventory names",
    remedy: "set `disks.os` of the node to the serial shown (`lsblk -o NAME,SERIAL`): whatever is \
             not the OS disk may be taken for another",
    run: |exam| {
        exam.each_answering(|node, facts| {
            let named = &node.disks.os;
            if facts.disk(named).is_some_and(|disk| disk.is_os) {
                return None;
            }
            let actual: Vec<_> = facts.disks.iter().filter(|disk| disk.is_os).map(show).collect();
            let actual = match actual.as_slice() {
                [] => "which disk it is cannot be seen".into(),
                disks => format!("it runs from {}", crate::ui::list(disks, 4)),
            };
            Some(match facts.disk(named) {
                None => format!("there is no disk {named}; {actual}"),
                Some(_) => format!("the system does not run from {named}; {actual}"),
            })
        })
    },
};

fn show(disk: &Disk) -> String {
    format!("{} ({}, {})", disk.serial, disk.model, human_size(disk.size_bytes))
}

/// Where a disk's maker stops promising anything.
const WORN_PERCENT: u32 = 90;

pub(super) const HEALTH: Check = Check {
    id: "disk-health",
    family: FAMILY,
    severity: Severity::Warning,
    about: "no disk of the inventory says that it is worn or failing",
    remedy: "order another, and replace the disk while it can still be read: Rook moves an OSD's data \
             off by itself, the OS disk's node leaves with `slipway remove-node` and joins again",
    run: |exam| {
        let asked = exam
            .answered()
            .filter(|(_, facts)| facts.disks.iter().any(|disk| disk.health.is_some()));
        let none = if exam.facts.is_empty() {
            NONE_ANSWERED
        } else {
            "no disk was asked: nvme-cli is not installed yet"
        };
        Exam::each(asked, none, |node, facts| {
            let named = std::iter::once(&node.disks.os).chain(&node.disks.ceph);
            let worn = named.filter_map(|serial| {
                let disk = facts.disk(serial)?;
                let health = disk.health.as_ref()?;
                let bad = health.warns
                    || health.media_errors > 0
                    || health.used_percent >= WORN_PERCENT
                    || health.spare_percent < health.spare_least_percent;
                bad.then(|| format!("{}: {health}", show(disk)))
            });
            worn.collect()
        })
    },
};

const NO_CEPH: &str = "no node that answered has Ceph disks";

pub(super) const CEPH_PRESENT: Check = Check {
    id: "ceph-disks-present",
    family: FAMILY,
    severity: Severity::Error,
    about: "every Ceph disk is in its node, exactly once",
    remedy: "reseat or replace the disk, or correct `disks.ceph` of the node \
             (`lsblk -o NAME,SERIAL` shows what is there)",
    run: |exam| {
        let ceph = exam.answered().filter(|(node, _)| !node.disks.ceph.is_empty());
        Exam::each(
            ceph,
            if exam.facts.is_empty() { NONE_ANSWERED } else { NO_CEPH },
            |node, facts| {
                node.disks
                    .ceph
                    .iter()
                    .filter_map(|serial| {
                        let here = facts.disks.iter().filter(|disk| disk.is_named(serial)).count();
                        let elsewhere = elsewhere(exam, &node.name, serial);
                        match (here, elsewhere) {
                            (1, None) => None,
                            (0, None) => Some(format!("there is no disk {serial}")),
                            (0, Some(other)) => Some(format!("disk {serial} is in {other}")),
                            (1, Some(other)) => Some(format!("{other} has a disk {serial} too")),
                            (n, _) => Some(format!("{n} disks go by {serial}")),
                        }
                    })
                    .collect()
            },
        )
    },
};

fn elsewhere<'a>(exam: &Exam<'a>, except: &NodeName, serial: &Serial) -> Option<&'a NodeName> {
    let mut others = exam.answered().filter(|(node, _)| &node.name != except);
    others.find(|(_, facts)| facts.disk(serial).is_some()).map(|(node, _)| &node.name)
}

pub(super) const CEPH_BLANK: Check = Check {
    id: "ceph-disks-blank",
    family: FAMILY,
    severity: Severity::Error,
    about: "Ceph disks of nodes that are in no cluster yet are blank",
    remedy: "save what is on it, then allow it to be cleared: `slipway bootstrap --wipe-disk SERIAL` \
             (an OSD's disk needs `--destroy-osd SERIAL=FSID`); or take it out of `disks.ceph`",
    run: |exam| {
        // On a member what lies on them is Rook's business.
        let ceph = exam.outsiders().filter(|(node, _)| !node.disks.ceph.is_empty());
        let none = if exam.members().next().is_some() {
            "every node with Ceph disks is in the cluster: they are Rook's"
        } else if exam.facts.is_empty() {
            NONE_ANSWERED
        } else {
            NO_CEPH
        };
        Exam::each(ceph, none, |node, facts| {
            let disks = node.disks.ceph.iter().filter_map(|serial| facts.disk(serial));
            disks
                .filter(|disk| !disk.is_blank())
                .map(|disk| format!("{}: {}", disk.serial, disk.evidence()))
                .collect()
        })
    },
};

pub(super) const CEPH_SIZES: Check = Check {
    id: "ceph-disks-alike",
    family: FAMILY,
    severity: Severity::Warning,
    about: "Ceph disks are of about the same size",
    remedy: "nothing has to be done; Ceph fills disks by size, so that the largest gets most of the \
             work, and of three nodes the smallest sets how much can be stored three times",
    run: |exam| {
        let mut disks: Vec<(u64, &NodeName, &Serial)> = exam
            .answered()
            .flat_map(|(node, facts)| {
                let named = node.disks.ceph.iter();
                named.filter_map(|s| Some((facts.disk(s)?.size_bytes, &node.name, s)))
            })
            .collect();
        disks.sort_unstable();
        let [smallest, .., largest] = disks.as_slice() else {
            return Verdict::Skipped("sizes are compared between two Ceph disks or more".into());
        };
        // Makers do not agree on what 2 TB is: a few per cent are the same size.
        if largest.0 <= smallest.0.saturating_add(smallest.0 / 20) {
            return Verdict::Passed;
        }
        let name = |(bytes, node, serial): &(u64, &NodeName, &Serial)| {
            format!("{} ({serial} in {node})", human_size(*bytes))
        };
        let text = format!("from {} to {}", name(smallest), name(largest));
        Verdict::of(vec![Finding::general(text)])
    },
};
