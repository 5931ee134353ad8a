//! Ports: by MAC, their speed, frames, addresses and names.

use super::{Check, Exam, Severity, exam::NONE_ANSWERED};
use crate::{
    facts::{Link, NodeFacts},
    inventory::{CEPH_PORT, Inventory, LAN_PORT, Node, Port},
};

const FAMILY: &str = "network";

/// What a port should be like.
struct Wanted<'a> {
    /// `LAN`, `Ceph`: for people.
    label: &'static str,
    /// The name its `.link` file gives it: one value of Cilium's `devices` then fits all nodes.
    name: &'static str,
    port: &'a Port,
    mtu: u16,
    min_speed_mbps: Option<u32>,
    prefix: u8,
}

fn wanted<'a>(inventory: &'a Inventory, node: &'a Node) -> impl Iterator<Item = Wanted<'a>> {
    let lan = &inventory.network.lan;
    let lan = Wanted {
        label: "LAN",
        name: LAN_PORT,
        port: &node.lan,
        mtu: lan.mtu,
        min_speed_mbps: lan.min_speed_mbps,
        prefix: lan.cidr.prefix_len(),
    };
    let ceph = inventory.network.ceph.as_ref().zip(node.ceph.as_ref());
    let ceph = ceph.map(|(net, port)| Wanted {
        label: "Ceph",
        name: CEPH_PORT,
        port,
        mtu: net.mtu,
        min_speed_mbps: net.min_speed_mbps,
        prefix: net.cidr.prefix_len(),
    });
    [Some(lan), ceph].into_iter().flatten()
}

/// Looks at each wanted port that is there.
fn ports(
    inventory: &Inventory,
    node: &Node,
    facts: &NodeFacts,
    look: impl Fn(&Wanted, &Link) -> Option<String>,
) -> Vec<String> {
    wanted(inventory, node).filter_map(|want| look(&want, facts.link(&want.port.mac)?)).collect()
}

pub(super) const PORTS_PRESENT: Check = Check {
    id: "ports-present",
    family: FAMILY,
    severity: Severity::Error,
    about: "the ports that the inventory names by MAC are there",
    remedy: "correct the MAC in the inventory (`ip -br link` shows them), or enable the port in the \
             firmware",
    run: |exam| {
        Exam::each(exam.answered(), NONE_ANSWERED, |node, facts| {
            let missing = wanted(exam.inventory, node)
                .filter(|want| facts.link(&want.port.mac).is_none())
                .map(|want| {
                    let there: Vec<_> =
                        facts.links.iter().map(|l| format!("{} {}", l.name, l.mac)).collect();
                    let there = crate::ui::list(&there, 6);
                    format!("no port has {} ({}); there are: {there}", want.port.mac, want.label)
                });
            missing.collect()
        })
    },
};

fn down(want: &Wanted, link: &Link) -> Option<String> {
    (!link.up).then(|| format!("the {} port {} has no link", want.label, link.name))
}

pub(super) const PORTS_UP: Check = Check {
    id: "ports-up",
    family: FAMILY,
    severity: Severity::Error,
    about: "ports of members have a link",
    remedy: "check cable and switch port; `networkctl status PORT` on the node says more",
    run: |exam| exam.each_member(|node, facts| ports(exam.inventory, node, facts, down)),
};

/// Why a check of nodes to come has nothing to look at.
fn no_outsider(exam: &Exam) -> &'static str {
    if exam.facts.is_empty() { NONE_ANSWERED } else { "every node that answered is a member" }
}

pub(super) const PORTS_TO_COME_UP: Check = Check {
    id: "ports-ready",
    family: FAMILY,
    severity: Severity::Warning,
    about: "ports of nodes that are in no cluster yet have a link",
    remedy: "check cable and switch port; a port that nothing has configured yet may be down for \
             that reason only (`ip link set PORT up` shows)",
    run: |exam| {
        Exam::each(exam.outsiders(), no_outsider(exam), |node, facts| {
            ports(exam.inventory, node, facts, down)
        })
    },
};

pub(super) const SPEED: Check = Check {
    id: "port-speed",
    family: FAMILY,
    severity: Severity::Error,
    about: "ports are as fast as `min_speed_mbps` wants them",
    remedy: "check cable and switch port: one bad pair makes 100 Mbit/s of a gigabit; or lower \
             `min_speed_mbps` of that network",
    run: |exam| {
        let network = &exam.inventory.network;
        let ceph_speed = network.ceph.as_ref().and_then(|ceph| ceph.min_speed_mbps);
        let asked = network.lan.min_speed_mbps.or(ceph_speed).is_some();
        let none = if asked { NONE_ANSWERED } else { "no network has a `min_speed_mbps`" };
        Exam::each(exam.answered().filter(|_| asked), none, |node, facts| {
            ports(exam.inventory, node, facts, |want, link| {
                let min = want.min_speed_mbps?;
                let of = format!("the {} port {}", want.label, link.name);
                match link.speed_mbps {
                    Some(mbps) if mbps >= min => None,
                    Some(mbps) => Some(format!("{of} runs at {mbps} Mbit/s, {min} are wanted")),
                    // Without a link there is no speed, and another check says so.
                    None if !link.up => None,
                    None => Some(format!("{of} does not tell its speed, {min} Mbit/s are wanted")),
                }
            })
        })
    },
};

/// Before a port is set up it has whatever it came with.
fn is_set_up(want: &Wanted, facts: &NodeFacts) -> bool {
    let has = |link: &Link| link.has(want.port.address);
    facts.kube.kubelet_conf || facts.link(&want.port.mac).is_some_and(has)
}

pub(super) const MTU: Check = Check {
    id: "mtu",
    family: FAMILY,
    severity: Severity::Error,
    about: "ports that are set up have the MTU of their network",
    remedy: "run `slipway bootstrap`, which sets it; the switch must carry frames of that size too",
    run: |exam| {
        let set_up = exam.answered().filter(|(node, facts)| {
            wanted(exam.inventory, node).any(|want| is_set_up(&want, facts))
        });
        Exam::each(set_up, "no port that was seen is set up yet", |node, facts| {
            ports(exam.inventory, node, facts, |want, link| {
                (is_set_up(want, facts) && link.mtu != want.mtu).then(|| {
                    let (label, name) = (want.label, &link.name);
                    format!("the {label} port {name} has MTU {}, {} is wanted", link.mtu, want.mtu)
                })
            })
        })
    },
};

fn addresses(link: &Link) -> String {
    let all: Vec<_> = link.addresses.iter().map(|(a, prefix)| format!("{a}/{prefix}")).collect();
    if all.is_empty() { "no address".into() } else { crate::ui::list(&all, 4) }
}

pub(super) const ADDRESSES: Check = Check {
    id: "addresses",
    family: FAMILY,
    severity: Severity::Error,
    about: "members have the addresses that the inventory gives them",
    remedy: "set the address back: etcd's peers and the certificates carry it, so a member's address \
             cannot change; or correct the inventory",
    run: |exam| {
        exam.each_member(|node, facts| {
            ports(exam.inventory, node, facts, |want, link| {
                let address = want.port.address;
                let is_so = link.addresses.contains(&(address, want.prefix));
                (!is_so).then(|| {
                    let (label, name, prefix) = (want.label, &link.name, want.prefix);
                    let has = addresses(link);
                    format!("the {label} port {name} has {has}, {address}/{prefix} is wanted")
                })
            })
        })
    },
};

pub(super) const ADDRESSES_TO_COME: Check = Check {
    id: "lan-address-to-come",
    family: FAMILY,
    severity: Severity::Warning,
    about: "nodes that are in no cluster yet have their LAN address already",
    remedy: "nothing has to be done: `slipway bootstrap` sets it, and takes it back if the node \
             cannot be reached by it",
    run: |exam| {
        Exam::each(exam.outsiders(), no_outsider(exam), |node, facts| {
            let address = node.lan.address;
            let link = facts.link(&node.lan.mac).filter(|link| !link.has(address));
            link.map(|link| {
                format!("{} has {}, it will have {address}", link.name, addresses(link))
            })
            .into_iter()
            .collect()
        })
    },
};

pub(super) const NAMES: Check = Check {
    id: "port-names",
    family: FAMILY,
    severity: Severity::Error,
    about: "ports of members are called lan0 and ceph0",
    remedy: "run `slipway bootstrap`, which writes the `.link` files, and reboot the node: Cilium \
             looks for its devices by these names",
    run: |exam| {
        exam.each_member(|node, facts| {
            ports(exam.inventory, node, facts, |want, link| {
                (link.name != want.name).then(|| {
                    format!("the {} port is called {}, not {}", want.label, link.name, want.name)
                })
            })
        })
    },
};
