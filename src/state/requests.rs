//! Intents and their outcomes: what was sent to the nodes, and what is known to have come of it.
//!
//! Must not know what an op does. A fold of events; the node's own journal knows better.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    events::{OpRef, OpResult, RequestId, RunId},
    names::{NodeName, PhaseName},
};

/// One request: the ops of a phase that one node was, or was about to be, asked to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub id: RequestId,
    /// None if its run's start was not recorded.
    pub run: Option<RunId>,
    pub node: NodeName,
    pub phase: PhaseName,
    /// Short hashes of the decisions, in the order in which the node carries them out.
    pub ops: Vec<String>,
    /// For each op, what came of it, as far as is known.
    pub outcomes: Vec<Option<OpResult>>,
    /// Set when nothing more will come: an op failed, or a later run converged without it.
    pub settled: bool,
}

impl Request {
    /// Whether the node may know more about it than the ledger does.
    pub fn is_open(&self) -> bool {
        !self.settled && self.outcomes.iter().any(Option::is_none)
    }

    /// The places of the ops whose outcomes are not known.
    pub fn unknown(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.outcomes).filter(|(_, outcome)| outcome.is_none()).map(|(at, _)| at)
    }
}

type Lane = (NodeName, PhaseName);

/// All requests, in the order in which they were recorded.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests {
    all: Vec<Request>,
    by_id: BTreeMap<RequestId, usize>,
    /// This run's requests that wait for outcomes, oldest first.
    waiting: BTreeMap<Lane, VecDeque<usize>>,
    /// The one that ended with a failure; its op may be tried again.
    failed: BTreeMap<Lane, usize>,
}

impl Requests {
    pub fn all(&self) -> &[Request] {
        &self.all
    }

    pub fn get(&self, id: &str) -> Option<&Request> {
        self.by_id.get(id).and_then(|at| self.all.get(*at))
    }

    /// From here on, outcomes belong to requests that are yet to come; older requests learn theirs
    /// by name only.
    pub fn run_started(&mut self) {
        self.waiting.clear();
        self.failed.clear();
    }

    pub fn intend(
        &mut self,
        run: Option<RunId>,
        node: &NodeName,
        phase: &PhaseName,
        id: &RequestId,
        ops: &[String],
    ) {
        // Sent again after a lost connection: still the same request.
        if self.by_id.contains_key(id) {
            return;
        }
        let at = self.all.len();
        self.all.push(Request {
            id: id.clone(),
            run,
            node: node.clone(),
            phase: phase.clone(),
            ops: ops.to_vec(),
            outcomes: vec![None; ops.len()],
            settled: false,
        });
        self.by_id.insert(id.clone(), at);
        let lane = (node.clone(), phase.clone());
        self.failed.remove(&lane);
        self.waiting.entry(lane).or_default().push_back(at);
    }

    /// An outcome that names no request: it is the next one of the oldest request that waits, in
    /// this run, for that node and phase, because a node does its requests one after the other.
    pub fn finished(&mut self, op: &OpRef, result: &OpResult) {
        let lane = (op.node.clone(), op.phase.clone());
        let mut at = self.waiting.get(&lane).and_then(|queue| queue.front().copied());
        if at.is_none() {
            // An op that had failed was tried again: its new outcome replaces the old.
            at = self.failed.remove(&lane);
            if let Some(request) = at.and_then(|at| self.all.get_mut(at)) {
                request.settled = false;
                if let Some(outcome) = request
                    .outcomes
                    .iter_mut()
                    .find(|outcome| matches!(outcome, Some(OpResult::Failed(_))))
                {
                    *outcome = None;
                }
                self.waiting.entry(lane.clone()).or_default().extend(at);
            }
        }
        let Some(at) = at else { return };
        let Some(request) = self.all.get_mut(at) else { return };
        if let Some(outcome) = request.outcomes.iter_mut().find(|outcome| outcome.is_none()) {
            *outcome = Some(result.clone());
        }
        let failed = matches!(result, OpResult::Failed(_));
        // A node stops a request at the first op that fails.
        request.settled |= failed;
        if !request.is_open() {
            if let Some(queue) = self.waiting.get_mut(&lane) {
                queue.pop_front();
            }
            if failed {
                self.failed.insert(lane, at);
            }
        }
    }

    /// An outcome from the node's journal, by name.
    pub fn recovered(&mut self, id: &str, index: u32, result: &OpResult) {
        let Some(at) = self.by_id.get(id).copied() else { return };
        let Some(request) = self.all.get_mut(at) else { return };
        if let Some(outcome) = request.outcomes.get_mut(index as usize) {
            *outcome = Some(result.clone());
        }
        request.settled |= matches!(result, OpResult::Failed(_));
        if !request.is_open() {
            for queue in self.waiting.values_mut() {
                queue.retain(|waiting| *waiting != at);
            }
        }
    }

    /// A run that covered these nodes is done: whatever older requests did, it has been seen.
    pub fn settle(&mut self, nodes: &[NodeName]) {
        for request in self.all.iter_mut().filter(|request| nodes.contains(&request.node)) {
            request.settled = true;
        }
    }

    /// Another machine stands there now: nothing of this ever happened to it.
    pub fn void(&mut self, node: &NodeName) {
        let old = std::mem::take(self);
        // Positions shift, so the indices are made anew.
        let mut moved = BTreeMap::new();
        for (at, request) in old.all.into_iter().enumerate() {
            if request.node != *node {
                moved.insert(at, self.all.len());
                self.by_id.insert(request.id.clone(), self.all.len());
                self.all.push(request);
            }
        }
        let place = |at: usize| moved.get(&at).copied();
        for (lane, queue) in old.waiting.into_iter().filter(|((name, _), _)| name != node) {
            self.waiting.insert(lane, queue.into_iter().filter_map(place).collect());
        }
        for (lane, at) in old.failed {
            self.failed.extend(place(at).map(|at| (lane, at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Failure;

    fn op(node: &str, index: u32) -> OpRef {
        OpRef {
            phase: "os".parse().unwrap(),
            lane: node.parse().unwrap(),
            node: node.parse().unwrap(),
            step: "sysctls".parse().unwrap(),
            index,
            title: "t".into(),
        }
    }

    fn intend(requests: &mut Requests, node: &str, id: &str, ops: usize) {
        let hashes: Vec<_> = (0..ops).map(|n| format!("h{n}")).collect();
        let (node, phase) = (node.parse().unwrap(), "os".parse().unwrap());
        requests.intend(None, &node, &phase, &id.into(), &hashes);
    }

    fn failed() -> OpResult {
        OpResult::Failed(Failure::new("a", "b"))
    }

    #[test]
    fn outcomes_fill_the_oldest_request_of_their_node() {
        let mut r = Requests::default();
        intend(&mut r, "a", "a1", 2);
        intend(&mut r, "a", "a2", 1);
        intend(&mut r, "b", "b1", 1);
        r.finished(&op("a", 0), &OpResult::Unchanged);
        assert_eq!(r.get("a1").unwrap().unknown().collect::<Vec<_>>(), [1]);
        r.finished(&op("a", 1), &OpResult::Unchanged);
        r.finished(&op("a", 2), &OpResult::Changed(vec![]));
        assert!(!r.get("a1").unwrap().is_open());
        assert_eq!(r.get("a2").unwrap().outcomes, [Some(OpResult::Changed(vec![]))]);
        assert!(r.get("b1").unwrap().is_open());
    }

    #[test]
    fn a_failed_op_ends_its_request_and_may_be_tried_again() {
        let mut r = Requests::default();
        intend(&mut r, "a", "a1", 3);
        r.finished(&op("a", 0), &OpResult::Unchanged);
        r.finished(&op("a", 1), &failed());
        assert!(!r.get("a1").unwrap().is_open());
        r.finished(&op("a", 1), &failed());
        r.finished(&op("a", 1), &OpResult::Unchanged);
        assert_eq!(r.get("a1").unwrap().unknown().collect::<Vec<_>>(), [2]);
        r.finished(&op("a", 2), &OpResult::Unchanged);
        assert_eq!(r.get("a1").unwrap().outcomes, vec![Some(OpResult::Unchanged); 3]);
        // Or the rest is sent as a new request.
        intend(&mut r, "a", "a2", 2);
        r.finished(&op("a", 0), &failed());
        intend(&mut r, "a", "a3", 1);
        r.finished(&op("a", 0), &OpResult::Unchanged);
        assert!(!r.get("a3").unwrap().is_open());
    }

    #[test]
    fn a_later_run_does_not_answer_for_an_earlier_one() {
        let mut r = Requests::default();
        intend(&mut r, "a", "old", 1);
        r.run_started();
        intend(&mut r, "a", "new", 1);
        r.finished(&op("a", 0), &OpResult::Unchanged);
        assert!(r.get("old").unwrap().is_open());
        r.recovered("old", 0, &OpResult::Unchanged);
        assert!(!r.get("old").unwrap().is_open());
    }

    #[test]
    fn voiding_a_node_leaves_the_others_as_they_were() {
        let mut r = Requests::default();
        intend(&mut r, "a", "a1", 1);
        intend(&mut r, "b", "b1", 2);
        r.void(&"a".parse().unwrap());
        assert_eq!(r.get("a1"), None);
        r.finished(&op("b", 0), &OpResult::Unchanged);
        assert_eq!(r.get("b1").unwrap().unknown().collect::<Vec<_>>(), [1]);
    }
}
