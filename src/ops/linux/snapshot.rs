//! A snapshot of etcd's data, as a file that waits to be fetched.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use nix::sys::statvfs::statvfs;
use serde_json::Value;

use super::{Linux, files::failed, kube::PKI};
use crate::{
    etcd::sum::Sum,
    names::hex,
    ops::{
        etcd::OUTGOING,
        kubeadm::ENCRYPTION,
        sys::{Access, Files, Kernel, KeyFile, SnapshotInfo, SysError, SysErrorKind, SysResult},
    },
    secret::Sealed,
};

/// etcd may have its data on the same disk, and stops when that is full.
const RESERVE: u64 = 256 << 20;
/// What nobody has fetched by then, nobody will.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// A PKI is a few dozen files of a kilobyte or two. More does not fit into a frame.
const MOST_KEYS: usize = 8 << 20;

/// Gone when it is dropped, unless it was kept.
struct Part {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl Part {
    fn new(path: PathBuf) -> SysResult<Self> {
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path);
        let file = file.map_err(|e| failed("create", &path, &e))?;
        Ok(Self { path, file, kept: false })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn broken(why: impl std::fmt::Display) -> SysError {
    SysError::passing(format!("the snapshot {why}"))
}

/// One line of the gateway's answer: a piece of the database.
fn piece(line: &[u8]) -> SysResult<Vec<u8>> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(Vec::new());
    }
    let unread = |e: &dyn std::fmt::Display| broken(format!("cannot be read: {e}"));
    let part: Value = serde_json::from_slice(line).map_err(|e| unread(&e))?;
    if let Some(why) = part["error"]["message"].as_str() {
        return Err(broken(format!("was broken off by etcd: {why}")));
    }
    STANDARD.decode(part["result"]["blob"].as_str().unwrap_or_default()).map_err(|e| unread(&e))
}

impl Linux {
    pub(super) async fn take_snapshot(&self) -> SysResult<SnapshotInfo> {
        let keys = self.keys().await?;
        let etcd = self.own_etcd()?;
        let status = etcd.status().await?;
        self.make_directory(OUTGOING, &Access::mode(0o700)).await?;
        self.sweep();
        self.check_room(status.db_bytes)?;
        let file = format!("etcd-{}.db", hex(&self.random_bytes(8).await?));
        let mut part = Part::new(self.path(&format!("{OUTGOING}/{file}")))?;
        let mut sum = Sum::default();
        let mut take = |line: &[u8]| {
            let bytes = piece(line)?;
            sum.update(&bytes);
            part.file.write_all(&bytes).map_err(|e| failed("write", &part.path, &e))
        };
        let mut response = etcd.snapshot().await?;
        let mut line = Vec::new();
        loop {
            let chunk = response.chunk().await;
            let chunk = chunk.map_err(|e| broken(format!("broke off: {e}")))?;
            let ended = chunk.is_none();
            line.extend_from_slice(&chunk.unwrap_or_default());
            while let Some(end) = line.iter().position(|b| *b == b'\n') {
                let whole: Vec<u8> = line.drain(..=end).collect();
                take(&whole)?;
            }
            if ended {
                take(&line)?;
                break;
            }
        }
        let bytes = sum.bytes();
        let sha256 = sum.finish().map_err(broken)?;
        part.kept = true;
        Ok(SnapshotInfo { revision: status.revision, sha256, bytes, file, keys })
    }

    /// What an earlier one left that nobody came for.
    fn sweep(&self) {
        for name in self.names_in(OUTGOING) {
            let path = self.path(&format!("{OUTGOING}/{name}"));
            let age = fs::metadata(&path).and_then(|m| m.modified()).map(|t| t.elapsed());
            if matches!(age, Ok(Ok(age)) if age > FORGOTTEN) {
                let _ = fs::remove_file(&path);
            }
        }
    }

    fn check_room(&self, needed: u64) -> SysResult<()> {
        let dir = self.path(OUTGOING);
        let Ok(stat) = statvfs(&dir) else { return Ok(()) };
        let free = stat.blocks_available() * stat.fragment_size();
        if free >= needed + RESERVE {
            return Ok(());
        }
        let mb = |bytes: u64| bytes.div_ceil(1 << 20);
        Err(SysError::new(
            SysErrorKind::NoSpace,
            format!(
                "the snapshot takes {} MB of the disk that {OUTGOING} is on; {} MB are free there, and {} MB have to stay free for etcd",
                mb(needed),
                mb(free),
                mb(RESERVE)
            ),
        ))
    }

    /// The PKI and the key of Secrets at rest.
    async fn keys(&self) -> SysResult<Vec<KeyFile>> {
        let mut paths = self.list(PKI).await?;
        if self.has(ENCRYPTION) {
            paths.push(ENCRYPTION.into());
        }
        let (mut keys, mut bytes) = (Vec::new(), 0);
        for path in paths {
            let real = self.path(&path);
            let content = fs::read(&real).map_err(|e| failed("read", &real, &e))?;
            let below = path.strip_prefix("/etc/kubernetes/").unwrap_or(&path);
            let name = below.strip_prefix("slipway/").unwrap_or(below).to_string();
            let content = Sealed::new(STANDARD.encode(content));
            bytes += content.reveal().len();
            keys.push(KeyFile { name, content });
        }
        if bytes > MOST_KEYS {
            let why =
                format!("{PKI} holds more than {} MB: something else is in it", MOST_KEYS >> 20);
            return Err(SysError::other(why));
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_go_along_by_the_names_that_an_archive_has_for_them() {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::at(dir.path());
        for path in ["/etc/kubernetes/pki/ca.key", "/etc/kubernetes/pki/etcd/ca.key", ENCRYPTION] {
            linux.write(path, b"key", 0o600).await.unwrap();
        }
        let keys = linux.keys().await.unwrap();
        let names: Vec<&str> = keys.iter().map(|k| k.name.as_str()).collect();
        assert_eq!(names, ["pki/ca.key", "pki/etcd/ca.key", "encryption.yaml"]);
        assert_eq!(keys[0].content.reveal(), "a2V5");
        assert!(!format!("{keys:?}").contains("a2V5"));
    }

    #[tokio::test]
    async fn half_files_and_forgotten_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::at(dir.path());
        let at = |name: &str| format!("{OUTGOING}/{name}");
        linux.write(&at("etcd-fresh.db"), b"", 0o600).await.unwrap();
        linux.write(&at("etcd-old.db"), b"", 0o600).await.unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        let old = File::options().append(true).open(linux.path(&at("etcd-old.db"))).unwrap();
        old.set_modified(long_ago).unwrap();
        drop(Part::new(linux.path(&at("etcd-half.db"))).unwrap());
        linux.sweep();
        assert_eq!(linux.names_in(OUTGOING), ["etcd-fresh.db"]);
        linux.check_room(0).unwrap();
        let full = linux.check_room(u64::MAX / 2).unwrap_err();
        assert_eq!(full.kind, SysErrorKind::NoSpace);
    }

    #[test]
    fn lines_of_the_gateway() {
        assert_eq!(piece(b"{\"result\":{\"blob\":\"YWJj\"}}\n").unwrap(), b"abc");
        assert_eq!(piece(b" \n").unwrap(), b"");
        let error = piece(b"{\"error\":{\"message\":\"no leader\"}}").unwrap_err();
        assert!(error.message.contains("no leader"));
        assert!(piece(b"<html>").is_err());
    }
}
