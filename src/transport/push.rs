//! Bringing things to a node: the agent, packed, and release files as they are.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::{
    Parcel,
    exec::Remote,
    shell::{Begun, Shell, as_root, ended, printed},
};
use crate::{events::Failure, names::hex, ops::packages::INCOMING};

const READY: &[u8] = b"slipway-ready\n";
const NO_PLACE: u32 = 96;
const NOT_UNPACKED: u32 = 95;
const WRONG_SUM: u32 = 94;
const THERE: u32 = 93;

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

fn bring_script(parcel: &Parcel) -> String {
    let Parcel { name, sha256, installed, .. } = parcel;
    let known = installed.as_ref().map(|file| format!("[ -e {file} ] && exit {THERE}; "));
    let known = known.unwrap_or_default();
    format!(
        "umask 077; {known}d={INCOMING}; f=$d/{name}; mkdir -p $d || {{ df -h /var >&2; exit {NO_PLACE}; }}; \
         if [ -e $f ]; then s=$(sha256sum <$f); [ \"${{s%% *}}\" = {sha256} ] && exit {THERE}; fi; \
         rm -f $d/.part-*-{name}; t=$d/.part-$$-{name}; echo slipway-ready; cat >$t || {{ rm -f $t; df -h $d >&2; exit {NOT_UNPACKED}; }}; \
         s=$(sha256sum <$t); [ \"${{s%% *}}\" = {sha256} ] || {{ rm -f $t; echo \"it is ${{s%% *}}\" >&2; exit {WRONG_SUM}; }}; \
         sync $t && mv -f $t $f && sync $d"
    )
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
    let mut remote = match shell.begin(WHAT, &command, READY).await? {
        Begun::Spoke(remote) => remote,
        Begun::Over(remote) => return Err(not_brought(WHAT, user, &remote)),
    };
    shell.feed(WHAT, &mut remote, &packed[..]).await?;
    if remote.fate.code() == Some(0) { Ok(()) } else { Err(not_brought(WHAT, user, &remote)) }
}

/// Says whether anything had to be sent.
pub async fn push_parcel(shell: &Shell<'_>, parcel: &Parcel) -> Result<bool, Failure> {
    let what = format!("bring {} to the node", parcel.name);
    let user = &shell.line.user;
    let command = root_command(user, &bring_script(parcel));
    let mut remote = match shell.begin(&what, &command, READY).await? {
        Begun::Spoke(remote) => remote,
        Begun::Over(remote) if remote.fate.code() == Some(THERE) => return Ok(false),
        Begun::Over(remote) => return Err(not_brought(&what, user, &remote)),
    };
    let file = tokio::fs::File::open(&parcel.file)
        .await
        .map_err(|e| Failure::new(&what, format!("cannot read {}: {e}", parcel.file.display())))?;
    shell.feed(&what, &mut remote, file).await?;
    if remote.fate.code() == Some(0) { Ok(true) } else { Err(not_brought(&what, user, &remote)) }
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
            "free some space under /var (journalctl --vacuum-size=100M, old packages): the agent takes 20 MB, release files and images three times their size",
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
mod tests {
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
        assert!(!bring_script(&image).contains("complete"));
        for script in [push_script(&"0".repeat(64)), bring_script(&parcel), bring_script(&image)] {
            check_quotes(&script);
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
