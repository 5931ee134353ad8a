//! os-update: the OS is brought up to date in one transaction before a node joins.

use crate::{
    inventory::{Node, Os},
    ops::{packages::UpdateOs, pacman::PacmanIgnores},
};

use super::{Decision, Draft, Scene};

/// Packages of Arch whose work is done by artifacts of exact versions.
const PINNED: [&str; 8] =
    ["cni-plugins", "containerd", "cri-tools", "etcd", "kubeadm", "kubectl", "kubelet", "runc"];

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let mut drafts = Vec::new();
    if node.os == Os::Arch {
        let names = PINNED.map(String::from).into();
        drafts.push(Draft::new(&node.name, PacmanIgnores { names }));
    }
    // On a member this is the rolling upgrade's business: three control planes that update their
    // kernels at once are three that want a reboot at once.
    // A bundle holds what is wanted and what that needs, and not all of a distribution.
    if scene.wish.packages.is_some() && node.os == Os::Arch {
        return Ok(drafts);
    }
    if !scene.inventory.host.update_os || scene.is_member(&node.name) {
        return Ok(drafts);
    }
    drafts.push(Draft::new(&node.name, UpdateOs {}));
    Ok(drafts)
}
