//! kubelet: its unit, enabled. kubeadm starts it when there is something for it to run.

use crate::{
    inventory::Node,
    ops::{files::File, units::Unit},
};

use super::{Decision, Draft, Scene};

pub const UNIT: &str = "/etc/systemd/system/kubelet.service";
pub const DROP_IN: &str = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf";

const UNIT_TEXT: &str = include_str!("../../assets/kubernetes/kubelet.service");
const DROP_IN_TEXT: &str = include_str!("../../assets/kubernetes/10-kubeadm.conf");

pub fn decide(_: &Scene, node: &Node) -> Decision {
    let unit = Unit {
        name: "kubelet.service".into(),
        running: false,
        config: vec![UNIT.into(), DROP_IN.into()],
    };
    Ok(vec![
        Draft::new(&node.name, File::new(UNIT, UNIT_TEXT)),
        Draft::new(&node.name, File::new(DROP_IN, DROP_IN_TEXT)),
        Draft::new(&node.name, unit),
    ])
}
