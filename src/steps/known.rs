//! What several steps ask of a scene in the same words.

use crate::{
    events::{Failure, Refusal},
    facts::{ApiFacts, NodeFacts},
    inventory::{EndpointKind, Gitops, Node, SecretFrom, git_hosts},
    names::{NodeName, Version},
    ops::repository::{Access, Kustomization, Repository},
    secret::{Source, Sourced},
};

use super::{Scene, is_control_plane};

pub type Refused = Box<Failure>;

/// A safety rule says no, before anything of the plan is run.
pub fn refused(
    node: &Node,
    rule: Refusal,
    what: impl Into<String>,
    why: impl Into<String>,
) -> Failure {
    cannot(node, what, why).refused(rule)
}

/// Nothing can be decided for this node.
pub fn cannot(node: &Node, what: impl Into<String>, why: impl Into<String>) -> Failure {
    Failure::new(what, why).on(&node.name).left("nothing was changed")
}

pub fn facts_of<'a>(scene: &Scene<'a>, node: &Node) -> Result<&'a NodeFacts, Refused> {
    scene.facts_of(&node.name).ok_or_else(|| {
        Box::new(
            cannot(
                node,
                format!("plan for {}", node.name),
                "it did not answer, so nothing is known of it",
            )
            .hint("check that it is on and that `ssh` reaches it; or leave it out with --on"),
        )
    })
}

/// The node that `join-node` or `remove-node` names.
pub fn is_target(scene: &Scene, node: &Node) -> bool {
    scene.wish.target.as_ref() == Some(&node.name)
}

/// Whether the cluster counts this node as its own: what an upgrade goes by, rather than what the
/// inventory says, which may name a machine that has not joined yet.
pub fn in_cluster(scene: &Scene, node: &NodeName) -> bool {
    match scene.api() {
        Some(api) => api.node(node).is_some(),
        None => scene.is_member(node),
    }
}

/// An upgrade passes by a machine that has not joined: there is nothing on it to move.
pub fn is_passed_by(scene: &Scene, node: &Node) -> bool {
    scene.wish.verb == "upgrade" && !in_cluster(scene, &node.name)
}

/// Whether this node runs another version than the one that nodes are prepared for. On such a member
/// only an upgrade may move links: it takes the node away first.
pub fn is_left_to_upgrade(scene: &Scene, node: &Node) -> bool {
    scene.is_member(&node.name)
        && scene.facts_of(&node.name).and_then(|f| f.kube.kubelet.as_ref())
            != Some(&scene.kubernetes())
}

/// Where API servers themselves listen. With an external endpoint its port is the load balancer's.
pub fn api_port(scene: &Scene) -> u16 {
    match scene.inventory.cluster.endpoint.kind {
        EndpointKind::External => 6443,
        EndpointKind::Keepalived | EndpointKind::KubeVip => scene.inventory.cluster.endpoint.port,
    }
}

/// Whether one of the fleet's nodes carries Ceph: its clients are then wherever pods are.
pub fn has_ceph(scene: &Scene) -> bool {
    scene.inventory.network.ceph.is_some()
        || scene.inventory.nodes.iter().any(|n| !n.disks.ceph.is_empty())
}

/// Once Git runs the cluster, an add-on at another version is Git's decision: setting it back would
/// be undone at the next sync.
pub fn is_gits(api: Option<&ApiFacts>, addon: &str, version: &str) -> bool {
    api.is_some_and(|api| {
        !api.applications.is_empty() && api.addons.get(addon).is_some_and(|a| a.version != version)
    })
}

/// A directory of the GitOps repository, and how the repository is reached.
pub fn kustomization(gitops: &Gitops, path: &str) -> Kustomization {
    let given = gitops.access.clone().unwrap_or_default();
    let identity = gitops.age_identity.as_ref();
    let sourced =
        |from: &Option<SecretFrom>| from.as_ref().map(|from| Sourced::from(from.source(identity)));
    let known = || git_hosts::known(&gitops.repo).map(str::to_string);
    let ca = given.ca.and_then(|t| t.text);
    let app = given.github_app.as_ref().map(|app| app.exchanged(identity, ca.clone()));
    let access = Access {
        // The name that goes with an installation's token.
        username: given.username.or_else(|| app.as_ref().map(|_| "x-access-token".into())),
        token: sourced(&given.token)
            .or_else(|| app.clone().map(|app| Sourced::from(Source::GithubApp(app)))),
        ssh_key: sourced(&given.ssh_key),
        app_key: app.map(|app| Sourced::from(*app.key)),
        known_hosts: given.known_hosts.and_then(|t| t.text).or_else(known),
        ca,
    };
    let repository =
        Repository { url: gitops.repo.clone(), revision: gitops.revision.clone(), access };
    Kustomization { repository, path: path.trim_matches('/').into() }
}

/// The version that an upgrade goes to.
pub fn upgrade_to<'a>(scene: &'a Scene, node: &Node) -> Result<&'a Version, Refused> {
    scene.wish.to.as_ref().ok_or_else(|| {
        Box::new(
            cannot(node, "plan an upgrade", "no version was named")
                .hint("name one: `slipway upgrade --to 1.36.4`"),
        )
    })
}

/// Whether an upgrade still has something to do for this node. Its last act is to uncordon, so a
/// node that was cut off anywhere before that is still in need.
pub fn needs_upgrade(scene: &Scene, node: &Node) -> bool {
    let (Some(to), Some(api)) = (&scene.wish.to, scene.api()) else { return false };
    let Some(object) = api.node(&node.name) else { return false };
    // A first control plane that others are upgraded through is not upgraded unless it is named.
    if !scene.wish.only.is_empty() && !scene.wish.only.contains(&node.name) {
        return false;
    }
    let kubeadm = scene.facts_of(&node.name).and_then(|f| f.kube.kubeadm.as_ref());
    object.kubelet != *to
        || object.cordoned_by_us
        || (is_control_plane(node) && kubeadm.is_some_and(|found| found != to))
        || (scene.initialiser() == node.name && api.version != *to)
}
