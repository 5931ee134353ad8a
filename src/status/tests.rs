//! The screens, as snapshots, and that they fit.

use unicode_width::UnicodeWidthStr;

use super::*;
use crate::doctor::fixture::{DAY_MS, Fleet, NOW_MS, name};

const HOUR_MS: u64 = 3_600_000;

fn view_of(fleet: &Fleet) -> View {
    let exam = fleet.exam();
    view(exam.inventory, exam.facts, exam.unreachable, exam.ledger, exam.now_ms)
}

/// The screen at 80 columns, which it must fit, as a snapshot.
fn snapshot(name: &str, view: &View) {
    let text = render(view, false, 80);
    for line in text.lines() {
        assert!(line.width() <= 80, "{} columns: {line}", line.width());
        assert!(!line.ends_with(' ') && !line.contains('\u{1b}'), "{line:?}");
    }
    insta::with_settings!(
        { snapshot_path => "../../tests/snapshots", prepend_module_to_snapshot => false,
          omit_expression => true },
        { insta::assert_snapshot!(name, text) }
    );
}

fn made() -> Fleet {
    let mut fleet = Fleet::healthy();
    fleet.ran("bootstrap", 12 * DAY_MS, 4, Some(RunResult::Done));
    fleet
}

#[test]
fn fresh_hardware() {
    let view = view_of(&Fleet::fresh());
    assert_eq!(view.health, Health::NotMadeYet);
    snapshot("status__fresh", &view);
}

#[test]
fn a_healthy_cluster() {
    let mut fleet = made();
    fleet.inventory.cluster.kubernetes = "1.36.5".parse().unwrap();
    let view = view_of(&fleet);
    assert_eq!(view.health, Health::Healthy);
    snapshot("status__healthy", &view);
    let wide = render(&view, false, 120);
    assert!(
        wide.contains("control-plane  Ready") && wide.contains("arch 6.17.8-arch1-1"),
        "{wide}"
    );
}

#[test]
fn one_node_down() {
    let mut fleet = made();
    fleet.power_off("node-c");
    fleet.api(|api| {
        api.applications[2].healthy = false;
        api.certificates_end_ms = NOW_MS + 20 * DAY_MS;
    });
    let view = view_of(&fleet);
    assert_eq!(view.health, Health::Degraded);
    snapshot("status__degraded", &view);
    assert!(render(&view, true, 80).contains("\u{1b}[1;31mnode-c"));
}

#[test]
fn a_bootstrap_that_stopped() {
    let mut fleet = Fleet::fresh();
    fleet.ran("bootstrap", HOUR_MS, 3, Some(RunResult::Failed));
    let facts = fleet.node("node-a");
    facts.kube.ca_fingerprint = Some("ca5e".into());
    facts.kube.manifests = vec!["etcd".into()];
    let view = view_of(&fleet);
    assert_eq!(view.health, Health::HalfMade);
    snapshot("status__half_made", &view);
}

#[test]
fn a_hundred_nodes() {
    let mut fleet = Fleet::large(97);
    fleet.ran("bootstrap", 12 * DAY_MS, 4, Some(RunResult::Done));
    for node in ["worker-07", "worker-41"] {
        fleet.power_off(node);
    }
    fleet.kube_node("worker-12", |node| node.cordoned = true);
    let view = view_of(&fleet);
    assert_eq!(view.nodes.len(), 100);
    snapshot("status__a_hundred_nodes", &view);
    for worker in 0..97 {
        fleet.power_off(&format!("worker-{worker:02}"));
    }
    let lines = render(&view_of(&fleet), false, 80).lines().count();
    assert!(lines < 40, "{lines} lines");
}

#[test]
fn silence_is_not_health() {
    let mut fleet = made();
    for node in ["node-a", "node-b", "node-c"] {
        fleet.lose(node);
    }
    let view = view_of(&fleet);
    assert_eq!((view.health, view.why.as_str()), (Health::Down, "none of 3 nodes answers"));
    // Quorum is gone: members answer, API servers do not.
    let mut fleet = made();
    fleet.lose("node-b");
    fleet.lose("node-c");
    fleet.node("node-a").kube.api = None;
    let view = view_of(&fleet);
    assert_eq!(view.health, Health::Down);
    assert_eq!(view.why, "no API server answers, node-b and node-c silent");
    assert_eq!(view.nodes[0].state, NodeState::Unknown);
}

#[test]
fn a_cluster_that_was_made_is_not_half_made_again() {
    let mut fleet = made();
    fleet.ran("bootstrap", HOUR_MS, 1, Some(RunResult::Interrupted));
    let view = view_of(&fleet);
    assert_eq!((view.health, view.why.as_str()), (Health::Degraded, "bootstrap unfinished"));
    let run = view.last_run.unwrap();
    assert_eq!(run.stopped_in.unwrap().as_str(), "host-prep");
    assert_eq!(run.command.unwrap(), "slipway bootstrap -i homelab.toml");
}

#[test]
fn a_node_that_only_the_cluster_knows_is_marked() {
    let mut fleet = made();
    fleet.inventory.nodes.pop();
    fleet.facts.remove(&name("node-c"));
    let text = render(&view_of(&fleet), false, 80);
    assert!(text.contains("node-c*") && text.contains("* not in the inventory"), "{text}");
}

#[test]
fn narrow_screens_are_not_overrun() {
    let mut fleet = made();
    fleet.power_off("node-c");
    let view = view_of(&fleet);
    for width in 40..140 {
        for line in render(&view, false, width).lines() {
            assert!(line.width() <= width, "{width}: {line}");
        }
    }
}

#[test]
fn the_json_has_a_version() {
    let json = json(&view_of(&made()));
    assert_eq!(json["version"], 1);
    assert_eq!(json["health"], "healthy");
    assert_eq!(json["nodes"][0]["etcd"], "leader");
    assert_eq!(json["nodes"][1]["disks"]["in_use"], 2);
    assert_eq!(json["last_run"]["result"], "done");
}
