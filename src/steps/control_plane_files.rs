//! control-plane-files: what the API server's flags name and kubeadm does not carry to a control
//! plane that joins. It has to lie there before init or join starts the API server.

use crate::{inventory::Node, ops::files::File};

use super::{Decision, Draft, Scene, is_control_plane};

pub const AUDIT_POLICY: &str = "/etc/kubernetes/slipway/audit-policy.yaml";

const AUDIT_POLICY_TEXT: &str = include_str!("../../assets/kubernetes/audit-policy.yaml");

pub fn decide(_: &Scene, node: &Node) -> Decision {
    if !is_control_plane(node) {
        return Ok(Vec::new());
    }
    Ok(vec![Draft::new(&node.name, File::new(AUDIT_POLICY, AUDIT_POLICY_TEXT).mode(0o600))])
}
