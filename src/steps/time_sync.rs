//! time-sync: the clock is synchronised before certificates are made by it.

use crate::{
    inventory::Node,
    ops::{
        checks::ClockFit,
        files::{Absent, File},
        units::Unit,
    },
};

use super::{Decision, Draft, Scene};

const CONFIG: &str = "/etc/systemd/timesyncd.conf.d/90-slipway.conf";

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let servers = &scene.inventory.network.lan.ntp;
    let config = if servers.is_empty() {
        // The distribution's own servers; an earlier inventory may have named others.
        Draft::new(&node.name, Absent { path: CONFIG.into() })
    } else {
        let text = format!("# Written by Slipway.\n[Time]\nNTP={}\n", servers.join(" "));
        Draft::new(&node.name, File::new(CONFIG, text))
    };
    Ok(vec![
        config,
        Draft::new(
            &node.name,
            Unit {
                name: "systemd-timesyncd.service".into(),
                running: true,
                config: vec![CONFIG.into()],
            },
        ),
        Draft::new(&node.name, ClockFit { wait_s: 60 }),
    ])
}
