//! Files from the controller: packed on their way, on the disk and compared with their checksum before they
//! have their name.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::{Linux, files::failed};
use crate::{
    names::hex,
    ops::{
        packages::INCOMING,
        sys::{SysError, SysErrorKind, SysResult},
    },
};

const CHUNK: usize = 128 << 10;
const ROOM: &str = "free some space under /var (journalctl --vacuum-size=100M, old packages): release files and images take twice their size";
const DISK: &str = "look at `df -h /var`, `mount` and the end of `dmesg` on the node; a filesystem that the kernel made read-only has met a fault";
const BROKEN: &str = "try again; a faulty network port or disk does this";

/// What is to come: its name in [`INCOMING`], its checksum, and what is there when it is not needed any more.
#[derive(Debug)]
pub struct Promised<'a> {
    pub name: &'a str,
    pub sha256: &'a str,
    pub installed: Option<&'a str>,
}

fn sum_of(
    mut file: impl Read,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<String> {
    let (mut sum, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hex(&sum.finalize())),
            count => {
                sum.update(&chunk[..count]);
                each(&chunk[..count])?;
            }
        }
    }
}

/// Halves of it that a cut connection left.
fn clear(dir: &Path, name: &str) {
    let end = format!("-{name}");
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let of = entry.file_name();
        if of.to_str().is_some_and(|of| of.starts_with(".part-") && of.ends_with(&end)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl Linux {
    /// Takes what `begin` opens, as zstd; false when it is there already, and nothing is opened.
    pub fn receive<R: Read>(
        &self,
        promised: &Promised,
        begin: impl FnOnce() -> io::Result<R>,
    ) -> SysResult<bool> {
        let Promised { name, sha256, installed } = promised;
        if name.contains('/') || name.starts_with('.') || name.is_empty() {
            return Err(SysError::other(format!("`{name}` is not the name of a file")));
        }
        if installed.is_some_and(|file| self.path(file).exists()) {
            return Ok(false);
        }
        let dir = self.path(INCOMING);
        let file = dir.join(name);
        if File::open(&file).and_then(|old| sum_of(old, |_| Ok(()))).is_ok_and(|sum| sum == *sha256)
        {
            return Ok(false);
        }
        let full = |error: SysError| match error.kind {
            // Not the name that it had for the moment.
            SysErrorKind::NoSpace => {
                let message = format!("no space left on the node, under {INCOMING}");
                SysError::new(SysErrorKind::NoSpace, message).hint(ROOM)
            }
            _ if error.hint.is_none() => error.hint(DISK),
            _ => error,
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(|e| full(failed("make", &dir, &e)))?;
        clear(&dir, name);
        let part = dir.join(format!(".part-{}-{name}", std::process::id()));
        let kept = self.keep(&part, begin).and_then(|sum| {
            if sum != *sha256 {
                let message =
                    format!("what arrived is not what was sent: its sha256 is {sum}, not {sha256}");
                return Err(SysError::other(message).hint(BROKEN));
            }
            fs::rename(&part, &file)
                .and_then(|()| File::open(&dir)?.sync_all())
                .map_err(|e| failed("put in place", &file, &e))
        });
        kept.map(|()| true).map_err(|error| {
            let _ = fs::remove_file(&part);
            full(error)
        })
    }

    /// Unpacks it into a file of its own; gives the checksum of what is on the disk then.
    fn keep<R: Read>(
        &self,
        part: &Path,
        begin: impl FnOnce() -> io::Result<R>,
    ) -> SysResult<String> {
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(true).mode(0o600).open(part);
        let mut file = opened.map_err(|e| failed("write", part, &e))?;
        let broken = |e: io::Error| {
            SysError::other(format!("what arrives cannot be unpacked: {e}")).hint(BROKEN)
        };
        let from = begin().map_err(broken)?;
        let plain = zstd::stream::read::Decoder::new(from).map_err(broken)?;
        let mut wrong = None;
        let sum = sum_of(plain, |chunk| {
            file.write_all(chunk).map_err(|e| {
                wrong = Some(failed("write", part, &e));
                io::Error::other("not written")
            })
        });
        let sum = sum.map_err(|e| wrong.unwrap_or_else(|| broken(e)))?;
        file.sync_all().map_err(|e| failed("write", part, &e))?;
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(of: &[u8]) -> String {
        hex(&Sha256::digest(of))
    }

    fn packed(of: &[u8]) -> io::Cursor<Vec<u8>> {
        io::Cursor::new(zstd::encode_all(of, 1).unwrap())
    }

    fn nothing() -> io::Result<io::Empty> {
        panic!("it was opened")
    }

    #[test]
    fn it_has_its_name_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::at(dir.path());
        let long = vec![7; 5 * CHUNK];
        let sha256 = sum(&long);
        let installed = "/opt/slipway/kubelet/1.0.0/.complete";
        let promised =
            Promised { name: "kubelet-1.0.0", sha256: &sha256, installed: Some(installed) };
        let incoming = linux.path(INCOMING);
        let there = || -> Vec<String> {
            let entries = fs::read_dir(&incoming).unwrap();
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
        };
        // Cut off, not what it should be, or nothing of the kind: no half of it stays.
        let whole = packed(&long).into_inner();
        let cut = io::Cursor::new(whole[..whole.len() - 5].to_vec());
        let error = linux.receive(&promised, || Ok(cut)).unwrap_err();
        assert!(error.message.contains("cannot be unpacked"), "{error}");
        let error = linux.receive(&promised, || Ok(packed(b"other"))).unwrap_err();
        assert!(error.message.contains("is not what was sent"), "{error}");
        let error = linux.receive(&promised, || Ok(io::Cursor::new(long.clone()))).unwrap_err();
        assert!(error.hint.is_some(), "{error}");
        assert!(there().is_empty());
        // What another try left goes.
        fs::write(incoming.join(".part-1-kubelet-1.0.0"), b"half").unwrap();
        fs::write(incoming.join(".part-1-kubectl-1.0.0"), b"half").unwrap();
        assert!(linux.receive(&promised, || Ok(packed(&long))).unwrap());
        assert_eq!(fs::read(incoming.join("kubelet-1.0.0")).unwrap(), long);
        assert_eq!(there().len(), 2, "{:?}", there());
        assert!(!linux.receive(&promised, nothing).unwrap());
        // A file of that name that is something else is replaced.
        fs::write(incoming.join("kubelet-1.0.0"), b"half").unwrap();
        assert!(linux.receive(&promised, || Ok(packed(&long))).unwrap());
        fs::remove_file(incoming.join("kubelet-1.0.0")).unwrap();
        let installed = linux.path(installed);
        fs::create_dir_all(installed.parent().unwrap()).unwrap();
        fs::write(installed, b"").unwrap();
        assert!(!linux.receive(&promised, nothing).unwrap());
    }

    #[test]
    fn it_does_not_leave_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::at(dir.path());
        for name in ["../x", "/etc/x", ".hidden", ""] {
            let promised = Promised { name, sha256: "0", installed: None };
            linux.receive(&promised, nothing).unwrap_err();
        }
    }
}
