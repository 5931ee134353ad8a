//! sysctls: set now, and at every boot, with the reason beside each in the file.

use std::collections::BTreeMap;

use crate::{
    inventory::Node,
    ops::{files::File, host::Sysctls},
};

use super::{Decision, Draft, Scene};

pub const FILE: &str = "/etc/sysctl.d/90-slipway.conf";

struct Group {
    why: &'static str,
    values: &'static [(&'static str, &'static str)],
}

const GROUPS: &[Group] = &[
    Group {
        why: "Pods are routed through the node; kubeadm's preflight wants it.",
        values: &[("net.ipv4.ip_forward", "1")],
    },
    Group {
        why: "Bridged pod traffic passes kube-proxy's rules, where there is no Cilium.",
        values: &[
            ("net.bridge.bridge-nf-call-ip6tables", "1"),
            ("net.bridge.bridge-nf-call-iptables", "1"),
        ],
    },
    Group {
        why: "Cilium's packets come back by other ports than they left by: a reverse path filter\n# would drop them. Ports that systemd has set to 2 (loose) already stay so, which is fine.",
        values: &[("net.ipv4.conf.all.rp_filter", "0"), ("net.ipv4.conf.default.rp_filter", "0")],
    },
    Group {
        why: "Two ports: each answers ARP only for its own address, or Ceph's traffic ends on the LAN.",
        values: &[("net.ipv4.conf.all.arp_announce", "2"), ("net.ipv4.conf.all.arp_ignore", "1")],
    },
    Group {
        why: "The kubelet sets these itself; the same values here, so that nothing flips at its start.",
        values: &[
            ("kernel.keys.root_maxbytes", "25000000"),
            ("kernel.keys.root_maxkeys", "1000000"),
            ("kernel.panic", "10"),
            ("kernel.panic_on_oops", "1"),
            ("vm.overcommit_memory", "1"),
        ],
    },
    Group {
        why: "Every kubelet, containerd and log collector watches files; the defaults are for desktops.",
        values: &[
            ("fs.inotify.max_user_instances", "8192"),
            ("fs.inotify.max_user_watches", "1048576"),
        ],
    },
    Group {
        why: "Ceph's OSDs: asynchronous writes of several disks, and thousands of threads.",
        values: &[("fs.aio-max-nr", "1048576"), ("kernel.pid_max", "4194304")],
    },
    Group {
        why: "Search engines and databases map many files; as Arch has it, and Debian does not.",
        values: &[("vm.max_map_count", "1048576")],
    },
];

/// `net/ipv4/x` is `net.ipv4.x`: whichever separator comes first is the one that separates.
fn dotted(key: &str) -> String {
    if key.find('/').unwrap_or(usize::MAX) > key.find('.').unwrap_or(usize::MAX) {
        return key.into();
    }
    let swap = |c| match c {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    key.chars().map(swap).collect()
}

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let theirs: BTreeMap<String, String> = scene
        .inventory
        .host
        .sysctls
        .iter()
        .map(|(key, value)| (dotted(key), value.trim().to_string()))
        .collect();
    let mut text = String::from("# Written by Slipway.\n");
    let mut values = BTreeMap::new();
    for group in GROUPS {
        let ours: Vec<_> = group.values.iter().filter(|(k, _)| !theirs.contains_key(*k)).collect();
        if ours.is_empty() {
            continue;
        }
        text.push_str(&format!("\n# {}\n", group.why));
        for (key, value) in ours {
            text.push_str(&format!("{key} = {value}\n"));
            values.insert(key.to_string(), value.to_string());
        }
    }
    if !theirs.is_empty() {
        text.push_str("\n# `host.sysctls` of the inventory, which wins over the above.\n");
        for (key, value) in &theirs {
            text.push_str(&format!("{key} = {value}\n"));
        }
        values.extend(theirs);
    }
    Ok(vec![
        Draft::new(&node.name, File::new(FILE, text)),
        Draft::new(&node.name, Sysctls { values }),
    ])
}

#[cfg(test)]
mod tests {
    #[test]
    fn separators() {
        assert_eq!(super::dotted("net.ipv4.ip_forward"), "net.ipv4.ip_forward");
        assert_eq!(
            super::dotted("net/ipv4/conf/eth0.10/rp_filter"),
            "net.ipv4.conf.eth0/10.rp_filter"
        );
    }
}
