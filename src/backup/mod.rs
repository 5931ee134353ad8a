//! Snapshots off the nodes: one encrypted file each, with everything that a cluster is restored from.
//!
//! In it is a tar archive: `manifest.json`, the PKI, the key of Secrets at rest, and etcd's data. It
//! passes by in parts; neither here nor on the node is ever all of it in memory. Must not know how
//! it comes.

mod identity;
mod prune;
mod store;
mod verify;

pub use identity::{FILE as IDENTITY_FILE, read as read_identity};
pub use store::Store;
pub use verify::verify;

use serde::{Deserialize, Serialize};

use crate::names::NodeName;

pub const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const DATABASE: &str = "snapshot.db";
pub const ENCRYPTION: &str = "encryption.yaml";

/// What is in a file, as its first entry says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub slipway: String,
    pub cluster: NodeName,
    pub node: NodeName,
    pub simulated: bool,
    pub taken_ms: u64,
    pub revision: u64,
    /// In the archive's order.
    pub files: Vec<Listed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

impl Manifest {
    /// Whether Secrets can be read after a restore.
    pub fn has_encryption_key(&self) -> bool {
        self.files.iter().any(|f| f.name == ENCRYPTION)
    }

    pub fn database(&self) -> Option<&Listed> {
        self.files.iter().find(|f| f.name == DATABASE)
    }
}

#[cfg(test)]
mod tests;
