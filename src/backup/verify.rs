//! Reads one through: whether it could be restored from.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::{DATABASE, FORMAT, Listed, MANIFEST, Manifest};
use crate::{
    age::{AgeError, Decryptor, Identity},
    artifacts::tar::Reader,
    etcd::sum::Sum,
    events::Failure,
    names::hex,
};

const WHAT: &str = "check a snapshot";
const MOST_MANIFEST: u64 = 1 << 20;
const CHUNK: usize = 128 << 10;

fn wrong(file: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::new(WHAT, format!("`{}`: {why}", file.display()))
}

pub fn verify(file: &Path, identity: &Identity) -> Result<Manifest, Failure> {
    let opened = File::open(file).map_err(|e| wrong(file, e))?;
    let plain = Decryptor::new(BufReader::with_capacity(CHUNK, opened), identity);
    let plain = plain.map_err(|error| {
        let hint = match error {
            AgeError::NotForUs => "name the file with its secret key: --identity FILE",
            AgeError::NotAge => "is it a file that `slipway etcd snapshot` wrote?",
            AgeError::Damaged | AgeError::Io(_) => "take another copy of it",
        };
        wrong(file, error).hint(hint)
    })?;
    let read = |error: io::Error| wrong(file, error).hint("take another copy of it");
    let mut archive = Reader::new(plain);
    let manifest = manifest(&mut archive).map_err(read)?;
    if manifest.format != FORMAT {
        let why = format!("its format is {}, this Slipway knows {FORMAT}", manifest.format);
        return Err(wrong(file, why).hint("use a newer Slipway"));
    }
    if manifest.database().is_none() {
        return Err(wrong(file, "there is no database in it"));
    }
    for listed in &manifest.files {
        check(&mut archive, listed).map_err(read)?;
    }
    if archive.entry().map_err(read)?.is_some() {
        return Err(wrong(file, "there is more in it than it says"));
    }
    // Up to the end, which is what says that nothing was cut off.
    match archive.into_inner().read(&mut [0]).map_err(read)? {
        0 => Ok(manifest),
        _ => Err(wrong(file, "there is more in it than it says")),
    }
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

fn manifest(archive: &mut Reader<impl Read>) -> io::Result<Manifest> {
    let first = archive.entry()?;
    if !first.is_some_and(|e| e.name == MANIFEST && e.size <= MOST_MANIFEST) {
        return Err(invalid("it does not begin with a list of what is in it"));
    }
    let mut text = Vec::new();
    archive.read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

fn check(archive: &mut Reader<impl Read>, listed: &Listed) -> io::Result<()> {
    let Listed { name, bytes, sha256 } = listed;
    let entry = archive.entry()?;
    if !entry.is_some_and(|e| e.name == *name && e.size == *bytes) {
        return Err(invalid(format!("`{name}` is not where its list says")));
    }
    let (mut hash, mut sum) = (Sha256::new(), (name == DATABASE).then(Sum::default));
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = archive.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        match &mut sum {
            Some(sum) => sum.update(&chunk[..read]),
            None => hash.update(&chunk[..read]),
        }
    }
    let found = match sum {
        Some(sum) => sum.finish().map_err(|why| invalid(format!("the database {why}")))?,
        None => hex(&hash.finalize()),
    };
    if found != *sha256 {
        return Err(invalid(format!("`{name}` is not what its checksum says")));
    }
    Ok(())
}
