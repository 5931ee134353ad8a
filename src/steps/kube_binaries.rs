//! kube-binaries: kubeadm, kubelet and kubectl of the cluster's version, behind links.

use crate::{
    inventory::Node,
    names::{NodeName, Version},
    ops::packages::Artifact,
};

use super::{Decision, Draft, Scene, known};

pub fn staged(on: &NodeName, name: &str, version: &Version) -> Draft {
    Draft::new(on, Artifact { name: name.into(), version: version.clone(), links: vec![] })
}

pub fn linked(on: &NodeName, name: &str, version: &Version) -> Draft {
    let links = vec![(format!("/usr/local/bin/{name}"), name.to_string())];
    Draft::new(on, Artifact { name: name.into(), version: version.clone(), links })
}

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let version = scene.kubernetes();
    // The links of a member at another version are the upgrade's: moving the kubelet's here would
    // upgrade a node that nobody has drained, at its next restart.
    let place = if known::is_left_to_upgrade(scene, node) { staged } else { linked };
    Ok(["kubeadm", "kubelet", "kubectl"].map(|name| place(&node.name, name, &version)).into())
}
