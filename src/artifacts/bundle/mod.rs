//! A bundle: everything that machines without internet need, in one file.
//!
//! A tar archive, packed by zstd: first `slipway-bundle.json`, which says what is in it, then exactly
//! those files in exactly that order, below `releases/` and `packages/`. It is made, checked and
//! unpacked as a stream, so it may be larger than any memory. Must not know an inventory: what is to
//! be in it is handed in.
#![allow(clippy::disallowed_methods, reason = "bundles and the cache are this machine's own")]

mod packages;
mod read;
mod write;

pub use packages::{fetched, packages};
pub use read::{Unpacked, unpack, verify};
pub use write::{Ingredient, Made, create};

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::store::is_sum;
use crate::names::Version;

/// The list's own name, in the archive and where it was unpacked.
const LIST: &str = "slipway-bundle.json";
/// What this build makes and reads.
const FORMAT: u32 = 1;
/// Where release files and images go.
pub const RELEASES: &str = "releases";
/// Where the distribution's packages go.
pub const PACKAGES: &str = "packages";

/// What is in a bundle, and what it was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    pub format: u32,
    /// The version that made it.
    pub slipway: String,
    pub kubernetes: Version,
    pub inputs: Inputs,
    pub files: Vec<Listed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    pub cluster: String,
    /// SHA-256 of the inventory's file.
    pub inventory: String,
    /// Whether packages were handed in.
    pub packages: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listed {
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
}

impl Contents {
    pub fn new(kubernetes: Version, inputs: Inputs) -> Self {
        let slipway = env!("CARGO_PKG_VERSION").into();
        Self { format: FORMAT, slipway, kubernetes, inputs, files: Vec::new() }
    }

    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// In words that follow `its list`.
    fn read(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let unreadable = |e: serde_json::Error| format!("cannot be read: {e}");
        let Format { format } = serde_json::from_slice(text).map_err(unreadable)?;
        if format != FORMAT {
            return Err(format!("has format {format}, and this version of Slipway reads {FORMAT}"));
        }
        let contents: Self = serde_json::from_slice(text).map_err(unreadable)?;
        let mut seen = BTreeSet::new();
        for Listed { path, sha256, .. } in &contents.files {
            if !is_place(path) {
                return Err(format!("names `{path}`, which no file of a bundle can be called"));
            }
            if !seen.insert(path) {
                return Err(format!("names `{path}` twice"));
            }
            if !is_sum(sha256) {
                return Err(format!("has no checksum of `{path}`"));
            }
        }
        Ok(contents)
    }
}

/// One of the two directories, and a plain name in it: nothing that leads anywhere else.
fn is_place(path: &str) -> bool {
    let name = path
        .strip_prefix(RELEASES)
        .or_else(|| path.strip_prefix(PACKAGES))
        .and_then(|rest| rest.strip_prefix('/'));
    name.is_some_and(is_name)
}

/// What release files, images and packages are called; an epoch of a package's has a colon.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+:@~-".contains(c);
    !name.is_empty()
        && name.len() <= 200
        && !name.starts_with(['.', '-'])
        && name.chars().all(plain)
}

#[cfg(test)]
#[path = "../bundle_tests.rs"]
mod tests;
