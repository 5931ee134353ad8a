//! journald: logs survive a reboot, and do not fill the disk that etcd is on.

use crate::{
    inventory::Node,
    ops::{files::File, units::Unit},
};

use super::{Decision, Draft, Scene};

const CONFIG: &str = "/etc/systemd/journald.conf.d/90-slipway.conf";

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let text = format!(
        "# Written by Slipway.\n[Journal]\nStorage=persistent\nSystemMaxUse={}\n",
        scene.inventory.host.journal_max
    );
    let unit = Unit {
        name: "systemd-journald.service".into(),
        running: true,
        config: vec![CONFIG.into()],
    };
    Ok(vec![Draft::new(&node.name, File::new(CONFIG, text)), Draft::new(&node.name, unit)])
}
