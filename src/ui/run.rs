//! What is known of a run so far: the part that all folds for people share.
//!
//! A pure fold; must not know how any of it is shown.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    events::{AppState, Event, Failure, OpRef, OpResult, RunStarted, Stamped},
    names::{NodeName, PhaseName},
};

/// How many of an op's last lines are kept to be shown when it fails.
pub const TAIL: usize = 20;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub changed: u32,
    pub unchanged: u32,
}

#[derive(Debug, Default)]
pub struct RunView {
    /// None until the run began.
    pub started: Option<RunStarted>,
    pub finished: bool,
    /// Of the phase that runs or ran last.
    pub tally: Tally,
    /// The widest node's name, so that columns stand under each other.
    pub node_width: usize,
    failures: Vec<(OpRef, Failure)>,
    /// What the engines bring, as it stands.
    pub tree: Vec<AppState>,
    /// Those of it that the newest picture shows otherwise than the one before.
    pub moved: Vec<AppState>,
    /// The last lines that the op of each lane printed.
    tails: BTreeMap<NodeName, VecDeque<String>>,
}

impl RunView {
    pub fn apply(&mut self, stamped: &Stamped) {
        match &stamped.event {
            Event::RunStarted(run) => {
                let widths = run.nodes.iter().map(|node| node.as_str().len());
                *self = Self {
                    node_width: widths.max().unwrap_or(0).min(24),
                    started: Some(run.clone()),
                    ..Self::default()
                };
            }
            Event::RunFinished(_) => self.finished = true,
            Event::PhaseStarted { .. } => {
                self.tally = Tally::default();
                self.tree.clear();
            }
            Event::Applications { applications, .. } => {
                let news = applications.iter().filter(|app| !self.tree.contains(app));
                self.moved = news.cloned().collect();
                self.tree.clone_from(applications);
            }
            Event::OpStarted { op } => drop(self.tails.remove(&op.lane)),
            Event::OpOutput { op, line } => {
                let tail = self.tails.entry(op.lane.clone()).or_default();
                for line in line.lines() {
                    if tail.len() == TAIL {
                        tail.pop_front();
                    }
                    tail.push_back(line.to_owned());
                }
            }
            Event::OpFinished { op, result, .. } => {
                // An op that was tried again is judged by its last try.
                self.failures.retain(|(failed, _)| !same_op(failed, op));
                match result {
                    OpResult::Unchanged => self.tally.unchanged += 1,
                    OpResult::Changed(_) => self.tally.changed += 1,
                    OpResult::Failed(failure) => {
                        let failure = self.completed(op, failure);
                        self.failures.push((op.clone(), failure));
                    }
                }
                self.tails.remove(&op.lane);
            }
            _ => {}
        }
    }

    pub fn simulated(&self) -> bool {
        self.started.as_ref().is_some_and(|run| run.simulated)
    }

    /// The phase's place, from 1, and how many there are.
    pub fn place(&self, phase: &PhaseName) -> Option<(usize, usize)> {
        let phases = &self.started.as_ref()?.phases;
        phases.iter().position(|p| p == phase).map(|at| (at + 1, phases.len()))
    }

    /// The failures to show at the end: those of the end itself, with what was seen on the way.
    pub fn failures(&self, of_the_end: &[Failure]) -> Vec<Failure> {
        if of_the_end.is_empty() {
            return self.failures.iter().map(|(_, failure)| failure.clone()).collect();
        }
        let with_output = |failure: &Failure| {
            let mut failure = failure.clone();
            if failure.output.is_empty() {
                let seen = self.failures.iter().map(|(_, seen)| seen).find(|seen| {
                    (&seen.node, &seen.step, &seen.what)
                        == (&failure.node, &failure.step, &failure.what)
                });
                failure.output = seen.map(|seen| seen.output.clone()).unwrap_or_default();
            }
            failure
        };
        of_the_end.iter().map(with_output).collect()
    }

    /// With its place and its last lines, should whoever made it not have filled them in.
    fn completed(&self, op: &OpRef, failure: &Failure) -> Failure {
        let mut failure = failure.clone();
        failure.node.get_or_insert_with(|| op.node.clone());
        failure.phase.get_or_insert_with(|| op.phase.clone());
        failure.step.get_or_insert_with(|| op.step.clone());
        if failure.output.is_empty() {
            let tail = self.tails.get(&op.lane).into_iter().flatten();
            failure.output = tail.cloned().collect();
        }
        failure
    }
}

fn same_op(a: &OpRef, b: &OpRef) -> bool {
    (&a.phase, &a.lane, a.index) == (&b.phase, &b.lane, b.index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(index: u32) -> OpRef {
        OpRef {
            phase: "p".parse().unwrap(),
            lane: "n".parse().unwrap(),
            node: "n".parse().unwrap(),
            step: "s".parse().unwrap(),
            index,
            title: "t".into(),
        }
    }

    fn view(events: Vec<Event>) -> RunView {
        let mut view = RunView::default();
        for (index, event) in (0..).zip(events) {
            view.apply(&Stamped { index, at_ms: 0, event });
        }
        view
    }

    #[test]
    fn a_failure_gets_its_place_and_the_last_lines() {
        let line = |line: String| Event::OpOutput { op: op(0), line };
        let mut events = vec![Event::OpStarted { op: op(0) }];
        events.extend((0..25).map(|n| line(format!("line {n}"))));
        let result = OpResult::Failed(Failure::new("w", "c"));
        events.push(Event::OpFinished { op: op(0), result, elapsed_ms: 1 });
        let seen = view(events).failures(&[]);
        assert_eq!(seen[0].node, Some("n".parse().unwrap()));
        assert_eq!(seen[0].output.len(), TAIL);
        assert_eq!(seen[0].output[0], "line 5");
    }

    #[test]
    fn a_later_try_that_succeeds_wins() {
        let fin = |result| Event::OpFinished { op: op(0), result, elapsed_ms: 1 };
        let failed = OpResult::Failed(Failure::new("w", "c"));
        let view = view(vec![fin(failed), fin(OpResult::Changed(vec![]))]);
        assert!(view.failures(&[]).is_empty());
        assert_eq!(view.tally, Tally { changed: 1, unchanged: 0 });
    }
}
