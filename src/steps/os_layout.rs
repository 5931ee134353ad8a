//! os-layout: partitions of their own on the OS disk, and those who wait for them.

use crate::{
    inventory::{Node, OsPartition, size_bytes},
    ops::{
        files::{Directory, File},
        os_layout::{AtLeast, OsLayout, OwnPartition},
    },
};

use super::{Decision, Draft, Scene};

const ETCD: &str = OsPartition::ETCD;
const CONTAINERD: &str = OsPartition::CONTAINERD;

fn own(wanted: &OsPartition) -> OwnPartition {
    let place = wanted.mount.rsplit('/').next().unwrap_or_default();
    OwnPartition {
        name: format!("slipway-{place}"),
        mount: wanted.mount.clone(),
        bytes: size_bytes(&wanted.size).unwrap_or(0),
        filesystem: wanted.filesystem.as_str().into(),
        options: wanted.options.clone(),
    }
}

/// Without its mount a unit does not start: an etcd that begins on an empty directory of the root
/// filesystem would be another member.
fn waits(scene: &Scene, node: &Node, unit: &str, places: &[&str]) -> Option<Draft> {
    let wanted = scene.inventory.os_disk.partitions.iter().map(|p| p.mount.as_str());
    let mounts: Vec<&str> = wanted.filter(|mount| places.contains(mount)).collect();
    (!mounts.is_empty()).then(|| {
        let path = format!("/etc/systemd/system/{unit}.d/10-slipway-mounts.conf");
        let text =
            format!("# Written by Slipway.\n[Unit]\nRequiresMountsFor={}\n", mounts.join(" "));
        Draft::new(&node.name, File::new(path, text))
    })
}

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let layout = &scene.inventory.os_disk;
    if *layout == Default::default() {
        return Ok(Vec::new());
    }
    let least = |size: &Option<String>| size.as_deref().and_then(size_bytes);
    let mut drafts = vec![Draft::new(
        &node.name,
        OsLayout {
            disk: node.disks.os.clone(),
            at_least: AtLeast { esp: least(&layout.esp), root: least(&layout.root) },
            partitions: layout.partitions.iter().map(own).collect(),
        },
    )];
    if layout.partitions.iter().any(|p| p.mount == ETCD) {
        let directory = Directory { path: ETCD.into(), mode: 0o700, owner: None };
        drafts.push(Draft::new(&node.name, directory));
    }
    drafts.extend(waits(scene, node, "containerd.service", &[CONTAINERD]));
    drafts.extend(waits(scene, node, "kubelet.service", &[ETCD, CONTAINERD]));
    Ok(drafts)
}
