//! Before a plan: reach the nodes, settle what earlier runs left under way, take the leases, read
//! the facts, and ask the nodes what they find.

use std::{collections::BTreeMap, sync::Arc};

use futures::{StreamExt, stream};
use tokio::sync::Mutex;

use super::{
    recorder::Recorder,
    session::{Session, Told},
};
use crate::{
    agent::frames::{AgentEvent, Found, FromAgent, LeaseAnswer, Outcome, ToAgent},
    clock::Clock,
    events::{Event, Failure, OpResult, Refusal},
    facts::NodeFacts,
    names::NodeName,
    news,
    ops::Op,
    state::Ledger,
    transport::Connector,
};

/// Why nodes are contacted.
#[derive(Debug, Clone)]
pub enum Purpose {
    /// Takes no lease, waits for nothing.
    Read,
    Change {
        holder: String,
        /// `--take-lease`
        force: bool,
    },
}

pub type Sessions = BTreeMap<NodeName, Arc<Mutex<Session>>>;

#[derive(Default)]
pub struct Prepared {
    pub sessions: Sessions,
    pub facts: BTreeMap<NodeName, NodeFacts>,
    /// Nodes that could not be reached or prepared, and why.
    pub failures: BTreeMap<NodeName, Failure>,
}

/// Does all that for these nodes at the same time; `recorder` and `ledger` where there are any.
pub async fn prepare(
    connector: Arc<dyn Connector>,
    clock: Clock,
    nodes: &[NodeName],
    purpose: &Purpose,
    parallel: usize,
    told: Option<(&Recorder, &Ledger)>,
) -> Prepared {
    let one = |node: NodeName| {
        let connector = connector.clone();
        async move {
            let result = prepare_one(connector, clock, &node, purpose, told).await;
            (node, result)
        }
    };
    let mut results =
        stream::iter(nodes.iter().cloned().map(one)).buffer_unordered(parallel.max(1));
    let mut prepared = Prepared::default();
    while let Some((node, result)) = results.next().await {
        match result {
            Ok((session, facts)) => {
                prepared.sessions.insert(node.clone(), Arc::new(Mutex::new(session)));
                prepared.facts.insert(node, facts);
            }
            Err(failure) => drop(prepared.failures.insert(node, failure)),
        }
    }
    prepared
}

async fn prepare_one(
    connector: Arc<dyn Connector>,
    clock: Clock,
    node: &NodeName,
    purpose: &Purpose,
    told: Option<(&Recorder, &Ledger)>,
) -> Result<(Session, NodeFacts), Failure> {
    let mut session = Session::open(connector, node.clone(), clock).await?;
    if let Some((recorder, ledger)) = told {
        let machine_id = session.welcome.machine_id.clone();
        if let Some(was) = ledger.machine_id(node).filter(|was| *was != machine_id) {
            let (was, now) = (was.to_string(), machine_id.clone());
            recorder.emit(Event::NodeReplaced { node: node.clone(), was, now });
        }
        recorder.emit(Event::NodeConnected { node: node.clone(), machine_id, again: false });
    }
    if let Purpose::Change { holder, force } = purpose {
        settle(&mut session, holder, told).await?;
        take_lease(&mut session, holder, *force, told).await?;
    }
    match session.ask(&ToAgent::Facts { now_ms: clock.now_ms() }).await? {
        FromAgent::Facts(facts) => Ok((session, *facts)),
        _ => Err(Failure::new("gather facts", "the agent answered something else").on(node)),
    }
}

/// What an earlier controller left: a request that still runs is let come to its op's end, and
/// outcomes that never arrived are fetched from the node's journal.
async fn settle(
    session: &mut Session,
    holder: &str,
    told: Option<(&Recorder, &Ledger)>,
) -> Result<(), Failure> {
    let node = session.node.clone();
    let mut requests: Vec<String> = Vec::new();
    if let Some(running) = session.welcome.running.clone() {
        // Somebody else's op is not ours to stop, by force least of all: the lease will say so.
        let ours = running.starts_with(&format!("{holder}-"));
        if !ours {
            return Ok(());
        }
        requests.push(running);
    }
    if let Some((_, ledger)) = told {
        let open = ledger.open_requests().filter(|r| r.node == node && !requests.contains(&r.id));
        requests.extend(open.map(|r| r.id.clone()).collect::<Vec<_>>());
    }
    for request in requests {
        let mut outcomes = Vec::new();
        // Attached and cancelled at once: what was planned then is planned anew.
        let (_stop, cancel) = news::channel(true);
        session
            .attach(&request, cancel, |told| {
                if let Told::Event(AgentEvent::Finished { op, outcome, .. }) = told {
                    outcomes.push((op, outcome));
                }
            })
            .await?;
        let Some((recorder, ledger)) = told else { continue };
        for (number, outcome) in outcomes {
            if ledger.outcome(&request, number).is_none() {
                let result = result_of(outcome);
                let (node, request) = (node.clone(), request.clone());
                recorder.emit(Event::OpRecovered { node, request, number, result });
            }
        }
    }
    Ok(())
}

pub(super) fn result_of(outcome: Outcome) -> OpResult {
    match outcome {
        Outcome::Unchanged => OpResult::Unchanged,
        Outcome::Changed(lines) => OpResult::Changed(lines),
        Outcome::Failed { failure, .. } => OpResult::Failed(failure),
    }
}

async fn take_lease(
    session: &mut Session,
    holder: &str,
    force: bool,
    told: Option<(&Recorder, &Ledger)>,
) -> Result<(), Failure> {
    let node = session.node.clone();
    let question = ToAgent::TakeLease { holder: holder.into(), force };
    match session.ask(&question).await? {
        FromAgent::Lease(LeaseAnswer::Granted { generation, from }) => {
            session.generation = generation;
            if let Some((recorder, _)) = told {
                recorder.emit(Event::LeaseTaken { node, generation, from });
            }
            Ok(())
        }
        FromAgent::Lease(LeaseAnswer::Held { by, age_ms, op_runs }) => {
            let age = age_ms.map_or("from before its last boot".into(), |ms| {
                format!("taken {} s ago", ms / 1000)
            });
            let failure = Failure::new("take the lease", format!("{by} holds it ({age})"))
                .on(&node)
                .refused(Refusal::Lease)
                .left("nothing was changed");
            Err(if op_runs {
                failure.hint("an op of theirs runs on this node right now; wait until it has ended")
            } else {
                failure.hint("if nobody else is at work: the same command with --take-lease")
            })
        }
        _ => Err(Failure::new("take the lease", "the agent answered something else").on(&node)),
    }
}

/// Asks every node what it finds for the ops that would run there, in their order.
pub async fn observe(
    sessions: &Sessions,
    ops: BTreeMap<NodeName, Vec<Op>>,
    parallel: usize,
) -> Result<BTreeMap<NodeName, Vec<Found>>, Vec<Failure>> {
    let one = |(node, ops): (NodeName, Vec<Op>)| async move {
        let Some(session) = sessions.get(&node) else { return Ok((node, Vec::new())) };
        // Checks wait for things, and what serves is made when it is needed: neither is asked now.
        let asked: Vec<Op> = ops.iter().filter(|op| is_asked(op)).cloned().collect();
        let mut session = session.lock().await;
        // Where it is only looked, nothing comes later.
        let comes = |op: &&Op| session.generation > 0 && op.nature().check;
        let later = ops.iter().filter(comes).cloned().collect();
        let found = match session.ask(&ToAgent::Observe { ops: asked, later }).await? {
            FromAgent::Observed(found) => found,
            _ => return Err(Failure::new("observe", "the agent answered something else").on(&node)),
        };
        let mut found = found.into_iter();
        let unasked = || Found::Observed(crate::ops::Observed::Holds);
        let all = ops
            .iter()
            .map(|op| if is_asked(op) { found.next().unwrap_or_else(unasked) } else { unasked() })
            .collect();
        Ok((node, all))
    };
    let mut results = stream::iter(ops.into_iter().map(one)).buffer_unordered(parallel.max(1));
    let (mut finds, mut failures) = (BTreeMap::new(), Vec::new());
    while let Some(result) = results.next().await {
        match result {
            Ok((node, found)) => drop(finds.insert(node, found)),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { Ok(finds) } else { Err(failures) }
}

fn is_asked(op: &Op) -> bool {
    let nature = op.nature();
    !nature.check && !nature.serves
}

/// Gives the leases back. A node that cannot be reached keeps its own; it is only a hint there.
pub async fn release(sessions: &Sessions) {
    let one = |session: Arc<Mutex<Session>>| async move {
        let mut session = session.lock().await;
        let generation = session.generation;
        if generation > 0 {
            session.mention(&ToAgent::ReleaseLease { generation }).await;
        }
    };
    stream::iter(sessions.values().cloned().map(one))
        .buffer_unordered(32)
        .collect::<Vec<()>>()
        .await;
}
