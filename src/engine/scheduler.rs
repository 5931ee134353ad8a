//! What is next: phases in order, lanes side by side or one by one, retries, and stopping.
//!
//! Sans-IO: it is told what happened and says what to do. A lane is cut into segments, each a run of
//! ops on one node, for these travel as one request. A node is never asked two things at once.

use std::collections::BTreeSet;

use crate::{
    events::{Failure, Pace, PhaseResult, Refusal},
    names::{NodeName, PhaseName},
};

/// What the scheduler needs to know of a plan.
#[derive(Debug, Clone)]
pub struct Outline {
    pub phases: Vec<PhaseOutline>,
    /// How many lanes may run at the same time.
    pub parallel: usize,
}

#[derive(Debug, Clone)]
pub struct PhaseOutline {
    pub name: PhaseName,
    pub pace: Pace,
    pub lanes: Vec<LaneOutline>,
}

#[derive(Debug, Clone)]
pub struct LaneOutline {
    pub node: NodeName,
    pub ops: Vec<OpOutline>,
}

#[derive(Debug, Clone)]
pub struct OpOutline {
    /// The node that it runs on.
    pub on: NodeName,
    /// Its request ends with it: what it made has to be safe here before anything follows, or what follows
    /// needs files that are still on their way.
    pub ends_request: bool,
}

/// A stretch of a lane's ops: `from..to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    pub phase: usize,
    pub lane: usize,
    pub from: usize,
    pub to: usize,
}

#[derive(Debug, Clone)]
pub enum Input {
    Start,
    Ended(Segment, Ending),
    /// A wait is over.
    Woke(Segment),
    /// Ctrl-C, the first one.
    Interrupt,
}

#[derive(Debug, Clone)]
pub enum Ending {
    Done,
    Failed {
        at: usize,
        failure: Box<Failure>,
        may_retry: bool,
    },
    /// Stopped at an op's boundary, as it was asked to.
    Cancelled,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    StartPhase(usize),
    Send(Segment),
    /// Try the rest of the segment again after this long.
    Wait {
        segment: Segment,
        attempt: u32,
        ms: u64,
        why: String,
    },
    /// Let running ops come to their end, and no further.
    CancelAll,
    EndPhase(usize, PhaseResult),
    Finish(Finish),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Finish {
    Done,
    Failed(Vec<Failure>),
    Interrupted(Vec<Failure>),
}

/// Backoff of an op that says it may be tried again.
const WAITS_MS: [u64; 3] = [1_000, 4_000, 12_000];

#[derive(Debug, Clone, PartialEq)]
enum LaneState {
    Waiting { next: usize },
    Running,
    Resting,
    Done,
    Failed,
}

#[derive(Debug)]
pub struct Scheduler {
    outline: Outline,
    phase: usize,
    lanes: Vec<LaneState>,
    /// For each lane, the op that failed last and how often.
    tries: Vec<(usize, u32)>,
    busy: BTreeSet<NodeName>,
    failures: Vec<Failure>,
    interrupted: bool,
    finished: bool,
}

impl Scheduler {
    pub fn new(outline: Outline) -> Self {
        Self {
            outline,
            phase: 0,
            lanes: Vec::new(),
            tries: Vec::new(),
            busy: BTreeSet::new(),
            failures: Vec::new(),
            interrupted: false,
            finished: false,
        }
    }

    pub fn step(&mut self, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.finished {
            return actions;
        }
        match input {
            Input::Start => {
                if !self.enter(0, &mut actions) {
                    return actions;
                }
            }
            Input::Ended(segment, ending) => self.ended(segment, ending, &mut actions),
            // In line again, not sent at once: its node may be at work for another lane by now.
            Input::Woke(segment) => {
                self.lanes[segment.lane] = LaneState::Waiting { next: segment.from };
            }
            Input::Interrupt => {
                self.interrupted = true;
                actions.push(Action::CancelAll);
            }
        }
        self.advance(&mut actions);
        actions
    }

    fn enter(&mut self, phase: usize, actions: &mut Vec<Action>) -> bool {
        self.phase = phase;
        let Some(outline) = self.outline.phases.get(phase) else {
            self.finish(Finish::Done, actions);
            return false;
        };
        self.lanes = outline.lanes.iter().map(|_| LaneState::Waiting { next: 0 }).collect();
        self.tries = vec![(0, 0); self.lanes.len()];
        actions.push(Action::StartPhase(phase));
        true
    }

    fn ended(&mut self, segment: Segment, ending: Ending, actions: &mut Vec<Action>) {
        let lane = segment.lane;
        self.busy.remove(&self.node_of(segment));
        match ending {
            Ending::Done => {
                let all = self.outline.phases[self.phase].lanes[lane].ops.len();
                self.lanes[lane] = if segment.to == all {
                    LaneState::Done
                } else {
                    LaneState::Waiting { next: segment.to }
                };
            }
            Ending::Cancelled if self.interrupted => {
                self.lanes[lane] = LaneState::Waiting { next: segment.from };
            }
            // Not by us: somebody took the node over between two ops.
            Ending::Cancelled => {
                self.lanes[lane] = LaneState::Failed;
                let why = "another operator has taken over this node";
                self.failures.push(
                    Failure::new("run a request", why)
                        .on(&self.node_of(segment))
                        .refused(Refusal::Lease)
                        .left("what they do goes on; this run stops here")
                        .hint("ask who took it over; `slipway status` shows the cluster as it is"),
                );
            }
            Ending::Failed { at, failure, may_retry } => {
                let tried = match self.tries[lane] {
                    (op, times) if op == at => times,
                    _ => 0,
                };
                match WAITS_MS.get(tried as usize) {
                    Some(ms) if may_retry && !self.interrupted => {
                        self.tries[lane] = (at, tried + 1);
                        self.lanes[lane] = LaneState::Resting;
                        let segment = Segment { from: at, ..segment };
                        let why = failure.causes.join(": ");
                        actions.push(Action::Wait { segment, attempt: tried + 2, ms: *ms, why });
                    }
                    _ => {
                        self.lanes[lane] = LaneState::Failed;
                        self.failures.push(*failure);
                    }
                }
            }
        }
    }

    /// Sends what may be sent, and ends what has come to its end.
    fn advance(&mut self, actions: &mut Vec<Action>) {
        while !self.finished {
            if !self.interrupted {
                self.dispatch(actions);
            }
            let under_way = |s: &LaneState| {
                matches!(s, LaneState::Running)
                    || (!self.interrupted && matches!(s, LaneState::Resting))
            };
            if self.lanes.iter().any(under_way) {
                return;
            }
            let waiting = self.lanes.iter().any(|s| matches!(s, LaneState::Waiting { .. }));
            if self.interrupted {
                let all_done = self.lanes.iter().all(|s| *s == LaneState::Done);
                let result = if all_done { PhaseResult::Done } else { PhaseResult::Interrupted };
                actions.push(Action::EndPhase(self.phase, result));
                let failures = std::mem::take(&mut self.failures);
                return self.finish(Finish::Interrupted(failures), actions);
            }
            if !self.failures.is_empty() {
                actions.push(Action::EndPhase(self.phase, PhaseResult::Failed));
                let failures = std::mem::take(&mut self.failures);
                return self.finish(Finish::Failed(failures), actions);
            }
            // Nothing runs, nothing failed, and what waits could not be sent: cannot be, because a
            // free node takes a waiting segment. Rather stop than spin.
            debug_assert!(!waiting, "lanes wait although every node is free");
            actions.push(Action::EndPhase(self.phase, PhaseResult::Done));
            if !self.enter(self.phase + 1, actions) {
                return;
            }
        }
    }

    fn dispatch(&mut self, actions: &mut Vec<Action>) {
        let phase = &self.outline.phases[self.phase];
        let one_by_one = phase.pace != Pace::Parallel;
        if one_by_one && !self.failures.is_empty() {
            return;
        }
        let room = if one_by_one { 1 } else { self.outline.parallel.max(1) };
        let mut sends = Vec::new();
        let mut active = self
            .lanes
            .iter()
            .filter(|s| matches!(s, LaneState::Running | LaneState::Resting))
            .count();
        for (lane, state) in self.lanes.iter().enumerate() {
            let LaneState::Waiting { next } = *state else {
                if one_by_one && matches!(state, LaneState::Running | LaneState::Resting) {
                    break;
                }
                continue;
            };
            // A lane that has begun keeps its place: only new ones need room.
            if active >= room {
                break;
            }
            let ops = &phase.lanes[lane].ops;
            if ops.is_empty() {
                sends.push(Segment { phase: self.phase, lane, from: 0, to: 0 });
                continue;
            }
            let node = &ops[next].on;
            if self.busy.contains(node)
                || sends.iter().any(|s: &Segment| {
                    phase.lanes[s.lane].ops.get(s.from).is_some_and(|o| o.on == *node)
                })
            {
                if one_by_one {
                    break;
                }
                continue;
            }
            let same = ops[next..].iter().take_while(|op| op.on == *node);
            let cut = same.clone().position(|op| op.ends_request).map(|n| n + 1);
            let length = cut.unwrap_or_else(|| same.count());
            sends.push(Segment { phase: self.phase, lane, from: next, to: next + length });
            active += 1;
            if one_by_one {
                break;
            }
        }
        for segment in sends {
            if segment.from == segment.to {
                self.lanes[segment.lane] = LaneState::Done;
            } else {
                self.send(segment, actions);
            }
        }
    }

    fn send(&mut self, segment: Segment, actions: &mut Vec<Action>) {
        self.busy.insert(self.node_of(segment));
        self.lanes[segment.lane] = LaneState::Running;
        actions.push(Action::Send(segment));
    }

    fn finish(&mut self, finish: Finish, actions: &mut Vec<Action>) {
        self.finished = true;
        actions.push(Action::Finish(finish));
    }

    fn node_of(&self, segment: Segment) -> NodeName {
        self.outline.phases[segment.phase].lanes[segment.lane].ops[segment.from].on.clone()
    }
}
