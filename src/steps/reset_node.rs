//! reset-node: everything of Kubernetes goes from the node; disks stay as they are.

use crate::{
    events::Refusal, facts::KubeFacts, inventory::Node, names::NodeName, ops::kubeadm::ResetNode,
};

use super::{
    Decision, Draft, Scene,
    known::{self, Refused},
};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let is_removal = scene.wish.verb == "remove-node";
    if is_removal && !known::is_target(scene, node) {
        return Ok(Vec::new());
    }
    // A dead node is out of the cluster already; what is on it is nobody's any more.
    if scene.facts_of(&node.name).is_none() {
        return Ok(Vec::new());
    }
    if !is_removal {
        others_need_it_not(scene, node)?;
    }
    // Only the verb that says so takes a cluster down, whatever playbook this step stands in.
    let teardown = scene.wish.verb == "reset";
    Ok(vec![Draft::new(&node.name, ResetNode { teardown })])
}

/// A part of a cluster is not torn down: its etcd member and its Node object would stay behind.
/// A node that carries another cluster's CA, or never got that far, is no part of it.
fn others_need_it_not(scene: &Scene, node: &Node) -> Result<(), Refused> {
    let only = &scene.wish.only;
    if only.is_empty() {
        return Ok(());
    }
    let Some(own) = scene.facts_of(&node.name).map(|f| &f.kube) else { return Ok(()) };
    let stays = |name: &NodeName| *name != node.name && !only.contains(name);
    let remaining = match scene.api_except(Some(&node.name)) {
        Some((acting, api)) => {
            let same = scene.facts_of(acting).is_some_and(|f| is_same_cluster(own, &f.kube));
            let counted = api.node(&node.name).is_some() || api.member_of(&node.name).is_some();
            if same && counted {
                api.nodes.iter().map(|n| n.name.clone()).filter(|n| stays(n)).collect()
            } else {
                Vec::new()
            }
        }
        // Nobody says who belongs to whom, so what the nodes carry has to.
        // A node that does not answer may be off for a moment, and counts as staying.
        None if own.kubelet_conf || own.etcd_data.is_some() => scene
            .inventory
            .nodes
            .iter()
            .map(|n| &n.name)
            .filter(|name| {
                let is_of_it = |f: &crate::facts::NodeFacts| {
                    f.kube.kubelet_conf && is_same_cluster(own, &f.kube)
                };
                stays(name) && scene.facts_of(name).is_none_or(is_of_it)
            })
            .cloned()
            .collect(),
        None => Vec::new(),
    };
    if remaining.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = remaining.iter().map(NodeName::to_string).collect();
    Err(Box::new(
        known::refused(
            node,
            Refusal::Quorum,
            format!("reset {} alone", node.name),
            format!("it is a member of a cluster that {} would stay in", names.join(", ")),
        )
        .hint(format!("`slipway remove-node {}` takes it out cleanly", node.name)),
    ))
}

fn is_same_cluster(a: &KubeFacts, b: &KubeFacts) -> bool {
    match (&a.ca_fingerprint, &b.ca_fingerprint) {
        (Some(a), Some(b)) => a == b,
        // Not known to be two: counted as one, which is the safe side.
        _ => true,
    }
}
