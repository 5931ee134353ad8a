//! The layout of the disk that runs the OS: partitions of their own for what must not share one.
//!
//! Partitions are only ever added, in free space; what exists is neither moved nor shrunk, and a
//! directory that holds something is never hidden under a mount.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Diff, Nature, Observed, OpError, OpResult, Output};
use super::sys::{IN_MAKING, OsPart, OsTable, Sys, UnitChange};
use crate::{events::Refusal, names::Serial};

const MIB: u64 = 1 << 20;

/// A partition that is wanted beside those of the installed system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnPartition {
    /// What the partition is called.
    pub name: String,
    /// Where it is mounted.
    pub mount: String,
    pub bytes: u64,
    /// `ext4` or `xfs`.
    pub filesystem: String,
    pub options: Vec<String>,
}

impl OwnPartition {
    /// systemd wants the unit to be called as the place.
    pub fn unit(&self) -> String {
        format!("{}.mount", self.mount.trim_matches('/').replace('/', "-"))
    }

    fn unit_path(&self) -> String {
        format!("/etc/systemd/system/{}", self.unit())
    }

    /// Checked before it is mounted, as fstab's are. It is wanted, not required: a node whose
    /// partition is lost still boots as far as sshd.
    fn unit_text(&self, uuid: &str) -> String {
        let device = format!("/dev/disk/by-uuid/{uuid}");
        let check = format!(
            "systemd-fsck@{}.service",
            device.trim_matches('/').replace('-', "\\x2d").replace('/', "-")
        );
        let options =
            if self.options.is_empty() { "defaults".into() } else { self.options.join(",") };
        format!(
            "# Written by Slipway.\n[Unit]\nDescription={} on the OS disk\nWants={check}\nAfter={check}\n\n\
             [Mount]\nWhat={device}\nWhere={}\nType={}\nOptions={options}\n\n\
             [Install]\nWantedBy=local-fs.target\n",
            self.mount, self.mount, self.filesystem
        )
    }

    fn part_of<'t>(&self, table: &'t OsTable) -> Option<&'t OsPart> {
        table.parts.iter().find(|p| p.name.trim_end_matches(IN_MAKING) == self.name)
    }
}

/// What a partition of the installed system has to have at least.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtLeast {
    pub esp: Option<u64>,
    pub root: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OsLayout {
    pub disk: Serial,
    pub at_least: AtLeast,
    pub partitions: Vec<OwnPartition>,
}

/// Binary units, as partitioners use them.
fn shown(bytes: u64) -> String {
    let gib = bytes as f64 / (1024.0 * MIB as f64);
    if bytes.is_multiple_of(1024 * MIB) || gib >= 10.0 {
        format!("{gib:.0} GiB")
    } else {
        format!("{} MiB", bytes / MIB)
    }
}

impl OsLayout {
    fn refused(&self, why: String) -> OpError {
        OpError::refused(Refusal::Disk, self.title(), why)
    }

    /// The installed system's own partitions are large enough, or it is told that they are not.
    fn check_installed(&self, table: &OsTable) -> OpResult<()> {
        let esp = table.parts.iter().find(|p| p.is_esp);
        let root = table.parts.iter().find(|p| p.mounted.iter().any(|m| m == "/"));
        let asked = [("ESP", self.at_least.esp, esp), ("root partition", self.at_least.root, root)];
        for (what, least, found) in asked {
            let Some(least) = least else { continue };
            let is = match found {
                Some(part) if part.bytes >= least => continue,
                Some(part) => format!("has {}", shown(part.bytes)),
                None => "is not on this disk".into(),
            };
            return Err(self
                .refused(format!("the {what} {is}; the inventory wants {} at least", shown(least)))
                .hint("nothing that exists is moved or resized: ask for less in `[os_disk]`, or lay the disk out anew when the OS is installed"));
        }
        Ok(())
    }

    /// Takes the room that is missing from the gaps, as it is going to be taken.
    fn check_room(&self, table: &OsTable, missing: &[&OwnPartition]) -> OpResult<()> {
        let mut gaps = table.gaps.clone();
        for wanted in missing {
            let bytes = wanted.bytes.next_multiple_of(MIB);
            let Some(gap) = gaps.iter_mut().find(|gap| **gap >= bytes) else {
                let largest = table.gaps.iter().max().copied().unwrap_or(0);
                let whole: u64 = missing.iter().map(|w| w.bytes).sum();
                let free = if largest == 0 {
                    "no free space".to_string()
                } else {
                    format!("{} of free space in one piece", shown(largest))
                };
                return Err(self
                    .refused(format!(
                        "{} has {free}; {} are wanted ({} for {})",
                        self.disk,
                        shown(whole),
                        shown(wanted.bytes),
                        wanted.mount
                    ))
                    .hint("nothing that exists is moved or shrunk: ask for less in `[[os_disk.partition]]`, or make room from a live medium"));
            };
            *gap -= bytes;
        }
        // The table is changed by way of free space.
        if !missing.is_empty() && gaps.iter().all(|gap| *gap < MIB) {
            return Err(self
                .refused(format!("{} would have no free space left at all", self.disk))
                .hint("leave 1 MiB: Slipway changes the table by way of it, so that no power cut breaks it"));
        }
        Ok(())
    }

    async fn check_hidden(&self, wanted: &OwnPartition, sys: &dyn Sys) -> OpResult<()> {
        if !sys.holds_anything(&wanted.mount).await? {
            return Ok(());
        }
        Err(self
            .refused(format!("{} holds something already, which a mount would hide", wanted.mount))
            .hint(format!(
                "on a member of a cluster it stays as it is: take it out of `[[os_disk.partition]]`, or reset the node first (`slipway remove-node`); on any other, move away what lies in {}",
                wanted.mount
            )))
    }

    /// What is to do for one of them. Refuses what cannot be had without loss.
    async fn differences(
        &self,
        wanted: &OwnPartition,
        table: &OsTable,
        sys: &dyn Sys,
    ) -> OpResult<Vec<Diff>> {
        let mut found = Vec::new();
        let make = format!("make {} on {}", wanted.filesystem, wanted.name);
        let mount = format!("mount it at {}", wanted.mount);
        let Some(part) = wanted.part_of(table) else {
            self.check_hidden(wanted, sys).await?;
            found.push(Diff::say(format!(
                "add the partition {} of {} in the free space of disk {}",
                wanted.name,
                shown(wanted.bytes),
                self.disk
            )));
            found.extend([Diff::say(make), Diff::say(mount)]);
            return Ok(found);
        };
        if part.bytes != wanted.bytes.next_multiple_of(MIB) {
            return Err(self
                .refused(format!(
                    "the partition {} has {}; the inventory wants {}",
                    wanted.name,
                    shown(part.bytes),
                    shown(wanted.bytes)
                ))
                .hint("partitions are never resized: write the size that it has"));
        }
        if part.name.ends_with(IN_MAKING) {
            self.check_hidden(wanted, sys).await?;
            found.extend([Diff::say(make), Diff::say(mount)]);
            return Ok(found);
        }
        if let Some(other) = part.filesystem.as_ref().filter(|f| **f != wanted.filesystem) {
            return Err(self
                .refused(format!(
                    "{} holds {other}; the inventory wants {}",
                    wanted.name, wanted.filesystem
                ))
                .hint("a filesystem is never made anew over another: write the one that it has"));
        }
        let text = wanted.unit_text(&part.uuid);
        let unit = sys.read(&wanted.unit_path()).await?;
        let old = unit.map(|f| String::from_utf8_lossy(&f.content).into_owned());
        if old.as_ref() != Some(&text) {
            found.push(Diff::File { path: wanted.unit_path(), old, new: Some(text) });
        }
        if !sys.unit(&wanted.unit()).await?.enabled {
            found.push(Diff::say(format!("enable {}", wanted.unit())));
        }
        if !part.mounted.contains(&wanted.mount) {
            self.check_hidden(wanted, sys).await?;
            found.push(Diff::say(mount));
        }
        Ok(found)
    }

    /// Those that are wanted and not there, but for what the operator has mounted himself.
    async fn ours<'a>(&'a self, table: &OsTable, sys: &dyn Sys) -> OpResult<Vec<&'a OwnPartition>> {
        let mut ours = Vec::new();
        for wanted in &self.partitions {
            let theirs =
                wanted.part_of(table).is_none() && sys.mounted_at(&wanted.mount).await?.is_some();
            if !theirs {
                ours.push(wanted);
            }
        }
        Ok(ours)
    }

    /// `table` is kept what it is on the disk.
    async fn make(
        &self,
        wanted: &OwnPartition,
        table: &mut OsTable,
        sys: &dyn Sys,
    ) -> OpResult<()> {
        if wanted.part_of(table).is_none() {
            sys.add_partition(&self.disk, &wanted.name, wanted.bytes).await?;
            *table = sys.os_table(&self.disk).await?;
        }
        if wanted.part_of(table).is_some_and(|p| p.name.ends_with(IN_MAKING)) {
            sys.make_filesystem(&self.disk, &wanted.name, &wanted.filesystem).await?;
            *table = sys.os_table(&self.disk).await?;
        }
        let Some(part) = wanted.part_of(table) else {
            let why = format!("the partition {} is not there after it was made", wanted.name);
            return Err(OpError::new(self.title(), why));
        };
        sys.write(&wanted.unit_path(), wanted.unit_text(&part.uuid).as_bytes(), 0o644).await?;
        if !sys.unit(&wanted.unit()).await?.enabled {
            sys.change_unit(&wanted.unit(), UnitChange::Enable).await?;
        }
        // One that is mounted keeps its options until it is mounted again.
        if !part.mounted.contains(&wanted.mount) {
            self.check_hidden(wanted, sys).await?;
            sys.change_unit(&wanted.unit(), UnitChange::Restart).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Action for OsLayout {
    fn title(&self) -> String {
        let places: Vec<&str> = self.partitions.iter().map(|p| p.mount.as_str()).collect();
        if places.is_empty() {
            format!("layout of the OS disk {}", self.disk)
        } else {
            format!("partitions on the OS disk {} for {}", self.disk, places.join(", "))
        }
    }

    fn nature(&self) -> Nature {
        Nature { retry: false, timeout_s: 600, ..Nature::CHANGE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let table = sys.os_table(&self.disk).await?;
        self.check_installed(&table)?;
        let ours = self.ours(&table, sys).await?;
        let missing: Vec<&OwnPartition> =
            ours.iter().copied().filter(|w| w.part_of(&table).is_none()).collect();
        self.check_room(&table, &missing)?;
        let mut found = Vec::new();
        if table.unfinished {
            found.push(Diff::say("finish a change of the partition table that was cut off"));
        }
        for wanted in ours {
            found.extend(self.differences(wanted, &table, sys).await?);
        }
        Ok(if found.is_empty() { Observed::Holds } else { Observed::Differs(found) })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        let mut table = sys.os_table(&self.disk).await?;
        if table.unfinished {
            sys.finish_table(&self.disk).await?;
        }
        for wanted in self.ours(&table, sys).await? {
            self.make(wanted, &mut table, sys).await?;
        }
        Ok(None)
    }
}
