//! One writer at a time: an exclusive lock on a file beside the ledger.
//!
//! The kernel drops the lock with its process, so it can never be left behind; the file may be.
//! Must not know what is locked for.
#![allow(clippy::disallowed_methods, reason = "the lock's home")]

use std::{
    fs::OpenOptions,
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::{LedgerError, when::utc};
use crate::held::{Held, Taken};

/// Held for as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: Held,
}

impl Lock {
    /// Takes the lock or says who has it.
    pub fn take(path: &Path, verb: &str, now_ms: u64) -> Result<Self, LedgerError> {
        let io = |action| move |error: io::Error| LedgerError::io(action, path, error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false) // Another's name may be in it.
            .mode(0o600)
            .open(path)
            .map_err(io("open"))?;
        let mut file = match Held::take(file).map_err(io("lock"))? {
            Taken::Held(held) => held,
            Taken::Elsewhere(file) => {
                let mut holder = String::new();
                // Its holder may be just about to write the name.
                let _ = file.take(200).read_to_string(&mut holder);
                let holder = holder.trim();
                return Err(LedgerError::Locked {
                    path: path.into(),
                    holder: if holder.is_empty() { "starting".into() } else { holder.into() },
                });
            }
        };
        let name = format!("pid {}, {verb}, since {}\n", std::process::id(), utc(now_ms));
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(name.as_bytes()))
            .map_err(io("write"))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_learns_who_was_first() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("ledger.lock");
        let first = Lock::take(&path, "bootstrap", 1_793_714_709_000).unwrap();
        let error = Lock::take(&path, "upgrade", 0).unwrap_err();
        let text = error.to_string();
        let pid = std::process::id();
        let who = format!("another slipway (pid {pid}, bootstrap, since 2026-11-03 14:05:09 UTC)");
        assert!(text.starts_with(&who), "{text}");
        assert!(error.hint().is_some());
        drop(first);
        Lock::take(&path, "upgrade", 0).unwrap();
    }
}
