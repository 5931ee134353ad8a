//! Whether a server is the one that is meant: pinned fingerprints, known_hosts, and who may be new.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use russh::keys::{HashAlg, PublicKey, PublicKeyBase64};

use super::known_hosts::{self, Judgement, ShownKey};
use crate::{
    events::{Failure, Refusal},
    names::HostKey,
};

/// What a server must show to be believed.
#[derive(Debug, Clone)]
pub struct Expected {
    /// As known_hosts writes them; the first is the one that is dialled.
    pub names: Vec<String>,
    pub files: Vec<PathBuf>,
    /// From the inventory.
    pub pinned: Option<HostKey>,
    /// `--accept-new-host-keys`
    pub accept_new: bool,
}

/// One file is added to at a time.
static ADDING: Mutex<()> = Mutex::new(());

impl Expected {
    /// The files' contents; those that are not there say nothing.
    fn texts(&self) -> Result<Vec<(String, String)>, Failure> {
        let mut texts = Vec::new();
        for path in &self.files {
            match std::fs::read(path) {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    texts.push((path.display().to_string(), text));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    // What cannot be read may hold a revocation.
                    return Err(Failure::new(
                        "check the host key",
                        format!("cannot read `{}`: {error}", path.display()),
                    )
                    .hint(
                        "make the file readable, or name another one in your SSH configuration",
                    ));
                }
            }
        }
        Ok(texts)
    }

    /// Kinds of keys to ask the server for first.
    pub fn kinds(&self) -> Vec<String> {
        self.texts().map(|texts| known_hosts::kinds(&texts, &self.names)).unwrap_or_default()
    }

    /// Says yes, or why not.
    pub fn check(&self, key: &PublicKey) -> Result<(), Failure> {
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let algorithm = key.algorithm().as_str().to_string();
        let shown = ShownKey { algorithm: algorithm.clone(), base64: key.public_key_base64() };
        let judgement = known_hosts::judge(&self.texts()?, &self.names, &shown);
        let host = self.names.first().map_or("the host", String::as_str);
        let refused = |why: String, hint: String| {
            Err(Failure::new("check the host key", why)
                .refused(Refusal::HostKey)
                .left("nothing was sent to it")
                .hint(hint))
        };
        if let Judgement::Revoked { file, line } = judgement {
            return refused(
                format!("{host} shows the key {fingerprint}, which is revoked ({file}:{line})"),
                "give the node a new host key (remove /etc/ssh/ssh_host_*, `ssh-keygen -A`); never use this one again".into(),
            );
        }
        if let Some(pinned) = &self.pinned {
            if pinned.to_string() == fingerprint {
                return Ok(());
            }
            return refused(
                format!("{host} shows {fingerprint} ({algorithm}), the inventory names {pinned}"),
                "if the node was reinstalled, look at its console: `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`, and correct `ssh.host_key`; else somebody stands in between".into(),
            );
        }
        match judgement {
            Judgement::Known | Judgement::Revoked { .. } => Ok(()),
            Judgement::Changed { file, line } => refused(
                format!("{host} shows {fingerprint}, but is known by another key ({file}:{line})"),
                format!(
                    "if the node was reinstalled: `ssh-keygen -R '{host}'`, then connect once by hand and compare fingerprints; else somebody stands in between"
                ),
            ),
            Judgement::OtherKind { file, line, kinds } => refused(
                format!(
                    "{host} shows a key of kind {algorithm} ({fingerprint}), but is known by {} ({file}:{line})",
                    kinds.join(", ")
                ),
                format!(
                    "if that is right: `ssh-keygen -R '{host}'`, then connect once by hand and compare fingerprints"
                ),
            ),
            Judgement::OnlyAuthority { file, line } => refused(
                format!(
                    "{host} is vouched for by a certificate authority ({file}:{line}), which Slipway does not check yet"
                ),
                format!(
                    "name the host key's fingerprint in the inventory: ssh = {{ host_key = \"{fingerprint}\" }}, once you have compared it on the node"
                ),
            ),
            Judgement::Unknown if self.accept_new => self.add(&shown),
            Judgement::Unknown => refused(
                format!("{host} shows {fingerprint} ({algorithm}), which is not known"),
                format!(
                    "compare it on the node (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`); then either ssh = {{ host_key = \"{fingerprint}\" }} in the inventory, or --accept-new-host-keys"
                ),
            ),
        }
    }

    fn add(&self, shown: &ShownKey) -> Result<(), Failure> {
        let Some(path) = self.files.first() else { return Ok(()) };
        let line = format!("{} {} {}\n", self.names.join(","), shown.algorithm, shown.base64);
        let _turn = ADDING.lock().unwrap_or_else(PoisonError::into_inner);
        append(path, &line).map_err(|error| {
            Failure::new(
                "remember the host key",
                format!("cannot write `{}`: {error}", path.display()),
            )
            .hint("make the file writable, or name the fingerprint in the inventory")
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "known_hosts is the user's, and added to when asked")]
fn append(path: &Path, line: &str) -> std::io::Result<()> {
    if let Some(dir) = path.parent().filter(|d| !d.exists()) {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    // A last line without its end must not swallow ours.
    let unfinished = std::fs::read(path).is_ok_and(|b| b.last().is_some_and(|c| *c != b'\n'));
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let line = if unfinished { format!("\n{line}") } else { line.to_string() };
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    fn expected(dir: &Path, accept_new: bool, pinned: Option<&str>) -> Expected {
        Expected {
            names: vec!["node-a".into(), "10.0.0.1".into()],
            files: vec![dir.join("ssh/known_hosts")],
            pinned: pinned.map(|p| p.parse().unwrap()),
            accept_new,
        }
    }

    #[test]
    fn unknown_is_refused_unless_asked_for_and_then_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let key: PublicKey = KEY.parse().unwrap();
        let no = expected(dir.path(), false, None).check(&key).unwrap_err();
        assert_eq!(no.refusal, Some(Refusal::HostKey));
        assert!(no.hint.unwrap().contains("--accept-new-host-keys"));
        expected(dir.path(), true, None).check(&key).unwrap();
        expected(dir.path(), false, None).check(&key).unwrap();
        let text = std::fs::read_to_string(dir.path().join("ssh/known_hosts")).unwrap();
        assert_eq!(text, format!("node-a,10.0.0.1 {KEY}\n"));
    }

    #[test]
    fn a_pin_decides_but_for_revocation() {
        let dir = tempfile::tempdir().unwrap();
        let key: PublicKey = KEY.parse().unwrap();
        let right = key.fingerprint(HashAlg::Sha256).to_string();
        expected(dir.path(), false, Some(&right)).check(&key).unwrap();
        let wrong = "SHA256:0123456789012345678901234567890123456789012";
        let no = expected(dir.path(), true, Some(wrong)).check(&key).unwrap_err();
        assert_eq!(no.refusal, Some(Refusal::HostKey));
        std::fs::create_dir(dir.path().join("ssh")).unwrap();
        std::fs::write(dir.path().join("ssh/known_hosts"), format!("@revoked * {KEY}\n")).unwrap();
        let no = expected(dir.path(), true, Some(&right)).check(&key).unwrap_err();
        assert!(no.causes[0].contains("revoked"), "{no}");
    }
}
