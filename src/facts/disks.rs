//! Disks and what lies on them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::Serial;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    pub serial: Serial,
    pub wwn: Option<Serial>,
    pub model: String,
    pub size_bytes: u64,
    /// Today's kernel name; for people to read, never to act on.
    pub kernel_name: String,
    /// Where it, or something on it, is mounted or used as swap.
    pub mounted: Vec<String>,
    /// What holds it open: dm, md or LVM devices.
    pub held_by: Vec<String>,
    /// Everything that was found on it, in the order of its place.
    pub contents: Vec<Contents>,
    /// Whether the running system boots from it.
    pub is_os: bool,
    /// How it is connected: `nvme`, `sata`, `usb`.
    #[serde(default)]
    pub transport: Option<String>,
    /// None where it does not say.
    #[serde(default)]
    pub health: Option<Health>,
}

/// What a disk's health log says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Of the writes that its maker promises; it may pass a hundred and go on.
    pub used_percent: u32,
    pub spare_percent: u32,
    /// Below this much spare it warns.
    pub spare_least_percent: u32,
    /// It says that it is failing, or may only be read.
    pub warns: bool,
    /// Reads that gave back something else than what was written.
    pub media_errors: u64,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} % worn, {} % spare left", self.used_percent, self.spare_percent)?;
        match self.media_errors {
            0 => {}
            1 => f.write_str(", 1 media error")?,
            more => write!(f, ", {more} media errors")?,
        }
        if self.warns { f.write_str(", it warns") } else { Ok(()) }
    }
}

/// One thing found on a disk. Anything at all makes a disk not blank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contents {
    /// `gpt` or `mbr`, with its number of partitions.
    PartitionTable {
        kind: String,
        partitions: u32,
    },
    Filesystem {
        kind: String,
        label: Option<String>,
    },
    /// `lvm`, `luks`, `mdraid`, `zfs`, `swap`.
    Member {
        kind: String,
    },
    /// A BlueStore label, at 0, 1, 10, 100 or 1000 GiB.
    Osd {
        fsid: String,
        at_gib: u32,
    },
    /// A clearing was cut off: its mark is still on the disk.
    HalfCleared,
}

impl Disk {
    /// A disk goes by its serial or its WWN.
    pub fn is_named(&self, name: &Serial) -> bool {
        &self.serial == name || self.wwn.as_ref() == Some(name)
    }

    pub fn is_blank(&self) -> bool {
        self.contents.is_empty() && self.mounted.is_empty() && self.held_by.is_empty()
    }

    pub fn osd(&self) -> Option<&str> {
        self.contents.iter().find_map(|c| match c {
            Contents::Osd { fsid, .. } => Some(fsid.as_str()),
            _ => None,
        })
    }

    /// Half cleared, with nothing on it that was not there when it was shown: what a clearing that
    /// was cut off leaves.
    pub fn is_rest_of(&self, shown: &str) -> bool {
        let known = |c: &Contents| *c == Contents::HalfCleared || shown.contains(&c.to_string());
        self.contents.contains(&Contents::HalfCleared) && self.contents.iter().all(known)
    }

    /// `Samsung 990 PRO, 2.0 TB, ext4 "photos"`: what an operator approves.
    pub fn evidence(&self) -> String {
        let mut text = format!("{}, {}, ", self.model, human_size(self.size_bytes));
        if self.contents.is_empty() {
            text.push_str("blank");
        }
        for (n, found) in self.contents.iter().enumerate() {
            if n > 0 {
                text.push_str(" + ");
            }
            text.push_str(&found.to_string());
        }
        if !self.mounted.is_empty() {
            text.push_str(&format!(", mounted at {}", self.mounted.join(", ")));
        }
        if !self.held_by.is_empty() {
            text.push_str(&format!(", held by {}", self.held_by.join(", ")));
        }
        text
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Contents::PartitionTable { kind, partitions: 0 } => write!(f, "empty {kind}"),
            Contents::PartitionTable { kind, partitions: 1 } => write!(f, "{kind}, 1 partition"),
            Contents::PartitionTable { kind, partitions } => {
                write!(f, "{kind}, {partitions} partitions")
            }
            Contents::Filesystem { kind, label: Some(label) } => write!(f, "{kind} \"{label}\""),
            Contents::Filesystem { kind, label: None } => f.write_str(kind),
            Contents::Member { kind } => write!(f, "{kind} member"),
            Contents::Osd { fsid, at_gib } => {
                write!(f, "Ceph OSD of {fsid} (label at {at_gib} GiB)")
            }
            Contents::HalfCleared => f.write_str("half cleared"),
        }
    }
}

/// Decimal units, as on the label of the disk.
pub(crate) fn human_size(bytes: u64) -> String {
    let gb = bytes as f64 / 1e9;
    if gb >= 1000.0 { format!("{:.1} TB", gb / 1000.0) } else { format!("{gb:.0} GB") }
}
