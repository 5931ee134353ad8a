//! containerd and what it runs with, as one set of ops: bootstrap places it, an upgrade moves it
//! while the node is away.

use crate::{
    artifacts::Row,
    inventory::Node,
    names::{NodeName, Version},
    ops::{files::File, packages::Artifact, units::Unit},
};

use super::{Draft, Scene};

pub const CONFIG: &str = "/etc/containerd/config.toml";
pub const UNIT: &str = "/etc/systemd/system/containerd.service";
pub const CRICTL: &str = "/etc/crictl.yaml";

const CONFIG_TEXT: &str = include_str!("../../assets/host/containerd.toml");
const UNIT_TEXT: &str = include_str!("../../assets/host/containerd.service");
const CRICTL_TEXT: &str = "\
# Written by Slipway.
runtime-endpoint: unix:///run/containerd/containerd.sock
image-endpoint: unix:///run/containerd/containerd.sock
timeout: 10
";

/// Links, and what each points at below the version's directory.
type Links = Vec<(String, String)>;

fn links(dir: &str, inside: &str, names: &[&str]) -> Links {
    names.iter().map(|name| (format!("{dir}/{name}"), format!("{inside}{name}"))).collect()
}

fn artifacts(row: &Row) -> [(&'static str, &Version, Links); 4] {
    const BIN: &str = "/usr/local/bin";
    [
        (
            "containerd",
            &row.containerd,
            links(BIN, "bin/", &["containerd", "containerd-shim-runc-v2", "ctr"]),
        ),
        ("runc", &row.runc, links(BIN, "", &["runc"])),
        // Plugin by plugin: Cilium puts its own beside them, and would lose it if the whole directory
        // were a link that moves.
        (
            "cni-plugins",
            &row.cni_plugins,
            links("/opt/cni/bin", "", &["bridge", "host-local", "loopback", "portmap"]),
        ),
        ("crictl", &row.crictl, links(BIN, "", &["crictl"])),
    ]
}

/// On the node's disk, and nothing more.
pub fn staged(node: &NodeName, row: &Row) -> Vec<Draft> {
    artifacts(row)
        .into_iter()
        .map(|(name, version, _)| {
            Draft::new(
                node,
                Artifact { name: name.into(), version: version.clone(), links: vec![] },
            )
        })
        .collect()
}

const OOM_SCORE: &str = "OOMScoreAdjust=-999\n";
const RESTRICT_OOM: &str = "\
# `host.containerd_restrict_oom`: nothing on this host may lower its OOM score.
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true

";

/// In place and running.
pub fn running(scene: &Scene, node: &Node) -> Vec<Draft> {
    let (row, node) = (scene.row(), &node.name);
    // systemd does not even start a unit whose score it may not set.
    let (restrict_oom, unit) = if scene.inventory.host.containerd_restrict_oom {
        (RESTRICT_OOM, UNIT_TEXT.replace(OOM_SCORE, ""))
    } else {
        ("", UNIT_TEXT.to_string())
    };
    let config = CONFIG_TEXT
        .replace("{containerd}", &row.containerd.to_string())
        .replace("{runc}", &row.runc.to_string())
        .replace("{restrict_oom}", restrict_oom)
        .replace("{pause}", &row.pause);
    let mut drafts: Vec<Draft> = artifacts(row)
        .into_iter()
        .map(|(name, version, links)| {
            Draft::new(node, Artifact { name: name.into(), version: version.clone(), links })
        })
        .collect();
    drafts.extend([
        Draft::new(node, File::new(CONFIG, config)),
        Draft::new(node, File::new(CRICTL, CRICTL_TEXT)),
        Draft::new(node, File::new(UNIT, unit)),
        Draft::new(
            node,
            Unit {
                name: "containerd.service".into(),
                running: true,
                config: vec![CONFIG.into(), UNIT.into()],
            },
        ),
    ]);
    drafts
}
