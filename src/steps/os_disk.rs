//! os-disk: the machine boots from the disk that the inventory says, and from none that is Ceph's.

use crate::{events::Refusal, inventory::Node, ops::disks::OsDisk};

use super::{Decision, Draft, Scene, known};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let booted = scene.facts_of(&node.name).and_then(|f| f.disks.iter().find(|d| d.is_os));
    if let Some(disk) = booted
        && let Some(serial) = node.disks.ceph.iter().find(|s| disk.is_named(s))
    {
        return Err(Box::new(
            known::refused(
                node,
                Refusal::Disk,
                "tell the OS disk from Ceph's",
                format!("{serial} is listed for Ceph, and this machine boots from it ({})", disk.model),
            )
            .hint("compare `lsblk -o NAME,SERIAL,MODEL,MOUNTPOINTS` on the node with `disks` in the inventory"),
        ));
    }
    Ok(vec![Draft::new(&node.name, OsDisk { serial: node.disks.os.clone() })])
}
