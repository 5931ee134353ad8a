//! Disks that are left blank for Ceph, and the guard before anything on one is lost.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Diff, Nature, Observed, OpError, OpResult, Output};
use super::sys::{ClearPart, Sys};
use crate::{
    events::Refusal,
    facts::{Contents, Disk},
    names::Serial,
};

/// What the operator allowed to be lost, for this run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// `--wipe-disk`: the contents that were shown when it was given.
    pub shown: Option<String>,
    /// `--destroy-osd`: the filesystem id of the Ceph cluster whose OSD may be lost.
    pub osd_fsid: Option<String>,
}

/// How a refusal that an operator may lift says so; the flag follows.
pub const WIPE_HINT: &str = "if what is on it may be lost for ever: ";
pub const OSD_HINT: &str = "if that OSD may be lost for ever: ";

/// What the guard says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Blank,
    Clear { evidence: String },
    Refused { why: String, hint: String },
}

/// Decides about a disk. The one place that does: the plan asks it with the facts, the op asks it
/// again with what it finds.
///
/// `osd_lives` is None where it cannot be learned, which counts as living.
pub fn guard(
    serial: &Serial,
    found: &[&Disk],
    approval: &Approval,
    osd_lives: Option<bool>,
) -> Verdict {
    let refused = |why: String, hint: &str| Verdict::Refused { why, hint: hint.into() };
    let disk = match found {
        [] => {
            return refused(
                format!("no disk with serial {serial} is in this machine"),
                "compare `lsblk -o NAME,SERIAL,MODEL,SIZE` on the node with the inventory",
            );
        }
        [disk] => *disk,
        _ => {
            return refused(
                format!("{} disks say that their serial is {serial}", found.len()),
                "name the disk by its WWN instead",
            );
        }
    };
    if disk.is_os {
        return refused(
            format!("{serial} is the disk that this machine boots from ({})", disk.evidence()),
            "the OS disk is never cleared; check `disks` of this node in the inventory",
        );
    }
    if disk.is_blank() {
        return Verdict::Blank;
    }
    if !disk.mounted.is_empty() {
        return refused(
            format!("{serial} is in use: {}", disk.evidence()),
            "unmount it on the node first, if it really is to be lost; Slipway unmounts nothing",
        );
    }
    if let Some(fsid) = disk.osd() {
        let named = approval.osd_fsid.as_deref() == Some(fsid);
        let dead_and_approved = osd_lives == Some(false) && approval.shown.is_some();
        if !named && !dead_and_approved {
            let state = match osd_lives {
                Some(true) => "whose cluster lives",
                Some(false) => "whose cluster is gone",
                None => "and whether its cluster lives cannot be learned, so it counts as living",
            };
            return refused(
                format!("{serial} holds a Ceph OSD of {fsid}, {state}: {}", disk.evidence()),
                &format!("{OSD_HINT}--destroy-osd {serial}={fsid}"),
            );
        }
        return Verdict::Clear { evidence: disk.evidence() };
    }
    let half_cleared = disk.contents.contains(&Contents::HalfCleared);
    // The labels went before the last part: what was approved by them is being finished, as long as
    // nothing else has come to lie there.
    if disk.contents == [Contents::HalfCleared] && approval.osd_fsid.is_some() {
        return Verdict::Clear { evidence: disk.evidence() };
    }
    match &approval.shown {
        None => refused(
            format!("{serial} is not blank: {}", disk.evidence()),
            &format!("{WIPE_HINT}--wipe-disk {serial}"),
        ),
        Some(shown) if *shown == disk.evidence() || (half_cleared && disk.is_rest_of(shown)) => {
            Verdict::Clear { evidence: disk.evidence() }
        }
        Some(shown) => refused(
            format!(
                "{serial} is not what was approved: it was \"{shown}\", now it is \"{}\"",
                disk.evidence()
            ),
            "look at the plan again, then approve what is there now",
        ),
    }
}

/// A disk is blank: cleared only behind the guard, and read back as blank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlankDisk {
    pub serial: Serial,
    pub approval: Approval,
}

impl BlankDisk {
    async fn verdict(&self, sys: &dyn Sys) -> OpResult<Verdict> {
        let disks = sys.disks().await?;
        let found: Vec<&Disk> = disks.iter().filter(|d| d.is_named(&self.serial)).collect();
        let lives = match found.first().and_then(|d| d.osd()) {
            Some(fsid) => sys.osd_lives(fsid).await?,
            None => None,
        };
        Ok(guard(&self.serial, &found, &self.approval, lives))
    }
}

#[async_trait]
impl Action for BlankDisk {
    fn title(&self) -> String {
        if self.approval == Approval::default() {
            format!("disk {} is blank", self.serial)
        } else {
            format!("clear disk {}", self.serial)
        }
    }

    fn nature(&self) -> Nature {
        let destructive = self.approval != Approval::default();
        Nature { destructive, retry: false, timeout_s: 900, ..Nature::CHANGE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        match self.verdict(sys).await? {
            Verdict::Blank => Ok(Observed::Holds),
            Verdict::Clear { evidence } => {
                Ok(Observed::Differs(vec![Diff::Destroy(format!("{}: {evidence}", self.serial))]))
            }
            Verdict::Refused { why, hint } => {
                Err(OpError::refused(Refusal::Disk, self.title(), why).hint(hint))
            }
        }
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        for (n, part) in ClearPart::ALL.into_iter().enumerate() {
            // Asked anew before every part: between two of them somebody may swap the disk.
            match self.verdict(sys).await? {
                Verdict::Blank => break,
                Verdict::Clear { evidence } => {
                    sys.clear_disk(&self.serial, &evidence, part).await?;
                }
                Verdict::Refused { why, hint } => {
                    let mut error = OpError::refused(Refusal::Disk, self.title(), why).hint(hint);
                    if n > 0 {
                        error.failure.left =
                            Some("the disk is half cleared; it is written to no more".into());
                    }
                    return Err(error);
                }
            }
        }
        Ok(None)
    }
}

/// The disk that the inventory calls the OS disk is the one that the machine boots from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OsDisk {
    pub serial: Serial,
}

#[async_trait]
impl Action for OsDisk {
    fn title(&self) -> String {
        format!("OS runs from disk {}", self.serial)
    }

    fn nature(&self) -> Nature {
        Nature::CHECK
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let disks = sys.disks().await?;
        let os = disks.iter().find(|d| d.is_os);
        match os {
            Some(disk) if disk.is_named(&self.serial) => Ok(Observed::Holds),
            Some(disk) => Err(OpError::refused(
                Refusal::Disk,
                self.title(),
                format!("this machine boots from {} ({})", disk.serial, disk.model),
            )
            .hint("is this the machine you think it is? compare serials with the inventory")),
            None => Err(OpError::refused(
                Refusal::Disk,
                self.title(),
                "no disk of this machine is known to carry the running OS",
            )
            .hint("a live system boots from memory; install the OS first")),
        }
    }
}
