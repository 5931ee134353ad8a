//! Getting the agent to run on a node: found by its hash, pushed when it is not there.
//!
//! Everything that a login shell gets to see is one line that every shell reads the same way: a
//! `sh -c` with a script in single quotes.

use std::{io::Write, sync::Arc, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, OnceCell};

use super::{auth::Ask, dial::Line, exec::Remote};
use crate::{agent::frames::PREAMBLE, events::Failure, secret::Sealed};

/// What sudo asks with: it comes on stderr, and cannot be mistaken for anything else.
const PROMPT: &str = "[slipway wants the sudo password]";
/// What a login shell may print before the agent speaks.
const MAX_NOISE: usize = 64 << 10;
/// How long the agent may take to speak, and a push to be made room for.
const START: Duration = Duration::from_secs(30);
/// A push that moves nothing for so long is stuck.
const STALLED: Duration = Duration::from_secs(60);

const ABSENT: u32 = 97;
const NO_PLACE: u32 = 96;
const NOT_UNPACKED: u32 = 95;
const WRONG_SUM: u32 = 94;

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
        let sha256 = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
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

/// sudo's passwords, asked for once a user.
#[derive(Default)]
pub struct Sudo {
    known: Mutex<std::collections::BTreeMap<String, Option<Sealed>>>,
}

impl Sudo {
    async fn password(&self, user: &str, ask: &Arc<dyn Ask>) -> Option<Sealed> {
        // Held while a person types: the other nodes want the same one.
        let mut known = self.known.lock().await;
        if let Some(password) = known.get(user) {
            return password.clone();
        }
        let (question, ask) = (format!("sudo password for {user}: "), ask.clone());
        let password =
            tokio::task::spawn_blocking(move || ask.secret(&question)).await.unwrap_or_default();
        known.insert(user.into(), password.clone());
        password
    }
}

/// Whether the agent speaks, or is not on the node.
enum Started {
    Speaks(Remote),
    Absent { arch: String },
}

/// Where agents lie, in the order in which they are looked for: the second is for a read-only or
/// noexec `/var`.
const PLACES: &str = "/var/lib/slipway/bin /run/slipway/bin";

fn start_script(sha256: &str, sudo: &str) -> String {
    format!(
        "for d in {PLACES}; do p=$d/slipway-{sha256}; if [ -x $p ] && $p --version >/dev/null 2>&1; then exec {sudo}$p agent connect; fi; done; echo \"slipway-absent $(uname -m)\" >&2; exit {ABSENT}"
    )
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

/// Starts the agent at the far end of `line`, pushing it first where needed.
pub async fn launch(
    line: Line,
    image: &Image,
    sudo: &Sudo,
    ask: &Arc<dyn Ask>,
) -> Result<Remote, Failure> {
    let prefix =
        if line.user == "root" { String::new() } else { format!("sudo -S -p \"{PROMPT}\" ") };
    let script = format!("sh -c '{}'", start_script(&image.sha256, &prefix));
    for pushed in [false, true] {
        match start(&line, &script, sudo, ask).await? {
            Started::Speaks(remote) => return Ok(remote.keeping(line)),
            Started::Absent { arch } if arch != "x86_64" => {
                return Err(Failure::new(
                    "start the agent",
                    format!("the node is {arch}, and this Slipway is for x86_64"),
                )
                .left("nothing on this node was changed")
                .hint("only x86-64 nodes can be driven; take this one out of the inventory"));
            }
            Started::Absent { .. } if pushed => {
                return Err(Failure::new("start the agent", "it was pushed, and does not start")
                    .hint("is /var/lib/slipway cleaned up by something on this node?"));
            }
            Started::Absent { .. } => push(&line, image, sudo, ask).await?,
        }
    }
    unreachable!("the second try returns")
}

fn broke(what: &str, error: &russh::Error) -> Failure {
    Failure::new(what, format!("the connection broke: {error}"))
}

/// Feeds sudo when it asks. Returns when the command is over, or asks again for what it was given.
async fn feed_sudo(
    remote: &mut Remote,
    user: &str,
    sudo: &Sudo,
    ask: &Arc<dyn Ask>,
) -> Result<(), Failure> {
    let Some(password) = sudo.password(user, ask).await else {
        return Err(Failure::new("become root", format!("sudo asks {user} for a password, and there is no terminal to ask on"))
            .left("nothing on this node was changed")
            .hint(format!("set SLIPWAY_SUDO_PASSWORD, or allow it without: echo '{user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{user}")));
    };
    let line = zeroize::Zeroizing::new(format!("{}\n", password.reveal()));
    let sent = async {
        remote.write_all(line.as_bytes()).await?;
        remote.flush().await
    };
    sent.await.map_err(|e| Failure::new("become root", format!("the connection broke: {e}")))
}

/// Why a command at the far end ended before it did what it was for.
fn ended(what: &str, user: &str, remote: &Remote) -> Failure {
    let stderr = remote.fate.stderr().replace(PROMPT, "");
    let said: Vec<String> =
        stderr.lines().map(str::trim).filter(|l| !l.is_empty()).map(String::from).collect();
    let about = |word: &str| stderr.contains(word);
    let code = remote.fate.code();
    let mut failure = if about("not in the sudoers")
        || about("not allowed to")
        || about("may not run sudo")
    {
        Failure::new("become root", format!("{user} may not use sudo on this node"))
            .hint(format!("on the node: echo '{user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{user}; or log in as root"))
    } else if about("sudo: not found") || about("sudo: command not found") || about("exec: sudo") {
        Failure::new("become root", format!("{user} is not root, and sudo is not installed"))
            .hint("install sudo on the node, or log in as root (`ssh.user`)")
    } else if about("must have a tty") || about("a terminal is required") {
        Failure::new("become root", "sudo wants a terminal on this node")
            .hint("take `requiretty` out of /etc/sudoers on the node")
    } else if about("incorrect password") || about("Sorry, try again") {
        Failure::new("become root", format!("that is not {user}'s password"))
            .hint("run the same command again")
    } else {
        let how = match code {
            Some(code) => format!("exit {code}"),
            None => "the connection was closed".into(),
        };
        let mut failure = Failure::new(what, format!("it ended before the agent spoke: {how}"));
        if about("slipway-agent:") {
            failure.causes = said
                .iter()
                .filter_map(|l| l.strip_prefix("slipway-agent: "))
                .map(String::from)
                .collect();
        }
        failure.hint("does the login shell of this user run commands? Try `ssh` by hand: it should run `sh -c true`")
    };
    let skip = said.len().saturating_sub(20);
    failure.output = said.into_iter().skip(skip).collect();
    failure.left("nothing on this node was changed")
}

async fn start(
    line: &Line,
    script: &str,
    sudo: &Sudo,
    ask: &Arc<dyn Ask>,
) -> Result<Started, Failure> {
    const WHAT: &str = "start the agent";
    let mut remote = Remote::start(&line.handle, script).await.map_err(|e| broke(WHAT, &e))?;
    let mut asked = 0;
    let mut noise = Vec::new();
    loop {
        let fate = remote.fate.clone();
        let mut byte = [0];
        let read = tokio::select! {
            biased;
            read = remote.read(&mut byte) => Some(read),
            () = fate.says(PROMPT, asked), if fate.code().is_none() => None,
            () = tokio::time::sleep(START) => {
                return Err(Failure::new(WHAT, format!("nothing came from it within {} s", START.as_secs()))
                    .hint("look at the node's load; `journalctl -u 'slipway*'` there"));
            }
        };
        match read {
            Some(Ok(1)) => {
                noise.push(byte[0]);
                if noise.ends_with(PREAMBLE) {
                    return Ok(Started::Speaks(remote));
                }
                if noise.len() > MAX_NOISE {
                    return Err(Failure::new(WHAT, "the login shell prints without end").hint(
                        "what ~/.bashrc prints must not be printed where there is no terminal",
                    ));
                }
            }
            Some(_) => {
                remote.fate.ended().await;
                if remote.fate.code() == Some(ABSENT) {
                    let stderr = remote.fate.stderr();
                    let arch =
                        stderr.lines().find_map(|l| l.trim().strip_prefix("slipway-absent "));
                    return Ok(Started::Absent { arch: arch.unwrap_or("unknown").to_string() });
                }
                return Err(ended(WHAT, &line.user, &remote));
            }
            None if remote.fate.stderr().matches(PROMPT).count() > asked => {
                if asked == 1 {
                    sudo.known.lock().await.remove(&line.user);
                    return Err(Failure::new(
                        "become root",
                        format!("that is not {}'s password", line.user),
                    )
                    .left("nothing on this node was changed")
                    .hint("run the same command again"));
                }
                asked += 1;
                feed_sudo(&mut remote, &line.user, sudo, ask).await?;
            }
            // Over; what it printed before is still to be read.
            None => {}
        }
    }
}

async fn push(line: &Line, image: &Image, sudo: &Sudo, ask: &Arc<dyn Ask>) -> Result<(), Failure> {
    const WHAT: &str = "push the agent";
    let packed = image.packed().await.map_err(|why| Failure::new(WHAT, why))?;
    let prefix =
        if line.user == "root" { String::new() } else { format!("exec sudo -S -p \"{PROMPT}\" ") };
    let script = format!("{prefix}sh -c '{}'", push_script(&image.sha256));
    let mut remote = Remote::start(&line.handle, &script).await.map_err(|e| broke(WHAT, &e))?;
    // The password first, or sudo would take the binary for one.
    let mut asked = 0;
    let mut noise = Vec::new();
    while !noise.ends_with(b"slipway-ready\n") {
        let fate = remote.fate.clone();
        let mut byte = [0];
        tokio::select! {
            biased;
            read = remote.read(&mut byte) => match read {
                Ok(1) if noise.len() < MAX_NOISE => noise.push(byte[0]),
                _ => {
                    remote.fate.ended().await;
                    return Err(not_pushed(&line.user, &remote));
                }
            },
            () = fate.says(PROMPT, asked), if fate.code().is_none() => {
                if fate.stderr().matches(PROMPT).count() > asked {
                    if asked == 1 {
                        return Err(ended(WHAT, &line.user, &remote));
                    }
                    asked += 1;
                    feed_sudo(&mut remote, &line.user, sudo, ask).await?;
                }
            }
            () = tokio::time::sleep(START) => {
                return Err(Failure::new(WHAT, format!("the node made no room for it within {} s", START.as_secs())));
            }
        }
    }
    let fate = remote.fate.clone();
    for chunk in packed.chunks(128 << 10) {
        tokio::select! {
            biased;
            // It ended early, and reads no more: how it ended says why.
            () = fate.ended() => break,
            written = remote.write_all(chunk) => if written.is_err() { break },
            () = tokio::time::sleep(STALLED) => {
                return Err(Failure::new(WHAT, format!("nothing moved for {} s", STALLED.as_secs())));
            }
        }
    }
    let _ = remote.shutdown().await;
    if tokio::time::timeout(STALLED, remote.fate.ended()).await.is_err() {
        return Err(Failure::new(
            WHAT,
            format!("it was not unpacked within {} s", STALLED.as_secs()),
        ));
    }
    if remote.fate.code() == Some(0) { Ok(()) } else { Err(not_pushed(&line.user, &remote)) }
}

fn not_pushed(user: &str, remote: &Remote) -> Failure {
    const WHAT: &str = "push the agent";
    let stderr = remote.fate.stderr().replace(PROMPT, "");
    let (cause, hint) = match remote.fate.code() {
        Some(NO_PLACE) => (
            "neither /var/lib/slipway nor /run/slipway takes a program: read-only, full or mounted noexec",
            "remount one of them: `mount -o remount,rw,exec /var`",
        ),
        Some(NOT_UNPACKED) if stderr.contains("No space left") => (
            "no space left on the node",
            "free some 20 MB under /var (journalctl --vacuum-size=100M, old packages)",
        ),
        Some(NOT_UNPACKED) => {
            ("it could not be unpacked there", "is gzip installed on the node, and /var writable?")
        }
        Some(WRONG_SUM) => (
            "what arrived is not what was sent",
            "try again; a faulty network port or disk does this",
        ),
        _ => return ended(WHAT, user, remote),
    };
    let mut failure = Failure::new(WHAT, cause);
    let skip = stderr.lines().count().saturating_sub(12);
    failure.output = stderr.lines().skip(skip).map(String::from).collect();
    failure.left("nothing else on this node was changed").hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They are put into single quotes, on one line.
    #[test]
    fn scripts_pass_through_every_shell() {
        let sha = "0".repeat(64);
        for script in [start_script(&sha, "sudo -S -p \"x\" "), push_script(&sha)] {
            assert!(
                !script.contains(['\'', '\n', '!']) || script.contains("#!/bin/sh"),
                "{script}"
            );
            assert!(!script.contains(['\'', '\n']), "{script}");
        }
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
