//! pod-network: with the bridge, pods' addresses and the routes between nodes are Slipway's own. Every
//! node of the inventory has its range whether it has joined or not, so that nothing has to be asked.

use crate::{
    inventory::{CniKind, Node},
    names::Cidr,
    ops::{files::File, units::Unit},
};

use super::{Decision, Draft, Scene, known, network::LAN_PORT};

pub const CONFIG: &str = "/etc/cni/net.d/10-slipway.conflist";
pub const SCRIPT: &str = "/etc/kubernetes/slipway/pod-network.sh";
pub const UNIT: &str = "slipway-pod-network.service";
pub const UNIT_FILE: &str = "/etc/systemd/system/slipway-pod-network.service";

const UNIT_TEXT: &str = include_str!("../../assets/kubernetes/pod-network.service");
const SCRIPT_TEXT: &str = include_str!("../../assets/kubernetes/pod-network.sh");
const CONFIG_TEXT: &str = include_str!("../../assets/kubernetes/bridge.conflist");

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    if scene.inventory.cni.kind != CniKind::Bridge {
        return Ok(Vec::new());
    }
    // The inventory is refused where a node has none.
    let Some(own) = scene.inventory.pod_range(node) else {
        return Err(Box::new(known::cannot(
            node,
            "give its pods addresses",
            "there is no range for it",
        )));
    };
    let others = scene.inventory.nodes.iter().filter(|other| other.name != node.name);
    let others: Vec<(Cidr, &Node)> =
        others.filter_map(|other| Some((scene.inventory.pod_range(other)?, other))).collect();
    let wanted: Vec<String> = others.iter().map(|(range, _)| range.to_string()).collect();
    let routes: String = others
        .iter()
        .map(|(range, other)| format!("route {range} {} # {}\n", other.lan.address, other.name))
        .collect();
    let script = SCRIPT_TEXT
        .replace("{pods}", &scene.inventory.cluster.pod_cidr.to_string())
        .replace("{services}", &scene.inventory.cluster.service_cidr.to_string())
        .replace("{own}", &own.to_string())
        .replace("{port}", LAN_PORT)
        .replace("{wanted}", &wanted.join(" "))
        .replace("{routes}", &routes);
    let config = CONFIG_TEXT
        .replace("{range}", &own.to_string())
        .replace("{mtu}", &scene.inventory.network.lan.mtu.to_string());
    Ok(vec![
        Draft::new(&node.name, File::new(SCRIPT, script).mode(0o755)),
        Draft::new(&node.name, File::new(UNIT_FILE, UNIT_TEXT)),
        Draft::new(
            &node.name,
            Unit {
                name: UNIT.into(),
                running: true,
                config: vec![SCRIPT.into(), UNIT_FILE.into()],
            },
        ),
        // Last: with it the node calls itself ready for pods.
        Draft::new(&node.name, File::new(CONFIG, config)),
    ])
}
