//! What a plan needs of release files: found and checked here before anything is asked, fetched when
//! the answer was yes, brought to each node right before the op that installs it.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::Semaphore;

use crate::{
    artifacts::{Fetcher, Progress, Store},
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

/// Where release files are taken from.
#[derive(Debug, Clone)]
pub struct Releases {
    pub store: Store,
    /// None where nothing is to be fetched: what is not there is an error then.
    pub fetcher: Option<Fetcher>,
}

/// None for machines that need none.
pub type Supply = Option<Releases>;

/// How many files come at the same time: more than that only makes each of them slower.
const AT_ONCE: usize = 4;

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

/// What a plan needs, as far as it is here: read through and compared with its checksums.
#[derive(Debug, Default)]
pub struct Gathered {
    pub parcels: Parcels,
    /// What is to be fetched.
    pub missing: BTreeSet<Wanted>,
}

fn read(store: &Store, (name, version): Wanted) -> Result<(Wanted, Parcel), Failure> {
    let release = store.find(&name, &version)?;
    let parcel = Parcel {
        name: incoming(&name, &version, release.archive),
        file: release.file,
        sha256: release.sha256,
        bytes: release.bytes,
        installed: complete(&name, &version),
    };
    Ok(((name, version), parcel))
}

/// All that a plan needs; or everything that is wrong. Fetches nothing.
pub async fn gather(plan: &Plan, supply: &Supply) -> Result<Gathered, Vec<Failure>> {
    let Some(releases) = supply else { return Ok(Gathered::default()) };
    let mut gathered = Gathered::default();
    let mut reading = Vec::new();
    for wanted in wanted(plan) {
        if releases.comes(&wanted) {
            gathered.missing.insert(wanted);
            continue;
        }
        let store = releases.store.clone();
        reading.push(tokio::task::spawn_blocking(move || read(&store, wanted)));
    }
    let mut failures = Vec::new();
    for reading in reading {
        match reading.await {
            Ok(Ok((wanted, parcel))) => drop(gathered.parcels.insert(wanted, parcel)),
            Ok(Err(failure)) => failures.push(failure),
            Err(error) => failures.push(Failure::new("read release files", error.to_string())),
        }
    }
    if failures.is_empty() { Ok(gathered) } else { Err(failures) }
}

/// Fetches what is missing, several at a time; or everything that went wrong. What came stays.
pub async fn fetch(
    missing: BTreeSet<Wanted>,
    supply: &Supply,
    tell: impl Fn(String),
) -> Result<Parcels, Vec<Failure>> {
    let Some(Releases { store, fetcher: Some(fetcher) }) = supply else {
        return Ok(Parcels::new());
    };
    let turns = Semaphore::new(AT_ONCE);
    let one = async |(name, version): Wanted| {
        let _turn = turns.acquire().await;
        let told = |progress| tell(shown(&name, &version, &progress));
        fetcher.fetch(&name, &version, told).await?;
        let (store, wanted) = (store.clone(), (name, version));
        let read = tokio::task::spawn_blocking(move || read(&store, wanted)).await;
        read.unwrap_or_else(|e| Err(Failure::new("read release files", e.to_string())))
    };
    let (mut parcels, mut failures) = (Parcels::new(), Vec::new());
    for done in futures::future::join_all(missing.into_iter().map(one)).await {
        match done {
            Ok((wanted, parcel)) => drop(parcels.insert(wanted, parcel)),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { Ok(parcels) } else { Err(failures) }
}

fn shown(name: &str, version: &Version, progress: &Progress) -> String {
    let mb = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
    match (progress.done, progress.total) {
        (true, _) => format!("fetched {name} {version}: {} MB", mb(progress.bytes)),
        (false, Some(total)) => {
            format!("fetching {name} {version}: {} of {} MB", mb(progress.bytes), mb(total))
        }
        (false, None) => format!("fetching {name} {version}: {} MB", mb(progress.bytes)),
    }
}

impl Releases {
    /// Whether a file that is not here is going to be fetched.
    fn comes(&self, (name, version): &Wanted) -> bool {
        let known = self.fetcher.as_ref().and_then(|f| f.address(name, version));
        known.is_some() && self.store.place(name, version).is_none()
    }
}

/// For a plan that is shown: what is not there yet, without reading what is.
pub fn note(plan: &Plan, supply: &Supply) -> Option<String> {
    let releases = supply.as_ref()?;
    let missing: Vec<Wanted> = wanted(plan)
        .into_iter()
        .filter(|(name, version)| releases.store.place(name, version).is_none())
        .collect();
    if missing.is_empty() {
        return None;
    }
    let names: Vec<String> = missing.iter().map(|(n, v)| format!("{n} {v}")).collect();
    let names = names.join(", ");
    let from: BTreeSet<String> = missing
        .iter()
        .filter(|wanted| releases.comes(wanted))
        .filter_map(|(n, v)| Some(releases.fetcher.as_ref()?.address(n, v)?.host().to_string()))
        .collect();
    Some(if from.is_empty() {
        let dir = releases.store.dir().display();
        format!("release files that are not in {dir} yet: {names}")
    } else {
        let from: Vec<String> = from.into_iter().collect();
        format!("release files that are fetched first, from {}: {names}", from.join(", "))
    })
}
