//! What the reading verbs have in common: look at every node and at the ledger, change nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    args::Global,
    context,
    exit::{Error, Exit},
};
use crate::{
    engine::{self, Purpose},
    events::Failure,
    facts::NodeFacts,
    inventory::Loaded,
    names::NodeName,
    state::{self, Ledger, StateDir},
};

pub struct Looked {
    pub loaded: Loaded,
    pub ledger: Ledger,
    pub facts: BTreeMap<NodeName, NodeFacts>,
    pub unreachable: BTreeMap<NodeName, Failure>,
    pub now_ms: u64,
}

pub fn look(global: &Global) -> Result<Looked, Error> {
    let loaded = context::inventory(global)?;
    let dir = StateDir::at(&global.state_dir);
    let ledger = Ledger::fold(&state::read(&dir, &loaded.inventory.cluster.name)?);
    let fleet = context::fleet(global, &loaded, &dir, false)?;
    let only: BTreeSet<&NodeName> = global.on.iter().collect();
    let wanted = |n: &&NodeName| only.is_empty() || only.contains(n);
    let nodes: Vec<NodeName> =
        loaded.inventory.nodes.iter().map(|n| &n.name).filter(wanted).cloned().collect();
    let (prepared, now_ms) = fleet.runtime.block_on(async {
        let parallel = global.parallel.into();
        let connector = fleet.connector.clone();
        let prepared =
            engine::prepare(connector, fleet.clock, &nodes, &Purpose::Read, parallel, None).await;
        (prepared, fleet.clock.now_ms())
    });
    if nodes.is_empty() {
        return Err(Error::text(Exit::Usage, "there are no nodes to look at", None));
    }
    let (facts, unreachable) = (prepared.facts, prepared.failures);
    Ok(Looked { loaded, ledger, facts, unreachable, now_ms })
}
