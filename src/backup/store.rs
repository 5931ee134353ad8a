//! Writes them.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Mutex,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use nix::sys::statvfs::statvfs;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{
    DATABASE, FORMAT, Listed, MANIFEST, Manifest, identity,
    prune::{Keep, prune},
};
use crate::{
    age::{Encryptor, Recipient},
    artifacts::tar::Archive,
    clock::Clock,
    engine::keep::{Keeper, Keeping, Kept},
    etcd::sum::Sum,
    events::Failure,
    inventory::Inventory,
    names::{NodeName, hex},
    ops::sys::SnapshotInfo,
    private::{Part, directory},
};

const WHAT: &str = "keep an etcd snapshot";
/// What a snapshot is larger for being a file of ours, and the ledger wants to be written too.
const RESERVE: u64 = 16 << 20;

/// A place for snapshots, and whom they are encrypted for.
pub struct Store {
    cluster: NodeName,
    simulated: bool,
    /// As the inventory names them; none for the key in the directory.
    recipients: Vec<String>,
    snapshots: PathBuf,
    keep: Keep,
    /// One file, instead of one by its name in the directory.
    out: Option<PathBuf>,
    clock: Clock,
    /// Only one makes the key.
    making: Mutex<()>,
}

/// A text and a hint.
type Note = Option<(String, String)>;

impl Store {
    pub fn new(inventory: &Inventory, snapshots: PathBuf, clock: Clock) -> Self {
        Self {
            cluster: inventory.cluster.name.clone(),
            simulated: inventory.simulated(),
            recipients: inventory.backup.recipients.clone(),
            snapshots,
            keep: Keep {
                newest: inventory.backup.keep.into(),
                days: inventory.backup.keep_days.into(),
            },
            out: None,
            clock,
            making: Mutex::new(()),
        }
    }

    pub fn into_file(self, out: PathBuf) -> Self {
        Self { out: Some(out), ..self }
    }

    /// And what is to be said, where a key was made for it just now.
    fn recipients(&self) -> Result<(Vec<Recipient>, Note), Failure> {
        if self.recipients.is_empty() {
            let _one = self.making.lock();
            let (recipient, made) = identity::of(&self.snapshots)?;
            let file = self.snapshots.join(identity::FILE);
            let note = made.then(|| (
                format!("snapshots are encrypted with the key in {}, which was made just now: without it none can be restored", file.display()),
                "keep a copy of it where neither this machine's end nor the cluster's takes it along; or name recipients in the inventory: [backup] recipients".into(),
            ));
            return Ok((vec![recipient], note));
        }
        let read = |text: &String| {
            text.parse().map_err(|why| Failure::new(WHAT, format!("a recipient {why}")))
        };
        Ok((self.recipients.iter().map(read).collect::<Result<_, _>>()?, None))
    }
}

type Sealing = Archive<Encryptor<Part>>;

struct Coming {
    path: PathBuf,
    archive: Sealing,
    sum: Sum,
    promised: Listed,
    note: Option<(String, String)>,
    /// None for one that somebody wanted elsewhere.
    keep: Option<Keep>,
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let why = if full { "no space left on its disk".to_string() } else { error.to_string() };
    let failure = Failure::new(WHAT, format!("cannot write `{}`: {why}", path.display()));
    if full { no_room(failure, path) } else { failure }
}

fn no_room(failure: Failure, path: &Path) -> Failure {
    let dir = directory(path).display();
    failure.hint(format!("make room in {dir} on this machine, then run the same command again"))
}

fn check_room(path: &Path, bytes: u64) -> Result<(), Failure> {
    let Ok(stat) = statvfs(directory(path)) else { return Ok(()) };
    let free = stat.blocks_available() * stat.fragment_size();
    if free >= bytes + RESERVE {
        return Ok(());
    }
    let mb = |bytes: u64| bytes.div_ceil(1 << 20);
    let why = format!(
        "it takes {} MB, and {} MB are free where `{}` is to be",
        mb(bytes + RESERVE),
        mb(free),
        path.display()
    );
    Err(no_room(Failure::new(WHAT, why), path))
}

impl Keeper for Store {
    fn begin(&self, node: &NodeName, snapshot: &SnapshotInfo) -> Result<Box<dyn Keeping>, Failure> {
        let short = snapshot.sha256.get(..12).unwrap_or_default();
        let name = format!("{node}-r{}-{short}.age", snapshot.revision);
        let path = self.out.clone().unwrap_or_else(|| self.snapshots.join(name));
        check_room(&path, snapshot.bytes)?;
        let (recipients, note) = self.recipients()?;
        let mut files = Vec::new();
        for key in &snapshot.keys {
            let bytes = STANDARD.decode(key.content.reveal());
            let bytes =
                Zeroizing::new(bytes.map_err(|e| {
                    Failure::new(WHAT, format!("{} cannot be read: {e}", key.name))
                })?);
            let sha256 = hex(&Sha256::digest(&bytes));
            let listed = Listed { name: key.name.clone(), bytes: bytes.len() as u64, sha256 };
            files.push((listed, bytes));
        }
        let promised = Listed {
            name: DATABASE.into(),
            bytes: snapshot.bytes,
            sha256: snapshot.sha256.clone(),
        };
        let listed = files.iter().map(|(listed, _)| listed.clone());
        let manifest = Manifest {
            format: FORMAT,
            slipway: env!("CARGO_PKG_VERSION").into(),
            cluster: self.cluster.clone(),
            node: node.clone(),
            simulated: self.simulated,
            taken_ms: self.clock.now_ms(),
            revision: snapshot.revision,
            files: listed.chain([promised.clone()]).collect(),
        };
        let begun = || {
            let sealed = Encryptor::new(Part::beside(&path)?, &recipients)?;
            let mut archive = Archive::private(sealed);
            let text = serde_json::to_vec_pretty(&manifest)?;
            archive.file(MANIFEST, text.len() as u64, &text[..])?;
            for (listed, bytes) in &files {
                archive.file(&listed.name, listed.bytes, &bytes[..])?;
            }
            archive.begin(DATABASE, snapshot.bytes)?;
            Ok(archive)
        };
        let archive = begun().map_err(|e| failure(&path, &e))?;
        let keep = self.out.is_none().then_some(self.keep);
        Ok(Box::new(Coming { path, archive, sum: Sum::default(), promised, note, keep }))
    }
}

impl Keeping for Coming {
    fn part(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.sum.update(bytes);
        if self.sum.bytes() > self.promised.bytes {
            return Err(Failure::new(WHAT, "more arrives than the node promised"));
        }
        self.archive.part(bytes).map_err(|e| failure(&self.path, &e))
    }

    fn done(self: Box<Self>) -> Result<Kept, Failure> {
        let Self { path, mut archive, sum, promised, note, keep } = *self;
        let bytes = sum.bytes();
        let arrived =
            sum.finish().map_err(|why| Failure::new(WHAT, format!("what arrived {why}")))?;
        if (bytes, &arrived) != (promised.bytes, &promised.sha256) {
            let hint = "run the same command again; a faulty network port or disk does this";
            return Err(Failure::new(WHAT, "what arrived is not what was sent").hint(hint));
        }
        let finish = || {
            archive.end(bytes)?;
            let part = archive.finish()?.finish()?;
            part.keep(&path)
        };
        finish().map_err(|e| failure(&path, &e))?;
        // What arrived is what was sent, and lies on the disk: only now may others go.
        let gone = keep.map_or(0, |keep| prune(&path, keep));
        let pruned = (gone > 0).then(|| {
            (
                format!("{gone} old snapshots went, now that a new one is safe"),
                "`[backup] keep` and `keep_days` say how many stay, and how long".to_string(),
            )
        });
        let note = note.or(pruned);
        Ok(Kept { file: path.display().to_string(), note })
    }
}
