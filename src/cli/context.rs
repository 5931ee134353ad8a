//! What every verb begins with: the inventory, the state directory, the way to show things.

use std::{
    collections::BTreeSet,
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::runtime::{Builder, Runtime};

use super::{
    args::Global,
    exit::{Error, Exit},
    output,
};
use crate::{
    clock::Clock,
    inventory::{self, Inventory, Loaded},
    names::NodeName,
    ops::fake::WorldCell,
    sim::{self, SimConnector},
    state::StateDir,
    transport::Connector,
    ui::Mode,
};

pub fn mode(global: &Global) -> Mode {
    // A terminal that cannot move its cursor gets lines.
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    Mode::choose(global.output, std::io::stdout().is_terminal() && !dumb)
}

/// The inventory that is meant, read and checked; warnings go to stderr.
pub fn inventory(global: &Global) -> Result<Loaded, Error> {
    inventory_with(global, |_| true)
}

/// The same; `warn` says whether warnings are shown.
pub fn inventory_with(
    global: &Global,
    warn: impl FnOnce(&Loaded) -> bool,
) -> Result<Loaded, Error> {
    let env = std::env::var_os("SLIPWAY_INVENTORY");
    let named = global
        .inventory
        .clone()
        .or_else(|| env.clone().filter(|e| !e.is_empty()).map(PathBuf::from));
    let loaded = match named {
        // Asked for by this very word, and by nothing else.
        Some(name) if name == Path::new("sim") && !name.exists() => {
            inventory::parse("sim (built in)", inventory::SIM)?
        }
        _ => {
            let cwd = std::env::current_dir().map_err(|e| {
                Error::text(Exit::Usage, format!("cannot tell the current directory: {e}"), None)
            })?;
            inventory::load(&inventory::discover(global.inventory.clone(), env, &cwd)?)?
        }
    };
    let nodes: BTreeSet<&NodeName> = loaded.inventory.nodes.iter().map(|n| &n.name).collect();
    for name in &global.on {
        if !nodes.contains(name) {
            return Err(unknown_node(&loaded.inventory, name));
        }
    }
    if !loaded.warnings.is_empty() && mode(global) != Mode::Json && warn(&loaded) {
        output::err(&format!("{}\n", loaded.warnings.render(output::paint()).trim_end()));
    }
    Ok(loaded)
}

pub fn unknown_node(inventory: &Inventory, name: &NodeName) -> Error {
    let names: Vec<&str> = inventory.nodes.iter().map(|n| n.name.as_str()).collect();
    let hint = match crate::toml_read::closest(name.as_str(), &names) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("it has {}", crate::toml_read::list(&names, "and")),
    };
    Error::usage(format!("the inventory has no node `{name}`"), hint)
}

/// The machines behind an inventory, and the runtime to drive them.
pub struct Fleet {
    pub runtime: Runtime,
    pub connector: Arc<dyn Connector>,
    pub clock: Clock,
    pub cell: Arc<WorldCell>,
    /// Time is made up and jumps: no need to wait, or to draw in between.
    pub hurried: bool,
}

/// `keep`: what happens to a simulated fleet is written down.
pub fn fleet(
    global: &Global,
    inventory: &Inventory,
    dir: &StateDir,
    keep: bool,
) -> Result<Fleet, Error> {
    let Some(sim) = &inventory.sim else {
        return Err(Error::usage(
            "this build drives the simulated fleet only: the SSH transport is not in it yet",
            "try `-i sim`, the built-in simulated fleet",
        ));
    };
    // A person at a terminal wants to see it happen; everybody else wants it to be over.
    let hurried = mode(global) != Mode::Human || sim.speed == 0 || !keep;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(hurried)
        .build()
        .map_err(|e| Error::text(Exit::Failed, format!("cannot start: {e}"), None))?;
    let speed = if hurried { 1 } else { sim.speed };
    let cell = runtime.block_on(async { sim::fleet(inventory, &dir.sim(), speed, keep) })?;
    let connector = Arc::new(SimConnector::new(cell.clone()));
    Ok(Fleet { runtime, connector, clock: cell.clock, cell, hurried })
}

/// The command as it was given, for "go on".
pub fn command_line() -> String {
    let quoted = |word: std::ffi::OsString| {
        let word = word.to_string_lossy().into_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:@+".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    let words: Vec<String> = std::env::args_os().map(quoted).collect();
    if words.is_empty() { "slipway".into() } else { words.join(" ") }
}
