//! no-swap: none now, and none after the next boot. The kubelet does not start with it.

use crate::{
    inventory::Node,
    ops::{files::Absent, host::NoSwap},
};

use super::{Decision, Draft, Scene};

pub fn decide(_: &Scene, node: &Node) -> Decision {
    Ok(vec![
        Draft::new(&node.name, NoSwap {}),
        // archinstall's doing: without the file there is no zram at the next boot.
        Draft::new(&node.name, Absent { path: "/etc/systemd/zram-generator.conf".into() }),
    ])
}
