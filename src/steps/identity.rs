//! identity: the machine that a plan was made for is the one that it runs on.

use crate::{events::Refusal, inventory::Node, ops::checks::Identity};

use super::{Decision, Draft, Scene, known};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    // A dead node is taken out of the cluster without its own say.
    if scene.facts_of(&node.name).is_none()
        && scene.wish.verb == "remove-node"
        && known::is_target(scene, node)
    {
        return Ok(Vec::new());
    }
    let facts = known::facts_of(scene, node)?;
    let twin = scene
        .facts
        .iter()
        .find(|(name, other)| **name != node.name && other.machine_id == facts.machine_id);
    if let Some((name, _)) = twin {
        return Err(Box::new(
            known::refused(
                node,
                Refusal::Identity,
                "tell the machines apart",
                format!("it has the same machine-id as {name} ({})", facts.machine_id),
            )
            .hint(
                "an image was copied: on one of them remove /etc/machine-id, run \
                 `systemd-machine-id-setup`, and reboot; or both entries lead to one machine",
            ),
        ));
    }
    Ok(vec![Draft::new(&node.name, Identity { machine_id: facts.machine_id.clone() })])
}
