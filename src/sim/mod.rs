//! The simulated fleet: machines that are not there, driven by everything that is real.
//!
//! The engine, the agent, its frames, the plan, the ledger and the UI are the ones that drive real
//! machines; only the machines, the disk under the journals and the clock are made up. The world is
//! remembered in the state directory, so that verbs tell one story.

mod build;
mod connector;
mod faults;
mod store;

use std::{path::Path, sync::Arc};

pub use build::{machine, repository};
pub use connector::SimConnector;
pub use faults::{CrashAt, CrashFaults, Listed, Victim};
pub use store::{Saved, StoreError};

use crate::{clock::Clock, inventory::Inventory, ops::fake::WorldCell};

/// When the simulated story begins: the same for everybody, so that the same seed tells the same.
pub const BEGINNING_MS: u64 = 1_793_520_000_000;
/// Between two commands a little time passes.
const BETWEEN_COMMANDS_MS: u64 = 60_000;

/// The fleet of an inventory, as an earlier command left it, or fresh from the box.
///
/// With `keep`, what happens is written below `dir` as it happens.
pub fn fleet(
    inventory: &Inventory,
    dir: &Path,
    speed: u32,
    keep: bool,
) -> Result<Arc<WorldCell>, StoreError> {
    let mut saved = store::load(dir)?;
    build::furnish(&mut saved.world, inventory);
    let base_ms = if saved.now_ms == 0 { BEGINNING_MS } else { saved.now_ms + BETWEEN_COMMANDS_MS };
    let clock = Clock::simulated(base_ms, speed);
    build::settle(&mut saved.world, inventory, base_ms);
    let faults = inventory.sim.as_ref().map(|sim| sim.faults.clone()).unwrap_or_default();
    let persist = if keep { Some(store::persist(dir.to_path_buf(), clock)?) } else { None };
    let cell =
        WorldCell::new(saved.world, saved.journals, clock, Box::new(Listed::new(faults)), persist);
    Ok(cell)
}

/// Writes down how the fleet is left. For a command that changed it.
pub fn leave(cell: &WorldCell, dir: &Path) -> Result<(), StoreError> {
    store::save(cell, dir)
}
