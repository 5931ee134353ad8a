//! cni: the pod network; with it the first node becomes Ready.

use crate::{
    inventory::{CniKind, Node},
    ops::{checks::NodesReady, cluster::Addon},
};

use super::{Decision, Draft, Scene, known};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let addon = match (scene.inventory.cni.kind, &scene.inventory.cilium) {
        (CniKind::Cilium, Some(cilium)) => Some(Addon {
            name: "cilium".into(),
            version: cilium.version.to_string(),
            // CRDs first: Cilium decides at its start whether there is a Gateway API.
            manifest: format!(
                "crds: gateway-api {}\nchart: cilium {}\nvalues: {}\n",
                scene.row().gateway_api,
                cilium.version,
                cilium.values
            ),
            from: None,
            file: None,
            wait_s: 300,
        }),
        // The inventory refuses it.
        (CniKind::Cilium, None) => None,
        (CniKind::Bridge, _) => Some(Addon {
            name: "bridge".into(),
            version: scene.row().cni_plugins.to_string(),
            manifest: format!("bridge: {}\n", scene.inventory.cluster.pod_cidr),
            from: None,
            file: None,
            wait_s: 300,
        }),
    };
    let initialiser = scene.initialiser();
    let mut drafts = Vec::new();
    if let Some(addon) = addon
        && !known::is_gits(scene.api(), &addon.name, &addon.version)
    {
        drafts.push(Draft::new(&node.name, addon));
    }
    let ready = NodesReady { nodes: vec![initialiser], kubelet: None, wait_s: 300 };
    drafts.push(Draft::new(&node.name, ready));
    Ok(drafts)
}
