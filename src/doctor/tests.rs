//! Every check fails when it should and passes when it should; none is without such a test.

use std::collections::BTreeSet;

use super::{
    fixture::{DAY_MS, Fleet, NOW_MS, name},
    *,
};
use crate::{
    events::{Event, RunResult},
    facts::Contents,
    inventory::Role,
    ops::cluster::{CONTROL_PLANE_TAINT, EXCLUDE_LABEL},
};

#[derive(Clone, Copy)]
enum Base {
    Fresh,
    Healthy,
}
use Base::{Fresh, Healthy};

impl Base {
    fn fleet(self) -> Fleet {
        match self {
            Fresh => {
                // A check passes where there is nothing to say at all: not even a lease of DHCP.
                let mut fleet = Fleet::fresh();
                let nodes = fleet.inventory.nodes.clone();
                for node in nodes {
                    fleet.node(node.name.as_str()).links[0].addresses =
                        vec![(node.lan.address, 24)];
                }
                fleet
            }
            Healthy => {
                let mut fleet = Fleet::healthy();
                fleet.ran("bootstrap", DAY_MS, 4, Some(RunResult::Done));
                fleet.inventory.network.lan.min_speed_mbps = Some(1000);
                fleet
            }
        }
    }
}

/// What the OS disk of node-a says of itself.
fn health(fleet: &mut Fleet) -> &mut crate::facts::Health {
    fleet.node("node-a").disks[0].health.as_mut().unwrap()
}

/// In which fleet, which check, after which change, says what.
type Case = (Base, &'static str, fn(&mut Fleet), &'static str);

const CASES: &[Case] = &[
    // Hosts.
    (Fresh, "nodes-reachable", |f| f.lose("node-c"), "node-c: no answer from"),
    (Fresh, "nodes-reachable", |f| f.lose("node-c"), "hint: is it switched on?"),
    (Fresh, "os", |f| f.node("node-b").os.id = "ubuntu".into(), "runs `ubuntu`, the inventory"),
    (Fresh, "os", |f| f.node("node-b").os.arch = "aarch64".into(), "is aarch64"),
    (Fresh, "cgroup-v2", |f| f.node("node-a").os.cgroup = 1, "has cgroup version 1"),
    (
        Fresh,
        "kernel-is-installed",
        |f| f.node("node-a").os.kernel_installed = Some("6.18.0-arch1-1".into()),
        "runs kernel 6.17.8-arch1-1, 6.18.0-arch1-1 is installed",
    ),
    (Fresh, "cpus-and-memory", |f| f.node("node-a").cpus = 1, "1 CPU, 2 are wanted"),
    (Fresh, "cpus-and-memory", |f| f.node("node-a").memory_mb = 1_024, "1024 MB of memory"),
    // As a machine of 12 GB shows itself, in whichever unit.
    (Fresh, "memory-for-ceph", |f| f.node("node-a").memory_mb = 12_884, "12.9 GB of memory for 2"),
    (Fresh, "var-free", |f| f.node("node-a").var_free_mb = 9_999, "9999 MB free under /var"),
    (Healthy, "hostname", |f| f.node("node-a").hostname = "archlinux".into(), "is `archlinux`"),
    (
        Healthy,
        "clock-synchronised",
        |f| f.node("node-b").clock.synchronised = false,
        "node-b: its clock is not synchronised",
    ),
    (
        Fresh,
        "clock-to-come",
        |f| f.node("node-b").clock.synchronised = false,
        "node-b: its clock is not synchronised",
    ),
    (
        Fresh,
        "clock-skew",
        |f| f.node("node-b").clock.skew_ms = 900,
        "node-b: node-b is 900 ms ahead of node-a",
    ),
    (
        Fresh,
        "clock-skew",
        |f| f.node("node-c").clock.skew_ms = -600,
        "node-c: node-b is 603 ms ahead of node-c",
    ),
    // Disks.
    (
        Fresh,
        "os-disk",
        |f| {
            f.node("node-a").disks[0].is_os = false;
            f.node("node-a").disks[1].is_os = true;
        },
        "does not run from S6XNNS0W100001; it runs from S7KGNJ0W200001",
    ),
    (
        Fresh,
        "os-disk",
        |f| f.node("node-a").disks[0].serial = "OTHER-1".parse().unwrap(),
        "there is no disk S6XNNS0W100001; it runs from OTHER-1",
    ),
    (Fresh, "ceph-disks-present", |f| drop(f.node("node-a").disks.pop()), "no disk S7KGNJ0W200002"),
    (
        Fresh,
        "ceph-disks-present",
        |f| {
            let disk = f.node("node-a").disks.pop().unwrap();
            f.node("node-b").disks.push(disk);
        },
        "disk S7KGNJ0W200002 is in node-b",
    ),
    (
        Fresh,
        "ceph-disks-present",
        |f| f.node("node-a").disks[2].wwn = Some("S7KGNJ0W200001".parse().unwrap()),
        "2 disks go by S7KGNJ0W200001",
    ),
    (
        Fresh,
        "ceph-disks-blank",
        |f| {
            let label = Some("old-photos".into());
            f.node("node-a").disks[1].contents =
                vec![Contents::Filesystem { kind: "ext4".into(), label }];
        },
        "S7KGNJ0W200001: Samsung SSD 990 PRO, 2.0 TB, ext4 \"old-photos\"",
    ),
    (
        Fresh,
        "ceph-disks-blank",
        |f| f.node("node-a").disks[1].held_by = vec!["dm-0".into()],
        "held by dm-0",
    ),
    (
        Fresh,
        "ceph-disks-alike",
        |f| f.node("node-c").disks[1].size_bytes = 1_000_204_886_016,
        "from 1.0 TB (S7KGNJ0W200005 in node-c) to 2.0 TB",
    ),
    (
        Fresh,
        "disk-health",
        |f| health(f).used_percent = 97,
        "S6XNNS0W100001 (Kingston OM8PGP4, 1.0 TB): 97 % worn, 100 % spare left",
    ),
    (Fresh, "disk-health", |f| health(f).media_errors = 1, "1 media error"),
    (Healthy, "disk-health", |f| health(f).spare_percent = 9, "9 % spare left"),
    (Fresh, "disk-health", |f| health(f).warns = true, "it warns"),
    // Network.
    (
        Fresh,
        "ports-present",
        |f| drop(f.node("node-a").links.pop()),
        "no port has 58:47:ca:00:00:02",
    ),
    (Healthy, "ports-up", |f| f.node("node-a").links[1].up = false, "Ceph port ceph0 has no link"),
    (Fresh, "ports-ready", |f| f.node("node-a").links[1].up = false, "Ceph port enp2s0 has no"),
    (
        Fresh,
        "port-speed",
        |f| f.node("node-a").links[1].speed_mbps = Some(1000),
        "enp2s0 runs at 1000 Mbit/s, 2500 are wanted",
    ),
    (
        Healthy,
        "port-speed",
        |f| f.node("node-a").links[0].speed_mbps = Some(100),
        "lan0 runs at 100",
    ),
    (
        Fresh,
        "port-speed",
        |f| f.node("node-a").links[1].speed_mbps = None,
        "does not tell its speed",
    ),
    (Healthy, "mtu", |f| f.node("node-a").links[1].mtu = 1500, "has MTU 1500, 9000 is wanted"),
    (
        Healthy,
        "addresses",
        |f| f.node("node-a").links[0].addresses.clear(),
        "lan0 has no address, 192.168.1.11/24 is wanted",
    ),
    (
        Healthy,
        "addresses",
        |f| f.node("node-a").links[1].addresses[0].1 = 32,
        "ceph0 has 10.10.10.11/32, 10.10.10.11/24 is wanted",
    ),
    (
        Fresh,
        "lan-address-to-come",
        |f| f.node("node-a").links[0].addresses = vec![("192.168.1.100".parse().unwrap(), 24)],
        "enp1s0 has 192.168.1.100/24, it will have 192.168.1.11",
    ),
    (Healthy, "port-names", |f| f.node("node-a").links[0].name = "eth0".into(), "eth0, not lan0"),
    // Identity.
    (
        Fresh,
        "machine-ids-unique",
        |f| f.node("node-b").machine_id = f.node("node-a").machine_id.clone(),
        "node-a and node-b share the machine-id",
    ),
    (
        Fresh,
        "machine-ids-unique",
        |f| f.node("node-b").machine_id.clear(),
        "there is no machine-id",
    ),
    (
        Healthy,
        "one-ca",
        |f| f.node("node-c").kube.ca_fingerprint = Some("0ther".into()),
        "several CAs: 0ther on node-c; ca5e1c0d2a99 on node-a and node-b",
    ),
    (
        Healthy,
        "one-ca",
        |f| {
            for facts in f.facts.values_mut() {
                facts.kube.ca_fingerprint = Some("0ther".into());
            }
        },
        "the ledger knows the CA ca5e1c0d2a99, node-a, node-b and node-c carry 0ther",
    ),
    (
        Healthy,
        "one-ca",
        |f| f.facts.values_mut().for_each(|facts| facts.kube = Default::default()),
        "no node carries it",
    ),
    (
        Healthy,
        "one-etcd-cluster",
        |f| f.node("node-c").kube.etcd_data.as_mut().unwrap().cluster_id = "0ther".into(),
        "several etcd clusters: 0ther on node-c",
    ),
    (
        Healthy,
        "one-etcd-cluster",
        |f| {
            for facts in f.facts.values_mut() {
                facts.kube.etcd_data.as_mut().unwrap().cluster_id = "0ther".into();
            }
            f.api(|api| api.etcd_cluster_id = "0ther".into());
        },
        "the ledger knows e7cd0000c1u5",
    ),
    (
        Healthy,
        "same-machines",
        |f| {
            let (node, again) = (name("node-a"), false);
            let event = Event::NodeConnected { node, machine_id: "0ld".into(), again };
            f.remember(NOW_MS, event);
        },
        "node-a: its machine-id was 0ld, now it is",
    ),
    (
        Healthy,
        "runs-finished",
        |f| f.ran("upgrade", 3_600_000, 1, Some(RunResult::Failed)),
        "upgrade of 2026-11-21 01:00:00 UTC did not finish; go on with `slipway upgrade -i",
    ),
    (
        Healthy,
        "runs-finished",
        |f| f.ran("bootstrap", 3_600_000, 1, None),
        "has no end: it still runs, or was killed",
    ),
    // Cluster.
    (
        Healthy,
        "api-answers",
        |f| f.node("node-b").kube.api = None,
        "node-b: its API server does not answer",
    ),
    (
        Healthy,
        "api-answers",
        |f| {
            f.node("node-b").kube.api = None;
            f.node("node-b").kube.manifests.clear();
        },
        "node-b: it has no API server",
    ),
    (
        Healthy,
        "nodes-ready",
        |f| f.kube_node("node-b", |n| n.ready = false),
        "node-b: is not Ready",
    ),
    (
        Fresh,
        "no-half-made-nodes",
        |f| f.node("node-b").kube.ca_fingerprint = Some("x".into()),
        "node-b: has a CA, but its kubelet has no identity",
    ),
    (
        Healthy,
        "no-half-made-nodes",
        |f| f.api(|api| api.nodes.retain(|n| n.name.as_str() != "node-c")),
        "node-c: its kubelet has an identity, but the cluster does not know it",
    ),
    (
        Healthy,
        "no-half-made-nodes",
        |f| f.api(|api| drop(api.members.pop())),
        "node-c: is a control plane without an etcd member",
    ),
    (
        Healthy,
        "kubelet-skew",
        |f| f.kube_node("node-b", |n| n.kubelet = "1.37.0".parse().unwrap()),
        "kubelet 1.37.0 is newer",
    ),
    (
        Healthy,
        "kubelet-skew",
        |f| f.kube_node("node-b", |n| n.kubelet = "1.32.9".parse().unwrap()),
        "kubelet 1.32.9 is too old",
    ),
    (
        Healthy,
        "versions-equal",
        |f| f.kube_node("node-b", |n| n.kubelet = "1.36.3".parse().unwrap()),
        "node-b: 1.36.3; the cluster is at 1.36.4",
    ),
    (
        Healthy,
        "version-of-inventory",
        |f| f.inventory.cluster.kubernetes = "1.37.0".parse().unwrap(),
        "the cluster is at 1.36.4, the inventory says 1.37.0",
    ),
    (
        Healthy,
        "certificates-valid",
        |f| f.api(|api| api.certificates_end_ms = NOW_MS + 7 * DAY_MS - 1),
        "ends in 6 days",
    ),
    (
        Healthy,
        "certificates-valid",
        |f| f.api(|api| api.certificates_end_ms = NOW_MS - 1),
        "ended 2026-11-21",
    ),
    (
        Healthy,
        "certificates-fresh",
        |f| f.api(|api| api.certificates_end_ms = NOW_MS + 30 * DAY_MS),
        "ends in 30 days",
    ),
    (
        Healthy,
        "certificates-fresh",
        |f| f.api(|api| api.certificates_end_ms = NOW_MS + 7 * DAY_MS),
        "ends in 7 days",
    ),
    (
        Healthy,
        "workloads-welcome",
        |f| f.kube_node("node-b", |n| n.taints = vec![CONTROL_PLANE_TAINT.into()]),
        "node-b: has the taint",
    ),
    (
        Healthy,
        "workloads-welcome",
        |f| f.kube_node("node-b", |n| n.taints = vec![format!("{CONTROL_PLANE_TAINT}:NoSchedule")]),
        "node-b: has the taint",
    ),
    (
        Healthy,
        "workloads-welcome",
        |f| f.kube_node("node-b", |n| drop(n.labels.insert(EXCLUDE_LABEL.into(), String::new()))),
        "node-b: has the label node.kubernetes.io/exclude-from",
    ),
    (
        Healthy,
        "nodes-schedulable",
        |f| {
            f.kube_node("node-b", |n| {
                n.cordoned = true;
                n.cordoned_by_us = true;
            });
        },
        "node-b: was cordoned by Slipway",
    ),
    (
        Healthy,
        "nodes-schedulable",
        |f| f.kube_node("node-b", |n| n.cordoned = true),
        "by somebody else",
    ),
    (
        Healthy,
        "inventory-and-cluster-agree",
        |f| drop(f.inventory.nodes.pop()),
        "node-c: is in the cluster, not in the inventory",
    ),
    (
        Healthy,
        "inventory-and-cluster-agree",
        |f| f.api(|api| drop(api.nodes.pop())),
        "node-c: is in the inventory, not in the cluster",
    ),
    (
        Healthy,
        "inventory-and-cluster-agree",
        |f| f.inventory.nodes[2].role = Role::Worker,
        "node-c: is a control plane, the inventory says a worker",
    ),
    (
        Healthy,
        "node-objects-have-machines",
        |f| f.node("node-b").kube = Default::default(),
        "node-b: is known to the cluster, but this machine never joined",
    ),
    (
        Healthy,
        "node-objects-have-machines",
        |f| {
            f.kube_node("node-c", |n| n.ready = false);
            drop(f.inventory.nodes.pop());
        },
        "node-c: is NotReady, and in no inventory",
    ),
    // etcd.
    (
        Healthy,
        "etcd-members-started",
        |f| f.api(|api| api.members[1].started = false),
        "node-b: member m-node-b does not run",
    ),
    (
        Healthy,
        "etcd-no-learners",
        |f| f.api(|api| api.members[1].learner = true),
        "node-b: member m-node-b is a learner",
    ),
    (
        Healthy,
        "etcd-members-known",
        |f| f.api(|api| drop(api.nodes.pop())),
        "node-c: member m-node-c has no control plane",
    ),
    (
        Healthy,
        "etcd-members-known",
        |f| f.api(|api| drop(api.members.pop())),
        "node-c: has no member",
    ),
    (
        Healthy,
        "etcd-members-known",
        |f| f.api(|api| api.members.push(api.members[0].clone())),
        "node-a: has 2 members",
    ),
    (Healthy, "etcd-leader", |f| f.api(|api| api.leader = None), "there is no leader"),
    (Healthy, "etcd-leader", |f| f.api(|api| api.leader = Some("x".into())), "x is no member"),
    (
        Healthy,
        "etcd-no-alarms",
        |f| f.api(|api| api.alarms = vec!["NOSPACE".into()]),
        "alarm NOSPACE",
    ),
    (Healthy, "etcd-hashes-equal", |f| f.api(|api| api.hashes_equal = false), "hash differently"),
    (
        Healthy,
        "etcd-can-lose-one",
        |f| f.api(|api| api.members[1].started = false),
        "3 members, 2 started: none may be lost",
    ),
    (
        Healthy,
        "etcd-can-lose-one",
        |f| f.api(|api| api.members.truncate(2)),
        "2 members, 2 started: none may be lost",
    ),
];

fn verdict(fleet: &Fleet, id: &str) -> Verdict {
    let check = CHECKS.iter().find(|check| check.id == id).expect(id);
    (check.run)(&fleet.exam())
}

#[test]
fn every_check_passes_and_fails_when_it_should() {
    for (base, id, harm, says) in CASES {
        let mut fleet = base.fleet();
        assert_eq!(verdict(&fleet, id), Verdict::Passed, "{id}, before anything is wrong");
        harm(&mut fleet);
        let Verdict::Found(found) = verdict(&fleet, id) else {
            panic!("{id} finds nothing: {:?}", verdict(&fleet, id));
        };
        let lines: Vec<_> = found
            .iter()
            .map(|f| match &f.node {
                Some(node) => format!("{node}: {}", f.text),
                None => f.text.clone(),
            })
            .collect();
        assert!(lines.iter().any(|line| line.contains(says)), "{id}: {says:?} not in {lines:#?}");
    }
}

#[test]
fn no_check_is_without_a_case() {
    let tried: BTreeSet<_> = CASES.iter().map(|(_, id, ..)| *id).collect();
    let all: BTreeSet<_> = CHECKS.iter().map(|check| check.id).collect();
    assert_eq!(tried, all);
    assert_eq!(all.len(), CHECKS.len(), "ids are unique");
    for check in CHECKS {
        check.id.parse::<crate::names::StepName>().expect("kebab-case");
        assert!(!check.remedy.contains("  ") && !check.about.contains("  "), "{}", check.id);
    }
}

#[test]
fn nothing_is_said_of_what_is_not_known() {
    // Nobody was asked: no check may pass for want of facts.
    let mut fleet = Fleet::fresh();
    fleet.facts.clear();
    for outcome in examine(&fleet.exam()).outcomes {
        assert!(matches!(outcome.verdict, Verdict::Skipped(_)), "{}", outcome.check.id);
    }
    // Fresh hardware is no failure.
    let report = examine(&Fleet::fresh().exam());
    assert!(!report.failed());
    // A certificate's end that nobody knows is not in 1970.
    let mut fleet = Fleet::healthy();
    fleet.api(|api| api.certificates_end_ms = 0);
    assert!(matches!(verdict(&fleet, "certificates-valid"), Verdict::Skipped(_)));
    // A cluster that does not answer is not "no cluster yet".
    let mut fleet = Fleet::healthy();
    fleet.facts.values_mut().for_each(|facts| facts.kube.api = None);
    let skipped = Verdict::Skipped("no API server answers".into());
    assert_eq!(verdict(&fleet, "nodes-ready"), skipped);
    assert!(examine(&fleet.exam()).failed());
}

#[test]
fn a_machine_sold_with_16_gb_is_enough_for_ceph() {
    let mut fleet = Fleet::fresh();
    for mb in [15_300, 16_384, 17_179] {
        fleet.node("node-a").memory_mb = mb;
        assert_eq!(verdict(&fleet, "memory-for-ceph"), Verdict::Passed, "{mb}");
    }
}

#[test]
fn a_reset_ends_what_was_left_unfinished() {
    let mut fleet = Fleet::fresh();
    fleet.ran("bootstrap", 3 * DAY_MS, 1, Some(RunResult::Failed));
    fleet.ran("reset", 2 * DAY_MS, 4, Some(RunResult::Done));
    assert_eq!(verdict(&fleet, "runs-finished"), Verdict::Passed);
    fleet.ran("bootstrap", DAY_MS, 1, Some(RunResult::Interrupted));
    fleet.ran("bootstrap", DAY_MS / 2, 4, Some(RunResult::Done));
    assert_eq!(verdict(&fleet, "runs-finished"), Verdict::Passed);
}

#[test]
fn a_fleet_in_perfect_health_has_nothing_found() {
    let mut fleet = Healthy.fleet();
    fleet.inventory.network.lan.min_speed_mbps = None;
    let report = examine(&fleet.exam());
    let found: Vec<_> = report.outcomes.iter().flat_map(Outcome::findings).collect();
    assert!(found.is_empty(), "{found:#?}");
    assert!(!report.failed());
}

fn snapshot(name: &str, text: &str) {
    insta::with_settings!(
        { snapshot_path => "../../tests/snapshots", prepend_module_to_snapshot => false,
          omit_expression => true },
        { insta::assert_snapshot!(name, text) }
    );
}

#[test]
fn the_report_reads_well() {
    let mut fleet = Fleet::healthy();
    fleet.power_off("node-c");
    fleet.ran("upgrade", 3_600_000, 1, Some(RunResult::Failed));
    let label = Some("a\u{1b}[31m\nb".into());
    fleet.node("node-a").links[1].mtu = 1500;
    fleet.node("node-b").links[1].mtu = 1500;
    snapshot("doctor__degraded", &render(&examine(&fleet.exam()), false, false));

    let mut fleet = Fleet::fresh();
    fleet.node("node-a").disks[1].contents =
        vec![Contents::Filesystem { kind: "ext4".into(), label }];
    fleet.facts.remove(&name("node-b"));
    let report = examine(&fleet.exam());
    snapshot("doctor__fresh_verbose", &render(&report, false, true));
    assert!(render(&report, true, false).contains("\u{1b}[1;31m✗\u{1b}[0m ceph-disks-blank"));
}

#[test]
fn the_json_has_stable_keys() {
    let mut fleet = Fleet::healthy();
    fleet.lose("node-c");
    let json = json(&examine(&fleet.exam()));
    let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let mut wanted =
        ["version", "cluster", "simulated", "at_ms", "failed", "counts", "nodes", "checks"];
    wanted.sort_unstable();
    let mut keys = keys;
    keys.sort_unstable();
    assert_eq!(keys, wanted);
    assert_eq!(json["version"], 1);
    assert_eq!(json["failed"], true);
    assert_eq!(json["nodes"]["unreachable"][0], "node-c");
    let check = &json["checks"][0];
    assert_eq!(check["id"], "nodes-reachable");
    assert_eq!(check["result"], "failed");
    assert_eq!(check["findings"][0]["node"], "node-c");
}
