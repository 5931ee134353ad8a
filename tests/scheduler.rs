//! The scheduler's promises, on random plans with random endings.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test makes files, prints, and ends by panicking"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use slipway::{
    engine::scheduler::{
        Action, Ending, Finish, Input, LaneOutline, OpOutline, Outline, PhaseOutline, Scheduler,
        Segment,
    },
    events::{Failure, Pace, PhaseResult},
};

fn outline() -> impl Strategy<Value = Outline> {
    let op = (0usize..4, prop::bool::weighted(0.1)).prop_map(|(n, ends_request)| OpOutline {
        on: format!("node-{n}").parse().unwrap(),
        ends_request,
    });
    let lane = (0usize..4, prop::collection::vec(op, 0..7))
        .prop_map(|(n, ops)| LaneOutline { node: format!("node-{n}").parse().unwrap(), ops });
    let pace = prop_oneof![Just(Pace::Parallel), Just(Pace::Rolling), Just(Pace::Once)];
    let phase = (pace, prop::collection::vec(lane, 0..5)).prop_map(|(pace, lanes)| PhaseOutline {
        name: "phase".parse().unwrap(),
        pace,
        lanes,
    });
    (prop::collection::vec(phase, 0..4), 1usize..5)
        .prop_map(|(phases, parallel)| Outline { phases, parallel })
}

/// What a run of the scheduler did, with endings drawn from `dice`.
struct Watched {
    finish: Finish,
    /// For each phase and lane, the ops that ended well, in order.
    done: BTreeMap<(usize, usize), Vec<usize>>,
    failed: bool,
}

fn drive(
    outline: &Outline,
    mut dice: impl FnMut() -> u8,
    interrupt_after: Option<usize>,
) -> Watched {
    let mut scheduler = Scheduler::new(outline.clone());
    let mut running: Vec<Segment> = Vec::new();
    let mut waiting: Vec<Segment> = Vec::new();
    let mut done: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    let mut inputs = vec![Input::Start];
    let (mut interrupted, mut failed) = (false, false);
    let mut open_phase: Option<usize> = None;
    for turn in 0..10_000 {
        if interrupt_after == Some(turn) && !interrupted {
            inputs.push(Input::Interrupt);
        }
        for input in std::mem::take(&mut inputs) {
            interrupted |= matches!(input, Input::Interrupt);
            for action in scheduler.step(input) {
                match action {
                    Action::StartPhase(n) => {
                        assert_eq!(open_phase, None, "one phase at a time");
                        assert!(!failed, "nothing starts after a failure");
                        open_phase = Some(n);
                    }
                    Action::EndPhase(n, result) => {
                        assert_eq!(open_phase.take(), Some(n));
                        assert!(running.is_empty(), "a phase ends when its ops have");
                        if result == PhaseResult::Done {
                            for (lane, l) in outline.phases[n].lanes.iter().enumerate() {
                                let ended = done.get(&(n, lane)).map_or(0, Vec::len);
                                assert_eq!(ended, l.ops.len(), "a done phase is wholly done");
                            }
                        }
                    }
                    Action::Send(segment) => {
                        assert!(!interrupted, "nothing is sent after an interruption");
                        let phase = &outline.phases[segment.phase];
                        let node = &phase.lanes[segment.lane].ops[segment.from].on;
                        let ops = &phase.lanes[segment.lane].ops[segment.from..segment.to];
                        assert!(ops.iter().all(|op| op.on == *node), "one node a request");
                        let cut = ops.iter().rev().skip(1).any(|op| op.ends_request);
                        assert!(!cut, "nothing follows an op that ends its request");
                        for other in &running {
                            let theirs = &outline.phases[other.phase].lanes[other.lane].ops;
                            assert_ne!(theirs[other.from].on, *node, "one request a node");
                        }
                        if phase.pace != Pace::Parallel {
                            assert!(running.is_empty(), "rolling is one at a time");
                        }
                        running.push(segment);
                        let lanes = running.iter().map(|s| s.lane).collect::<Vec<_>>();
                        assert!(lanes.len() <= outline.parallel.max(1), "no more than allowed");
                    }
                    Action::Wait { segment, attempt, .. } => {
                        assert!((2..=4).contains(&attempt), "retries are bounded: {attempt}");
                        waiting.push(segment);
                    }
                    Action::CancelAll => {}
                    Action::Finish(finish) => {
                        assert_eq!(open_phase, None);
                        return Watched { finish, done, failed };
                    }
                }
            }
        }
        if !waiting.is_empty() && (running.is_empty() || dice().is_multiple_of(3)) {
            inputs.push(Input::Woke(waiting.remove(dice() as usize % waiting.len())));
        } else if !running.is_empty() {
            let segment = running.remove(dice() as usize % running.len());
            let roll = dice();
            let key = (segment.phase, segment.lane);
            let ending = if interrupted && roll.is_multiple_of(2) {
                Ending::Cancelled
            } else if roll >= 230 {
                let at = segment.from + dice() as usize % (segment.to - segment.from);
                done.entry(key).or_default().extend(segment.from..at);
                let may_retry = roll >= 240;
                failed |= !may_retry;
                let failure = Box::new(Failure::new("op", "because"));
                Ending::Failed { at, failure, may_retry }
            } else {
                done.entry(key).or_default().extend(segment.from..segment.to);
                Ending::Done
            };
            inputs.push(Input::Ended(segment, ending));
        }
    }
    panic!("the scheduler does not come to an end");
}

/// Between two ops somebody took the node over: what is left of the lane is not theirs to carry out.
#[test]
fn a_request_that_others_cancelled_ends_the_run() {
    let op = |on: &str| OpOutline { on: on.parse().unwrap(), ends_request: false };
    let lane = LaneOutline { node: "a".parse().unwrap(), ops: vec![op("a"), op("b")] };
    let phase =
        PhaseOutline { name: "phase".parse().unwrap(), pace: Pace::Rolling, lanes: vec![lane] };
    let mut scheduler = Scheduler::new(Outline { phases: vec![phase], parallel: 1 });
    let started = scheduler.step(Input::Start);
    let Some(Action::Send(segment)) = started.last() else { panic!("{started:?}") };
    let actions = scheduler.step(Input::Ended(*segment, Ending::Cancelled));
    assert!(!actions.iter().any(|a| matches!(a, Action::Send(_))), "{actions:?}");
    let Some(Action::Finish(Finish::Failed(failures))) = actions.last() else {
        panic!("{actions:?}")
    };
    assert_eq!(failures[0].refusal, Some(slipway::events::Refusal::Lease));
}

proptest! {
    #[test]
    fn every_op_once_in_order(outline in outline(), dice in prop::collection::vec(0u8..230, 1..64)) {
        let mut n = 0;
        let roll = || { n += 1; dice[n % dice.len()] };
        let watched = drive(&outline, roll, None);
        prop_assert_eq!(watched.finish, Finish::Done);
        for (phase, p) in outline.phases.iter().enumerate() {
            for (lane, l) in p.lanes.iter().enumerate() {
                let done = watched.done.get(&(phase, lane)).cloned().unwrap_or_default();
                prop_assert_eq!(done, (0..l.ops.len()).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn failures_stop_what_follows(outline in outline(), dice in prop::collection::vec(any::<u8>(), 1..64)) {
        let mut n = 0;
        let roll = || { n += 1; dice[n % dice.len()] };
        let watched = drive(&outline, roll, None);
        if watched.failed {
            prop_assert!(matches!(watched.finish, Finish::Failed(_)));
        }
        // Retried or not: no op is passed over, and none is done twice.
        for done in watched.done.values() {
            prop_assert_eq!(done.clone(), (0..done.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_interruption_ends_it(
        outline in outline(),
        dice in prop::collection::vec(any::<u8>(), 1..64),
        after in 0usize..20,
    ) {
        let mut n = 0;
        let roll = || { n += 1; dice[n % dice.len()] };
        let watched = drive(&outline, roll, Some(after));
        let ended = matches!(watched.finish, Finish::Done | Finish::Interrupted(_) | Finish::Failed(_));
        prop_assert!(ended);
    }
}
