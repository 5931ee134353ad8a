//! The simulated world between commands: a file for each machine, one for the rest.
//!
//! Files are renamed into place. They survive the death of this process, which is what a person
//! would notice; they are not synced, for there is nothing in them that cannot be made up again.
#![allow(clippy::disallowed_methods, reason = "the world lies in the state directory")]

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Clock,
    names::NodeName,
    ops::fake::{Machine, Persist, World, WorldCell},
    state::MemDisk,
};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {what} the simulated world at `{}`", .path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the simulated world at `{}` cannot be read: {why}", .path.display())]
    Damaged { path: PathBuf, why: String },
}

impl StoreError {
    pub fn hint(&self) -> Option<String> {
        match self {
            StoreError::Io { .. } => None,
            StoreError::Damaged { path, .. } => {
                let dir = path.parent().unwrap_or(path);
                Some(format!(
                    "remove `{}` to begin with a fresh fleet; it is only a simulation",
                    dir.display()
                ))
            }
        }
    }
}

#[derive(Default)]
pub struct Saved {
    pub world: World,
    pub journals: BTreeMap<NodeName, MemDisk>,
    pub now_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct SavedMachine {
    machine: Machine,
    #[serde(with = "serde_bytes")]
    journal: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct SavedWorld {
    world: World,
    now_ms: u64,
}

const WORLD: &str = "world.bin";
const MACHINE_SUFFIX: &str = ".machine.bin";

pub(super) fn load(dir: &Path) -> Result<Saved, StoreError> {
    let mut saved = Saved::default();
    let world = dir.join(WORLD);
    let Some(found) = read::<SavedWorld>(&world)? else { return Ok(saved) };
    saved.world = found.world;
    saved.now_ms = found.now_ms;
    let failed = |source| StoreError::Io { what: "read", path: dir.into(), source };
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name =
            path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(MACHINE_SUFFIX));
        let Some(Ok(name)) = name.map(str::parse::<NodeName>) else { continue };
        if let Some(found) = read::<SavedMachine>(&path)? {
            saved.world.machines.insert(name.clone(), found.machine);
            saved.journals.insert(name, MemDisk::holding(found.journal));
        }
    }
    Ok(saved)
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, StoreError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::Io { what: "read", path: path.into(), source }),
        Ok(bytes) => rmp_serde::from_slice(&bytes)
            .map(Some)
            .map_err(|e| StoreError::Damaged { path: path.into(), why: e.to_string() }),
    }
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), StoreError> {
    let failed = |source| StoreError::Io { what: "write", path: path.into(), source };
    let bytes = rmp_serde::to_vec_named(value).map_err(|e| failed(io::Error::other(e)))?;
    let fresh = path.with_extension("new");
    fs::write(&fresh, bytes).and_then(|()| fs::rename(&fresh, path)).map_err(failed)
}

fn write_world(world: &World, now_ms: u64, dir: &Path) -> Result<(), StoreError> {
    // Machines have files of their own.
    let rest = world.without_machines();
    write(&dir.join(WORLD), &SavedWorld { world: rest, now_ms })
}

fn write_machine(
    name: &NodeName,
    machine: &Machine,
    journal: Vec<u8>,
    dir: &Path,
) -> Result<(), StoreError> {
    let path = dir.join(format!("{name}{MACHINE_SUFFIX}"));
    write(&path, &SavedMachine { machine: machine.clone(), journal })
}

/// Writes a node down whenever one of its ops is recorded.
pub(super) fn persist(dir: PathBuf, clock: Clock) -> Result<Persist, StoreError> {
    fs::create_dir_all(&dir).map_err(|source| StoreError::Io {
        what: "make",
        path: dir.clone(),
        source,
    })?;
    Ok(Box::new(move |world, node, journal| {
        // The clusters first: what a machine says of one must not come before it.
        // An error shows at the end, when everything is written and may fail the command.
        let _ = write_world(world, clock.now_ms(), &dir);
        if let Some(machine) = world.machines.get(node) {
            let _ = write_machine(node, machine, journal.to_vec(), &dir);
        }
    }))
}

pub(super) fn save(cell: &WorldCell, dir: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(dir).map_err(|source| StoreError::Io {
        what: "make",
        path: dir.into(),
        source,
    })?;
    let journals = cell.journals();
    let world = cell.world();
    write_world(&world, cell.now_ms(), dir)?;
    for (name, machine) in &world.machines {
        let journal = journals.get(name).map(MemDisk::bytes).unwrap_or_default();
        write_machine(name, machine, journal, dir)?;
    }
    Ok(())
}
