//! `slipway reset --agent`: takes the agent and its files off the nodes, and nothing else.

use std::io::IsTerminal;

use super::{
    args::{Change, Global},
    context,
    exit::{Error, Exit},
    output,
};
use crate::{
    engine,
    names::NodeName,
    state::{Opened, Opening, StateDir, Writer},
    ui::Mode,
};

pub fn dismiss(global: &Global, change: &Change) -> Result<Exit, Error> {
    let loaded = context::inventory(global)?;
    let inventory = &loaded.inventory;
    let wanted = |n: &&NodeName| global.on.is_empty() || global.on.contains(n);
    let nodes: Vec<NodeName> =
        inventory.nodes.iter().map(|n| &n.name).filter(wanted).cloned().collect();
    if !global.yes && !inventory.simulated() {
        if !std::io::stdin().is_terminal() {
            return Err(Error::usage(
                "`reset --agent` changes machines, and there is no terminal to ask on",
                "add -y",
            ));
        }
        output::out(&format!("Remove the agent and its files from {} nodes? [y/N] ", nodes.len()));
        if !context::said_yes() {
            output::err("nothing was changed\n");
            return Ok(Exit::Interrupted);
        }
    }
    let dir = StateDir::open(&global.state_dir)?;
    let fleet = context::fleet(global, &loaded, &dir, true)?;
    let mut rng = context::rng(inventory, fleet.clock.now_ms());
    let opening = Opening::new(&inventory.cluster.name, "reset", fleet.clock.now_ms(), &mut rng);
    // The lock of the ledger, and the holder's name: nobody else of this state directory is at work.
    let Opened { ledger, writer, .. } =
        fleet.runtime.block_on(async { Writer::open(&dir, &opening) })?;
    let holder = ledger.holder().unwrap_or("nobody").to_string();
    let (done, failures) = fleet.runtime.block_on(engine::dismiss(
        fleet.connector.clone(),
        fleet.clock,
        &nodes,
        &holder,
        change.take_lease,
        global.parallel.into(),
    ));
    drop(writer);
    if context::mode(global) == Mode::Json {
        let names: Vec<&str> = done.iter().map(NodeName::as_str).collect();
        output::json(&serde_json::json!({ "version": 1, "removed": names, "failures": failures }));
        return Ok(if failures.is_empty() { Exit::Done } else { Exit::of(&failures) });
    }
    for node in &done {
        output::out(&format!("{node}: the agent and its files are gone\n"));
    }
    if failures.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Error::failures(failures, Some(context::command_line())))
}
