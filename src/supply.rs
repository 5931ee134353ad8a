//! What a plan needs of release files: found and checked here before anything is asked, brought to
//! each node right before the op that installs it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    artifacts::Store,
    events::Failure,
    names::Version,
    ops::{
        Op,
        packages::{Artifact, complete, incoming},
    },
    plan::Plan,
    transport::Parcel,
};

/// A release, by name and version.
pub type Wanted = (String, Version);
pub type Parcels = BTreeMap<Wanted, Parcel>;

/// Where release files are taken from. None for machines that need none.
pub type Supply = Option<Store>;

/// What has to change somewhere, and so has to be brought there.
fn wanted(plan: &Plan) -> BTreeSet<Wanted> {
    let changing = plan.ops().filter(|(_, _, planned)| planned.verdict.changes());
    changing.filter_map(|(_, _, planned)| needed(&planned.op)).collect()
}

/// What an op needs on its node.
pub fn needed(op: &Op) -> Option<Wanted> {
    match op {
        Op::Artifact(Artifact { name, version, .. }) => Some((name.clone(), version.clone())),
        _ => None,
    }
}

/// All that a plan needs, read through and compared with its checksums; or everything that is wrong.
pub async fn gather(plan: &Plan, supply: &Supply) -> Result<Parcels, Vec<Failure>> {
    let Some(store) = supply else { return Ok(Parcels::new()) };
    let mut reading = Vec::new();
    for (name, version) in wanted(plan) {
        let store = store.clone();
        reading.push(tokio::task::spawn_blocking(move || {
            let release = store.find(&name, &version)?;
            let parcel = Parcel {
                name: incoming(&name, &version, release.archive),
                file: release.file,
                sha256: release.sha256,
                bytes: release.bytes,
                installed: complete(&name, &version),
            };
            Ok(((name, version), parcel))
        }));
    }
    let (mut parcels, mut failures) = (Parcels::new(), Vec::new());
    for read in reading {
        match read.await {
            Ok(Ok((wanted, parcel))) => drop(parcels.insert(wanted, parcel)),
            Ok(Err(failure)) => failures.push(failure),
            Err(error) => failures.push(Failure::new("read release files", error.to_string())),
        }
    }
    if failures.is_empty() { Ok(parcels) } else { Err(failures) }
}

/// For a plan that is only shown: what is not there yet, without reading what is.
pub fn note(plan: &Plan, supply: &Supply) -> Option<String> {
    let store = supply.as_ref()?;
    let missing: Vec<String> = wanted(plan)
        .iter()
        .filter(|(name, version)| store.place(name, version).is_none())
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    (!missing.is_empty()).then(|| {
        let dir = store.dir().display();
        format!("release files that are not in {dir} yet: {}", missing.join(", "))
    })
}
