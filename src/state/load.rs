//! A ledger's bytes to its events, without trusting a byte of them.
//!
//! Must not change a file: reading verbs load without the lock. What events mean is `Ledger`'s.
#![allow(clippy::disallowed_methods, reason = "the ledger is read here")]

use std::{fs, io, path::Path};

use crate::{events::Stamped, names::NodeName};

use super::{
    Header, LedgerError, StateDir,
    record::{self, BadHeader, FORMAT},
};

/// What a ledger says.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// None for a new ledger, or one that was cut before its first line was whole.
    pub header: Option<Header>,
    pub events: Vec<Stamped>,
    /// The last line, if it is not whole: the writer died over it, and nobody acted on it.
    pub torn: Option<Torn>,
    /// How many bytes the whole lines take.
    pub whole_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn {
    /// From 1, as editors count.
    pub line: u64,
    pub bytes: u64,
}

/// A header names a cluster and a few numbers.
const LONGEST_HEADER: usize = 1024;

/// Reads a ledger. `origin` is what to call it in errors.
///
/// Only an unterminated last line is forgiven: that is what a loss of power leaves of a line that
/// was never synced. Any other damage is an error, for it may hide an approval or an identity.
pub fn load(bytes: &[u8], origin: &Path) -> Result<Loaded, LedgerError> {
    let mut loaded = Loaded::default();
    for (at, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let number = at as u64 + 1;
        let corrupt = |why| LedgerError::Corrupt { path: origin.into(), line: number, why };
        let Some(line) = line.strip_suffix(b"\n") else {
            // No first line was ever this long: the whole file has been written over.
            if loaded.header.is_none() && line.len() > LONGEST_HEADER {
                return Err(corrupt("it is no ledger's first line".into()));
            }
            loaded.torn = Some(Torn { line: number, bytes: line.len() as u64 });
            break;
        };
        if loaded.header.is_none() {
            loaded.header = Some(record::decode_header(line).map_err(|bad| match bad {
                BadHeader::Damaged(why) => corrupt(why),
                BadHeader::Newer(found) => {
                    LedgerError::Newer { path: origin.into(), found, known: FORMAT }
                }
            })?);
        } else {
            let next = loaded.events.len() as u64;
            loaded.events.push(record::decode(next, line).map_err(corrupt)?);
        }
        loaded.whole_bytes += line.len() as u64 + 1;
    }
    Ok(loaded)
}

impl Loaded {
    /// A ledger of another cluster says nothing about this one.
    pub fn check_cluster(&self, expected: &NodeName, origin: &Path) -> Result<(), LedgerError> {
        match &self.header {
            Some(header) if header.cluster != *expected => Err(LedgerError::OtherCluster {
                path: origin.into(),
                found: header.cluster.clone(),
                expected: expected.clone(),
            }),
            _ => Ok(()),
        }
    }
}

/// For reading verbs: takes no lock, makes nothing, mends nothing. No ledger is an empty ledger;
/// a torn last line may as well be one that another slipway is writing just now.
pub fn read(dir: &StateDir, cluster: &NodeName) -> Result<Loaded, LedgerError> {
    let path = dir.ledger();
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::default()),
        Err(error) => return Err(LedgerError::io("read", path, error)),
    };
    let loaded = load(&bytes, &path)?;
    loaded.check_cluster(cluster, &path)?;
    Ok(loaded)
}
