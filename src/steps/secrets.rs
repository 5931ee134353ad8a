//! secrets: the few Secrets that must be there before the cluster can get its others by itself. Looked
//! at on every run, before and after the hand-off: a value that was changed is brought there.

use crate::{gitops, inventory::Node, ops::secrets::ClusterSecret, secret::Sourced};

use super::{Decision, Draft, Scene};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let Some(gitops) = &scene.inventory.gitops else { return Ok(Vec::new()) };
    let identity = gitops.age_identity.as_ref();
    let draft = |secret: &crate::inventory::TierZero| {
        let op = ClusterSecret {
            namespace: secret.namespace.clone(),
            name: secret.name.clone(),
            kind: secret.kind.clone(),
            labels: secret.labels.clone(),
            namespace_labels: gitops::namespace_labels(&secret.namespace),
            data: secret
                .keys
                .iter()
                .map(|(key, from)| (key.clone(), Sourced::from(from.source(identity))))
                .collect(),
        };
        Draft::new(&node.name, op)
    };
    Ok(gitops.secrets.iter().map(draft).collect())
}
