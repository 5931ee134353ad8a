//! Bringing things to a node: the agent, in a way that every shell knows, and then release files and images
//! by way of the agent.

use std::{
    io::{self, Write},
    path::Path,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use tokio::{
    io::AsyncRead,
    sync::{OnceCell, mpsc},
};
use tokio_util::io::StreamReader;

use super::{
    Parcel,
    exec::Remote,
    launch::{ABSENT, agent_script},
    shell::{Begun, Shell, as_root, ended, printed, vanished},
};
use crate::{
    agent::frames::{READY, SAYS},
    events::Failure,
    names::hex,
};

const NO_PLACE: u32 = 96;
const NOT_UNPACKED: u32 = 95;
const WRONG_SUM: u32 = 94;
/// How much is packed before somebody takes it.
const AHEAD: usize = 8;
const CHUNK: usize = 128 << 10;

/// Where agents lie, in the order in which they are looked for: the second is for a read-only or
/// noexec `/var`.
pub const PLACES: &str = "/var/lib/slipway/bin /run/slipway/bin";

/// The binary that is pushed to nodes.
pub struct Image {
    pub sha256: String,
    bytes: Bytes,
    packed: OnceCell<Bytes>,
}

impl Image {
    /// Reads it. Blocks.
    pub fn read(path: &std::path::Path) -> std::io::Result<Self> {
        Ok(Self::of(std::fs::read(path)?.into()))
    }

    pub fn of(bytes: Bytes) -> Self {
        let sha256 = hex(&Sha256::digest(&bytes));
        Self { sha256, bytes, packed: OnceCell::new() }
    }

    /// Packed once for all nodes. gzip, because every node can unpack it; lightly, because a LAN is
    /// faster than a good compression.
    async fn packed(&self) -> Result<Bytes, String> {
        let pack = async || {
            let bytes = self.bytes.clone();
            let packing = tokio::task::spawn_blocking(move || {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&bytes)?;
                encoder.finish()
            });
            let packed = packing.await.map_err(|e| e.to_string())?;
            packed.map(Bytes::from).map_err(|e| e.to_string())
        };
        self.packed.get_or_try_init(pack).await.cloned()
    }
}

fn push_script(sha256: &str) -> String {
    // A place is tried with a program of one line: `mkdir` works on a noexec mount too.
    format!(
        "umask 022; f=; for d in {PLACES}; do mkdir -p $d 2>/dev/null || continue; t=$d/.push-$$; \
         printf \"#!/bin/sh\\nexit 0\\n\" 2>/dev/null >$t && chmod 755 $t && $t 2>/dev/null && {{ f=$d; break; }}; \
         rm -f $t 2>/dev/null; done; [ \"$f\" ] || {{ df -h /var /run >&2; mount | grep -E \" on /(var|run)?(/[^ ]*)? \" >&2; exit {NO_PLACE}; }}; \
         rm -f $t; echo slipway-ready; gzip -dc >$t || {{ rm -f $t; df -h $f >&2; exit {NOT_UNPACKED}; }}; \
         s=$(sha256sum <$t); [ \"${{s%% *}}\" = {sha256} ] || {{ rm -f $t; echo \"it is ${{s%% *}}\" >&2; exit {WRONG_SUM}; }}; \
         chmod 755 $t && sync $t && mv -f $t $f/slipway-{sha256} && sync $f; \
         ls -t $f/slipway-* | tail -n +4 | while read o; do rm -f $o; done; exit 0"
    )
}

/// What the agent is called for a parcel.
fn receives(parcel: &Parcel) -> String {
    let Parcel { name, sha256, installed, .. } = parcel;
    let known = installed.as_ref().map(|file| format!(" --installed {file}"));
    format!("receive {name} {sha256}{}", known.unwrap_or_default())
}

fn root_command(user: &str, script: &str) -> String {
    let prefix = as_root(user);
    let exec = if prefix.is_empty() { "" } else { "exec " };
    format!("{exec}{prefix}sh -c '{script}'")
}

pub async fn push_agent(shell: &Shell<'_>, image: &Image) -> Result<(), Failure> {
    const WHAT: &str = "push the agent";
    let packed = image.packed().await.map_err(|why| Failure::new(WHAT, why))?;
    let user = &shell.line.user;
    let command = root_command(user, &push_script(&image.sha256));
    // The password first, or sudo would take the binary for one.
    let mut remote = match shell.begin(WHAT, &command, READY.as_bytes()).await? {
        Begun::Spoke(remote) => remote,
        Begun::Over(remote) => return Err(not_brought(WHAT, user, &remote)),
    };
    shell.feed(WHAT, &mut remote, &packed[..]).await?;
    if remote.fate.code() == Some(0) { Ok(()) } else { Err(not_brought(WHAT, user, &remote)) }
}

/// Says whether anything had to be sent.
pub async fn push_parcel(
    shell: &Shell<'_>,
    agent: &Image,
    parcel: &Parcel,
) -> Result<bool, Failure> {
    let what = format!("bring {} to the node", parcel.name);
    let user = &shell.line.user;
    let script = agent_script(&agent.sha256, &as_root(user), &receives(parcel));
    let command = format!("sh -c '{script}'");
    for pushed in [false, true] {
        let mut remote = match shell.begin(&what, &command, READY.as_bytes()).await? {
            Begun::Spoke(remote) => remote,
            Begun::Over(remote) => match remote.fate.code() {
                Some(0) => return Ok(false),
                // It was cleaned away since it was started.
                Some(ABSENT) if pushed => return Err(vanished(&what)),
                Some(ABSENT) => {
                    push_agent(shell, agent).await?;
                    continue;
                }
                _ => return Err(ended(&what, user, &remote)),
            },
        };
        shell.feed(&what, &mut remote, packing(&parcel.file)).await?;
        if remote.fate.code() == Some(0) {
            return Ok(true);
        }
        let mut failure = ended(&what, user, &remote);
        // It did speak.
        if !remote.fate.stderr().contains(SAYS) {
            let how = match remote.fate.code() {
                Some(code) => format!("the agent that took it ended: exit {code}"),
                None => "the connection was closed before all of it was there".into(),
            };
            failure.causes = vec![how];
            failure.hint = Some(
                "run the same command again; `journalctl -b` and `dmesg` on the node may say more"
                    .into(),
            );
        }
        return Err(failure);
    }
    unreachable!("the second try returns")
}

/// A file's content, packed while it is read: programs are a third then, and what is packed already takes no
/// time. It ends with whoever reads it.
fn packing(file: &Path) -> impl AsyncRead + Unpin + Send + use<> {
    let (to, mut from) = mpsc::channel::<io::Result<Bytes>>(AHEAD);
    let file = file.to_path_buf();
    tokio::task::spawn_blocking(move || {
        let told = file.display().to_string();
        let packed = pack(&file, Chunks { to: to.clone(), chunk: Vec::with_capacity(CHUNK) });
        if let Err(error) = packed {
            // Nobody may be there to hear it.
            let _ = to.blocking_send(Err(io::Error::new(error.kind(), format!("{told}: {error}"))));
        }
    });
    StreamReader::new(futures::stream::poll_fn(move |cx| from.poll_recv(cx)))
}

fn pack(file: &Path, to: Chunks) -> io::Result<()> {
    let mut from = std::fs::File::open(file)?;
    let mut encoder = zstd::stream::write::Encoder::new(to, 1)?;
    io::copy(&mut from, &mut encoder)?;
    encoder.finish()?.flush()
}

/// Gives on what is written, piece by piece.
struct Chunks {
    to: mpsc::Sender<io::Result<Bytes>>,
    chunk: Vec<u8>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        if chunk.is_empty() {
            return Ok(());
        }
        self.to.blocking_send(Ok(chunk.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

fn not_brought(what: &str, user: &str, remote: &Remote) -> Failure {
    let stderr = printed(remote);
    let (cause, hint) = match remote.fate.code() {
        Some(NO_PLACE) => (
            "neither /var/lib/slipway nor /run/slipway takes a program: read-only, full or mounted noexec",
            "remount one of them: `mount -o remount,rw,exec /var`",
        ),
        Some(NOT_UNPACKED) if stderr.contains("No space left") => (
            "no space left on the node",
            "free some space under /var (journalctl --vacuum-size=100M, old packages): the agent takes 20 MB",
        ),
        Some(NOT_UNPACKED) => {
            ("it could not be unpacked there", "is gzip installed on the node, and /var writable?")
        }
        Some(WRONG_SUM) => (
            "what arrived is not what was sent",
            "try again; a faulty network port or disk does this",
        ),
        _ => return ended(what, user, remote),
    };
    let mut failure = Failure::new(what, cause);
    let skip = stderr.lines().count().saturating_sub(12);
    failure.output = stderr.lines().skip(skip).map(String::from).collect();
    failure.left("nothing else on this node was changed").hint(hint)
}

/// Scripts are put into single quotes, on one line.
#[cfg(test)]
pub fn check_quotes(script: &str) {
    assert!(!script.contains(['\'', '\n']), "{script}");
    assert!(!script.contains('!') || script.contains("#!/bin/sh"), "{script}");
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests make files")]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[test]
    fn scripts_pass_through_every_shell() {
        let parcel = Parcel {
            name: "runc-1.2.3.tar.gz".into(),
            file: "/x".into(),
            sha256: "0".repeat(64),
            bytes: 1,
            installed: Some("/opt/slipway/runc/1.2.3/.complete".into()),
        };
        let image = Parcel { installed: None, ..parcel.clone() };
        assert!(!receives(&image).contains("complete"));
        let by_agent = |parcel| agent_script(&"0".repeat(64), &as_root("admin"), &receives(parcel));
        for script in [push_script(&"0".repeat(64)), by_agent(&parcel), by_agent(&image)] {
            check_quotes(&script);
        }
    }

    #[tokio::test]
    async fn a_file_goes_over_packed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kubelet");
        let long = vec![7; 5 * CHUNK + 1];
        std::fs::write(&file, &long).unwrap();
        let mut sent = Vec::new();
        packing(&file).read_to_end(&mut sent).await.unwrap();
        assert!(sent.len() < CHUNK);
        assert_eq!(zstd::decode_all(&sent[..]).unwrap(), long);
        let missing = packing(&dir.path().join("none")).read_to_end(&mut sent).await.unwrap_err();
        assert!(missing.to_string().contains("none: No such file"), "{missing}");
    }

    #[tokio::test]
    async fn it_is_packed_so_that_gzip_reads_it() {
        let image = Image::of(Bytes::from(vec![7; 1 << 20]));
        let packed = image.packed().await.unwrap();
        assert!(packed.len() < 64 << 10);
        let mut back = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(&packed[..]);
        std::io::Read::read_to_end(&mut decoder, &mut back).unwrap();
        assert_eq!(Image::of(back.into()).sha256, image.sha256);
    }
}
