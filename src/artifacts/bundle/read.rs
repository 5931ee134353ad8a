//! Reading a bundle: checked while it streams by, unpacked only by who checks.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use zstd::stream::read::Decoder;

use super::{Contents, LIST, Listed, PACKAGES, RELEASES};
use crate::{
    artifacts::{hashed::Hashed, store::digest, tar},
    events::Failure,
};

/// More than any list has.
const MOST_LIST: u64 = 16 << 20;
const CHUNK: usize = 1 << 20;
/// What zstd begins with.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Why a bundle is none.
enum Wrong {
    /// In words that follow its name.
    Bundle(String),
    /// What it was unpacked to.
    Disk(PathBuf, io::Error),
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Wrong::Bundle(match error.kind() {
            io::ErrorKind::UnexpectedEof => "is cut off".into(),
            io::ErrorKind::InvalidData => format!("is damaged: {error}"),
            // The unpacker's: it has no words for what it found.
            io::ErrorKind::Other => "is damaged".into(),
            _ => format!("cannot be read: {error}"),
        })
    }
}

fn wrong<T>(why: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong::Bundle(why.into()))
}

/// A bundle, file by file, each compared with its checksum. What `open` gives gets the file's bytes.
fn walk(
    bundle: &Path,
    mut open: impl FnMut(&Listed) -> Result<Option<(PathBuf, File)>, Wrong>,
) -> Result<Contents, Wrong> {
    let mut from = BufReader::with_capacity(CHUNK, File::open(bundle)?);
    let begins = from.fill_buf()?;
    if !begins.starts_with(&MAGIC) {
        return wrong(if MAGIC.starts_with(begins) {
            "is cut off"
        } else {
            "is no bundle: a bundle is packed by zstd"
        });
    }
    let mut reader = tar::Reader::new(Decoder::with_buffer(from)?.single_frame());
    match reader.entry()? {
        Some(first) if first.name == LIST && first.size <= MOST_LIST => {}
        _ => return wrong(format!("does not begin with {LIST}: it is no bundle")),
    }
    let mut list = Vec::new();
    reader.read_to_end(&mut list)?;
    let contents = Contents::read(&list).or_else(|why| wrong(format!("has a list that {why}")))?;
    let mut chunk = vec![0; CHUNK];
    for listed in &contents.files {
        let path = &listed.path;
        let Some(entry) = reader.entry()? else { return wrong(format!("lacks `{path}`")) };
        if entry.name != *path {
            let known = contents.files.iter().any(|file| file.path == entry.name);
            return wrong(match known {
                true => format!("has `{}` in the place of `{path}`", entry.name),
                false => format!("has `{}`, which its list does not have", entry.name),
            });
        }
        let mut target = open(listed)?;
        let mut hashed = Hashed::new(&mut reader);
        loop {
            let read = hashed.read(&mut chunk)?;
            if let Some((place, file)) = &mut target {
                let written = match read {
                    0 => file.sync_all(),
                    _ => file.write_all(&chunk[..read]),
                };
                written.map_err(|e| Wrong::Disk(place.clone(), e))?;
            }
            if read == 0 {
                break;
            }
        }
        let (_, sha256, bytes) = hashed.finish();
        if (&sha256, bytes) != (&listed.sha256, listed.bytes) {
            return wrong(format!(
                "has another `{path}` than its list says: {bytes} bytes, {sha256}"
            ));
        }
    }
    if let Some(more) = reader.entry()? {
        return wrong(format!("has `{}`, which its list does not have", more.name));
    }
    let mut decoder = reader.into_inner();
    let after = "has something after its end";
    if decoder.read(&mut chunk)? > 0 || !decoder.finish().fill_buf()?.is_empty() {
        return wrong(after);
    }
    Ok(contents)
}

fn told(what: String, bundle: &Path, wrong: Wrong) -> Failure {
    match wrong {
        Wrong::Bundle(why) => Failure::new(what, format!("{} {why}", bundle.display()))
            .left("nothing of it was used")
            .hint("copy it again from where it was made, or make it anew with `slipway bundle create`"),
        Wrong::Disk(path, error) => {
            Failure::new(what, format!("cannot write {}: {error}", path.display()))
                .left("nothing of it was used")
                .hint("make room in the cache directory, or name another one with XDG_CACHE_HOME")
        }
    }
}

/// Reads all of it and writes nothing. Blocks.
pub fn verify(bundle: &Path) -> Result<Contents, Failure> {
    walk(bundle, |_| Ok(None)).map_err(|wrong| told("verify a bundle".into(), bundle, wrong))
}

/// A bundle's files, in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    pub contents: Contents,
    /// Of release files and images.
    pub releases: PathBuf,
    /// A pacman repository, where the bundle has one.
    pub packages: Option<PathBuf>,
}

/// Checked and unpacked below `cache`, by the bundle's own digest: only once, however often it is
/// used. Blocks.
pub fn unpack(bundle: &Path, cache: &Path) -> Result<Unpacked, Failure> {
    let failed = |wrong| told("open a bundle".into(), bundle, wrong);
    let (sha256, _) = digest(bundle).map_err(|e| failed(e.into()))?;
    let dir = cache.join(&sha256);
    let contents = match known(&dir) {
        Some(contents) => contents,
        None => unpacked(bundle, cache, &sha256).map_err(failed)?,
    };
    let packages = contents.files.iter().any(|file| file.path.starts_with(PACKAGES));
    let packages = packages.then(|| dir.join(PACKAGES));
    Ok(Unpacked { contents, releases: dir.join(RELEASES), packages })
}

/// What lies under its name is whole.
fn known(dir: &Path) -> Option<Contents> {
    Contents::read(&fs::read(dir.join(LIST)).ok()?).ok()
}

fn unpacked(bundle: &Path, cache: &Path, sha256: &str) -> Result<Contents, Wrong> {
    let (dir, part) = (cache.join(sha256), cache.join(format!(".part-{sha256}")));
    let disk = |place: &Path| {
        let place = place.to_path_buf();
        move |error| Wrong::Disk(place, error)
    };
    fs::create_dir_all(cache).map_err(disk(cache))?;
    // Another run may be at it, and then there is nothing left to do.
    let lock = cache.join(format!(".lock-{sha256}"));
    let held = OpenOptions::new().create(true).append(true).open(&lock).map_err(disk(&lock))?;
    held.lock().map_err(disk(&lock))?;
    if let Some(contents) = known(&dir) {
        return Ok(contents);
    }
    for old in [&part, &dir] {
        match fs::remove_dir_all(old) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(Wrong::Disk(old.clone(), e));
            }
            _ => {}
        }
    }
    for inside in [RELEASES, PACKAGES] {
        fs::create_dir_all(part.join(inside)).map_err(disk(&part))?;
    }
    let walked = walk(bundle, |listed| {
        // Checked with the list: a plain name in one of the two directories.
        let place = part.join(&listed.path);
        let file = File::create(&place).map_err(disk(&place))?;
        Ok(Some((place, file)))
    });
    let contents = match walked {
        Ok(contents) => contents,
        Err(wrong) => {
            let _ = fs::remove_dir_all(&part);
            return Err(wrong);
        }
    };
    let finish = || -> io::Result<()> {
        let mut list = File::create(part.join(LIST))?;
        list.write_all(&serde_json::to_vec_pretty(&contents)?)?;
        list.sync_all()?;
        for inside in [RELEASES, PACKAGES, "."] {
            File::open(part.join(inside))?.sync_all()?;
        }
        fs::rename(&part, &dir)?;
        File::open(cache)?.sync_all()
    };
    finish().map_err(disk(&dir))?;
    let _ = fs::remove_file(&lock);
    Ok(contents)
}
