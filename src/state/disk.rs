//! The disk under a journal: append, sync, truncate, and nothing else.
//!
//! A trait, so that the simulated fleet can lose what was not synced (`MemDisk`). Must not know what
//! the bytes say: the node's own journal lies on one of these as well.
#![allow(clippy::disallowed_methods, reason = "the ledger's file is written here")]

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

pub trait Disk: Send {
    /// Everything that is there.
    fn load(&mut self) -> io::Result<Vec<u8>>;

    /// Adds bytes at the end. After an error some of them may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once all that was appended would survive a loss of power.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the end off, durably.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Whether calls may block their thread, and so belong on one of their own.
    fn blocking(&self) -> bool;

    /// What to call it in messages.
    fn path(&self) -> PathBuf;
}

/// A file, made for its owner only.
#[derive(Debug)]
pub struct FileDisk {
    path: PathBuf,
    file: File,
}

impl FileDisk {
    /// Opens the file; makes it, durably, if it is not there.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let mut options = OpenOptions::new();
        options.read(true).append(true).mode(0o600);
        let file = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = options.create(true).open(&path)?;
                sync_parent(&path)?;
                file
            }
            other => other?,
        };
        Ok(Self { path, file })
    }
}

impl Disk for FileDisk {
    fn load(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.file.metadata()?.len() as usize);
        self.file.rewind()?;
        self.file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.file.sync_all()?;
        sync_parent(&self.path)
    }

    fn blocking(&self) -> bool {
        true
    }

    fn path(&self) -> PathBuf {
        self.path.clone()
    }
}

/// A new file's name is as durable as its directory.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_appended_to_and_cut() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("j");
        let mut disk = FileDisk::open(&path).unwrap();
        disk.append(b"one\ntwo\n").unwrap();
        disk.sync().unwrap();
        disk.truncate(4).unwrap();
        disk.append(b"three\n").unwrap();
        assert_eq!(disk.load().unwrap(), b"one\nthree\n");
        // Loading moves no write position: appends go to the end all the same.
        disk.append(b"four\n").unwrap();
        assert_eq!(FileDisk::open(&path).unwrap().load().unwrap(), b"one\nthree\nfour\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
