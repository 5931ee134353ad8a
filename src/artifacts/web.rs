//! Asking the web: again where that may help, and on from where it broke off. What has come counts
//! only once it is what its checksum says.
//!
//! The only user of the HTTP client. Must not know what is asked for.
#![allow(
    clippy::disallowed_methods,
    reason = "the store is this machine's own, and a network's pace is the wall clock's"
)]

use std::{
    error::Error as _,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use reqwest::{Client, Response, StatusCode, header};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{
    fetch::{Progress, Tell},
    store::digest,
};
use crate::{
    events::Failure,
    held::{Held, Taken},
};

/// How often something is asked for, while what goes wrong may pass.
pub const TRIES: u32 = 5;
const CONNECT: Duration = Duration::from_secs(10);
/// How long nothing at all may come.
const SILENCE: Duration = Duration::from_secs(30);
/// More than any list of checksums or manifest has.
pub const MOST_TEXT: usize = 4 << 20;
/// How often is looked whether another run has done with a file.
const TURN: Duration = Duration::from_millis(200);
/// How often somebody is told how far it is.
const TELL: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
pub struct Web {
    /// Made when something is fetched: reading the system's certificates takes longer than most runs.
    client: OnceLock<Client>,
    /// Before the second try; twice as long before each further one.
    first_wait: Duration,
}

/// One question.
#[derive(Debug, Clone, Copy, Default)]
pub struct Question<'a> {
    pub url: &'a str,
    /// From which byte on.
    pub from: u64,
    pub accept: Option<&'a str>,
    pub token: Option<&'a str>,
}

/// Why one try came to nothing.
pub enum Stop {
    /// Another try may help.
    Passing(String),
    For(Box<Failure>),
}

pub const NOTHING_DONE: &str = "nothing was installed, and nothing was sent to any node";

const KEPT: &str = "what has come is kept, and gone on with: nothing was installed";

/// Whether a failure leaves something to go on with.
pub fn keeps(failure: &Failure) -> bool {
    failure.left.as_deref() == Some(KEPT)
}

pub fn for_good(failure: Failure) -> Stop {
    Stop::For(Box::new(failure.left(NOTHING_DONE)))
}

/// An error with what is behind it: reqwest says little by itself.
pub fn chain(error: &reqwest::Error) -> String {
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
/// `ca`, PEM, is one more, where a host has its own.
pub fn tls(ca: Option<&str>) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    let own = ca.into_iter().flat_map(|ca| CertificateDer::pem_slice_iter(ca.as_bytes()));
    roots.add_parsable_certificates(own.flatten());
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    #[expect(clippy::expect_used, reason = "the provider is our own, and has them")]
    let builder = versions.expect("ring has the default protocol versions");
    builder.with_root_certificates(roots).with_no_client_auth()
}

impl Default for Web {
    fn default() -> Self {
        Self::waiting(Duration::from_secs(1))
    }
}

const MISMATCH: &str = "somebody on the way changes it, or the mirror has another file under that name; another mirror is `[artifacts] mirror`";

impl Web {
    pub fn waiting(first_wait: Duration) -> Self {
        Self { client: OnceLock::new(), first_wait }
    }

    fn client(&self, what: &str) -> Result<&Client, Stop> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::builder()
            .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls(None))
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .build()
            .map_err(|e| for_good(Failure::new(what, chain(&e))))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Tries until it works, or until trying does not help.
    pub async fn insist<T>(
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
                        .left(KEPT)
                        .hint("is this machine online? HTTPS_PROXY and NO_PROXY are heeded; `[artifacts] mirror` names another place, and files put into the directory by hand are taken as they are"));
                }
                Err(Stop::Passing(_)) => {
                    tokio::time::sleep(wait).await;
                    (wait, tries) = (wait * 2, tries + 1);
                }
            }
        }
    }

    /// Whatever the answer is.
    pub async fn ask(&self, what: &str, question: Question<'_>) -> Result<Response, Stop> {
        let Question { url, from, accept, token } = question;
        let mut request = self.client(what)?.get(url);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        if let Some(accept) = accept {
            request = request.header(header::ACCEPT, accept);
        }
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.map_err(|e| {
            if e.is_builder() {
                let why = format!("`{url}` is not an address that can be asked");
                return for_good(Failure::new(what, why).hint("correct `[artifacts] mirror`"));
            }
            Stop::Passing(chain(&e))
        })
    }

    /// Only what was asked for.
    pub async fn get(&self, what: &str, question: Question<'_>) -> Result<Response, Stop> {
        let response = self.ask(what, question).await?;
        granted(what, question, response)
    }

    /// All of it, where it is short.
    pub async fn text(&self, mut response: Response) -> Result<Vec<u8>, Stop> {
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| Stop::Passing(chain(&e)))? {
            text.extend_from_slice(&chunk);
            if text.len() > MOST_TEXT {
                break;
            }
        }
        Ok(text)
    }

    /// What is missing of a file, at the end of the `have` bytes that are there.
    pub async fn body(
        &self,
        what: &str,
        url: &str,
        mut response: Response,
        (part, have): (&Path, u64),
        tell: Tell<'_>,
    ) -> Result<(), Stop> {
        let kind = response.headers().get(header::CONTENT_TYPE);
        if kind.and_then(|k| k.to_str().ok()).is_some_and(|k| k.starts_with("text/html")) {
            let why = format!("{url} answers with a web page, and not with the file");
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
        let (begun, had) = (Instant::now(), bytes);
        let rate = |bytes: u64| {
            let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            // Of what came in an instant nothing can be told.
            (ms >= 100).then(|| (bytes - had).saturating_mul(1000) / ms)
        };
        let mut told = Instant::now();
        while let Some(chunk) = response.chunk().await.map_err(|e| Stop::Passing(chain(&e)))? {
            file.write_all(&chunk).map_err(|e| for_good(unwritable(what, part, &e)))?;
            bytes += chunk.len() as u64;
            if told.elapsed() >= TELL {
                told = Instant::now();
                tell(Progress { bytes, total, per_s: rate(bytes), done: false });
            }
        }
        if total.is_some_and(|total| bytes < total) {
            return Err(Stop::Passing(format!("it broke off after {bytes} bytes")));
        }
        tell(Progress { bytes, total: Some(bytes), per_s: rate(bytes), done: true });
        file.sync_all().map_err(|e| for_good(unwritable(what, part, &e)))
    }

    /// Has `part` become what `sum` says. `once` brings what is missing of it.
    pub async fn whole(
        &self,
        what: &str,
        url: &str,
        (part, sum): (&Path, &str),
        pinned_as: Option<&str>,
        once: impl AsyncFn() -> Result<(), Stop>,
    ) -> Result<(), Failure> {
        let resumed = fs::metadata(part).is_ok_and(|m| m.len() > 0);
        self.insist(what, url, &once).await?;
        if is_whole(what, part, sum).await? {
            return Ok(());
        }
        let _ = fs::remove_file(part);
        // What an earlier run left may have been the bad part of it.
        if resumed {
            self.insist(what, url, &once).await?;
            if is_whole(what, part, sum).await? {
                return Ok(());
            }
            let _ = fs::remove_file(part);
        }
        let mut hint = MISMATCH.to_string();
        if let Some(key) = pinned_as {
            hint.push_str(&format!("; this sum is laid down for it: if you have looked at the file, and it is what you want, its own goes into the inventory:\n[artifacts.digests]\n\"{key}\" = \"sha256:...\""));
        }
        Err(Failure::new(what, format!("what {url} gives is not what its checksum says ({sum})"))
            .left("it was thrown away: nothing was installed, and nothing was sent to any node")
            .hint(hint))
    }
}

/// An answer that is none is told apart: what may pass, and what needs a person.
pub fn granted(what: &str, asked: Question<'_>, response: Response) -> Result<Response, Stop> {
    let (status, url) = (response.status(), asked.url);
    if status.is_success() || (asked.from > 0 && status == StatusCode::RANGE_NOT_SATISFIABLE) {
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

pub async fn is_whole(what: &str, part: &Path, sum: &str) -> Result<bool, Failure> {
    let path = part.to_path_buf();
    let read = tokio::task::spawn_blocking(move || digest(&path)).await;
    let read = read.map_err(io::Error::other).and_then(|digest| digest);
    let (found, _) =
        read.map_err(|e| Failure::new(what, format!("cannot read {} back: {e}", part.display())))?;
    Ok(found == sum)
}

/// Waits until no other run of this user's makes the same file.
pub async fn alone(part: &Path) -> io::Result<Held> {
    loop {
        let file = OpenOptions::new().create(true).append(true).open(part)?;
        if let Taken::Held(file) = Held::take(file)? {
            return Ok(file);
        }
        tokio::time::sleep(TURN).await;
    }
}

pub fn unwritable(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(what, format!("cannot write {}: {error}", path.display()))
        .left(NOTHING_DONE)
        .hint("make room, or name another directory with `[artifacts] dir`")
}
