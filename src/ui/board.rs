//! The state behind the bars: a pure fold of events to a phase, its lanes and its clock.
//!
//! Must not know terminals: no widths, glyphs or colours, and no clock but the one in the events.

use std::collections::BTreeMap;

use super::{Expected, run::RunView, words::one_line};
use crate::{
    events::{Download, Event, OpRef, OpResult, Stamped},
    names::{NodeName, PhaseName},
};

pub struct Board {
    pub view: RunView,
    pub phase: Option<PhaseBoard>,
    pub started_ms: u64,
    /// The time of the newest event.
    pub at_ms: u64,
    pub interrupted: bool,
    /// What is fetched before the run begins, in the order in which it began.
    pub downloads: Vec<Download>,
    /// Nodes that cannot be reached, and why.
    lost: BTreeMap<NodeName, String>,
    expected: Expected,
}

/// The phase that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseBoard {
    pub name: PhaseName,
    pub started_ms: u64,
    /// What it took in earlier runs.
    pub expected_ms: Option<u64>,
    /// What all later phases took, if that is known of each.
    pub later_ms: Option<u64>,
    pub lanes: Vec<Lane>,
}

/// One row: a node and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    pub node: NodeName,
    /// Where its op runs now: itself, or a control plane that acts for it.
    pub acting: NodeName,
    pub done: u32,
    pub total: u32,
    pub title: String,
    state: LaneState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneState {
    Waiting,
    Running { since_ms: u64 },
    Retry { attempt: u32, until_ms: u64, why: String },
    Lost { why: String },
    Failed { why: String },
    Done,
}

impl LaneState {
    /// Lower ones are shown first where not all fit.
    pub fn rank(&self) -> u8 {
        match self {
            LaneState::Failed { .. } => 0,
            LaneState::Lost { .. } => 1,
            LaneState::Retry { .. } => 2,
            LaneState::Running { .. } => 3,
            LaneState::Waiting => 4,
            LaneState::Done => 5,
        }
    }
}

impl Board {
    pub fn new(expected: Expected) -> Self {
        Self {
            view: RunView::default(),
            phase: None,
            started_ms: 0,
            at_ms: 0,
            interrupted: false,
            downloads: Vec::new(),
            lost: BTreeMap::new(),
            expected,
        }
    }

    pub fn apply(&mut self, stamped: &Stamped) {
        self.view.apply(stamped);
        self.at_ms = self.at_ms.max(stamped.at_ms);
        let now = stamped.at_ms;
        match &stamped.event {
            Event::RunStarted(_) => {
                self.started_ms = now;
                self.at_ms = now;
                self.phase = None;
                self.interrupted = false;
                self.downloads.clear();
                self.lost.clear();
            }
            Event::Download(download) => {
                if self.downloads.is_empty() {
                    self.started_ms = now;
                }
                let download = Download { what: one_line(&download.what), ..download.clone() };
                match self.downloads.iter_mut().find(|known| known.what == download.what) {
                    Some(known) => *known = download,
                    None => self.downloads.push(download),
                }
            }
            Event::RunFinished(_) => self.phase = None,
            Event::PhaseStarted { phase, lanes, .. } => {
                let lanes = lanes.iter().map(|lane| Lane::new(&lane.node, lane.ops)).collect();
                self.phase = Some(PhaseBoard {
                    name: phase.clone(),
                    started_ms: now,
                    expected_ms: self.expected(phase),
                    later_ms: self.later(phase),
                    lanes,
                });
            }
            Event::PhaseFinished { .. } => self.phase = None,
            Event::NodeConnected { node, .. } => drop(self.lost.remove(node)),
            Event::NodeLost { node, why } => {
                self.lost.insert(node.clone(), one_line(why));
            }
            Event::OpStarted { op } => self.lane(op, |lane| {
                lane.state = LaneState::Running { since_ms: now };
            }),
            Event::RetryScheduled { op, attempt, wait_ms, why } => self.lane(op, |lane| {
                let until_ms = now.saturating_add(*wait_ms);
                lane.state = LaneState::Retry { attempt: *attempt, until_ms, why: one_line(why) };
            }),
            Event::OpFinished { op, result, .. } => self.lane(op, |lane| match result {
                OpResult::Failed(failure) => {
                    let why = one_line(failure.causes.first().map_or("", String::as_str));
                    lane.state = LaneState::Failed { why };
                }
                OpResult::Unchanged | OpResult::Changed(_) => {
                    // By its place, not counted: a replay after a lost connection counts nothing twice.
                    lane.done = lane.done.max(op.index.saturating_add(1));
                    lane.state = match lane.done >= lane.total {
                        true => LaneState::Done,
                        false => LaneState::Running { since_ms: now },
                    };
                }
            }),
            Event::Interrupted { .. } => self.interrupted = true,
            _ => {}
        }
    }

    /// What a lane is doing, with the connection to its node taken into account.
    pub fn state(&self, lane: &Lane) -> LaneState {
        let over = matches!(lane.state, LaneState::Done | LaneState::Failed { .. });
        match self.lost.get(&lane.acting).filter(|_| !over) {
            Some(why) => LaneState::Lost { why: why.clone() },
            None => lane.state.clone(),
        }
    }

    /// About how long this phase will still take; None when it was never seen, or takes longer.
    pub fn phase_left_ms(&self, now_ms: u64) -> Option<u64> {
        let phase = self.phase.as_ref()?;
        let elapsed = now_ms.saturating_sub(phase.started_ms);
        phase.expected_ms?.checked_sub(elapsed).filter(|left| *left > 0)
    }

    /// About how long the run will still take.
    pub fn run_left_ms(&self, now_ms: u64) -> Option<u64> {
        let later = self.phase.as_ref()?.later_ms?;
        Some(self.phase_left_ms(now_ms)?.saturating_add(later))
    }

    fn expected(&self, phase: &PhaseName) -> Option<u64> {
        let run = self.view.started.as_ref()?;
        (self.expected)(&run.verb, phase.as_str())
    }

    fn later(&self, phase: &PhaseName) -> Option<u64> {
        let run = self.view.started.as_ref()?;
        let at = run.phases.iter().position(|p| p == phase)?;
        run.phases[at + 1..]
            .iter()
            .try_fold(0u64, |sum, later| Some(sum.saturating_add(self.expected(later)?)))
    }

    /// An op whose phase or lane was not announced gets a row all the same: it does happen.
    fn lane(&mut self, op: &OpRef, change: impl FnOnce(&mut Lane)) {
        let Some(phase) = self.phase.as_mut().filter(|phase| phase.name == op.phase) else {
            return;
        };
        let at = phase.lanes.iter().position(|lane| lane.node == op.lane).unwrap_or_else(|| {
            phase.lanes.push(Lane::new(&op.lane, 0));
            phase.lanes.len() - 1
        });
        let lane = &mut phase.lanes[at];
        lane.acting = op.node.clone();
        lane.total = lane.total.max(op.index.saturating_add(1));
        lane.title = one_line(&op.title);
        change(lane);
    }
}

impl Lane {
    fn new(node: &NodeName, ops: u32) -> Self {
        let state = if ops == 0 { LaneState::Done } else { LaneState::Waiting };
        Self {
            node: node.clone(),
            acting: node.clone(),
            done: 0,
            total: ops,
            title: String::new(),
            state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::fixture::{self, again, lost, op, phase, play, retry, run};

    fn state(board: &Board, at: usize) -> LaneState {
        board.state(&board.phase.as_ref().unwrap().lanes[at])
    }

    #[test]
    fn a_lane_goes_its_way() {
        let mut board = fixture::board(|_, _| None);
        let first = op("p", "a", 0);
        play(&mut board, vec![run(&["a", "b"], &["p"]), phase("p", &["a", "b"], 2)]);
        assert_eq!(state(&board, 0), LaneState::Waiting);
        play(&mut board, vec![first.clone().started()]);
        assert_eq!(state(&board, 0), LaneState::Running { since_ms: 0 });
        play(&mut board, vec![retry(first.clone(), "busy")]);
        let why = "busy".to_owned();
        assert_eq!(state(&board, 0), LaneState::Retry { attempt: 2, until_ms: 5000, why });
        play(&mut board, vec![first.clone().done(), first.done()]);
        assert_eq!(board.phase.as_ref().unwrap().lanes[0].done, 1, "a replayed outcome");
        play(&mut board, vec![op("p", "a", 1).done()]);
        assert_eq!(state(&board, 0), LaneState::Done);
        assert_eq!(state(&board, 1), LaneState::Waiting);
        play(&mut board, vec![op("p", "b", 0).failed("no")]);
        assert_eq!(state(&board, 1), LaneState::Failed { why: "no".into() });
    }

    #[test]
    fn a_lost_node_takes_the_lanes_that_run_on_it() {
        let mut board = fixture::board(|_, _| None);
        let mut through = op("p", "b", 0);
        through.0.node = "a".parse().unwrap();
        play(
            &mut board,
            vec![
                run(&["a", "b"], &["p"]),
                phase("p", &["a", "b"], 1),
                through.started(),
                op("p", "a", 0).done(),
                lost("a", "gone"),
            ],
        );
        assert_eq!(state(&board, 0), LaneState::Done, "what is done stays done");
        assert_eq!(state(&board, 1), LaneState::Lost { why: "gone".into() });
        play(&mut board, vec![again("a")]);
        assert_eq!(state(&board, 1), LaneState::Running { since_ms: 0 });
    }

    #[test]
    fn what_was_not_announced_gets_a_row() {
        let mut board = fixture::board(|_, _| None);
        play(&mut board, vec![op("p", "a", 0).started(), run(&["a"], &["p"])]);
        play(&mut board, vec![phase("p", &[], 0), op("p", "a", 6).started()]);
        let phase = board.phase.as_ref().unwrap();
        assert_eq!((phase.lanes.len(), phase.lanes[0].total), (1, 7));
        play(&mut board, vec![op("other", "a", 0).started()]);
        assert_eq!(board.phase.as_ref().unwrap().lanes.len(), 1);
    }

    #[test]
    fn time_left_is_learned_and_never_negative() {
        let known = |_: &str, phase: &str| (phase != "c").then_some(10_000);
        let mut board = fixture::board(known);
        play(&mut board, vec![run(&["a"], &["a", "b"]), phase("a", &["a"], 1)]);
        assert_eq!(board.phase_left_ms(4_000), Some(6_000));
        assert_eq!(board.run_left_ms(4_000), Some(16_000));
        assert_eq!(board.phase_left_ms(10_000), None);
        play(&mut board, vec![run(&["a"], &["a", "c"]), phase("a", &["a"], 1)]);
        assert_eq!(board.run_left_ms(4_000), None, "nobody knows how long c takes");
    }
}
