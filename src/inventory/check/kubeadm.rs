//! What is handed on to kubeadm.

use super::{Finding, Findings, at};
use crate::inventory::{
    CniKind, Inventory,
    kubeadm::{TARGETS, target},
};

pub fn check(inventory: &Inventory, f: &mut Findings<'_>) {
    for (key, text) in &inventory.kubeadm.patches {
        let path = format!("kubeadm.patches.{key}");
        if target(key).is_none() {
            let hint = format!(
                "{}; `+merge` or `+json` behind it for another kind than strategic",
                TARGETS.join(", ")
            );
            f.add(Finding::error(&path, format!("kubeadm patches no `{key}`")).hint(hint));
        } else if text.trim().is_empty() {
            f.add(Finding::error(&path, "the patch is empty").hint("leave it out"));
        }
    }
    if inventory.cni.kind == CniKind::Bridge {
        for (i, node) in inventory.nodes.iter().enumerate() {
            if inventory.pod_range(node).is_none() {
                let (pods, lan) = (inventory.cluster.pod_cidr, node.lan.address);
                f.add(
                    Finding::error(
                        &at(i, "lan.address"),
                        format!("{pods} has no range of pods for {lan}: with the bridge each node takes the /24 that its place in the LAN numbers"),
                    )
                    .hint("a /16 of pods has room for every address of a /24; or give the node a lower address"),
                );
            }
        }
    }
}
