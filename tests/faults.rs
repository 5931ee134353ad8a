//! What a run does when things go wrong in the ways that an inventory can ask for.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test makes files, prints, and ends by panicking"
)]

mod fleet;

use std::collections::BTreeSet;

use fleet::{Fleet, Typed, inventory, result, simulated};
use rand::SeedableRng;
use slipway::{
    clock::Clock,
    engine::Recorder,
    events::{Event, Failure, OpRef, OpResult},
    facts::Contents,
    inventory::{SimFault, SimFaultAt, SimFaultKind},
    sim::Listed,
    state::{MemDisk, Opening, Writer},
};
use tokio::sync::mpsc;

fn fault(kind: SimFaultKind) -> SimFault {
    SimFault {
        node: Some("node-b".parse().unwrap()),
        step: None,
        kind,
        at: SimFaultAt::Middle,
        times: 1,
        seconds: None,
    }
}

fn with(fleet: &Fleet, faults: Vec<SimFault>) {
    fleet.cell.set_faults(Box::new(Listed::new(faults)));
}

fn bootstrap() -> Typed {
    Typed::new("bootstrap")
}

/// Ops that ended as changed, by place; an op that ends twice is a bug.
fn changed_once(fleet: &Fleet) {
    let mut seen = BTreeSet::new();
    for event in fleet.heard() {
        if let Event::OpFinished { op, result: OpResult::Changed(_), .. } = event {
            assert!(
                seen.insert((op.phase.clone(), op.lane.clone(), op.index)),
                "{op:?} ended twice"
            );
        }
    }
}

#[test]
fn a_run_rides_out_what_passes() {
    let passing = [
        SimFaultKind::DropConnection,
        SimFaultKind::KillAgent,
        SimFaultKind::Reboot,
        SimFaultKind::PowerCut,
        SimFaultKind::Slow,
    ];
    for kind in passing {
        for at in [SimFaultAt::Before, SimFaultAt::Middle, SimFaultAt::After] {
            for step in ["packages", "network", "containerd", "images"] {
                simulated(async {
                    let mut fleet = Fleet::fresh(inventory(3), 1);
                    let listed = SimFault { at, step: Some(step.into()), ..fault(kind) };
                    with(&fleet, vec![listed]);
                    let came = fleet.type_(&bootstrap()).await;
                    assert_eq!(result(&came), "changed", "{kind:?} {at:?} {step}");
                    changed_once(&fleet);
                    assert!(fleet.cell.world().struck.values().any(|n| *n == 1), "it struck");
                    assert_eq!(result(&fleet.type_(&bootstrap()).await), "unchanged");
                });
            }
        }
    }
}

#[test]
fn a_cut_connection_shows_the_outcome_once() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        let step = Some("os-update".to_string());
        with(&fleet, vec![SimFault { step, ..fault(SimFaultKind::DropConnection) }]);
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "changed");
        let heard = fleet.heard();
        let lost = heard
            .iter()
            .any(|e| matches!(e, Event::NodeLost { node, .. } if node.as_str() == "node-b"));
        assert!(lost, "the loss was told");
        changed_once(&fleet);
    });
}

#[test]
fn an_op_that_fails_for_good_stops_the_run_and_names_everything() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        let step = Some("packages".to_string());
        with(&fleet, vec![SimFault { step, times: 0, ..fault(SimFaultKind::Fail) }]);
        let came = fleet.type_(&bootstrap()).await;
        let Some(slipway::conduct::Outcome::Ran(_, run)) = &came else { panic!("{came:?}") };
        assert_eq!(run.failures.len(), 1, "{:?}", run.failures);
        let failure = &run.failures[0];
        assert_eq!(failure.node.as_ref().unwrap().as_str(), "node-b");
        assert_eq!(failure.phase.as_ref().unwrap().as_str(), "host-prep");
        assert_eq!(failure.step.as_ref().unwrap().as_str(), "packages");
        assert!(!failure.causes.is_empty() && !failure.what.is_empty());
        // The others went on as far as the phase allows, and no further.
        let phases: Vec<String> = fleet
            .heard()
            .into_iter()
            .filter_map(|e| match e {
                Event::PhaseStarted { phase, .. } => Some(phase.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(phases, ["connect", "preflight", "host-prep"]);
        with(&fleet, vec![]);
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "changed");
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "unchanged");
    });
}

#[test]
fn a_member_needs_less_room_than_one_that_is_to_become_one() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        let node = "node-b".parse().unwrap();
        let room = |fleet: &Fleet, mb| fleet.cell.change(&node, |m| m.var_free_mb = mb);
        room(&fleet, 9_000);
        let came = result(&fleet.type_(&bootstrap()).await);
        assert!(came.contains("9000 MB free under /var, 10000 MB are wanted"), "{came}");
        room(&fleet, 20_000);
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "changed");
        room(&fleet, 9_000);
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "unchanged");
        room(&fleet, 900);
        let came = result(&fleet.type_(&bootstrap()).await);
        assert!(came.contains("900 MB free under /var, 1000 MB are wanted"), "{came}");
    });
}

#[test]
fn pods_that_do_not_reach_each_other_are_told_by_their_nodes() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        let (step, at) = (Some("kubeadm-join".to_string()), SimFaultAt::After);
        with(&fleet, vec![SimFault { step, at, ..fault(SimFaultKind::NoPodTraffic) }]);
        let came = result(&fleet.type_(&bootstrap()).await);
        for pair in [
            "pods on node-a do not reach pods on node-b",
            "pods on node-b do not reach pods on node-c",
        ] {
            assert!(came.contains(pair), "{came}");
        }
        assert!(!came.contains("node-a do not reach pods on node-c"), "{came}");
        let node = "node-b".parse().unwrap();
        fleet.cell.change(&node, |machine| machine.no_pod_traffic = false);
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "changed");
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "unchanged");
    });
}

#[test]
fn values_that_do_not_fit_are_refused_before_there_is_a_cluster() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        let spoil = |fleet: &Fleet, from: &str, to: &str| {
            let mut world = fleet.cell.world();
            let text = world.repository.values_mut().next().expect("the starter has values");
            assert!(text.contains(from), "{text}");
            *text = text.replace(from, to);
        };
        spoil(&fleet, "MTU: 1500", "MTU: 9000");
        let came = result(&fleet.type_(&bootstrap()).await);
        assert!(came.contains("`MTU` is `9000` but must be `1500`"), "{came}");
        assert!(fleet.cell.world().clusters.is_empty(), "there is a cluster");
        spoil(&fleet, "MTU: 9000", "MTU: 1500");
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "changed");
    });
}

#[test]
fn a_full_disk_says_so_and_the_same_command_goes_on() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        let step = Some("images".to_string());
        with(&fleet, vec![SimFault { step, times: 0, ..fault(SimFaultKind::DiskFull) }]);
        let came = result(&fleet.type_(&bootstrap()).await);
        assert!(came.contains("No space left"), "{came}");
        with(&fleet, vec![]);
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "changed");
    });
}

#[test]
fn an_op_that_takes_too_long_is_given_up_and_says_so() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        let step = Some("packages".to_string());
        let slow = SimFault { step, seconds: Some(7200), times: 0, ..fault(SimFaultKind::Slow) };
        with(&fleet, vec![slow]);
        let came = result(&fleet.type_(&bootstrap()).await);
        assert!(came.contains("it took longer than 900 s"), "{came}");
        let retries =
            fleet.heard().iter().filter(|e| matches!(e, Event::RetryScheduled { .. })).count();
        assert_eq!(retries, 3, "an op that may be repeated is, and not for ever");
    });
}

#[test]
fn part_of_a_fleet_is_prepared_but_makes_no_cluster() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        let part = Typed { on: vec!["node-b"], ..bootstrap() };
        let came = result(&fleet.type_(&part).await);
        assert!(came.contains("there is no cluster yet"), "{came}");
        assert!(fleet.cell.world().clusters.is_empty());
        let join = Typed { target: Some("node-b"), ..Typed::new("join-node") };
        let came = result(&fleet.type_(&join).await);
        assert!(came.contains("there is no cluster yet"), "{came}");
        let first = Typed { on: vec!["node-a"], ..bootstrap() };
        assert_eq!(result(&fleet.type_(&first).await), "changed");
        assert_eq!(result(&fleet.type_(&part).await), "changed");
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "changed");
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "unchanged");
    });
}

#[test]
fn a_clock_that_is_off_stops_before_kubernetes() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        with(&fleet, vec![SimFault { seconds: Some(3600), ..fault(SimFaultKind::ClockSkew) }]);
        let came = result(&fleet.type_(&bootstrap()).await);
        assert!(came.contains("the clock is synchronised"), "{came}");
        assert!(fleet.cell.world().clusters.is_empty());
    });
}

#[test]
fn a_disk_that_fills_between_plan_and_run_is_not_touched() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        with(&fleet, vec![fault(SimFaultKind::StaleFacts)]);
        let came = result(&fleet.type_(&bootstrap()).await);
        assert!(came.contains("appeared-meanwhile"), "{came}");
        assert!(fleet.cell.world().machines.values().flat_map(|m| &m.disks).all(|d| !d.cleared));
    });
}

/// Puts a filesystem on the first Ceph disk of node-b.
fn lay_photos(fleet: &Fleet) {
    fleet.cell.change(&"node-b".parse().unwrap(), |machine| {
        let disk = machine.disks.iter_mut().find(|d| d.serial.as_str() == "SIM0W200003").unwrap();
        let label = Some("photos".to_string());
        disk.contents = vec![Contents::Filesystem { kind: "ext4".into(), label }];
    });
}

fn cleared(fleet: &Fleet) -> Vec<String> {
    let world = fleet.cell.world();
    let disks = world.machines.values().flat_map(|m| &m.disks);
    disks.filter(|d| d.cleared).map(|d| d.serial.to_string()).collect()
}

#[test]
fn a_disk_with_anything_on_it_is_cleared_only_when_named() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        lay_photos(&fleet);
        let came = result(&fleet.type_(&bootstrap()).await);
        assert!(came.starts_with("stopped") && came.contains("photos"), "{came}");
        assert!(fleet.cell.world().machines.values().all(|m| m.packages.len() == 3), "untouched");
        let other = Typed { wipe: vec!["SIM0W200004"], ..bootstrap() };
        let came = result(&fleet.type_(&other).await);
        assert!(came.starts_with("stopped"), "another disk's approval is no approval: {came}");
        assert!(cleared(&fleet).is_empty());
        let right = Typed { wipe: vec!["SIM0W200003"], ..bootstrap() };
        assert_eq!(result(&fleet.type_(&right).await), "changed");
        assert_eq!(cleared(&fleet), ["SIM0W200003"]);
        let approved = fleet
            .heard()
            .iter()
            .any(|e| matches!(e, Event::DiskApproved { shown, .. } if shown.contains("photos")));
        assert!(approved, "the approval is on record, with what was shown");
    });
}

#[test]
fn a_cut_clearing_is_finished_by_the_same_run_and_no_other_disk_is_touched() {
    let right = Typed { wipe: vec!["SIM0W200003"], ..bootstrap() };
    let points = simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        lay_photos(&fleet);
        assert_eq!(result(&fleet.type_(&right).await), "changed");
        fleet.cell.points()
    });
    // The storage phase lies in the first half; every point of it, controller and node.
    for point in 0..points / 2 {
        simulated(async {
            let mut fleet = Fleet::fresh(inventory(3), 1);
            lay_photos(&fleet);
            fleet.crash_at(Some((point, slipway::sim::Victim::Node)));
            let mut came = result(&fleet.type_(&right).await);
            fleet.crash_at(None);
            for _ in 0..3 {
                if came == "changed" {
                    break;
                }
                fleet.cell.clock.sleep_ms(90_000).await;
                came = result(&fleet.type_(&right).await);
            }
            assert_eq!(came, "changed", "point {point}");
            assert_eq!(cleared(&fleet), ["SIM0W200003"], "point {point}");
            assert!(fleet.cell.world().violations.is_empty());
        });
    }
}

#[test]
fn two_operators_take_turns() {
    // At the first point from here at which an op runs on when its controller dies.
    let met = (100..140).any(two_operators_meet_at);
    assert!(met, "no op ran at any of the points");
}

/// False when no op of the first operator ran at that point.
fn two_operators_meet_at(point: u64) -> bool {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        // The first operator's controller dies in the middle and leaves its lease behind.
        fleet.crash_at(Some((point, slipway::sim::Victim::Controller)));
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "killed");
        fleet.cell.hang_up();
        fleet.cell.forget_kill();
        fleet.crash_at(None);
        let first = std::mem::replace(&mut fleet.ledger, MemDisk::new());
        // While an op of theirs runs, not even by force.
        let force = Typed { take_lease: true, ..bootstrap() };
        let came = result(&fleet.type_(&force).await);
        if came == "changed" {
            return false;
        }
        assert!(came.contains("holds it"), "{came}");
        fleet.cell.clock.sleep_ms(300_000).await;
        let came = result(&fleet.type_(&bootstrap()).await);
        assert!(came.contains("holds it"), "a lease is not taken silently: {came}");
        assert_eq!(result(&fleet.type_(&force).await), "changed");
        // The second one released it; the first may come back, by its own name.
        fleet.ledger = first;
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "unchanged");
        true
    })
}

#[test]
fn the_first_interrupt_ends_at_a_boundary_and_the_same_command_goes_on() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        let (send, receive) = mpsc::channel(1);
        let clock = fleet.cell.clock;
        tokio::spawn(async move {
            clock.sleep_ms(20_000).await;
            let _ = send.send(()).await;
            std::future::pending::<()>().await;
        });
        let came = result(&fleet.type_with(&bootstrap(), receive).await);
        assert!(came.starts_with("Interrupted"), "{came}");
        let count = |test: fn(&Event) -> bool| fleet.heard().iter().filter(|e| test(e)).count();
        let started = count(|e| matches!(e, Event::OpStarted { .. }));
        let finished = count(|e| matches!(e, Event::OpFinished { .. }));
        assert_eq!(started, finished, "every op that began came to its end");
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "changed");
        changed_once(&fleet);
    });
}

#[test]
fn a_plan_binds_until_it_is_done() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        let hash = fleet.plan(&bootstrap()).await.hash;
        let wrong = Typed { expect_plan: Some("0000000000000000".into()), ..bootstrap() };
        let came = result(&fleet.type_(&wrong).await);
        assert!(came.contains("was expected"), "{came}");
        let bound = Typed { expect_plan: Some(hash), ..bootstrap() };
        // Killed in the middle: what is left is part of what was shown.
        fleet.crash_at(Some((600, slipway::sim::Victim::Controller)));
        assert_eq!(result(&fleet.type_(&bound).await), "killed");
        fleet.lose_unsynced();
        fleet.crash_at(None);
        fleet.cell.clock.sleep_ms(120_000).await;
        assert_eq!(result(&fleet.type_(&bound).await), "changed");
    });
}

/// Everything at once, as an edited playbook might wish it.
#[test]
fn gates_do_not_come_from_the_playbook() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        let plan = fleet.plan(&bootstrap()).await;
        let join = plan.phases.iter().find(|p| p.name.as_str() == "control-plane-join").unwrap();
        for lane in &join.lanes {
            let titles: Vec<String> = lane.ops.iter().map(|o| o.op.title()).collect();
            let at = titles.iter().position(|t| t == "kubeadm join").unwrap();
            assert_eq!(titles[at - 2], "etcd gate");
            assert_eq!(titles[at - 1], "etcd snapshot");
            assert_eq!(titles[at + 1], "etcd gate");
        }
        fleet.type_(&bootstrap()).await;
    });
}

#[test]
fn a_dead_control_plane_is_removed_and_a_live_quorum_is_never_lowered() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "changed");
        fleet.cell.cut_power(&"node-b".parse().unwrap(), None);
        let upgrade = Typed { to: Some("1.37.0"), ..Typed::new("upgrade") };
        let came = result(&fleet.type_(&upgrade).await);
        assert!(came.starts_with("stopped"), "no upgrade with a member away: {came}");
        let remove = Typed { target: Some("node-b"), ..Typed::new("remove-node") };
        assert_eq!(result(&fleet.type_(&remove).await), "changed");
        let again = Typed { target: Some("node-a"), ..Typed::new("remove-node") };
        let came = result(&fleet.type_(&again).await);
        let world = fleet.cell.world();
        let voters = world.clusters.values().next().unwrap().voters();
        assert!(voters >= 1, "{came}");
        assert!(world.violations.is_empty(), "{:?}", world.violations);
    });
}

#[test]
fn an_osd_is_destroyed_in_one_go_when_its_cluster_is_named() {
    const FSID: &str = "d29d8f10-9f3a-4b7e-8a55-2f6d1c0f7a11";
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        fleet.cell.change(&"node-b".parse().unwrap(), |machine| {
            let disk =
                machine.disks.iter_mut().find(|d| d.serial.as_str() == "SIM0W200003").unwrap();
            disk.contents = [0, 1, 10, 100, 1000]
                .map(|at_gib| Contents::Osd { fsid: FSID.into(), at_gib })
                .into();
        });
        let wipe = Typed { wipe: vec!["SIM0W200003"], ..bootstrap() };
        let came = result(&fleet.type_(&wipe).await);
        assert!(came.starts_with("stopped") && came.contains("counts as living"), "{came}");
        let wrong = "d29d8f10-9f3a-4b7e-8a55-2f6d1c0f7a12";
        let other = Typed { destroy_osd: vec![("SIM0W200003", wrong)], ..bootstrap() };
        assert!(result(&fleet.type_(&other).await).starts_with("stopped"));
        assert!(cleared(&fleet).is_empty());
        let named = Typed { destroy_osd: vec![("SIM0W200003", FSID)], ..bootstrap() };
        assert_eq!(result(&fleet.type_(&named).await), "changed");
        assert_eq!(cleared(&fleet), ["SIM0W200003"]);
    });
}

#[test]
fn what_came_to_lie_on_a_half_cleared_disk_was_never_approved() {
    simulated(async {
        let fleet = Fleet::fresh(inventory(3), 1);
        lay_photos(&fleet);
        let shown = {
            let world = fleet.cell.world();
            let machine = &world.machines[&"node-b".parse().unwrap()];
            let disk = machine.disks.iter().find(|d| d.serial.as_str() == "SIM0W200003").unwrap();
            slipway::facts::Disk {
                serial: disk.serial.clone(),
                wwn: None,
                model: disk.model.clone(),
                size_bytes: disk.size_bytes,
                kernel_name: String::new(),
                mounted: vec![],
                held_by: vec![],
                contents: disk.contents.clone(),
                is_os: false,
                transport: None,
                health: None,
            }
        };
        let approved = shown.evidence();
        let photos = shown.contents[0].clone();
        let other = Contents::Filesystem { kind: "xfs".into(), label: Some("new".into()) };
        let cut = |contents| slipway::facts::Disk { contents, ..shown.clone() };
        assert!(cut(vec![Contents::HalfCleared]).is_rest_of(&approved));
        assert!(cut(vec![photos, Contents::HalfCleared]).is_rest_of(&approved));
        assert!(!cut(vec![other, Contents::HalfCleared]).is_rest_of(&approved));
    });
}

#[test]
fn an_approval_ends_with_the_run_that_it_was_given_to() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        lay_photos(&fleet);
        let wipe = Typed { wipe: vec!["SIM0W200003"], ..bootstrap() };
        fleet.crash_at(Some((60, slipway::sim::Victim::Controller)));
        assert_eq!(result(&fleet.type_(&wipe).await), "killed");
        fleet.lose_unsynced();
        fleet.crash_at(None);
        fleet.cell.clock.sleep_ms(120_000).await;
        fleet.cell.expect_teardown(true);
        let came = result(&fleet.type_(&Typed::new("reset")).await);
        assert!(came == "changed" || came == "unchanged", "{came}");
        let came = result(&fleet.type_(&bootstrap()).await);
        assert!(came.starts_with("stopped") && came.contains("photos"), "{came}");
        assert!(cleared(&fleet).is_empty());
    });
}

#[test]
fn a_cluster_shrinks_to_one_and_part_of_it_is_never_reset() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "changed");
        let part = Typed { on: vec!["node-a"], ..Typed::new("reset") };
        let came = result(&fleet.type_(&part).await);
        assert!(came.starts_with("stopped"), "{came}");
        for node in ["node-c", "node-b"] {
            let remove = Typed { target: Some(node), ..Typed::new("remove-node") };
            assert_eq!(result(&fleet.type_(&remove).await), "changed", "{node}");
        }
        let last = Typed { target: Some("node-a"), ..Typed::new("remove-node") };
        let came = result(&fleet.type_(&last).await);
        assert!(came.starts_with("stopped"), "the last one goes with reset: {came}");
        let world = fleet.cell.world();
        assert!(world.violations.is_empty(), "{:?}", world.violations);
        assert_eq!(world.clusters.values().next().unwrap().voters(), 1);
    });
}

#[test]
fn a_member_is_not_reset_while_the_others_are_merely_off() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "changed");
        for node in ["node-b", "node-c"] {
            fleet.cell.cut_power(&node.parse().unwrap(), None);
        }
        let part = Typed { on: vec!["node-a"], ..Typed::new("reset") };
        let came = result(&fleet.type_(&part).await);
        assert!(came.starts_with("stopped"), "{came}");
        let world = fleet.cell.world();
        let kube = &world.machines[&"node-a".parse().unwrap()].kube;
        assert!(kube.etcd_data.is_some(), "its data is there");
    });
}

#[test]
fn two_control_planes_cannot_spare_one_and_say_so_at_once() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "changed");
        let remove = Typed { target: Some("node-c"), ..Typed::new("remove-node") };
        assert_eq!(result(&fleet.type_(&remove).await), "changed");
        let began_ms = fleet.cell.now_ms();
        let upgrade = Typed { to: Some("1.37.0"), ..Typed::new("upgrade") };
        let came = result(&fleet.type_(&upgrade).await);
        assert!(came.contains("taking one down"), "{came}");
        assert!(fleet.cell.now_ms() - began_ms < 20_000, "without waiting for what cannot come");
        let world = fleet.cell.world();
        assert!(world.clusters.values().all(|c| c.nodes.values().all(|n| !n.cordoned)));
    });
}

#[test]
fn an_op_that_kills_its_agent_every_time_is_given_up() {
    for kind in [SimFaultKind::KillAgent, SimFaultKind::Reboot, SimFaultKind::DropConnection] {
        simulated(async {
            let mut fleet = Fleet::fresh(inventory(3), 1);
            let step = Some("packages".to_string());
            with(&fleet, vec![SimFault { step, times: 0, at: SimFaultAt::Before, ..fault(kind) }]);
            let came = result(&fleet.type_(&bootstrap()).await);
            let given_up = came.contains("times in the same op");
            assert!(given_up || kind == SimFaultKind::DropConnection, "{kind:?}: {came}");
            with(&fleet, vec![]);
            fleet.cell.clock.sleep_ms(120_000).await;
            let came = result(&fleet.type_(&bootstrap()).await);
            assert!(came == "changed" || came == "unchanged", "{kind:?}: {came}");
        });
    }
}

#[test]
fn leaving_does_not_wait_for_a_node_that_is_gone() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        let step = Some("packages".to_string());
        with(&fleet, vec![SimFault { step, ..fault(SimFaultKind::PowerOff) }]);
        let (send, receive) = mpsc::channel(2);
        let clock = fleet.cell.clock;
        let began_ms = clock.now_ms();
        tokio::spawn(async move {
            clock.sleep_ms(60_000).await;
            let _ = send.send(()).await;
            std::future::pending::<()>().await;
        });
        let came = result(&fleet.type_with(&bootstrap(), receive).await);
        assert!(came.starts_with("Interrupted"), "{came}");
        let took_ms = clock.now_ms() - began_ms;
        assert!(took_ms < 80_000, "{took_ms} ms");
    });
}

#[test]
fn only_reset_takes_a_cluster_down_whatever_a_playbook_says() {
    let text = "format = 1\nname = \"upgrade\"\n[[phase]]\nname = \"oops\"\nnodes = \"first-control-plane\"\nrun = \"once\"\nsteps = [\"reset-node\"]\n";
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "changed");
        let upgrade = Typed { to: Some("1.36.5"), playbook: Some(text), ..Typed::new("upgrade") };
        let came = result(&fleet.type_(&upgrade).await);
        assert!(came.contains("still votes"), "{came}");
        let world = fleet.cell.world();
        assert!(world.clusters.values().all(|c| c.voters() == 3));
        assert!(world.violations.is_empty(), "{:?}", world.violations);
    });
}

#[test]
fn what_a_command_printed_brings_no_token_into_the_ledger() {
    const TOKEN: &str = "abcdef.0123456789abcdef";
    simulated(async {
        let disk = MemDisk::new();
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let opening = Opening::new(&"sim".parse().unwrap(), "bootstrap", 0, &mut rng);
        let opened = Writer::over(Box::new(disk.clone()), &opening).unwrap();
        let recorder =
            Recorder::new(Clock::simulated(0, 1), opened.writer, fleet::cleaner(), vec![]);
        let mut failure = Failure::new("kubeadm join", format!("cannot use {TOKEN}"));
        failure.output = vec![format!("kubeadm join --token {TOKEN} ...")];
        let op = OpRef {
            phase: "join".parse().unwrap(),
            lane: "node-a".parse().unwrap(),
            node: "node-a".parse().unwrap(),
            step: "kubeadm-join".parse().unwrap(),
            index: 0,
            title: "kubeadm join".into(),
        };
        let result = OpResult::Failed(failure);
        recorder.emit_durably(Event::OpFinished { op, result, elapsed_ms: 0 }).await.unwrap();
        let ledger = String::from_utf8(disk.bytes()).unwrap();
        assert!(ledger.contains("kubeadm-join") && !ledger.contains(TOKEN), "{ledger}");
    });
}

#[test]
fn reset_frees_the_name_for_a_new_cluster() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "changed");
        fleet.cell.expect_teardown(true);
        assert_eq!(result(&fleet.type_(&Typed::new("reset")).await), "changed");
        assert_eq!(result(&fleet.type_(&Typed::new("reset")).await), "unchanged");
        assert!(fleet.ledger().identity().is_none());
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "changed");
    });
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let tell = |seed: u64| {
        simulated(async {
            let mut fleet = Fleet::fresh(inventory(3), seed);
            with(&fleet, vec![SimFault { node: None, ..fault(SimFaultKind::PowerCut) }]);
            let came = result(&fleet.type_(&bootstrap()).await);
            let heard: Vec<String> = fleet.heard().iter().map(|e| format!("{e:?}")).collect();
            (came, heard, fleet.cell.points())
        })
    };
    let (first, second) = (tell(3), tell(3));
    for (a, b) in first.1.iter().zip(&second.1) {
        assert_eq!(a, b);
    }
    assert_eq!((first.0, first.2), (second.0, second.2));
}

/// The boot loader takes an old kernel, whatever is installed: one reboot shows that, and a second
/// would show nothing else.
#[test]
fn a_reboot_that_did_not_help_is_not_tried_again() {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(3), 1);
        let node = "node-b".parse().unwrap();
        {
            let mut world = fleet.cell.world();
            let machine = world.machines.get_mut(&node).unwrap();
            let old = machine.kernel_installed.clone();
            machine.updates.push(("linux".into(), old.clone(), "6.18.1-arch1-1".into()));
            machine.boots_kernel = Some(old);
        }
        for run in 1..3 {
            let came = fleet.type_(&bootstrap()).await;
            let Some(slipway::conduct::Outcome::Ran(_, ran)) = &came else { panic!("{came:?}") };
            let failure = &ran.failures[0];
            assert_eq!(failure.step.as_ref().unwrap().as_str(), "reboot");
            assert!(failure.hint.as_ref().unwrap().contains("boot loader"), "{failure:?}");
            let boots = fleet.cell.world().machines[&node].ram.boots;
            assert_eq!(boots, 2, "rebooted once, in run {run}");
        }
        fleet.cell.world().machines.get_mut(&node).unwrap().boots_kernel = None;
        with(&fleet, vec![SimFault { step: None, ..fault(SimFaultKind::Reboot) }]);
        assert_eq!(result(&fleet.type_(&bootstrap()).await), "changed");
    });
}
