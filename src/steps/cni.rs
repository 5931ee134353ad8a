//! cni: the pod network; with it the first node becomes Ready.

use crate::{
    artifacts::program,
    gitops::values::Must,
    inventory::{CniKind, Gitops, Node},
    names::Version,
    ops::{
        checks::NodesReady,
        cilium::{Cilium, CiliumValues, RELEASE},
        cluster::Addon,
        packages::Artifact,
    },
};

use super::{Decision, Draft, Scene, known};

/// Of the network that Slipway lays itself; the plug-ins have their own, and come with the runtime.
const BRIDGE: &str = "2";
const HELM: &str = "helm";
const GATEWAY_API: &str = "gateway-api";
/// Images come from their registries meanwhile.
const CILIUM_WAIT_S: u32 = 600;

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let mut drafts = match scene.inventory.cni.kind {
        CniKind::Cilium => cilium(scene, node),
        CniKind::Bridge => bridge(scene, node),
    };
    let ready = NodesReady { nodes: vec![scene.initialiser()], kubelet: None, wait_s: 300 };
    drafts.push(Draft::new(&node.name, ready));
    Ok(drafts)
}

fn bridge(scene: &Scene, node: &Node) -> Vec<Draft> {
    let addon = Addon {
        name: "bridge".into(),
        version: BRIDGE.into(),
        manifest: format!("bridge: {}\n", scene.inventory.cluster.pod_cidr),
        from: None,
        file: None,
        wait_s: 300,
    };
    if known::is_gits(scene.api(), &addon.name, &addon.version) {
        return Vec::new();
    }
    vec![Draft::new(&node.name, addon)]
}

fn cilium(scene: &Scene, node: &Node) -> Vec<Draft> {
    // The inventory is refused without any of these.
    let (Some(asked), Some(values), Some(helm)) =
        (&scene.inventory.cilium, values(scene), program(HELM))
    else {
        return Vec::new();
    };
    if known::is_gits(scene.api(), RELEASE, &asked.version.to_string()) {
        return Vec::new();
    }
    let gateway_api = scene.row().gateway_api.clone();
    // Nothing is linked: the step runs them by where they lie, and nobody else does.
    let staged = |name: &str, version: &Version| {
        let artifact = Artifact { name: name.into(), version: version.clone(), links: vec![] };
        Draft::new(&node.name, artifact)
    };
    vec![
        staged(HELM, helm),
        staged(GATEWAY_API, &gateway_api),
        staged(RELEASE, &asked.version),
        Draft::new(
            &node.name,
            Cilium {
                version: asked.version.clone(),
                gateway_api,
                helm: helm.clone(),
                kubernetes: scene.kubernetes(),
                values,
                wait_s: CILIUM_WAIT_S,
            },
        ),
    ]
}

/// Where the values lie, and what they must hold.
pub(super) fn values(scene: &Scene) -> Option<CiliumValues> {
    let gitops: &Gitops = scene.inventory.gitops.as_ref()?;
    let asked = scene.inventory.cilium.as_ref()?;
    let repository = known::kustomization(gitops, "").repository;
    let path = asked.values.trim_matches('/').to_string();
    Some(CiliumValues { repository, path, must: Must::of(scene.inventory) })
}
