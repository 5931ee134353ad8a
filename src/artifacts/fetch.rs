//! Release files from their projects, or a mirror of them, into the store: resumed where they were cut
//! off, and in it only once they are what their checksum says.
//!
//! The only user of the HTTP client. Must not know what a file is for.
#![allow(
    clippy::disallowed_methods,
    reason = "the store is this machine's own, and a network's pace is the wall clock's"
)]

use std::{
    error::Error as _,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use reqwest::{Client, Response, StatusCode, header};

use super::{
    sources::{Address, address},
    store::{Store, digest},
};
use crate::{events::Failure, names::Version};

/// How often a file is asked for, while what goes wrong may pass.
const TRIES: u32 = 5;
const CONNECT: Duration = Duration::from_secs(10);
/// How long nothing at all may come.
const SILENCE: Duration = Duration::from_secs(30);
/// More than any list of checksums has.
const MOST_SUMS: usize = 1 << 20;
/// How often is looked whether another run has done with a file.
const TURN: Duration = Duration::from_millis(200);
/// How often somebody is told how far it is.
const TELL: Duration = Duration::from_secs(2);

/// How far a download is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub bytes: u64,
    pub total: Option<u64>,
    pub done: bool,
}

#[derive(Debug, Clone)]
pub struct Fetcher {
    /// Made when something is fetched: reading the system's certificates takes longer than most runs.
    client: OnceLock<Client>,
    store: Store,
    mirror: Option<String>,
    /// Before the second try; twice as long before each further one.
    first_wait: Duration,
}

/// Why one try came to nothing.
enum Stop {
    /// Another try may help.
    Passing(String),
    For(Box<Failure>),
}

fn for_good(failure: Failure) -> Stop {
    Stop::For(Box::new(failure.left("nothing was installed, and nothing was sent to any node")))
}

/// An error with what is behind it: reqwest says little by itself.
fn chain(error: &reqwest::Error) -> String {
    // The address is told by whoever tells this.
    let mut text = match (error.is_timeout(), error.is_connect()) {
        (true, _) => "no answer in time".to_string(),
        (_, true) => "cannot connect".to_string(),
        _ => "the transfer broke off".to_string(),
    };
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The system's certificates, where it has any, and Mozilla's: a private mirror's may be in the one,
/// and a bare system has only the other.
fn tls() -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    #[expect(clippy::expect_used, reason = "the provider is our own, and has them")]
    let builder = versions.expect("ring has the default protocol versions");
    builder.with_root_certificates(roots).with_no_client_auth()
}

impl Fetcher {
    pub fn new(store: Store, mirror: Option<String>) -> Self {
        Self { client: OnceLock::new(), store, mirror, first_wait: Duration::from_secs(1) }
    }

    fn client(&self, what: &str) -> Result<&Client, Stop> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::builder()
            .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .build()
            .map_err(|e| for_good(Failure::new(what, chain(&e))))?;
        Ok(self.client.get_or_init(|| client))
    }

    pub fn address(&self, name: &str, version: &Version) -> Option<Address> {
        address(name, version, self.mirror.as_deref())
    }

    /// Puts a release file into the store. `tell` hears how far it is.
    pub async fn fetch(
        &self,
        name: &str,
        version: &Version,
        tell: impl Fn(Progress),
    ) -> Result<(), Failure> {
        let what = format!("fetch {name} {version}");
        let Some(from) = self.address(name, version) else {
            return Err(Failure::new(what, "no project is known that publishes it")
                .hint("put it into the directory of release files by hand, with its checksum"));
        };
        let list = self.insist(&what, &from.sums, async || self.sums(&what, &from).await).await?;
        let sum = from.sum_in(&list).ok_or_else(|| {
            let begins: String = list.chars().take(60).collect();
            Failure::new(&what, format!("{} holds no SHA-256 checksum of {}: it begins with {begins:?}", from.sums, from.file()))
                .left("nothing was installed, and nothing was sent to any node")
                .hint("a mirror that answers with a page of its own does this: look at that address in a browser")
        })?;
        let target = self.store.target(name, version, from.ending());
        // Named by what it is to become: the rest of another version is never gone on with.
        let part = self.store.dir().join(format!(".part-{}", &sum[..32]));
        fs::create_dir_all(self.store.dir())
            .map_err(|e| unwritable(&what, self.store.dir(), &e))?;
        let _alone = alone(&part).await.map_err(|e| unwritable(&what, &part, &e))?;
        if target.exists() && self.is_whole(&what, &target, &sum).await? {
            // Another run was faster.
            let _ = fs::remove_file(&part);
            return Ok(());
        }
        let once = async || self.body(&what, &from, &part, &tell).await;
        let resumed = fs::metadata(&part).is_ok_and(|m| m.len() > 0);
        self.insist(&what, &from.url, once).await?;
        if !self.is_whole(&what, &part, &sum).await? {
            let _ = fs::remove_file(&part);
            // What an earlier run left may have been the bad part of it.
            if resumed {
                self.insist(&what, &from.url, once).await?;
            }
            if !resumed || !self.is_whole(&what, &part, &sum).await? {
                let _ = fs::remove_file(&part);
                return Err(Failure::new(
                    what,
                    format!("what {} gives is not what its checksum says ({sum})", from.url),
                )
                .left("it was thrown away: nothing was installed, and nothing was sent to any node")
                .hint("somebody on the way changes it, or the mirror has another file under that name; another mirror is `[artifacts] mirror`"));
            }
        }
        keep(&part, &target, &sum, from.file()).map_err(|e| unwritable(&what, &target, &e))
    }

    /// Tries until it works, or until trying does not help.
    async fn insist<T>(
        &self,
        what: &str,
        url: &str,
        once: impl AsyncFn() -> Result<T, Stop>,
    ) -> Result<T, Failure> {
        let (mut wait, mut tries) = (self.first_wait, 1);
        loop {
            match once().await {
                Ok(value) => return Ok(value),
                Err(Stop::For(failure)) => return Err(*failure),
                Err(Stop::Passing(why)) if tries == TRIES => {
                    return Err(Failure::new(what, format!("{url}: {why}"))
                        .left("what has come is kept, and gone on with: nothing was installed")
                        .hint("is this machine online? HTTPS_PROXY and NO_PROXY are heeded; `[artifacts] mirror` names another place, and files put into the directory by hand are taken as they are"));
                }
                Err(Stop::Passing(_)) => {
                    tokio::time::sleep(wait).await;
                    (wait, tries) = (wait * 2, tries + 1);
                }
            }
        }
    }

    async fn get(&self, what: &str, url: &str, from: u64) -> Result<Response, Stop> {
        let mut request = self.client(what)?.get(url);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        let response = request.send().await.map_err(|e| {
            if e.is_builder() {
                let why = format!("`{url}` is not an address that can be asked");
                return for_good(Failure::new(what, why).hint("correct `[artifacts] mirror`"));
            }
            Stop::Passing(chain(&e))
        })?;
        let status = response.status();
        if status.is_success() || (from > 0 && status == StatusCode::RANGE_NOT_SATISFIABLE) {
            return Ok(response);
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Stop::Passing(format!("it answers {status}")));
        }
        let hint = match status {
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                "is there such a version? a mirror needs the same file at MIRROR/HOST/PATH"
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "that place wants to know who asks: use one that does not, or put the file into the directory by hand"
            }
            _ => "look at that address in a browser",
        };
        Err(for_good(Failure::new(what, format!("{url} answers {status}")).hint(hint)))
    }

    async fn sums(&self, what: &str, from: &Address) -> Result<String, Stop> {
        let mut response = self.get(what, &from.sums, 0).await?;
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| Stop::Passing(chain(&e)))? {
            text.extend_from_slice(&chunk);
            if text.len() > MOST_SUMS {
                break;
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// What is missing of the file, at the end of what is there.
    async fn body(
        &self,
        what: &str,
        from: &Address,
        part: &Path,
        tell: &impl Fn(Progress),
    ) -> Result<(), Stop> {
        let have = fs::metadata(part).map_or(0, |m| m.len());
        let mut response = self.get(what, &from.url, have).await?;
        let kind = response.headers().get(header::CONTENT_TYPE);
        if kind.and_then(|k| k.to_str().ok()).is_some_and(|k| k.starts_with("text/html")) {
            let why = format!("{} answers with a web page, and not with the file", from.url);
            return Err(for_good(Failure::new(what, why).hint(
                "a portal that wants a log-in does this, and a mirror that has it elsewhere: look at that address in a browser",
            )));
        }
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            // All of it is there, or more: the checksum tells.
            return Ok(());
        }
        // One that does not resume gives it from the beginning.
        let mut bytes = if response.status() == StatusCode::PARTIAL_CONTENT { have } else { 0 };
        let total = response.content_length().map(|rest| rest + bytes);
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(part)
            .and_then(|file| file.set_len(bytes).map(|()| file))
            .map_err(|e| for_good(unwritable(what, part, &e)))?;
        let mut told = Instant::now();
        while let Some(chunk) = response.chunk().await.map_err(|e| Stop::Passing(chain(&e)))? {
            file.write_all(&chunk).map_err(|e| for_good(unwritable(what, part, &e)))?;
            bytes += chunk.len() as u64;
            if told.elapsed() >= TELL {
                told = Instant::now();
                tell(Progress { bytes, total, done: false });
            }
        }
        if total.is_some_and(|total| bytes < total) {
            return Err(Stop::Passing(format!("it broke off after {bytes} bytes")));
        }
        tell(Progress { bytes, total: Some(bytes), done: true });
        file.sync_all().map_err(|e| for_good(unwritable(what, part, &e)))
    }

    async fn is_whole(&self, what: &str, part: &Path, sum: &str) -> Result<bool, Failure> {
        let path = part.to_path_buf();
        let read = tokio::task::spawn_blocking(move || digest(&path)).await;
        let read = read.map_err(io::Error::other).and_then(|digest| digest);
        let (found, _) = read
            .map_err(|e| Failure::new(what, format!("cannot read {} back: {e}", part.display())))?;
        Ok(found == sum)
    }
}

/// Waits until no other run of this user's fetches the same file.
async fn alone(part: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().create(true).append(true).open(part)?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => tokio::time::sleep(TURN).await,
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn unwritable(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(what, format!("cannot write {}: {error}", path.display()))
        .left("nothing was installed, and nothing was sent to any node")
        .hint("make room, or name another directory with `[artifacts] dir`")
}

/// Its checksum first: a file without one does not count.
fn keep(part: &Path, target: &Path, sum: &str, name: &str) -> io::Result<()> {
    let sums = PathBuf::from(format!("{}.sha256", target.display()));
    let new = PathBuf::from(format!("{}.new", sums.display()));
    let mut file = File::create(&new)?;
    file.write_all(format!("{sum}  {name}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, &sums)?;
    fs::rename(part, target)?;
    File::open(target.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
