//! kubeadm-join: a node becomes a member, as a control plane or a worker; what an earlier, cut join
//! left is healed first. The planner drops what serves a join when the join holds already.

use crate::{
    events::{Failure, Refusal},
    facts::NodeFacts,
    inventory::Node,
    names::NodeName,
    ops::{
        etcd::HealMember,
        kubeadm::{EncryptionConfig, Join, MintJoin, PlaceEncryption},
    },
};

use super::{
    Decision, Draft, Scene, documents, is_control_plane,
    known::{self, Refused},
};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    // Who makes the cluster does not join it.
    if node.name == scene.initialiser() {
        return Ok(Vec::new());
    }
    let facts = known::facts_of(scene, node)?;
    there_is_a_cluster(scene, node)?;
    let acting = scene.acting(Some(&node.name));
    is_not_another_clusters(scene, node, facts, &acting)?;
    let control_plane = is_control_plane(node);
    let mut drafts = Vec::new();
    if control_plane {
        let data_of = facts.kube.etcd_data.as_ref().map(|data| data.member_id.clone());
        drafts.extend([
            // An unstarted learner blocks every further join, this node's own included.
            Draft::new(&acting, HealMember { node: node.name.clone(), data_of }),
            Draft::new(&acting, EncryptionConfig { serve: true }),
            Draft::new(&node.name, PlaceEncryption { config: None }),
        ]);
    }
    // The next one waits for the gate, which asks etcd; that this one gets Ready meanwhile, `verify`
    // looks at for all of them at once.
    drafts.extend([
        Draft::new(&acting, MintJoin { control_plane }),
        Draft::new(
            &node.name,
            Join {
                node: node.name.clone(),
                control_plane,
                config: documents::join(scene, node),
                material: None,
                data_is_orphaned: data_is_orphaned(scene, node, facts),
            },
        ),
    ]);
    Ok(drafts)
}

/// It was made before, or this very run makes it first.
fn there_is_a_cluster(scene: &Scene, node: &Node) -> Result<(), Refused> {
    let first = scene.initialiser();
    let only = &scene.wish.only;
    let made_now = scene.wish.verb == "bootstrap" && (only.is_empty() || only.contains(&first));
    if made_now || scene.cluster_exists() {
        return Ok(());
    }
    let why = format!("there is no cluster yet, and this run does not make one on {first}");
    Err(Box::new(Failure::new(format!("let {} join", node.name), why).on(&node.name).hint(
        "`slipway bootstrap` makes the cluster; with --on, name the first control plane too",
    )))
}

/// Only the members themselves can say so; while nobody answers, data counts as a vote.
fn data_is_orphaned(scene: &Scene, node: &Node, facts: &NodeFacts) -> bool {
    match (&facts.kube.etcd_data, scene.api_except(Some(&node.name))) {
        (Some(data), Some((_, api))) => api.members.iter().all(|m| m.id != data.member_id),
        _ => false,
    }
}

fn is_not_another_clusters(
    scene: &Scene,
    node: &Node,
    facts: &NodeFacts,
    acting: &NodeName,
) -> Result<(), Refused> {
    let refuse = |why: String| {
        Err(Box::new(
            known::refused(node, Refusal::Identity, format!("let {} join", node.name), why).hint(
                format!(
                    "if what is on it may be lost: `slipway reset --on {}`, then this again",
                    node.name
                ),
            ),
        ))
    };
    let of_cluster = scene
        .facts_of(acting)
        .and_then(|f| f.kube.ca_fingerprint.as_ref())
        .or(scene.memory.ca_fingerprint.as_ref());
    if let (Some(ours), Some(its)) = (of_cluster, &facts.kube.ca_fingerprint)
        && ours != its
    {
        return refuse(format!("it carries the CA {its} of another cluster; this one's is {ours}"));
    }
    // Without a CA beside it, the data alone tells whose it is.
    if let (Some(data), Some((_, api))) =
        (&facts.kube.etcd_data, scene.api_except(Some(&node.name)))
        && data.cluster_id != api.etcd_cluster_id
    {
        return refuse(format!(
            "it holds the etcd data of the cluster {}; this one is {}",
            data.cluster_id, api.etcd_cluster_id
        ));
    }
    Ok(())
}
