//! encryption: the key that Secrets are encrypted with at rest, made once, on the first control plane.

use crate::{inventory::Node, ops::kubeadm::EncryptionConfig};

use super::{Decision, Draft, Scene};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    // A second one would be a second key: what joins gets the first one's.
    if node.name != scene.initialiser() {
        return Ok(Vec::new());
    }
    Ok(vec![Draft::new(&node.name, EncryptionConfig { serve: false })])
}
