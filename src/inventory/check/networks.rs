//! Networks and the addresses in them.

use std::{collections::BTreeMap, net::Ipv4Addr};

use super::{Finding, Findings, at, text};
use crate::{inventory::Inventory, names::Cidr};

/// Each node gets one such piece of the pod network (Cilium's and kubeadm's default).
const NODE_PREFIX: u8 = 24;

pub fn check(inventory: &Inventory, f: &mut Findings<'_>) {
    disjoint(inventory, f);
    sizes(inventory, f);
    lan(inventory, f);
    node_addresses(inventory, f);
    unique(inventory, f);
    for (path, mtu, least) in [
        Some(("network.lan.mtu", inventory.network.lan.mtu, 576)),
        inventory.network.ceph.as_ref().map(|c| ("network.ceph.mtu", c.mtu, 1280)),
    ]
    .into_iter()
    .flatten()
    {
        if !(least..=9216).contains(&mtu) {
            let hint = "1500 is usual; 9000 where the switch and every port carry jumbo frames";
            f.add(
                Finding::error(path, format!("an MTU of {mtu} is outside {least} to 9216"))
                    .hint(hint),
            );
        }
    }
}

/// All networks, with what to call them and where they stand.
fn all(inventory: &Inventory) -> Vec<(&'static str, &'static str, Cidr)> {
    let mut all = vec![
        ("the LAN", "network.lan.cidr", inventory.network.lan.cidr),
        ("the pod network", "cluster.pod_cidr", inventory.cluster.pod_cidr),
        ("the service network", "cluster.service_cidr", inventory.cluster.service_cidr),
    ];
    if let Some(ceph) = &inventory.network.ceph {
        all.push(("the Ceph network", "network.ceph.cidr", ceph.cidr));
    }
    all
}

fn disjoint(inventory: &Inventory, f: &mut Findings<'_>) {
    let all = all(inventory);
    for (i, (name, path, cidr)) in all.iter().enumerate() {
        if cidr.prefix_len() < 8 || !usable(cidr.network()) {
            f.add(Finding::error(path, format!("{name} cannot be {cidr}")).hint(
                "take a private network: one inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16",
            ));
            continue;
        }
        for (other_name, other_path, other) in &all[..i] {
            if other.overlaps(cidr) && other.prefix_len() >= 8 && usable(other.network()) {
                let label = format!("{other_name} is {other}");
                f.add(
                    Finding::error(path, format!("{name} {cidr} overlaps {other_name} {other}"))
                        .label(format!("{name} is {cidr}"))
                        .other(other_path, label),
                );
            }
        }
    }
}

fn sizes(inventory: &Inventory, f: &mut Findings<'_>) {
    let pods = inventory.cluster.pod_cidr;
    let room =
        1u64.checked_shl(u32::from(NODE_PREFIX.saturating_sub(pods.prefix_len()))).unwrap_or(0);
    let room = if pods.prefix_len() > NODE_PREFIX { 0 } else { room };
    let nodes = inventory.nodes.len();
    if room < nodes as u64 {
        f.add(
            Finding::error(
                "cluster.pod_cidr",
                format!("the pod network {pods} is too small for {nodes} nodes: each takes a /{NODE_PREFIX}, and it has {room}"),
            )
            .hint("a /16 has room for 256 nodes"),
        );
    }
    let services = inventory.cluster.service_cidr;
    let path = "cluster.service_cidr";
    match services.prefix_len() {
        8..12 => f.add(
            Finding::error(path, format!("the service network {services} is too large: kube-apiserver takes a /12 at most"))
                .hint("a /16 has room for 65 thousand services"),
        ),
        25..=28 => f.add(Finding::warning(path, format!("the service network {services} has room for few services, and cannot be changed later"))),
        29.. => f.add(
            Finding::error(path, format!("the service network {services} is too small: the tenth address is the cluster's DNS"))
                .hint("a /16 has room for 65 thousand services"),
        ),
        _ => {}
    }
}

fn lan(inventory: &Inventory, f: &mut Findings<'_>) {
    let confirm_s = inventory.network.confirm_s;
    if !(10..=600).contains(&confirm_s) {
        f.add(
            Finding::error(
                "network.confirm_s",
                format!("a node cannot wait {confirm_s} s to be reached anew"),
            )
            .hint("between 10 and 600 seconds; 60 when it is left out"),
        );
    }
    let lan = &inventory.network.lan;
    inside(
        f,
        ("network.lan.gateway", "the gateway"),
        lan.gateway,
        ("network.lan.cidr", "the LAN"),
        lan.cidr,
    );
    let mut seen = BTreeMap::new();
    for (i, dns) in lan.dns.iter().enumerate() {
        let path = format!("network.lan.dns.{i}");
        if !usable(*dns) && !dns.is_loopback() {
            f.add(Finding::error(&path, format!("{dns} cannot be a name server's address")));
        } else if dns.is_loopback() {
            let message = format!("{dns} is each node itself, not a name server on the LAN");
            f.add(
                Finding::error(&path, message)
                    .hint("pods would ask themselves; name the router or another server"),
            );
        }
        f.unique(&mut seen, *dns, (path, String::new()), |_| {
            format!("the name server {dns} is listed twice")
        });
    }
    for (i, ntp) in lan.ntp.iter().enumerate() {
        if let Err(why) = text::host(ntp) {
            f.add(Finding::error(
                &format!("network.lan.ntp.{i}"),
                format!("the time server `{ntp}` {why}"),
            ));
        }
    }
}

fn node_addresses(inventory: &Inventory, f: &mut Findings<'_>) {
    let ceph_net = inventory.network.ceph.as_ref();
    for (i, node) in inventory.nodes.iter().enumerate() {
        let who = f.who(i);
        let lan = ("network.lan.cidr", "the LAN");
        let path = at(i, "lan.address");
        inside(
            f,
            (&path, &format!("the LAN address of {who}")),
            node.lan.address,
            lan,
            inventory.network.lan.cidr,
        );
        match (&node.ceph, ceph_net) {
            (Some(port), Some(net)) => {
                let ceph = ("network.ceph.cidr", "the Ceph network");
                let path = at(i, "ceph.address");
                inside(
                    f,
                    (&path, &format!("the Ceph address of {who}")),
                    port.address,
                    ceph,
                    net.cidr,
                );
            }
            (Some(_), None) => f.add(
                Finding::error(
                    &at(i, "ceph"),
                    format!("{who} has a `ceph` port, but there is no [network.ceph]"),
                )
                .on_key()
                .hint("add the table [network.ceph], or take the port out where Ceph uses the LAN")
                .given("network.ceph"),
            ),
            (None, Some(_)) => f.add(
                Finding::error(
                    &at(i, "ceph"),
                    format!("{who} has no `ceph` port, but there is a [network.ceph]"),
                )
                .hint("add to the node: ceph = { mac = \"...\", address = \"...\" }")
                .other("network.ceph", "the network that it should be on"),
            ),
            (None, None) => {}
        }
    }
}

/// Says so when `address` is not one that a host in `cidr` can have.
fn inside(
    f: &mut Findings<'_>,
    (path, what): (&str, &str),
    address: Ipv4Addr,
    (net_path, net): (&str, &str),
    cidr: Cidr,
) {
    let says = |why: String| {
        Finding::error(path, format!("{what}, {address}, {why}"))
            .other(net_path, format!("{net} is {cidr}"))
    };
    if !cidr.contains(address) {
        f.add(says(format!("is not inside {net} {cidr}")));
    } else if cidr.prefix_len() < 31 && address == cidr.network() {
        f.add(says(format!("is the base address of {net} {cidr}")));
    } else if cidr.prefix_len() < 31 && address == cidr.broadcast() {
        f.add(says(format!("is the broadcast address of {net} {cidr}")));
    }
}

/// No address may mean two machines: of the nodes, the VIP, the gateway and the name servers.
fn unique(inventory: &Inventory, f: &mut Findings<'_>) {
    let lan = &inventory.network.lan;
    let mut seen: BTreeMap<Ipv4Addr, (String, String)> = BTreeMap::new();
    seen.insert(lan.gateway, ("network.lan.gateway".into(), "the gateway".into()));
    for (i, dns) in lan.dns.iter().enumerate() {
        // The router is often the name server too.
        seen.entry(*dns).or_insert((format!("network.lan.dns.{i}"), "a name server".into()));
    }
    let mut ours: Vec<(Ipv4Addr, String, String)> = Vec::new();
    if let Some(vip) = inventory.cluster.endpoint.vip {
        ours.push((vip, "cluster.endpoint.vip".into(), "the VIP".into()));
        let path = "cluster.endpoint.vip";
        inside(f, (path, "the VIP"), vip, ("network.lan.cidr", "the LAN"), lan.cidr);
    }
    for (i, node) in inventory.nodes.iter().enumerate() {
        let who = f.who(i);
        ours.push((node.lan.address, at(i, "lan.address"), format!("the LAN address of {who}")));
        if let Some(ceph) = &node.ceph {
            ours.push((ceph.address, at(i, "ceph.address"), format!("the Ceph address of {who}")));
        }
    }
    for (address, path, owner) in ours {
        let what = owner.clone();
        f.unique(&mut seen, address, (path, owner), |first| {
            format!("{address} is {first}; it cannot be {what} too")
        });
    }
}

fn usable(address: Ipv4Addr) -> bool {
    !(address.octets()[0] == 0
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.octets()[0] >= 240)
}
