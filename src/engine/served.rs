//! One op for a person, on whichever node can do it: no plan, no lease, nothing in the ledger.

use std::sync::Arc;

use super::session::Session;
use crate::{
    clock::Clock,
    events::Failure,
    names::NodeName,
    ops::{Op, Output},
    transport::Connector,
};

/// What the op made on the first of the nodes that it succeeds on, and the session with that one; or
/// why on none.
pub async fn served(
    connector: &Arc<dyn Connector>,
    clock: Clock,
    nodes: &[NodeName],
    op: &Op,
) -> Result<(Session, Output), Vec<Failure>> {
    let mut failures = Vec::new();
    for node in nodes {
        let made = async {
            let mut session = Session::open(connector.clone(), node.clone(), clock).await?;
            let output = session.serve(op).await?;
            Ok((session, output))
        };
        match made.await {
            Ok(made) => return Ok(made),
            Err(failure) => failures.push(failure),
        }
    }
    Err(failures)
}
