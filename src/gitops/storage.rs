//! Rook's files: the operator's and the drivers' values, the Ceph cluster of these very nodes and
//! disks, and the classes that volumes are asked for by.

use super::{
    layout::{self, join},
    scaffold::Scene,
    template::{fill, kustomization, list, quoted},
};
use crate::{
    inventory::{CephCarries, Inventory, Node, Role},
    names::{Cidr, Serial},
};

/// Pairs of path and text; nothing where no node has a disk for Ceph.
pub fn files(scene: &Scene) -> Vec<(String, String)> {
    if scene.rook.is_none() {
        return Vec::new();
    }
    let nodes = scene.inventory.nodes.len();
    let at = |name: &str| join(layout::ROOK, name);
    let csi = fill(
        include_str!("../../assets/gitops/rook-csi-values.yaml"),
        &[("controllers", &nodes.clamp(1, 2).to_string())],
    );
    let resources = ["ceph-cluster.yaml", "block.yaml", "filesystem.yaml"].map(String::from);
    vec![
        (
            at("operator/values.yaml"),
            include_str!("../../assets/gitops/rook-operator-values.yaml").into(),
        ),
        (at("csi-drivers/values.yaml"), csi),
        (at("cluster/kustomization.yaml"), kustomization(&resources, "")),
        (at("cluster/ceph-cluster.yaml"), cluster(scene)),
        (
            at("cluster/block.yaml"),
            pools(scene, include_str!("../../assets/gitops/ceph-block.yaml")),
        ),
        (
            at("cluster/filesystem.yaml"),
            pools(scene, include_str!("../../assets/gitops/ceph-filesystem.yaml")),
        ),
    ]
}

/// Nodes that have disks for Ceph.
pub fn with_disks(inventory: &Inventory) -> Vec<&Node> {
    inventory.nodes.iter().filter(|n| !n.disks.ceph.is_empty()).collect()
}

/// What clients use, and what copies travel on.
fn networks(inventory: &Inventory) -> (Cidr, Cidr) {
    let lan = inventory.network.lan.cidr;
    match &inventory.network.ceph {
        None => (lan, lan),
        Some(ceph) if ceph.carries == CephCarries::Replication => (lan, ceph.cidr),
        Some(ceph) => (ceph.cidr, ceph.cidr),
    }
}

/// Whether monitors speak from the Ceph network: each node then says from which address.
fn mons_are_on_ceph(inventory: &Inventory) -> bool {
    inventory.network.ceph.as_ref().is_some_and(|ceph| ceph.carries == CephCarries::All)
}

fn cluster(scene: &Scene) -> String {
    let inventory = scene.inventory;
    let (public, cluster) = networks(inventory);
    let storage = with_disks(inventory);
    let nodes = storage.iter().map(|node| {
        let name = quoted(node.name.as_str());
        format!("name: {name}\n  devicePathFilter: {}", filter(&node.disks.ceph))
    });
    let mon_ip = match mons_are_on_ceph(inventory) {
        true => include_str!("../../assets/gitops/ceph-mon-ip.yaml"),
        false => "",
    };
    // Of a number that is even, one fewer may be lost.
    let hosts = |most: usize| inventory.nodes.len().clamp(1, most);
    let mons = if hosts(3) == 3 { 3 } else { 1 };
    let tainted = storage.iter().any(|n| n.role == Role::ControlPlane && !n.schedulable);
    let placement = include_str!("../../assets/gitops/ceph-placement.yaml");
    fill(
        include_str!("../../assets/gitops/ceph-cluster.yaml"),
        &[
            ("mon_ip", mon_ip),
            ("keep", scene.keep),
            ("ceph", scene.rook.map(|r| r.ceph).unwrap_or_default()),
            ("mons", &mons.to_string()),
            ("mgrs", &hosts(2).to_string()),
            ("public", &public.to_string()),
            ("cluster", &cluster.to_string()),
            ("placement", if tainted { placement } else { "" }),
            ("nodes", &list(nodes)),
        ],
    )
}

/// One expression for all disks of a node: Rook takes one filter a node. It is matched against every
/// name that udev gave a device; a name ends in the serial, or in it and the NVMe namespace, and a
/// partition's goes on.
fn filter(serials: &[Serial]) -> String {
    let serials: Vec<String> = serials.iter().map(|s| s.as_str().replace('.', r"\.")).collect();
    format!("'^/dev/disk/by-id/[a-z]+-([^/]*_)?({})(_[0-9]+)?$'", serials.join("|"))
}

fn pools(scene: &Scene, template: &str) -> String {
    let storage = with_disks(scene.inventory);
    let disks: usize = storage.iter().map(|n| n.disks.ceph.len()).sum();
    // On a single host copies lie on different disks, which is better than nothing.
    let (domain, places) = match storage.len() {
        1 => ("osd", disks),
        hosts => ("host", hosts),
    };
    let size = places.clamp(1, 3);
    let standby = scene.inventory.nodes.len() > 1;
    fill(
        template,
        &[
            ("keep", scene.keep),
            ("domain", domain),
            ("size", &size.to_string()),
            ("safe", &(size > 1).to_string()),
            ("standby", &standby.to_string()),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_names_serials_whole() {
        let serials = ["S7KGNJ0W200001", "eui.0025385b21404c5a"].map(|s| s.parse().unwrap());
        let expected =
            "'^/dev/disk/by-id/[a-z]+-([^/]*_)?(S7KGNJ0W200001|eui\\.0025385b21404c5a)(_[0-9]+)?$'";
        assert_eq!(filter(&serials), expected);
    }
}
