//! Takes agents off their nodes: the one thing that is not an op, because no agent is left to tell
//! how it ended.

use std::sync::Arc;

use super::prepare::{Prepared, Purpose, prepare, release};
use crate::{
    agent::frames::{FromAgent, ToAgent},
    clock::Clock,
    events::Failure,
    names::NodeName,
    transport::Connector,
};

/// The nodes whose agents are gone, and why others are not.
pub async fn dismiss(
    connector: Arc<dyn Connector>,
    clock: Clock,
    nodes: &[NodeName],
    holder: &str,
    force: bool,
    parallel: usize,
) -> (Vec<NodeName>, Vec<Failure>) {
    let purpose = Purpose::Change { holder: holder.into(), force };
    let Prepared { sessions, failures, .. } =
        prepare(connector, clock, nodes, &purpose, parallel, None).await;
    let mut failures: Vec<Failure> = failures.into_values().collect();
    let mut done = Vec::new();
    for (node, session) in &sessions {
        let mut session = session.lock().await;
        let generation = session.generation;
        match session.ask(&ToAgent::Dismiss { generation }).await {
            Ok(FromAgent::Observed(_)) => {
                // Its lease went with its files.
                session.generation = 0;
                done.push(node.clone());
            }
            Ok(_) => failures
                .push(Failure::new("remove the agent", "it answered something else").on(node)),
            Err(failure) => failures.push(failure),
        }
    }
    release(&sessions).await;
    (done, failures)
}
