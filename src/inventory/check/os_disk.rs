//! The layout of the disk that carries the OS.

use std::collections::BTreeMap;

use super::{Finding, Findings, text};
use crate::inventory::{Inventory, OsPartition, size_bytes};

/// What may have a partition of its own: the two that fill a disk, or suffer from a full one.
const MOUNTS: [&str; 2] = [OsPartition::ETCD, OsPartition::CONTAINERD];
/// XFS is not made on less than 300 MiB, and neither directory is of use in that.
const SMALLEST: u64 = 512 << 20;

pub fn check(inventory: &Inventory, f: &mut Findings<'_>) {
    let layout = &inventory.os_disk;
    for (path, asked) in [("os_disk.esp", &layout.esp), ("os_disk.root", &layout.root)] {
        if let Some(asked) = asked {
            size(path, asked, 0, f);
        }
    }
    let mut mounts = BTreeMap::new();
    for (i, partition) in layout.partitions.iter().enumerate() {
        let at = |field: &str| format!("os_disk.partition.{i}.{field}");
        size(&at("size"), &partition.size, SMALLEST, f);
        if MOUNTS.contains(&partition.mount.as_str()) {
            let place = (at("mount"), "a partition".to_string());
            f.unique(&mut mounts, partition.mount.clone(), place, |_| {
                format!("`{}` has two partitions", partition.mount)
            });
        } else {
            let message = format!("`{}` cannot have a partition of its own", partition.mount);
            let hint = format!("one of `{}` and `{}`", MOUNTS[0], MOUNTS[1]);
            f.add(Finding::error(&at("mount"), message).hint(hint));
        }
        options(i, partition, f);
    }
}

fn size(path: &str, asked: &str, least: u64, f: &mut Findings<'_>) {
    let bytes = size_bytes(asked).filter(|_| text::size(asked));
    let finding = match bytes {
        None => Finding::error(path, format!("`{asked}` is not a size"))
            .hint("a whole number and its binary unit: `512M`, `20G`"),
        Some(bytes) if bytes < least => {
            Finding::error(path, format!("`{asked}` is too small for a filesystem that is of use"))
                .hint("512M at the least; etcd wants some 10G, images of containers some 100G")
        }
        Some(_) => return,
    };
    f.add(finding);
}

fn options(i: usize, partition: &OsPartition, f: &mut Findings<'_>) {
    let inside = |c: char| c.is_ascii_alphanumeric() || "-_=.:".contains(c);
    for (n, option) in partition.options.iter().enumerate() {
        if option.is_empty() || !option.chars().all(inside) {
            let message = format!("`{option}` is not a mount option");
            f.add(
                Finding::error(&format!("os_disk.partition.{i}.options.{n}"), message)
                    .hint("one option a string: options = [\"noatime\", \"discard\"]"),
            );
        }
    }
}
