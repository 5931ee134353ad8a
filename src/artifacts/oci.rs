//! Images from their registries, or a mirror of them, into the store: each as one archive that
//! containerd imports, in it only once every part is what its digest says.
//!
//! Must not know what an image is for.
#![allow(clippy::disallowed_methods, reason = "the store is this machine's own")]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Read as _},
    path::Path,
    sync::{Mutex, PoisonError},
};

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::{
    fetch::{Fetcher, Progress, Tell},
    hashed::Hashed,
    manifest::{
        ACCEPT, Descriptor, Document, Manifest, digests_in, for_our_nodes, index_of,
        other_platform, read,
    },
    registry::Registry,
    tar,
    web::{NOTHING_DONE, Question, alone, is_whole, keeps, unwritable},
};
use crate::{
    events::Failure,
    names::{ImageName, hex},
};

/// How many layers of an image come at the same time.
const AT_ONCE: usize = 3;
/// What an archive's parts are listed in.
const INDEX: &str = "index.json";
const MOST_INDEX: u64 = 1 << 20;

/// What is to become one archive.
struct Chosen {
    image: ImageName,
    manifest: Manifest,
    /// As the registry wrote it: its digest is of these bytes.
    bytes: Vec<u8>,
    sha256: String,
    /// The digest that the registry shows for it.
    shown: String,
}

impl Chosen {
    fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.manifest.config).chain(&self.manifest.layers)
    }
}

fn refused(what: &str, why: impl Into<String>) -> Failure {
    Failure::new(what, why).left(NOTHING_DONE)
}

const LOOK: &str =
    "look at that address with `curl`; another registry's copy is `[artifacts] mirror`";

impl Fetcher {
    /// Where an image comes from, for people.
    pub fn image_host(&self, image: &str) -> String {
        let registry = image.split('/').next().unwrap_or_default();
        let mirror =
            self.mirror.as_deref().map(|m| m.split_once("://").map_or(m, |(_, rest)| rest));
        mirror.map_or(registry, |m| m.split('/').next().unwrap_or_default()).to_string()
    }

    /// Puts an image into the store. `tell` hears how far it is.
    pub async fn fetch_image(&self, image: &str, tell: Tell<'_>) -> Result<(), Failure> {
        let what = format!("fetch the image {image}");
        let name = image
            .parse::<ImageName>()
            .map_err(|e| refused(&what, e.to_string()).hint("correct its name"))?;
        let registry = Registry::new(&self.web, &name, self.mirror.as_deref());
        let chosen = self.choose(&what, name.clone(), &registry).await?;
        let dir = self.store.dir();
        let target = self.store.image_target(image);
        // Named by what it is to become, as release files are.
        let part = dir.join(format!(".part-{}", &chosen.sha256[..32]));
        let blobs = dir.join(format!(".blobs-{}", &chosen.sha256[..32]));
        fs::create_dir_all(&blobs).map_err(|e| unwritable(&what, &blobs, &e))?;
        let _alone = alone(&part).await.map_err(|e| unwritable(&what, &part, &e))?;
        let pinned = self.pins.of(&chosen.image.to_string());
        if pinned.is_none_or(|pin| has_digest(&target, pin)) && self.store.find_image(image).is_ok()
        {
            // Another run was faster.
            let _ = (fs::remove_file(&part), fs::remove_dir_all(&blobs));
            return Ok(());
        }
        let made = async {
            // The run before us may have taken it away when it had done.
            fs::create_dir_all(&blobs).map_err(|e| unwritable(&what, &blobs, &e))?;
            let bytes = self.blobs(&what, &registry, &chosen, &blobs, tell).await?;
            let config = fs::read(blobs.join(chosen.manifest.config.hex()));
            let config = config.map_err(|e| unwritable(&what, &blobs, &e))?;
            if let Some(other) = other_platform(&config) {
                return Err(refused(
                    &what,
                    format!("it is for {other}, and nodes are linux/amd64"),
                )
                .hint("name an image that is for linux/amd64 too"));
            }
            let (from, to) = (blobs.clone(), part.clone());
            let packing = tokio::task::spawn_blocking(move || pack(&chosen, &from, &to)).await;
            let sum = packing.map_err(io::Error::other).and_then(|packed| packed);
            let sum = sum.map_err(|e| unwritable(&what, &part, &e))?;
            let file = target.file_name().unwrap_or_default().to_string_lossy();
            self.store
                .keep(&part, &target, &sum, &file)
                .map_err(|e| unwritable(&what, &target, &e))?;
            tell(Progress { bytes, total: Some(bytes), per_s: None, done: true });
            Ok(())
        };
        let made = made.await;
        // What broke off is gone on with; what is wrong is not.
        if !made.as_ref().is_err_and(keeps) {
            let _ = (fs::remove_file(&part), fs::remove_dir_all(&blobs));
        }
        made
    }

    /// The manifest for our nodes, compared with everything that promises what it is.
    async fn choose(
        &self,
        what: &str,
        image: ImageName,
        registry: &Registry<'_>,
    ) -> Result<Chosen, Failure> {
        let url = registry.manifest(image.asked());
        let (bytes, sha256) = self.manifest(what, registry, &url).await?;
        let top = format!("sha256:{sha256}");
        if let Some(named) = image.digest.as_deref().filter(|named| *named != top) {
            return Err(other_digest(what, &url, named, &sha256));
        }
        let document =
            read(&bytes).map_err(|why| refused(what, format!("{url} {why}")).hint(LOOK))?;
        let chosen = match document {
            Document::Image(manifest) => {
                Chosen { image, manifest, bytes, sha256, shown: top.clone() }
            }
            Document::Index(all) => {
                let ours = for_our_nodes(&all).map_err(|kinds| {
                    refused(what, format!("{url} has nothing for linux/amd64, but for {kinds}"))
                        .hint("name an image that is for linux/amd64 too")
                })?;
                let url = registry.manifest(&ours.digest);
                let (bytes, sha256) = self.manifest(what, registry, &url).await?;
                if sha256 != ours.hex() {
                    return Err(other_digest(what, &url, &ours.digest, &sha256));
                }
                match read(&bytes) {
                    Ok(Document::Image(manifest)) => {
                        Chosen { image, manifest, bytes, sha256, shown: top.clone() }
                    }
                    Ok(Document::Index(_)) => {
                        let why = format!("{url} is an index inside an index");
                        return Err(refused(what, why).hint(LOOK));
                    }
                    Err(why) => return Err(refused(what, format!("{url} {why}")).hint(LOOK)),
                }
            }
        };
        let ours = format!("sha256:{}", chosen.sha256);
        match self.pins.of(&chosen.image.to_string()) {
            Some(pin) if pin != top && pin != ours => Err(refused(
                what,
                format!("its digest is pinned to {pin}, and {url} gives {top}"),
            )
            .hint("somebody has moved the tag, or the mirror is another one: find out which before you change the pin (`[artifacts] digests`)")),
            _ => Ok(chosen),
        }
    }

    async fn manifest(
        &self,
        what: &str,
        registry: &Registry<'_>,
        url: &str,
    ) -> Result<(Vec<u8>, String), Failure> {
        let question = Question { url, accept: Some(ACCEPT), ..Question::default() };
        let once = async || self.web.text(registry.get(what, question).await?).await;
        let bytes = self.web.insist(what, url, once).await?;
        let sha256 = hex(&Sha256::digest(&bytes));
        Ok((bytes, sha256))
    }

    /// Configuration and layers, each into a file of its own. Their bytes together.
    async fn blobs(
        &self,
        what: &str,
        registry: &Registry<'_>,
        chosen: &Chosen,
        dir: &Path,
        tell: Tell<'_>,
    ) -> Result<u64, Failure> {
        let total = chosen.blobs().map(|d| d.size).sum();
        let turns = Semaphore::new(AT_ONCE);
        let have: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());
        let one = async |blob: &Descriptor| {
            let _turn = turns.acquire().await;
            let (url, part) = (registry.blob(&blob.digest), dir.join(blob.hex()));
            let came = |bytes: u64| -> u64 {
                let mut have = have.lock().unwrap_or_else(PoisonError::into_inner);
                have.insert(blob.digest.clone(), bytes);
                have.values().sum()
            };
            if fs::metadata(&part).is_ok_and(|m| m.len() == blob.size)
                && is_whole(what, &part, blob.hex()).await?
            {
                came(blob.size);
                return Ok(());
            }
            let told = |progress: Progress| {
                let bytes = came(progress.bytes);
                if !progress.done {
                    tell(Progress { bytes, total: Some(total), per_s: None, done: false });
                }
            };
            let once = async || {
                let have = fs::metadata(&part).map_or(0, |m| m.len());
                let question = Question { url: &url, from: have, ..Question::default() };
                let response = registry.get(what, question).await?;
                self.web.body(what, &url, response, (&part, have), &told).await
            };
            self.web.whole(what, &url, (&part, blob.hex()), None, once).await
        };
        let came = futures::future::join_all(chosen.blobs().map(one)).await;
        came.into_iter().collect::<Result<Vec<()>, Failure>>()?;
        Ok(total)
    }
}

fn other_digest(what: &str, url: &str, wanted: &str, found: &str) -> Failure {
    refused(what, format!("{url} gives something else: sha256:{found} in the place of {wanted}"))
        .hint("somebody on the way changes it, or the mirror is not whole; another mirror is `[artifacts] mirror`")
}

/// Whether an archive says that it is of the image with this digest. One that another program wrote may be
/// laid out in another way, and says nothing then.
pub fn has_digest(archive: &Path, digest: &str) -> bool {
    let found = || -> io::Result<bool> {
        let mut reader = tar::Reader::new(BufReader::new(File::open(archive)?));
        while let Some(entry) = reader.entry()? {
            if entry.name != INDEX {
                io::copy(&mut reader, &mut io::sink())?;
                continue;
            }
            let mut index = Vec::new();
            reader.by_ref().take(MOST_INDEX).read_to_end(&mut index)?;
            return Ok(digests_in(&index).iter().any(|found| found == digest));
        }
        Ok(false)
    };
    found().unwrap_or(false)
}

/// An OCI layout, in an order that is always the same. Its checksum. Blocks.
fn pack(chosen: &Chosen, blobs: &Path, to: &Path) -> io::Result<String> {
    let digest = format!("sha256:{}", chosen.sha256);
    let digests = (chosen.shown.as_str(), digest.as_str());
    let index = index_of(&chosen.image, &chosen.manifest, digests, chosen.bytes.len());
    let mut archive = tar::Archive::new(Hashed::new(File::create(to)?));
    let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
    archive.file("oci-layout", layout.len() as u64, &layout[..])?;
    archive.file(INDEX, index.len() as u64, &index[..])?;
    let place = |hex: &str| format!("blobs/sha256/{hex}");
    archive.file(&place(&chosen.sha256), chosen.bytes.len() as u64, &chosen.bytes[..])?;
    for blob in chosen.blobs() {
        let file = File::open(blobs.join(blob.hex()))?;
        let size = file.metadata()?.len();
        archive.file(&place(blob.hex()), size, file)?;
    }
    let (file, sum, _) = archive.finish()?.finish();
    file.sync_all()?;
    Ok(sum)
}

#[cfg(test)]
#[path = "oci_tests.rs"]
mod tests;
