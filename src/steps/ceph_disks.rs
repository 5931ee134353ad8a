//! ceph-disks: the disks that are left for Rook are blank, and nothing is lost that was not named.
//!
//! The guard is asked here already, with the facts: a run that would be refused on its last node
//! has then not touched its first.

use crate::{
    events::Refusal,
    facts::Disk,
    inventory::Node,
    names::Serial,
    ops::disks::{Approval, BlankDisk, OSD_HINT, Verdict, WIPE_HINT, guard},
};

use super::{
    Decision, Draft, Scene,
    known::{self, Refused},
};

/// What the operator allowed for this disk, now or when the run that is resumed began.
pub fn approval(scene: &Scene, serial: &Serial, disk: Option<&Disk>) -> Approval {
    // A disk goes by its serial or its WWN: the operator may use the one, the inventory the other.
    let names = |name: &Serial| name == serial || disk.is_some_and(|d| d.is_named(name));
    let osd_fsid =
        scene.wish.destroy_osd.iter().find(|(name, _)| names(name)).map(|(_, fsid)| fsid.clone());
    let Some(disk) = disk else { return Approval { shown: None, osd_fsid } };
    let remembered = scene.memory.approved.iter().find(|(name, _)| names(name)).map(|(_, e)| e);
    let shown = if scene.wish.wipe.iter().any(names) {
        Some(disk.evidence())
    } else {
        // Given for what was there then. A clearing that was cut off may be finished; anything else
        // that is new on the disk was never shown to anybody.
        remembered.filter(|shown| **shown == disk.evidence() || disk.is_rest_of(shown)).cloned()
    };
    Approval { shown, osd_fsid }
}

/// The op for one disk, or the guard's refusal.
pub fn blank(scene: &Scene, node: &Node, serial: &Serial) -> Result<Draft, Refused> {
    let facts = known::facts_of(scene, node)?;
    let found: Vec<&Disk> = facts.disks.iter().filter(|d| d.is_named(serial)).collect();
    let approval = approval(scene, serial, found.first().copied());
    // Whether an OSD's cluster lives cannot be learned from facts: it counts as living.
    match guard(serial, &found, &approval, None) {
        Verdict::Blank | Verdict::Clear { .. } => {
            Ok(Draft::new(&node.name, BlankDisk { serial: serial.clone(), approval }))
        }
        Verdict::Refused { why, hint } => Err(Box::new(
            known::refused(node, Refusal::Disk, format!("leave disk {serial} blank for Ceph"), why)
                .hint(hint),
        )),
    }
}

/// All disks of a node that were refused, as one: nobody wants to hear of the next one only when the
/// first has been answered for.
fn all(refused: Vec<Refused>) -> Option<Refused> {
    let several = refused.len() > 1;
    let mut refused = refused.into_iter();
    let mut first = refused.next()?;
    if several {
        first.what = "leave its Ceph disks blank".into();
    }
    let mut hints: Vec<String> = first.hint.take().into_iter().collect();
    for other in refused {
        first.causes.extend(other.causes);
        hints.extend(other.hint);
    }
    // The same advice for several disks is given once, with all their flags.
    let flags = |advice: &str| -> Vec<&str> {
        hints.iter().filter_map(|h| h.strip_prefix(advice)).collect()
    };
    let mut said: Vec<String> = [WIPE_HINT, OSD_HINT]
        .into_iter()
        .map(|advice| (advice, flags(advice)))
        .filter(|(_, flags)| !flags.is_empty())
        .map(|(advice, flags)| format!("{advice}{}", flags.join(" ")))
        .collect();
    let known = |h: &&String| h.starts_with(WIPE_HINT) || h.starts_with(OSD_HINT);
    said.extend(hints.iter().filter(|h| !known(h)).cloned());
    said.dedup();
    first.hint = (!said.is_empty()).then(|| said.join("; "));
    Some(first)
}

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let facts = known::facts_of(scene, node)?;
    let (mut drafts, mut refused) = (Vec::new(), Vec::new());
    for serial in &node.disks.ceph {
        let disk = facts.disk(serial);
        let approved = approval(scene, serial, disk) != Approval::default();
        // On a member, whatever is on such a disk is Rook's by now, and a disk that has died is
        // doctor's to tell: neither is a reason to refuse the next bootstrap.
        let is_the_clusters = scene.is_member(&node.name) && !disk.is_some_and(Disk::is_blank);
        if is_the_clusters && !approved {
            continue;
        }
        match blank(scene, node, serial) {
            Ok(draft) => drafts.push(draft),
            Err(failure) => refused.push(failure),
        }
    }
    match all(refused) {
        Some(failure) => Err(failure),
        None => Ok(drafts),
    }
}
