//! verify-node: the node's own part of the control plane is well, the cluster's endpoint answers from
//! this node, and so does its DNS.

use crate::{
    inventory::Node,
    ops::{
        checks::{CertificatesFresh, DnsAnswers, EndpointAnswers},
        components::ComponentsWell,
        sys::EndpointAt,
    },
};

/// Certificates live a year and an upgrade renews them: a month is time enough to plan one.
const MIN_DAYS: u32 = 30;

/// Every cluster has it, and it is never renamed.
const NAME: &str = "kubernetes.default.svc.cluster.local";

use super::{Decision, Draft, Scene, is_control_plane, known};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    // A machine that neither is in the cluster nor gets into it now cannot know its API server.
    if known::is_passed_by(scene, node) || !scene.takes_part(&node.name) {
        return Ok(Vec::new());
    }
    let mut drafts = Vec::new();
    if is_control_plane(node) {
        drafts.push(Draft::new(&node.name, ComponentsWell { shown: true, wait_s: 180 }));
        // Each has its own, and tells of no other's.
        drafts.push(Draft::new(&node.name, CertificatesFresh { min_days: MIN_DAYS }));
    }
    let endpoint = &scene.inventory.cluster.endpoint;
    // A name that only DNS knows is looked up where it is used.
    let address = scene.endpoint_address();
    let at = EndpointAt { host: endpoint.host.clone(), address, port: endpoint.port };
    drafts.push(Draft::new(&node.name, EndpointAnswers { at, wait_s: 60 }));
    if let Some(server) = scene.dns_service() {
        let dns = DnsAnswers { server, name: NAME.into(), wait_s: 180 };
        drafts.push(Draft::new(&node.name, dns));
    }
    Ok(drafts)
}
