//! kernel-modules: loaded now, and at every boot.

use crate::{
    inventory::Node,
    ops::{files::File, host::Modules},
};

use super::{Decision, Draft, Scene, known};

pub const FILE: &str = "/etc/modules-load.d/slipway.conf";

const EVERYWHERE: &[(&str, &str)] = &[
    ("overlay", "containerd's snapshots"),
    ("br_netfilter", "bridged packets pass the firewall's rules; its sysctls exist only with it"),
    ("nf_conntrack", "its sysctls exist only with it"),
];

/// A volume is mounted wherever its pod runs, so these are on nodes without Ceph disks as well.
const CEPH: &[(&str, &str)] =
    &[("rbd", "block volumes of Rook"), ("ceph", "CephFS volumes of Rook")];

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let mut modules = EVERYWHERE.to_vec();
    if known::has_ceph(scene) {
        modules.extend(CEPH);
    }
    let mut text = String::from("# Written by Slipway.\n");
    for (name, why) in &modules {
        text.push_str(&format!("# {why}\n{name}\n"));
    }
    let names = modules.iter().map(|(name, _)| name.to_string()).collect();
    Ok(vec![
        Draft::new(&node.name, File::new(FILE, text)),
        Draft::new(&node.name, Modules { names }),
    ])
}
