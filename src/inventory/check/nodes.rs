//! Nodes: their names, hardware, roles and labels.

use std::collections::BTreeMap;

use super::{Finding, Findings, at, text};
use crate::inventory::{Inventory, Node, Os, Role};

pub fn check(inventory: &Inventory, f: &mut Findings<'_>) {
    if inventory.nodes.is_empty() {
        f.add(
            Finding::error("node", "there is no node").hint("a cluster has at least one [[node]]"),
        );
        return;
    }
    identities(inventory, f);
    disks(inventory, f);
    operating_systems(inventory, f);
    roles(inventory, f);
    for (i, node) in inventory.nodes.iter().enumerate() {
        ssh(i, node, f);
        labels(i, node, f);
    }
}

/// Names, MAC addresses and the places where SSH finds the nodes today.
fn identities(inventory: &Inventory, f: &mut Findings<'_>) {
    let (mut names, mut macs, mut dialled) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (i, node) in inventory.nodes.iter().enumerate() {
        let who = f.who(i);
        f.unique(&mut names, &node.name, (at(i, "name"), who.clone()), |_| {
            format!("there are two nodes of the name `{}`", node.name)
        });
        let ports = [("lan", Some(&node.lan)), ("ceph", node.ceph.as_ref())];
        for (port, mac) in ports.into_iter().filter_map(|(name, port)| Some((name, port?.mac))) {
            let owner = format!("the `{port}` port of {who}");
            f.unique(&mut macs, mac, (at(i, format!("{port}.mac")), owner.clone()), |first| {
                format!(
                    "the MAC address {mac} is that of {first}; it cannot be that of {owner} too"
                )
            });
        }
        if let Some(host) = &node.ssh.host {
            let port = node.ssh.port.or(inventory.ssh.port).unwrap_or(22);
            f.unique(&mut dialled, (host, port), (at(i, "ssh.host"), who.clone()), |first| {
                format!("`{host}` port {port} leads to {first}; it cannot lead to {who} too")
            });
        }
    }
}

fn disks(inventory: &Inventory, f: &mut Findings<'_>) {
    let mut seen: BTreeMap<String, (String, String)> = BTreeMap::new();
    for (i, node) in inventory.nodes.iter().enumerate() {
        let who = f.who(i);
        // A serial is compared without regard to case: two spellings of one disk are one disk.
        let os = node.disks.os.as_str().to_lowercase();
        let place = (at(i, "disks.os"), format!("the OS disk of {who}"));
        f.unique(&mut seen, os.clone(), place, |first| {
            format!(
                "the serial {} is {first}; it cannot be the OS disk of {who} too",
                node.disks.os
            )
        });
        for (n, serial) in node.disks.ceph.iter().enumerate() {
            let path = at(i, format!("disks.ceph.{n}"));
            if serial.as_str().to_lowercase() == os {
                f.add(
                    Finding::error(
                        &path,
                        format!("the OS disk of {who} is also listed as a Ceph disk"),
                    )
                    .label("Rook would take it, and the system on it would be gone")
                    .other(&at(i, "disks.os"), "the OS disk")
                    .hint("list only the disks that are Ceph's own"),
                );
                continue;
            }
            let owner = format!("a Ceph disk of {who}");
            let place = (path, owner.clone());
            f.unique(&mut seen, serial.as_str().to_lowercase(), place, |first| {
                if first == owner {
                    format!("the serial {serial} is listed twice")
                } else {
                    format!("the serial {serial} is {first}; it cannot be {owner} too")
                }
            });
        }
    }
}

fn operating_systems(inventory: &Inventory, f: &mut Findings<'_>) {
    let position = |talos: bool| inventory.nodes.iter().position(|n| (n.os == Os::Talos) == talos);
    let Some(talos) = position(true) else { return };
    f.add(
        Finding::error(&at(talos, "os"), "Talos is not built yet: Slipway can only prepare nodes over SSH, which Talos does not have")
            .hint("use `os = \"arch\"` for now"),
    );
    if let Some(other) = position(false) {
        let label = if f.document.spans.has(&at(other, "os")) {
            "not Talos"
        } else {
            "not Talos: `arch` is the default"
        };
        f.add(
            Finding::error(&at(talos, "os"), "a cluster is wholly Talos or not at all")
                .label("Talos")
                .other(&at(other, "os"), label),
        );
    }
}

fn roles(inventory: &Inventory, f: &mut Findings<'_>) {
    let control_planes = inventory.control_planes().count();
    if control_planes == 0 {
        let last = inventory.nodes.len() - 1;
        let mut finding = Finding::error(&at(0, "role"), "no node is a control plane")
            .hint("at least one node has `role = \"control-plane\"`; three can lose one");
        for i in 1..=last {
            finding = finding.given(&at(i, "role"));
        }
        f.add(finding);
    }
    if control_planes > 7 {
        f.add(Finding::warning(
            "node",
            format!("{control_planes} control planes: etcd gets slower with each, and 5 can lose two already"),
        ));
    }
    if let Some(finding) = even_control_planes(inventory) {
        f.add(finding);
    }
    if inventory.nodes.iter().all(|n| !n.schedulable) {
        f.add(
            Finding::warning(
                &at(0, "schedulable"),
                "no node is schedulable: nothing but the control plane can run",
            )
            .hint("leave `schedulable` out where workloads may run"),
        );
    }
}

/// Two of four must stay up as well as two of three: the fourth only adds something to fail.
pub fn even_control_planes(inventory: &Inventory) -> Option<Finding> {
    let planes: Vec<usize> = (0..inventory.nodes.len())
        .filter(|i| inventory.nodes[*i].role == Role::ControlPlane)
        .collect();
    let count = planes.len();
    let last = *planes.last()?;
    let loses = count.saturating_sub(1) / 2;
    let message = format!(
        "{count} control planes can lose {loses}, no more than {} can: an even number only adds one that may fail",
        count - 1
    );
    count.is_multiple_of(2).then(|| {
        let mut finding = Finding::warning(&at(last, "role"), message);
        for i in 0..inventory.nodes.len() {
            finding = finding.given(&at(i, "role"));
        }
        finding
    })
}

fn ssh(i: usize, node: &Node, f: &mut Findings<'_>) {
    let who = f.who(i);
    if let Some(Err(why)) = node.ssh.host.as_deref().map(text::host) {
        let host = node.ssh.host.as_deref().unwrap_or_default();
        f.add(Finding::error(
            &at(i, "ssh.host"),
            format!("the SSH host of {who}, `{host}`, {why}"),
        ));
    }
    if node.ssh.port == Some(0) {
        f.add(Finding::error(&at(i, "ssh.port"), "0 is not a port that SSH can listen on"));
    }
    if let Some(user) = node.ssh.user.as_deref().filter(|u| !text::user(u)) {
        f.add(Finding::error(&at(i, "ssh.user"), format!("`{user}` is not a Linux user's name")));
    }
}

fn labels(i: usize, node: &Node, f: &mut Findings<'_>) {
    for (key, value) in &node.labels {
        let path = at(i, format!("labels.{key}"));
        if let Err(why) = text::label_key(key) {
            f.add(Finding::error(&path, format!("the label `{key}` {why}")).on_key());
            continue;
        }
        if let Err(why) = text::label_value(value) {
            f.add(Finding::error(
                &path,
                format!("the value of the label `{key}`, `{value}`, {why}"),
            ));
        }
        let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
        let reserved = ["kubernetes.io", "k8s.io"]
            .iter()
            .any(|r| prefix.strip_suffix(r).is_some_and(|p| p.is_empty() || p.ends_with('.')));
        // These two are there for people to set.
        if reserved
            && !["topology.kubernetes.io/zone", "topology.kubernetes.io/region"]
                .contains(&key.as_str())
        {
            f.add(
                Finding::warning(
                    &path,
                    format!("the label `{key}` is in a namespace that Kubernetes keeps for itself"),
                )
                .on_key()
                .hint(
                    "a prefix of your own cannot collide with a meaning that Kubernetes gives it",
                ),
            );
        }
    }
}
