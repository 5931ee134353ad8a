//! kubeadm-patches: what the inventory adds to kubeadm's documents, in the directory that they name.

use crate::{
    inventory::{
        Node,
        kubeadm::{KINDS, TARGETS, target},
    },
    ops::files::{Absent, File},
};

use super::{Decision, Draft, Scene};

const DIR: &str = "/etc/kubernetes/slipway/patches";

/// The field of a document that names the directory, so far to the right; nothing where there are
/// none.
pub fn field(scene: &Scene, indent: &str) -> String {
    if scene.inventory.kubeadm.patches.is_empty() {
        String::new()
    } else {
        format!("{indent}patches:\n{indent}  directory: {DIR}\n")
    }
}

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let patches = &scene.inventory.kubeadm.patches;
    if patches.is_empty() {
        // No document names the directory, so whatever lies in it is not read.
        return Ok(Vec::new());
    }
    let mut drafts = Vec::new();
    for name in TARGETS {
        for kind in KINDS {
            let path = format!("{DIR}/{name}+{kind}.yaml");
            let text = patches.iter().find(|(key, _)| target(key) == Some((name, kind)));
            // kubeadm reads all that is there: one that the inventory has dropped has to go.
            drafts.push(match text {
                Some((_, text)) => Draft::new(&node.name, File::new(path, text).mode(0o600)),
                None => Draft::new(&node.name, Absent { path }),
            });
        }
    }
    Ok(drafts)
}
