//! What a person reads of a short, eventful story.

use super::*;
use crate::{
    events::{Failure, LanePreview, OpRef, RunFinished},
    state::Loaded,
};

const NOON: u64 = 1_793_707_200_000;

fn story() -> Vec<Stamped> {
    let node = |text: &str| text.parse().unwrap();
    let op = |title: &str| OpRef {
        phase: "os".parse().unwrap(),
        lane: node("node-b"),
        node: node("node-a"),
        step: "sysctls".parse().unwrap(),
        index: 0,
        title: title.into(),
    };
    let start = |run: &str, verb: &str| {
        Event::RunStarted(RunStarted {
            run: run.into(),
            verb: verb.into(),
            cluster: node("homelab"),
            slipway: "0.1.0".into(),
            simulated: true,
            nodes: vec![node("node-a")],
            plan_hash: "0123456789abcdef".into(),
            decisions: vec![],
            destructive: vec![],
            changes: 2,
            unchanged: 40,
            phases: vec![],
            command: "slipway bootstrap".into(),
        })
    };
    let connected =
        Event::NodeConnected { node: node("node-a"), machine_id: "m1".into(), again: false };
    let failure = Failure::new("write /etc/x", "the disk is\nfull \u{1b}[2J");
    let events = [
        (0, connected.clone()),
        (1, start("r1", "bootstrap")),
        (
            2,
            Event::PhaseStarted {
                phase: "os".parse().unwrap(),
                pace: Pace::Rolling,
                lanes: vec![LanePreview { node: node("node-b"), ops: 2 }],
            },
        ),
        (
            4,
            Event::OpFinished {
                op: op("write /etc/y"),
                result: OpResult::Changed(vec!["a = 1".into()]),
                elapsed_ms: 430,
            },
        ),
        (
            6,
            Event::OpFinished {
                op: op("write /etc/x"),
                result: OpResult::Failed(failure.clone()),
                elapsed_ms: 12_000,
            },
        ),
        (
            7,
            Event::RunFinished(RunFinished {
                run: "r1".into(),
                result: RunResult::Failed,
                changed: 1,
                unchanged: 40,
                elapsed_ms: 185_000,
                failures: vec![failure],
            }),
        ),
        (0, connected),
        (1, start("r2", "upgrade")),
    ];
    (0..)
        .zip(events)
        .map(|(second, (index, event))| Stamped { index, at_ms: NOON + second * 1000, event })
        .collect()
}

#[test]
fn the_ledger_reads_as_a_story() {
    insta::assert_snapshot!(show(&story()), @r"
    bootstrap of homelab, 2026-11-03 12:00:01 UTC (run r1, SIMULATED)
      12:00:00  node-a: connected (machine-id m1)
      12:00:01  plan 0123456789ab: 2 to change, 40 unchanged, 0 destructive; slipway 0.1.0
      12:00:02  phase os, one after the other: node-b (2)
      12:00:03  node-a for node-b: sysctls: write /etc/y: changed: a = 1 (0.4 s)
      12:00:04  node-a for node-b: sysctls: write /etc/x: FAILED: the disk is full  [2J (12 s)
      12:00:05  failed after 3 min 05 s: 1 changed, 40 unchanged; write /etc/x: the disk is full  [2J

    upgrade of homelab, 2026-11-03 12:00:07 UTC (run r2, SIMULATED)
      12:00:06  node-a: connected (machine-id m1)
      12:00:07  plan 0123456789ab: 2 to change, 40 unchanged, 0 destructive; slipway 0.1.0
    ");
    assert_eq!(show(&[]), "nothing is recorded yet\n");
}

#[test]
fn history_is_a_table() {
    let ledger = Ledger::fold(&Loaded { events: story(), ..Loaded::default() });
    insta::assert_snapshot!(history(&ledger), @r"
    run  verb       when                     took        result      changed  unchanged  plan
    r1   bootstrap  2026-11-03 12:00:01 UTC  3 min 05 s  failed      1        40         0123456789ab
    r2   upgrade    2026-11-03 12:00:07 UTC  -           unfinished  -        -          0123456789ab
    ");
    assert_eq!(history(&Ledger::default()), "no runs yet\n");
}

#[test]
fn both_have_a_version_in_json() {
    let ledger = Ledger::fold(&Loaded { events: story(), ..Loaded::default() });
    let json = history_json(&ledger);
    assert_eq!(json["version"], 1);
    assert_eq!(json["runs"][0]["finished"]["result"], "failed");
    assert_eq!(json["runs"][1]["finished"], Value::Null);
    let json = show_json(&story());
    assert_eq!(json["version"], 1);
    assert_eq!(json["events"][3]["event"], "op-finished");
}
