//! Disks of a node: looked at, and nothing more yet.

use std::{fs::File, os::unix::fs::FileExt};

use async_trait::async_trait;

use super::{Linux, command::Command, not_yet};
use crate::{
    facts::{Contents, Disk, read::devices},
    names::Serial,
    ops::sys::{ClearPart, Disks, SysError, SysResult},
};

const GIB: u64 = 1 << 30;

/// What of Ceph lies on a disk. One that cannot be read is taken for one that holds something.
fn labels(path: &std::path::Path, size_bytes: u64) -> Vec<Contents> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(_) => return vec![Contents::Member { kind: "unreadable".into() }],
    };
    let mut found = Vec::new();
    for at_gib in devices::LABELS_AT_GIB {
        let at = u64::from(at_gib) * GIB;
        let mut block = vec![0; devices::LABEL_BYTES];
        if at + block.len() as u64 > size_bytes {
            break;
        }
        match file.read_exact_at(&mut block, at) {
            Ok(()) => found.extend(devices::osd_label(&block, at_gib)),
            Err(_) => found.push(Contents::Member { kind: "unreadable".into() }),
        }
    }
    found
}

#[async_trait]
impl Disks for Linux {
    async fn disks(&self) -> SysResult<Vec<Disk>> {
        let asked = Command::new("lsblk").args(["-J", "-b", "-o", devices::COLUMNS]).done().await?;
        let mut disks = devices::disks(&asked.stdout).map_err(SysError::other)?;
        for disk in disks.iter_mut().filter(|d| !d.is_os) {
            let path = self.path("/dev").join(&disk.kernel_name);
            disk.contents.extend(labels(&path, disk.size_bytes));
        }
        Ok(disks)
    }

    async fn clear_disk(&self, serial: &Serial, _: &str, _: ClearPart) -> SysResult<()> {
        not_yet(&format!("clear the disk {serial}"))
    }

    async fn osd_lives(&self, _: &str) -> SysResult<Option<bool>> {
        // Nobody here can be asked, and so it counts as living.
        Ok(None)
    }
}
