//! node-back: the node is well again and takes workloads; only then is the next one's turn.

use crate::{
    inventory::Node,
    ops::{
        checks::NodesReady,
        cluster::{CephGate, CephNoout, Cordon},
        components::ComponentsWell,
        etcd::EtcdGate,
    },
};

use super::{Decision, Draft, Scene, is_control_plane, known};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let to = known::upgrade_to(scene, node)?;
    if !known::needs_upgrade(scene, node) {
        return Ok(Vec::new());
    }
    let acting = scene.acting(Some(&node.name));
    let name = node.name.clone();
    let ready = NodesReady { nodes: vec![name.clone()], kubelet: Some(to.clone()), wait_s: 300 };
    let mut drafts = vec![Draft::new(&acting, ready)];
    if is_control_plane(node) {
        // A new kubelet may start all of them anew, a while after it says that it is ready itself.
        drafts.push(Draft::new(&node.name, ComponentsWell { shown: false, wait_s: 300 }));
        let gate = EtcdGate { ignoring: None, must_bear_a_loss: false, wait_s: 120 };
        drafts.push(Draft::new(&acting, gate));
    }
    drafts.extend([
        // Recovery over 2.5 GbE takes its time.
        Draft::new(&acting, CephGate { wait_s: 900 }),
        Draft::new(&acting, CephNoout { node: name.clone(), set: false }),
        // Last: that it is cordoned by us is how a resumed run knows that it is not done.
        Draft::new(&acting, Cordon { node: name, cordoned: false }),
    ]);
    Ok(drafts)
}
