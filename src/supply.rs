//! What a plan needs of release files and images: found and checked here before anything is asked,
//! fetched when the answer was yes, brought to each node right before the op that installs it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use tokio::sync::Semaphore;

use crate::{
    artifacts::{Fetcher, Progress, Release, Store},
    events::Failure,
    names::{Version, image_file},
    ops::{
        Op,
        packages::{Artifact, complete, incoming},
    },
    plan::{Plan, PlannedOp, Verdict},
    transport::Parcel,
};

/// What is brought to nodes, by what it is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    Release(String, Version),
    Image(String),
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Release(name, version) => write!(f, "{name} {version}"),
            Wanted::Image(image) => write!(f, "{image}"),
        }
    }
}

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
    plan.ops().flat_map(|(_, _, planned)| needed(planned)).collect()
}

/// What an op needs on its node, going by what was found there.
pub fn needed(planned: &PlannedOp) -> Vec<Wanted> {
    match (&planned.op, &planned.verdict) {
        (Op::Artifact(Artifact { name, version, .. }), Verdict::Changes(_)) => {
            vec![Wanted::Release(name.clone(), version.clone())]
        }
        (Op::Images(images), Verdict::Changes(diffs)) => {
            images.told_missing(diffs).into_iter().map(Wanted::Image).collect()
        }
        _ => Vec::new(),
    }
}

/// What a plan needs, as far as it is here: read through and compared with its checksums.
#[derive(Debug, Default)]
pub struct Gathered {
    pub parcels: Parcels,
    /// What is to be fetched.
    pub missing: BTreeSet<Wanted>,
}

fn read(store: &Store, wanted: Wanted) -> Result<(Wanted, Parcel), Failure> {
    let (name, installed, release) = match &wanted {
        Wanted::Release(name, version) => {
            let release = store.find(name, version)?;
            let installed = Some(complete(name, version));
            (incoming(name, version, release.archive), installed, release)
        }
        // Whether it was imported is known to the runtime, and to no file.
        Wanted::Image(image) => (image_file(image), None, store.find_image(image)?),
    };
    let Release { file, sha256, bytes, .. } = release;
    Ok((wanted, Parcel { name, file, sha256, bytes, installed }))
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
    let one = async |wanted: Wanted| {
        let _turn = turns.acquire().await;
        let told = |progress| tell(shown(&wanted, &progress));
        match &wanted {
            Wanted::Release(name, version) => fetcher.fetch(name, version, told).await?,
            Wanted::Image(image) => fetcher.fetch_image(image, told).await?,
        }
        let store = store.clone();
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

fn shown(wanted: &Wanted, progress: &Progress) -> String {
    let mb = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
    match (progress.done, progress.total) {
        (true, _) => format!("fetched {wanted}: {} MB", mb(progress.bytes)),
        (false, Some(total)) => {
            format!("fetching {wanted}: {} of {} MB", mb(progress.bytes), mb(total))
        }
        (false, None) => format!("fetching {wanted}: {} MB", mb(progress.bytes)),
    }
}

impl Releases {
    fn is_here(&self, wanted: &Wanted) -> bool {
        match wanted {
            Wanted::Release(name, version) => self.store.place(name, version).is_some(),
            Wanted::Image(image) => self.store.image_place(image).is_some(),
        }
    }

    /// Where something is fetched from; None for what has to be put in place by hand.
    fn host(&self, wanted: &Wanted) -> Option<String> {
        let fetcher = self.fetcher.as_ref()?;
        match wanted {
            Wanted::Release(name, version) => {
                Some(fetcher.address(name, version)?.host().to_string())
            }
            Wanted::Image(image) => Some(fetcher.image_host(image)),
        }
    }

    /// Whether a file that is not here is going to be fetched.
    fn comes(&self, wanted: &Wanted) -> bool {
        !self.is_here(wanted) && self.host(wanted).is_some()
    }
}

/// For a plan that is shown: what is not there yet, without reading what is.
pub fn note(plan: &Plan, supply: &Supply) -> Option<String> {
    let releases = supply.as_ref()?;
    let missing: Vec<Wanted> =
        wanted(plan).into_iter().filter(|wanted| !releases.is_here(wanted)).collect();
    if missing.is_empty() {
        return None;
    }
    let kinds = match (
        missing.iter().any(|w| matches!(w, Wanted::Release(..))),
        missing.iter().any(|w| matches!(w, Wanted::Image(_))),
    ) {
        (true, true) => "release files and images",
        (true, false) => "release files",
        _ => "images",
    };
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    let from: BTreeSet<String> = missing.iter().filter_map(|w| releases.host(w)).collect();
    Some(if from.is_empty() {
        let dir = releases.store.dir().display();
        format!("{kinds} that are not in {dir} yet: {names}")
    } else {
        let from: Vec<String> = from.into_iter().collect();
        format!("{kinds} that are fetched first, from {}: {names}", from.join(", "))
    })
}
