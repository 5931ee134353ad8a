//! Making a bundle.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use zstd::stream::write::Encoder;

use super::{Contents, LIST, Listed, RELEASES, is_place};
use crate::{
    artifacts::{hashed::Hashed, store::digest, tar},
    events::Failure,
    held::{Held, Taken},
    names::hex,
};

/// Programs are packed to a third at this level; more of it takes much longer for little.
const LEVEL: i32 = 6;

/// A file that goes into a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingredient {
    listed: Listed,
    from: From,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum From {
    File(PathBuf),
    Text(String),
}

/// A bundle that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub contents: Contents,
    pub bytes: u64,
    pub sha256: String,
}

impl Ingredient {
    /// A file of the store, and its checksum beside it.
    pub fn of_release(file: &Path, sha256: &str, bytes: u64) -> [Self; 2] {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = format!("{RELEASES}/{name}");
        let text = format!("{sha256}  {name}\n");
        let sum = hex(&Sha256::digest(&text));
        let sums = Listed { path: format!("{path}.sha256"), bytes: text.len() as u64, sha256: sum };
        let listed = Listed { path, bytes, sha256: sha256.into() };
        [
            Self { listed, from: From::File(file.into()) },
            Self { listed: sums, from: From::Text(text) },
        ]
    }

    /// Any file, as it is now. Blocks.
    pub fn of_file(path: String, file: &Path) -> io::Result<Self> {
        let (sha256, bytes) = digest(file)?;
        Ok(Self { listed: Listed { path, bytes, sha256 }, from: From::File(file.into()) })
    }
}

/// Writes it beside its place, and puts it there when it is whole. The same for the same files.
/// Blocks.
pub fn create(
    to: &Path,
    mut contents: Contents,
    mut ingredients: Vec<Ingredient>,
) -> Result<Made, Failure> {
    let what = format!("create the bundle {}", to.display());
    let failed = |why: String| {
        Failure::new(&what, why)
            .left("there is no new bundle, and one that was there is as it was")
            .hint("make room, or name a file in another directory")
    };
    // Packages come last: they are what not every bundle has.
    ingredients.sort_by_cached_key(|i| (!i.listed.path.starts_with(RELEASES), i.listed.clone()));
    contents.files = ingredients.iter().map(|i| i.listed.clone()).collect();
    if let Some(odd) = contents.files.iter().find(|file| !is_place(&file.path)) {
        return Err(failed(format!("`{}` is no name for a file of a bundle", odd.path)));
    }
    let (Some(name), dir) = (to.file_name(), to.parent().unwrap_or(Path::new("."))) else {
        return Err(failed("it names no file".into()));
    };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let part = dir.join(format!(".{}.part", name.to_string_lossy()));
    let file = OpenOptions::new().create(true).append(true).open(&part);
    let file = file.map_err(|e| failed(format!("cannot write {}: {e}", part.display())))?;
    let inode = |found: io::Result<fs::Metadata>| found.ok().map(|m| m.ino());
    // Who held it may just have put it in place, and then it is no longer ours to write to.
    let file = match Held::take(file).map_err(|e| failed(format!("{}: {e}", part.display())))? {
        Taken::Held(file) if inode(file.metadata()) == inode(fs::metadata(&part)) => file,
        _ => return Err(failed(format!("another run is writing {}", part.display()))),
    };
    let made = write(&file, &contents, &ingredients).and_then(|(sha256, bytes)| {
        file.sync_all()?;
        fs::rename(&part, to)?;
        File::open(dir)?.sync_all()?;
        Ok((sha256, bytes))
    });
    match made {
        Ok((sha256, bytes)) => Ok(Made { contents, bytes, sha256 }),
        Err(error) => {
            let _ = fs::remove_file(&part);
            Err(failed(error.to_string()))
        }
    }
}

fn write(file: &File, contents: &Contents, all: &[Ingredient]) -> io::Result<(String, u64)> {
    file.set_len(0)?;
    let mut encoder = Encoder::new(Hashed::new(file), LEVEL)?;
    // The files' checksums do not cover what is around them.
    encoder.include_checksum(true)?;
    let mut archive = tar::Archive::new(encoder);
    let list = serde_json::to_vec_pretty(contents)?;
    archive.file(LIST, list.len() as u64, &list[..])?;
    for Ingredient { listed, from } in all {
        let Listed { path, bytes, sha256 } = listed;
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{path}: {e}"));
        let from: Box<dyn Read> = match from {
            From::File(file) => Box::new(File::open(file).map_err(named)?),
            From::Text(text) => Box::new(text.as_bytes()),
        };
        let mut hashed = Hashed::new(from);
        archive.file(path, *bytes, &mut hashed).map_err(named)?;
        let (_, found, _) = hashed.finish();
        if found != *sha256 {
            return Err(named(io::Error::other("it changed while the bundle was written")));
        }
    }
    let (_, sha256, bytes) = archive.finish()?.finish()?.finish();
    Ok((sha256, bytes))
}
