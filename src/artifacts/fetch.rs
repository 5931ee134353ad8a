//! Release files from their projects, or a mirror of them, into the store: resumed where they were cut
//! off, and in it only once they are what their checksum says.
//!
//! Must not know what a file is for.
#![allow(clippy::disallowed_methods, reason = "the store is this machine's own")]

use std::{collections::BTreeMap, fs};

use super::{
    pins::Pins,
    sources::{Address, address, pinned_as},
    store::Store,
    web::{NOTHING_DONE, Question, Web, alone, is_whole, unwritable},
};
use crate::{
    events::{Download, Failure},
    names::Version,
};

/// How far a download is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub bytes: u64,
    pub total: Option<u64>,
    /// Of what came in this go.
    pub per_s: Option<u64>,
    pub done: bool,
}

impl Progress {
    /// As it is told, of what it is.
    pub fn of(self, what: &dyn std::fmt::Display) -> Download {
        let Self { bytes, total, per_s, done } = self;
        Download { what: what.to_string(), bytes, total, per_s, done }
    }
}

/// Hears how far a download is. One type for everybody, or each listener would have a copy of the
/// whole fetcher of its own in the binary.
pub type Tell<'a> = &'a (dyn Fn(Progress) + Send + Sync);

#[derive(Debug, Clone)]
pub struct Fetcher {
    pub(super) web: Web,
    pub(super) store: Store,
    pub(super) mirror: Option<String>,
    pub(super) pins: Pins,
}

impl Fetcher {
    pub fn new(store: Store, mirror: Option<String>) -> Self {
        Self { web: Web::default(), store, mirror, pins: Pins::default() }
    }

    /// With digests that images have to have, beside those that are built in.
    pub fn pinned(self, digests: &BTreeMap<String, String>) -> Self {
        Self { pins: self.pins.and(digests), ..self }
    }

    pub fn address(&self, name: &str, version: &Version) -> Option<Address> {
        address(name, version, self.mirror.as_deref())
    }

    /// Why a file that has to be fetched cannot be, however the network is.
    pub fn unpinned(&self, name: &str, version: &Version) -> Option<Failure> {
        let from = self.address(name, version)?;
        if from.sums.is_some() || self.pins.of_release(name, version).is_some() {
            return None;
        }
        let why =
            format!("its project publishes no checksum of {}, and none is laid down", from.file());
        let key = pinned_as(name, version);
        Some(Failure::new(format!("fetch {name} {version}"), why).left(NOTHING_DONE).hint(format!(
            "download {} yourself, look at it, and put what `sha256sum` prints into the inventory:\n[artifacts.digests]\n\"{key}\" = \"sha256:...\"",
            from.url
        )))
    }

    /// The sum that the project publishes.
    async fn published(
        &self,
        what: &str,
        name: &str,
        version: &Version,
        from: &Address,
    ) -> Result<String, Failure> {
        let Some(url) = &from.sums else {
            let other = || Failure::new(what, "its project publishes no checksum");
            return Err(self.unpinned(name, version).unwrap_or_else(other));
        };
        let sums = Question { url, ..Question::default() };
        let asked = async || self.web.text(self.web.get(what, sums).await?).await;
        let list = self.web.insist(what, url, asked).await?;
        let list = String::from_utf8_lossy(&list);
        from.sum_in(&list).ok_or_else(|| {
            let begins: String = list.chars().take(60).collect();
            Failure::new(what, format!("{url} holds no SHA-256 checksum of {}: it begins with {begins:?}", from.file()))
                .left(NOTHING_DONE)
                .hint("a mirror that answers with a page of its own does this: look at that address in a browser")
        })
    }

    /// Puts a release file into the store. `tell` hears how far it is.
    pub async fn fetch(
        &self,
        name: &str,
        version: &Version,
        tell: Tell<'_>,
    ) -> Result<(), Failure> {
        let what = format!("fetch {name} {version}");
        let Some(from) = self.address(name, version) else {
            return Err(Failure::new(what, "no project is known that publishes it")
                .hint("put it into the directory of release files by hand, with its checksum"));
        };
        let pinned = self.pins.of_release(name, version);
        let key = pinned.map(|_| pinned_as(name, version));
        let sum = match pinned {
            Some(sum) => sum.to_string(),
            None => self.published(&what, name, version, &from).await?,
        };
        let target = self.store.target(name, version, from.ending());
        // Named by what it is to become: the rest of another version is never gone on with.
        let part = self.store.dir().join(format!(".part-{}", &sum[..32]));
        fs::create_dir_all(self.store.dir())
            .map_err(|e| unwritable(&what, self.store.dir(), &e))?;
        let _alone = alone(&part).await.map_err(|e| unwritable(&what, &part, &e))?;
        if target.exists() && is_whole(&what, &target, &sum).await? {
            // Another run was faster.
            let _ = fs::remove_file(&part);
            return Ok(());
        }
        let once = async || {
            let have = fs::metadata(&part).map_or(0, |m| m.len());
            let file = Question { url: &from.url, from: have, ..Question::default() };
            let response = self.web.get(&what, file).await?;
            self.web.body(&what, &from.url, response, (&part, have), tell).await
        };
        self.web.whole(&what, &from.url, (&part, &sum), key.as_deref(), once).await?;
        self.store
            .keep(&part, &target, &sum, from.file())
            .map_err(|e| unwritable(&what, &target, &e))
    }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
