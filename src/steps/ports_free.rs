//! ports-free: nothing else listens where kubeadm's components will.

use crate::{inventory::Node, ops::checks::PortsFree};

use super::{Decision, Draft, Scene, is_control_plane, known};

const KUBELET: u16 = 10250;
const CONTROLLER_MANAGER: u16 = 10257;
const SCHEDULER: u16 = 10259;
const ETCD: [u16; 2] = [2379, 2380];

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let mut ports = vec![KUBELET];
    if is_control_plane(node) {
        ports.insert(0, known::api_port(scene));
        ports.extend([CONTROLLER_MANAGER, SCHEDULER]);
        ports.extend(ETCD);
    }
    Ok(vec![Draft::new(&node.name, PortsFree { ports })])
}
