//! Small events for the tests of the board and its rows; all of them happen at time 0.

use super::board::Board;
use crate::events::{Event, Failure, LanePreview, OpRef, OpResult, Pace, RunStarted, Stamped};

#[derive(Clone)]
pub struct Op(pub OpRef);

pub fn op(phase: &str, lane: &str, index: u32) -> Op {
    Op(OpRef {
        phase: phase.parse().unwrap(),
        lane: lane.parse().unwrap(),
        node: lane.parse().unwrap(),
        step: "files".parse().unwrap(),
        index,
        title: format!("write file {index}"),
    })
}

impl Op {
    pub fn started(self) -> Event {
        Event::OpStarted { op: self.0 }
    }

    pub fn done(self) -> Event {
        Event::OpFinished { op: self.0, result: OpResult::Changed(vec![]), elapsed_ms: 200 }
    }

    pub fn failed(self, why: &str) -> Event {
        let result = OpResult::Failed(Failure::new(&self.0.title, why));
        Event::OpFinished { op: self.0, result, elapsed_ms: 200 }
    }
}

pub fn retry(op: Op, why: &str) -> Event {
    Event::RetryScheduled { op: op.0, attempt: 2, wait_ms: 5000, why: why.into() }
}

pub fn lost(node: &str, why: &str) -> Event {
    Event::NodeLost { node: node.parse().unwrap(), why: why.into() }
}

pub fn again(node: &str) -> Event {
    Event::NodeConnected { node: node.parse().unwrap(), machine_id: "m".into(), again: true }
}

pub fn phase(name: &str, nodes: &[&str], ops: u32) -> Event {
    let lanes = nodes.iter().map(|node| LanePreview { node: node.parse().unwrap(), ops }).collect();
    Event::PhaseStarted { phase: name.parse().unwrap(), pace: Pace::Parallel, lanes }
}

pub fn run(nodes: &[&str], phases: &[&str]) -> Event {
    Event::RunStarted(RunStarted {
        run: "r1".into(),
        verb: "bootstrap".into(),
        cluster: "homelab".parse().unwrap(),
        slipway: "0.1.0".into(),
        simulated: false,
        nodes: nodes.iter().map(|node| node.parse().unwrap()).collect(),
        plan_hash: "5e1c0d2a".into(),
        decisions: vec![],
        destructive: vec![],
        changes: 1,
        unchanged: 0,
        phases: phases.iter().map(|phase| phase.parse().unwrap()).collect(),
        command: "slipway bootstrap".into(),
    })
}

pub fn board(expected: impl Fn(&str, &str) -> Option<u64> + Send + 'static) -> Board {
    Board::new(Box::new(expected))
}

pub fn play(board: &mut Board, events: Vec<Event>) {
    for event in events {
        board.apply(&Stamped { index: 0, at_ms: 0, event });
    }
}
