//! network: both ports under names of our own, with fixed addresses, as one change that undoes
//! itself when nobody gets through afterwards.

use std::{collections::BTreeMap, net::Ipv4Addr};

use crate::{
    events::Refusal,
    facts::NodeFacts,
    inventory::{Node, Port},
    names::Mac,
    ops::{
        network::Network,
        units::{Unit, UnitOff},
    },
};

use super::{
    Decision, Draft, Scene,
    known::{self, Refused},
};

pub use crate::inventory::{CEPH_PORT, LAN_PORT};

const NETWORKD: &str = "/etc/systemd/networkd.conf.d/90-slipway.conf";
const RESOLVED: &str = "/etc/systemd/resolved.conf.d/90-slipway.conf";

const NETWORKD_TEXT: &str = "\
# Written by Slipway. networkd removes routes and rules that it did not make, unless told: Cilium's
# and keepalived's among them.
[Network]
ManageForeignRoutes=no
ManageForeignRoutingPolicyRules=no
ManageForeignNextHops=no
";

// The stub on 127.0.0.53 stays for the host. Pods must not get it: the kubelet's `resolvConf` names
// /run/systemd/resolve/resolv.conf, where the real servers are.
const RESOLVED_TEXT: &str = "\
# Written by Slipway. Names come from DNS and /etc/hosts; a neighbour's word is not asked for.
[Resolve]
LLMNR=no
MulticastDNS=no
";

const UNMANAGED_TEXT: &str = "\
# Written by Slipway. These are the CNI's own.
[Match]
Name=cilium_* lxc* cni0

[Link]
Unmanaged=yes
";

// networkd takes the first file that matches, and installers leave ones such as 20-ethernet.network
// that match every port (by its alternative names even after it was renamed): ours have to sort first.
fn path(name: &str) -> String {
    format!("/etc/systemd/network/05-slipway-{name}")
}

fn link_file(name: &str, mac: &Mac, mtu: u16) -> String {
    format!(
        "# Written by Slipway. One name on every node, so that one Cilium `devices` fits all.\n\
         [Match]\nPermanentMACAddress={mac}\n\n[Link]\nName={name}\nMTUBytes={mtu}\n"
    )
}

fn lan_file(scene: &Scene, port: &Port) -> String {
    let lan = &scene.inventory.network.lan;
    let dns: Vec<Ipv4Addr> = if lan.dns.is_empty() { vec![lan.gateway] } else { lan.dns.clone() };
    let dns: String = dns.iter().map(|server| format!("DNS={server}\n")).collect();
    // Type: a VLAN or bridge on top of the port carries its MAC as well.
    // KeepConfiguration: the VIP that keepalived added survives a restart of networkd.
    format!(
        "# Written by Slipway.\n[Match]\nMACAddress={}\nType=ether\n\n[Link]\nMTUBytes={}\n\n\
         [Network]\nAddress={}/{}\nGateway={}\n{dns}KeepConfiguration=static\n",
        port.mac,
        lan.mtu,
        port.address,
        lan.cidr.prefix_len(),
        lan.gateway,
    )
}

fn ceph_file(port: &Port, prefix: u8, mtu: u16) -> String {
    // No gateway and nothing learned: whatever is not Ceph's never leaves by this port. A cable that
    // is out must not hold up the boot either.
    format!(
        "# Written by Slipway.\n[Match]\nMACAddress={}\nType=ether\n\n[Link]\nMTUBytes={mtu}\n\
         RequiredForOnline=no\n\n[Network]\nAddress={}/{prefix}\nLinkLocalAddressing=no\n\
         IPv6AcceptRA=no\n",
        port.mac, port.address,
    )
}

fn is_there(node: &Node, facts: &NodeFacts, network: &str, port: &Port) -> Result<(), Refused> {
    if facts.link(&port.mac).is_some() {
        return Ok(());
    }
    let found: Vec<String> =
        facts.links.iter().map(|l| format!("{} ({})", l.mac, l.name)).collect();
    let found = if found.is_empty() { "none".into() } else { found.join(", ") };
    Err(Box::new(
        known::refused(
            node,
            Refusal::Network,
            format!("find the {network} port"),
            format!("no port has the MAC {}; found: {found}", port.mac),
        )
        .hint(format!("correct `{network}.mac` of this node in the inventory")),
    ))
}

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let facts = known::facts_of(scene, node)?;
    is_there(node, facts, "lan", &node.lan)?;
    let moves = facts.link(&node.lan.mac).is_some_and(|link| !link.has(node.lan.address));
    if moves && facts.kube.etcd_data.is_some() {
        return Err(Box::new(
            known::refused(
                node,
                Refusal::Network,
                format!("move this node to {}", node.lan.address),
                "it is an etcd member, and peers and certificates carry its present address",
            )
            .hint("take it out with `slipway remove-node`, then `join-node` at the new address"),
        ));
    }
    let networks = &scene.inventory.network;
    let mut files = BTreeMap::from([
        (path("cni.network"), Some(UNMANAGED_TEXT.to_string())),
        (path("lan0.link"), Some(link_file(LAN_PORT, &node.lan.mac, networks.lan.mtu))),
        (path("lan0.network"), Some(lan_file(scene, &node.lan))),
        (NETWORKD.to_string(), Some(NETWORKD_TEXT.to_string())),
        (RESOLVED.to_string(), Some(RESOLVED_TEXT.to_string())),
        // Gone from the inventory means gone from the node.
        (path("ceph0.link"), None),
        (path("ceph0.network"), None),
    ]);
    if let (Some(ceph), Some(port)) = (&networks.ceph, &node.ceph) {
        is_there(node, facts, "ceph", port)?;
        let text = ceph_file(port, ceph.cidr.prefix_len(), ceph.mtu);
        files.insert(path("ceph0.link"), Some(link_file(CEPH_PORT, &port.mac, ceph.mtu)));
        files.insert(path("ceph0.network"), Some(text));
    }
    let unit = |name: &str, config: &str| Unit {
        name: name.into(),
        running: true,
        config: vec![config.into()],
    };
    Ok(vec![
        Draft::new(
            &node.name,
            Network {
                files,
                lan_mac: node.lan.mac,
                lan_address: node.lan.address,
                lan: networks.lan.cidr,
                gateway: networks.lan.gateway,
                confirm_within_s: networks.confirm_s,
            },
        ),
        // Only now: whichever of them holds the connection must hold it until ours is proven.
        Draft::new(&node.name, UnitOff { name: "NetworkManager.service".into() }),
        Draft::new(&node.name, UnitOff { name: "dhcpcd.service".into() }),
        Draft::new(&node.name, unit("systemd-networkd.service", NETWORKD)),
        Draft::new(&node.name, unit("systemd-resolved.service", RESOLVED)),
    ])
}
