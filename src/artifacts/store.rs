//! Release files and images on this machine's disk, by name, each with its checksum beside it.
//!
//! A release is `NAME-VERSION-linux-amd64.tar.gz` (or `.tgz`), or `NAME-VERSION-linux-amd64` where a
//! project publishes a bare program. An image is `image-REGISTRY_NAME_TAG.oci.tar`. `FILE.sha256`
//! beside it is what `sha256sum` prints.
#![allow(clippy::disallowed_methods, reason = "the store is this machine's own")]

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{
    events::Failure,
    names::{Version, hex, image_file},
};

const PLATFORM: &str = "linux-amd64";
const ARCHIVES: [&str; 2] = [".tar.gz", ".tgz"];

/// A directory of release files.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

/// A file that is what its checksum says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    pub file: PathBuf,
    pub sha256: String,
    pub bytes: u64,
    /// An archive, and no bare program.
    pub archive: bool,
}

impl Store {
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn stem(name: &str, version: &Version) -> String {
        format!("{name}-{version}-{PLATFORM}")
    }

    /// Where the file lies, if it is there at all. Reads nothing of it.
    pub fn place(&self, name: &str, version: &Version) -> Option<PathBuf> {
        let stem = self.dir.join(Self::stem(name, version));
        let named = |suffix: &str| PathBuf::from(format!("{}{suffix}", stem.display()));
        ARCHIVES.into_iter().chain([""]).map(named).find(|file| file.is_file())
    }

    /// Where a file goes that is put into the store.
    pub(super) fn target(&self, name: &str, version: &Version, ending: &str) -> PathBuf {
        self.dir.join(format!("{}{ending}", Self::stem(name, version)))
    }

    /// Where an image lies, if it is there at all.
    pub fn image_place(&self, image: &str) -> Option<PathBuf> {
        Some(self.image_target(image)).filter(|file| file.is_file())
    }

    pub(super) fn image_target(&self, image: &str) -> PathBuf {
        self.dir.join(image_file(image))
    }

    /// Takes a whole file into the store. Its checksum first: a file without one does not count.
    pub(super) fn keep(&self, part: &Path, target: &Path, sum: &str, name: &str) -> io::Result<()> {
        let sums = sums_of(target);
        let new = PathBuf::from(format!("{}.new", sums.display()));
        let mut file = fs::File::create(&new)?;
        file.write_all(format!("{sum}  {name}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &sums)?;
        fs::rename(part, target)?;
        fs::File::open(&self.dir)?.sync_all()
    }

    /// What the checksum beside a file says that it is. Reads nothing of the file.
    pub fn promised(&self, name: &str, version: &Version) -> Option<String> {
        checksum(&fs::read_to_string(sums_of(&self.place(name, version)?)).ok()?)
    }

    /// An image's archive, read through and compared with its checksum. Blocks.
    pub fn find_image(&self, image: &str) -> Result<Release, Failure> {
        let what = format!("take the image {image} from the release files");
        match self.image_place(image) {
            Some(file) => checked(what, file),
            None => {
                let why = format!("there is no {} in {}", image_file(image), self.dir.display());
                Err(Failure::new(what, why).hint("put the image there under that name, as `ctr images export` or `skopeo copy` to `oci-archive:` writes it, and its checksum beside it as NAME.sha256; or use a bundle that has it"))
            }
        }
    }

    /// The file, read through and compared with its checksum. Blocks.
    pub fn find(&self, name: &str, version: &Version) -> Result<Release, Failure> {
        let what = format!("take {name} {version} from the release files");
        let wanted = Self::stem(name, version);
        let Some(file) = self.place(name, version) else {
            return Err(Failure::new(
                what,
                format!("there is no {wanted}.tar.gz in {}", self.dir.display()),
            )
            .hint("put the project's release file there under that name, and its checksum beside it as NAME.sha256; `[artifacts] dir` names another directory"));
        };
        checked(what, file)
    }
}

fn sums_of(file: &Path) -> PathBuf {
    PathBuf::from(format!("{}.sha256", file.display()))
}

/// A file that is what the checksum beside it says.
fn checked(what: String, file: PathBuf) -> Result<Release, Failure> {
    let sum = sums_of(&file);
    let shown = file.display().to_string();
    let failed = |what: String, path: &Path, e: &io::Error| {
        Failure::new(what, format!("cannot read {}: {e}", path.display()))
    };
    let said = fs::read_to_string(&sum).map_err(|e| {
        failed(what.clone(), &sum, &e).hint(format!(
            "every release file needs its checksum beside it: `sha256sum`'s line, from the project's own page, in {shown}.sha256"
        ))
    })?;
    let Some(expected) = checksum(&said) else {
        return Err(Failure::new(what, format!("{} holds no SHA-256 checksum", sum.display()))
            .hint("its first word has to be 64 hexadecimal digits, as `sha256sum` prints them"));
    };
    let (sha256, bytes) = digest(&file).map_err(|e| failed(what.clone(), &file, &e))?;
    if sha256 != expected {
        return Err(Failure::new(
            what,
            format!(
                "{shown} is not what its checksum says: it is {sha256}, and {expected} was promised"
            ),
        )
        .left("nothing was sent to any node")
        .hint("it is cut off, or another file: fetch it again, with its checksum"));
    }
    let archive = !ending(&shown).is_empty();
    Ok(Release { file, sha256, bytes, archive })
}

/// The first word, if it is one.
fn checksum(said: &str) -> Option<String> {
    let word = said.split_whitespace().next()?;
    let word = word.strip_prefix('\\').unwrap_or(word).to_lowercase();
    is_sum(&word).then_some(word)
}

pub(super) fn is_sum(word: &str) -> bool {
    word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What of an archive's ending a name has; none is a bare program's.
pub(super) fn ending(name: &str) -> &'static str {
    ARCHIVES.into_iter().find(|ending| name.ends_with(ending)).unwrap_or("")
}

pub fn digest(file: &Path) -> io::Result<(String, u64)> {
    let (mut file, mut hasher) = (fs::File::open(file)?, Sha256::new());
    let (mut chunk, mut bytes) = (vec![0; 1 << 20], 0);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        hasher.update(&chunk[..read]);
        bytes += read as u64;
    }
    Ok((hex(&hasher.finalize()), bytes))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests make files")]
mod tests {
    use super::*;

    fn asked(dir: &Path) -> Result<Release, Failure> {
        Store::at(dir).find("runc", &"1.4.3".parse().unwrap())
    }

    #[test]
    fn a_file_counts_only_with_its_checksum() {
        let dir = tempfile::tempdir().unwrap();
        let missing = asked(dir.path()).unwrap_err();
        assert!(missing.causes[0].contains("runc-1.4.3-linux-amd64"), "{missing}");
        let file = dir.path().join("runc-1.4.3-linux-amd64");
        fs::write(&file, b"program").unwrap();
        assert!(asked(dir.path()).unwrap_err().causes[0].contains(".sha256"));
        let sum = dir.path().join("runc-1.4.3-linux-amd64.sha256");
        for wrong in ["", "<html>404</html>", &"g".repeat(64), &"0".repeat(63)] {
            fs::write(&sum, wrong).unwrap();
            assert!(
                asked(dir.path()).unwrap_err().causes[0].contains("holds no SHA-256"),
                "{wrong}"
            );
        }
        fs::write(&sum, format!("{}  runc.amd64\n", "0".repeat(64))).unwrap();
        assert!(asked(dir.path()).unwrap_err().causes[0].contains("not what its checksum says"));
        let (right, _) = digest(&file).unwrap();
        fs::write(&sum, format!("{}  runc.amd64\n", right.to_uppercase())).unwrap();
        let release = asked(dir.path()).unwrap();
        assert_eq!((release.bytes, release.archive, release.sha256), (7, false, right));
        // Cut off on the way here.
        fs::write(&file, b"progra").unwrap();
        assert!(asked(dir.path()).is_err());
    }
}
