//! leave-cluster: the node is drained and its etcd member leaves, while the others are a quorum.

use crate::{
    events::Refusal,
    facts::ApiFacts,
    inventory::Node,
    ops::{
        cluster::{Cordon, Drain},
        etcd::RemoveMember,
    },
};

use super::{
    Decision, Draft, Scene, is_control_plane,
    known::{self, Refused},
    node_away::DRAIN_S,
};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    if !known::is_target(scene, node) {
        return Ok(Vec::new());
    }
    let name = &node.name;
    let Some((acting, api)) = scene.api_except(Some(name)) else {
        return Err(nobody_else(scene, node));
    };
    others_remain(node, api)?;
    let mut drafts = vec![Draft::new(acting, Cordon { node: name.clone(), cordoned: true })];
    // A dead node's pods cannot be evicted: nobody there would end them. They go with its object.
    if api.node(name).is_some_and(|n| n.ready) {
        drafts.push(Draft::new(acting, Drain { node: name.clone(), timeout_s: DRAIN_S }));
    }
    if is_control_plane(node) || api.member_of(name).is_some() {
        drafts.push(Draft::new(acting, RemoveMember { node: name.clone() }));
    }
    Ok(drafts)
}

fn nobody_else(scene: &Scene, node: &Node) -> Refused {
    let what = format!("take {} out of the cluster", node.name);
    let is_alone = scene.api().is_some_and(|api| {
        api.nodes.iter().filter(|n| n.control_plane).all(|n| n.name == node.name)
    });
    let failure = if is_alone {
        known::refused(node, Refusal::Quorum, what, "it is the last control plane")
            .hint("the cluster ends with it: `slipway reset`")
    } else {
        known::refused(node, Refusal::Quorum, what, "no other control plane's API server answers")
            .hint("`slipway doctor` says why; bring the others up first, or `slipway restore`")
    };
    Box::new(failure)
}

fn others_remain(node: &Node, api: &ApiFacts) -> Result<(), Refused> {
    let Some(member) = api.member_of(&node.name) else { return Ok(()) };
    let others = api.members.iter().filter(|m| m.id != member.id && !m.learner).count();
    if others > 0 {
        return Ok(());
    }
    Err(Box::new(
        known::refused(
            node,
            Refusal::Quorum,
            format!("take {} out of the cluster", node.name),
            "its etcd member is the last one that votes",
        )
        .hint("the cluster ends with it: `slipway reset`"),
    ))
}
