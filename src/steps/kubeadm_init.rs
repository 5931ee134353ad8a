//! kubeadm-init: the cluster is made, once; or a making that was cut off is finished.

use crate::{
    inventory::{EndpointKind, Node},
    ops::kubeadm::Init,
};

use super::{Decision, Draft, Scene, documents, endpoint};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    // The phase is for the first control plane of the file; the cluster may live on another by now.
    if node.name != scene.initialiser() {
        return Ok(Vec::new());
    }
    let init = Init {
        config: documents::init(scene, node),
        known_ca: scene.memory.ca_fingerprint.clone(),
    };
    let mut drafts = vec![Draft::new(&node.name, init)];
    let of = &scene.inventory.cluster.endpoint;
    if let (EndpointKind::KubeVip, Some(vip)) = (of.kind, of.vip) {
        // From here on admin.conf has rights, and the other one is not needed any more.
        drafts.push(Draft::new(&node.name, endpoint::kube_vip(scene, vip, "admin.conf")));
    }
    Ok(drafts)
}
