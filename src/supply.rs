//! What a plan needs of release files and images: found and checked here before anything is asked,
//! fetched when the answer was yes, brought to each node right before the op that installs it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use tokio::sync::Semaphore;

use crate::{
    artifacts::{Fetcher, Pins, Progress, Release, Store, digest, has_digest},
    events::{Download, Failure},
    inventory::{Inventory, Os},
    names::image_file,
    ops::{
        Op,
        packages::{Artifact, Images, PackageSet, Packages, complete, incoming},
    },
    plan::{Plan, PlannedOp, Verdict},
    steps::{Memory, STEPS, Scene, Wish},
    transport::Parcel,
};

pub use crate::ops::packages::Wanted;

pub type Parcels = BTreeMap<Wanted, Parcel>;

/// Where release files are taken from.
#[derive(Debug, Clone)]
pub struct Releases {
    pub store: Store,
    /// None where nothing is to be fetched: what is not there is an error then.
    pub fetcher: Option<Fetcher>,
    /// What the store was unpacked from, if it was.
    pub bundle: Option<PathBuf>,
    /// The distribution's packages, where that has them.
    pub packages: Option<PathBuf>,
    /// What some of it has to be, wherever it comes from.
    pub pins: Pins,
}

/// None for machines that need none.
pub type Supply = Option<Releases>;

/// Hears how far things are.
pub type Say<'a> = &'a (dyn Fn(Download) + Send + Sync);

/// How many files come at the same time: more than that only makes each of them slower.
const AT_ONCE: usize = 4;

/// What has to change somewhere, and so has to be brought there.
fn wanted(plan: &Plan) -> BTreeSet<Wanted> {
    plan.ops().flat_map(|(_, _, planned)| needed(planned)).collect()
}

/// What an op needs on its node, going by what was found there.
pub fn needed(planned: &PlannedOp) -> Vec<Wanted> {
    match (&planned.op, &planned.verdict) {
        (Op::Images(images), Verdict::Changes(found)) => {
            images.told_missing(found).into_iter().map(Wanted::Image).collect()
        }
        (op, Verdict::Changes(_)) => all_of(op),
        _ => Vec::new(),
    }
}

/// Whether an op changes what runs containers.
pub fn is_the_runtime(planned: &PlannedOp) -> bool {
    let runs = |artifact: &Artifact| matches!(artifact.name.as_str(), "containerd" | "runc");
    starts_the_runtime(planned)
        || (planned.verdict.changes() && matches!(&planned.op, Op::Artifact(a) if runs(a)))
}

/// Whether it runs what was changed, too, once this op is done.
pub fn starts_the_runtime(planned: &PlannedOp) -> bool {
    planned.verdict.changes()
        && matches!(&planned.op, Op::Unit(unit) if unit.name == "containerd.service")
}

/// What an op may need, on a node that has nothing of it.
fn all_of(op: &Op) -> Vec<Wanted> {
    match op {
        Op::Artifact(Artifact { name, version, .. }) => {
            vec![Wanted::Release(name.clone(), version.clone())]
        }
        Op::Packages(Packages { from: Some(set), .. }) => {
            set.files.iter().cloned().map(Wanted::Package).collect()
        }
        Op::Images(Images { images }) => images.iter().cloned().map(Wanted::Image).collect(),
        _ => Vec::new(),
    }
}

/// Everything that machines of this inventory may need, when nothing is on them yet: the steps
/// themselves say what, so that no second list can be wrong.
pub fn of_inventory(inventory: &Inventory) -> BTreeSet<Wanted> {
    let (facts, memory) = (BTreeMap::new(), Memory::default());
    let wish = Wish { verb: "bootstrap".into(), ..Wish::default() };
    let scene = Scene { inventory, facts: &facts, wish: &wish, memory: &memory };
    // A step that cannot decide without facts installs nothing that depends on them.
    let decided = STEPS
        .iter()
        .flat_map(|step| inventory.nodes.iter().map(|node| (step.decide)(&scene, node)));
    decided.filter_map(Result::ok).flatten().flat_map(|draft| all_of(&draft.op)).collect()
}

/// The distribution's packages that Arch machines of this inventory have to have.
pub fn packages_of_inventory(inventory: &Inventory) -> BTreeSet<String> {
    let (facts, memory) = (BTreeMap::new(), Memory::default());
    let wish = Wish { verb: "bootstrap".into(), ..Wish::default() };
    let scene = Scene { inventory, facts: &facts, wish: &wish, memory: &memory };
    let arch = inventory.nodes.iter().filter(|node| node.os == Os::Arch);
    let decided = arch.flat_map(|node| STEPS.iter().map(|step| (step.decide)(&scene, node)));
    let names = |op: Op| match op {
        Op::Packages(Packages { names, .. }) => names,
        _ => Vec::new(),
    };
    decided.filter_map(Result::ok).flatten().flat_map(|draft| names(draft.op)).collect()
}

/// What lies in a directory of packages, as ops name it. None where there is no database.
pub fn package_set(dir: &std::path::Path) -> Option<PackageSet> {
    let entries = std::fs::read_dir(dir).ok()?.flatten();
    let mut files: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    // The list of all files of packages is of no use to anybody who installs.
    files.retain(|name| name.ends_with(".db") || name.contains(".pkg.tar"));
    files.sort();
    let database = files.iter().find(|name| name.ends_with(".db"))?.clone();
    Some(PackageSet { database, files })
}

/// What a plan needs, as far as it is here: read through and compared with its checksums.
#[derive(Debug, Default)]
pub struct Gathered {
    pub parcels: Parcels,
    /// What is to be fetched.
    pub missing: BTreeSet<Wanted>,
}

fn read(releases: &Releases, wanted: Wanted) -> Result<(Wanted, Parcel), Failure> {
    let store = &releases.store;
    let (name, installed, release) = match &wanted {
        Wanted::Release(name, version) => {
            let release = store.find(name, version)?;
            if releases.pins.of_release(name, version).is_some_and(|pin| pin != release.sha256) {
                return Err(releases.another(&wanted, &release.file));
            }
            let installed = Some(complete(name, version));
            (incoming(name, version, release.archive), installed, release)
        }
        // Whether it was imported is known to the runtime, and to no file.
        Wanted::Image(image) => {
            let release = store.find_image(image)?;
            if releases.pins.of(image).is_some_and(|pin| !has_digest(&release.file, pin)) {
                return Err(releases.another(&wanted, &release.file));
            }
            (image_file(image), None, release)
        }
        Wanted::Package(name) => {
            let file = releases.packages.clone().unwrap_or_default().join(name);
            let read = digest(&file);
            let (sha256, bytes) =
                read.map_err(|e| Failure::new(format!("read {}", file.display()), e.to_string()))?;
            (name.clone(), None, Release { file, sha256, bytes, archive: false })
        }
    };
    let Release { file, sha256, bytes, .. } = release;
    Ok((wanted, Parcel { name, file, sha256, bytes, installed }))
}

/// All that a plan needs; or everything that is wrong. Fetches nothing.
pub async fn gather(plan: &Plan, supply: &Supply) -> Result<Gathered, Vec<Failure>> {
    let Some(releases) = supply else { return Ok(Gathered::default()) };
    gather_these(wanted(plan), releases).await
}

/// All of it, here and checked, with what is missing fetched first.
pub async fn obtain(
    wanted: BTreeSet<Wanted>,
    releases: &Releases,
    tell: Say<'_>,
) -> Result<Parcels, Vec<Failure>> {
    let Gathered { mut parcels, missing } = gather_these(wanted, releases).await?;
    parcels.extend(fetch(missing, &Some(releases.clone()), tell).await?);
    Ok(parcels)
}

async fn gather_these(
    wanted: BTreeSet<Wanted>,
    releases: &Releases,
) -> Result<Gathered, Vec<Failure>> {
    let mut gathered = Gathered::default();
    let (mut reading, mut failures) = (Vec::new(), Vec::new());
    for wanted in wanted {
        if releases.comes(&wanted) {
            match releases.unpinned(&wanted) {
                Some(failure) => failures.push(failure),
                None => drop(gathered.missing.insert(wanted)),
            }
            continue;
        }
        if let Some(bundle) = releases.bundle.as_ref().filter(|_| !releases.lies_here(&wanted)) {
            let why = format!("{} does not have it", bundle.display());
            failures.push(Failure::new(format!("take {wanted} from the bundle"), why).hint(
                "was it made from this inventory, and for this version? `slipway bundle verify` shows what is in it, `slipway bundle create` makes it anew",
            ));
            continue;
        }
        let from = releases.clone();
        reading.push(tokio::task::spawn_blocking(move || read(&from, wanted)));
    }
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
    tell: Say<'_>,
) -> Result<Parcels, Vec<Failure>> {
    let Some(releases @ Releases { fetcher: Some(fetcher), .. }) = supply else {
        return Ok(Parcels::new());
    };
    let turns = Semaphore::new(AT_ONCE);
    let one = async |wanted: Wanted| {
        let _turn = turns.acquire().await;
        let told = |progress: Progress| tell(progress.of(&wanted));
        match &wanted {
            Wanted::Release(name, version) => fetcher.fetch(name, version, &told).await?,
            Wanted::Image(image) => fetcher.fetch_image(image, &told).await?,
            // They come with a bundle, or the nodes fetch them.
            Wanted::Package(_) => {}
        }
        let from = releases.clone();
        let read = tokio::task::spawn_blocking(move || read(&from, wanted)).await;
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

impl Releases {
    /// And is what it has to be, as far as that can be seen without reading all of it.
    fn is_here(&self, wanted: &Wanted) -> bool {
        self.lies_here(wanted)
            && match wanted {
                Wanted::Release(name, version) => {
                    let pin = self.pins.of_release(name, version);
                    pin.is_none() || self.store.promised(name, version).as_deref() == pin
                }
                Wanted::Image(image) => self.pins.of(image).is_none_or(|pin| {
                    self.store.image_place(image).is_some_and(|file| has_digest(&file, pin))
                }),
                Wanted::Package(_) => true,
            }
    }

    /// Why a file that is here is not taken.
    fn another(&self, wanted: &Wanted, file: &Path) -> Failure {
        let why = format!("{} is not the one whose digest is laid down for it", file.display());
        let failure = Failure::new(format!("take {wanted} from the release files"), why)
            .left("nothing was sent to any node");
        failure.hint(match (&self.bundle, &self.fetcher) {
            (Some(bundle), _) => format!(
                "compare `[artifacts.digests]` with {}, or make it anew from this inventory",
                bundle.display()
            ),
            (None, Some(_)) => {
                "remove it and its checksum, so that it is fetched again; or correct `[artifacts.digests]`".into()
            }
            (None, None) => "put the right one there (of images, one that Slipway fetched: others do not say their digest where it is looked for); or correct `[artifacts.digests]`".into(),
        })
    }

    fn lies_here(&self, wanted: &Wanted) -> bool {
        match wanted {
            Wanted::Release(name, version) => self.store.place(name, version).is_some(),
            Wanted::Image(image) => self.store.image_place(image).is_some(),
            Wanted::Package(name) => {
                self.packages.as_ref().is_some_and(|dir| dir.join(name).is_file())
            }
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
            Wanted::Package(_) => None,
        }
    }

    /// Why a file cannot be fetched: nobody says what it has to be.
    fn unpinned(&self, wanted: &Wanted) -> Option<Failure> {
        match wanted {
            Wanted::Release(name, version) => self.fetcher.as_ref()?.unpinned(name, version),
            Wanted::Image(_) | Wanted::Package(_) => None,
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
        match &releases.bundle {
            Some(bundle) => format!("{kinds} that {} does not have: {names}", bundle.display()),
            None => {
                let dir = releases.store.dir().display();
                format!("{kinds} that are not in {dir} yet: {names}")
            }
        }
    } else {
        let from: Vec<String> = from.into_iter().collect();
        format!("{kinds} that are fetched first, from {}: {names}", from.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{inventory, names::Version};

    fn of(text: &str) -> Vec<String> {
        let loaded = inventory::parse("x", text).unwrap_or_else(|e| panic!("{e}"));
        of_inventory(&loaded.inventory).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_inventory_needs_what_its_steps_install() {
        let found = of(inventory::SIM);
        let names: Vec<&str> = found.iter().map(|f| f.split([' ', ':']).next().unwrap()).collect();
        assert_eq!(
            names,
            [
                "cilium",
                "cni-plugins",
                "containerd",
                "crictl",
                "gateway-api",
                "helm",
                "kubeadm",
                "kubectl",
                "kubelet",
                "runc",
                "registry.k8s.io/coredns/coredns",
                "registry.k8s.io/etcd",
                "registry.k8s.io/kube-apiserver",
                "registry.k8s.io/kube-controller-manager",
                "registry.k8s.io/kube-scheduler",
                "registry.k8s.io/pause",
            ]
        );
        let version = inventory::parse("x", inventory::SIM).unwrap().inventory.cluster.kubernetes;
        assert!(found.contains(&format!("kubelet {version}")));
        assert!(found.contains(&format!("registry.k8s.io/kube-apiserver:v{version}")));
        let other = inventory::SIM.replace(&version.to_string(), "1.35.0");
        assert!(of(&other).contains(&"registry.k8s.io/kube-apiserver:v1.35.0".to_string()));
        let homelab = include_str!("../inventory/homelab.toml");
        let kube_vip = homelab.replace("\"keepalived\"", "\"kube-vip\"").replace(", vrid = 51", "");
        assert!(of(&kube_vip).iter().any(|f| f.starts_with("ghcr.io/kube-vip/kube-vip:")));
        // What its pods run besides is in bundles too.
        let more = "quay.io/cilium/operator-generic:v1.20.1";
        let named = format!("{homelab}\n[artifacts]\nimages = [\"{more}\"]\n");
        assert!(of(&named).contains(&more.to_string()));
        // Every image has a name that can be fetched.
        for name in of(&kube_vip).iter().chain(&found).filter(|name| name.contains('/')) {
            name.parse::<crate::names::ImageName>().unwrap();
        }
    }

    #[tokio::test]
    async fn what_nobody_vouches_for_is_told_before_anything_is_fetched() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let nowhere = Some("http://127.0.0.1:1".to_string());
        let fetcher = Some(Fetcher::new(store.clone(), nowhere));
        let pins = Pins::default();
        let releases = Releases { store, fetcher, bundle: None, packages: None, pins };
        let version: Version = "1.4.0".parse().unwrap();
        let wanted = BTreeSet::from([Wanted::Release("gateway-api".into(), version)]);
        let failures = gather_these(wanted.clone(), &releases).await.unwrap_err();
        assert!(
            failures[0].hint.as_ref().unwrap().contains("\"gateway-api:1.4.0\" = "),
            "{failures:?}"
        );
        let pin = BTreeMap::from([("gateway-api:1.4.0".into(), format!("sha256:{:064}", 0))]);
        let fetcher = releases.fetcher.clone().map(|fetcher| fetcher.pinned(&pin));
        let gathered = gather_these(wanted, &Releases { fetcher, ..releases }).await.unwrap();
        assert_eq!(gathered.missing.len(), 1);
    }

    #[tokio::test]
    async fn what_is_here_is_not_taken_when_something_else_is_laid_down() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let file = dir.path().join("runc-1.4.3-linux-amd64");
        std::fs::write(&file, b"program").unwrap();
        let (sum, _) = digest(&file).unwrap();
        std::fs::write(format!("{}.sha256", file.display()), format!("{sum}  runc.amd64\n"))
            .unwrap();
        let version: Version = "1.4.3".parse().unwrap();
        let wanted = || BTreeSet::from([Wanted::Release("runc".into(), version.clone())]);
        let with = |sum: &str, fetcher| {
            let pin = BTreeMap::from([("runc:1.4.3".to_string(), format!("sha256:{sum}"))]);
            let (store, pins) = (store.clone(), Pins::default().and(&pin));
            Releases { store, fetcher, bundle: None, packages: None, pins }
        };
        let gathered = gather_these(wanted(), &with(&sum, None)).await.unwrap();
        assert_eq!((gathered.parcels.len(), gathered.missing.len()), (1, 0));
        // Fetched anew where that can be, for what comes then is compared; else it is an error.
        let other = "0".repeat(64);
        let fetcher = Fetcher::new(store.clone(), Some("http://127.0.0.1:1".into()));
        let gathered = gather_these(wanted(), &with(&other, Some(fetcher))).await.unwrap();
        assert_eq!((gathered.parcels.len(), gathered.missing.len()), (0, 1));
        let failures = gather_these(wanted(), &with(&other, None)).await.unwrap_err();
        assert!(failures[0].causes[0].contains("whose digest is laid down"), "{failures:?}");
        let hint = failures[0].hint.as_ref().unwrap();
        assert!(hint.contains("[artifacts.digests]"), "{hint}");
    }

    #[tokio::test]
    async fn what_a_bundle_lacks_is_told_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let releases = Releases {
            store: Store::at(dir.path()),
            fetcher: None,
            bundle: Some("x.slipway".into()),
            packages: None,
            pins: Pins::default(),
        };
        let wanted = BTreeSet::from([Wanted::Image("registry.k8s.io/pause:1".into())]);
        let failures = obtain(wanted.clone(), &releases, &|_| ()).await.unwrap_err();
        assert!(failures[0].causes[0].contains("x.slipway does not have it"), "{}", failures[0]);
        let releases = Releases { bundle: None, ..releases };
        let failures = obtain(wanted, &releases, &|_| ()).await.unwrap_err();
        assert!(failures[0].causes[0].contains("there is no image-registry.k8s.io_pause_1"));
    }
}
