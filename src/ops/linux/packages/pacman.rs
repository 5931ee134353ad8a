//! pacman, and the traps of Arch: no partial upgrades, a keyring that ages, a lock that stays.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;

use super::Manager;
use crate::ops::{
    linux::command::Command,
    sys::{SysError, SysErrorKind, SysResult},
};

/// Repositories are looked at in a copy: refreshing the node's own without updating makes every
/// later `pacman -S` a partial upgrade.
const COPY: &str = "/run/slipway/pacman-db";
/// A plan and the run that follows it look at the same state of the repositories.
const FRESH: Duration = Duration::from_secs(60);
const LOCK_WAIT: Duration = Duration::from_secs(60);
const QUIET: [&str; 4] = ["--noconfirm", "--noprogressbar", "--color", "never"];
const KEYRING: &str = "archlinux-keyring";

pub struct Pacman {
    /// Where its databases lie, and arguments that say so where it is not the usual place.
    db: PathBuf,
    copy: PathBuf,
    args: Vec<String>,
}

/// `linux 6.17.1.arch1-1 -> 6.17.3.arch1-1`, without those that are ignored.
fn updates(text: &str) -> Vec<String> {
    let wanted = |line: &&str| line.contains(" -> ") && !line.contains("[ignored]");
    text.lines().map(str::trim).filter(wanted).map(str::to_string).collect()
}

/// Says what pacman's own words mean, and what to do.
fn explained(mut error: SysError) -> SysError {
    let output = error.output.join("\n");
    let says = |word: &str| output.contains(word);
    let (message, hint) = if says("unknown trust")
        || says("PGP signature")
        || says("keyring is not")
        || says("key could not be")
    {
        (
            "packages are signed by keys that this node does not know: its keyring is out of date, or was never made",
            "on the node: `pacman-key --init && pacman-key --populate archlinux`, then `pacman -Sy --needed archlinux-keyring && pacman -Su`; a clock that is years off does this too",
        )
    } else if says("too full") || says("not enough free disk space") || says("No space left") {
        error.kind = SysErrorKind::NoSpace;
        (
            "no space left for the packages",
            "on the node: `pacman -Sc` empties its cache, `journalctl --vacuum-size=200M` the logs",
        )
    } else if says("target not found") || says("could not find all required packages") {
        (
            "a package is in none of the node's repositories",
            "correct its name in `host.packages`, or add its repository to /etc/pacman.conf",
        )
    } else if says("exists in filesystem") {
        (
            "a file that a package brings is there already, and belongs to nobody",
            "move it out of the way on the node; the lines below name it",
        )
    } else if says("failed to synchronize")
        || says("failed retrieving file")
        || says("failed to retrieve")
    {
        error.kind = SysErrorKind::Passing;
        (
            "the mirrors do not give what they promise",
            "can the node reach them (/etc/pacman.d/mirrorlist)? A mirror that lags answers 404: choose another",
        )
    } else {
        return error;
    };
    error.message = format!("{message} ({})", error.message);
    error.hint = Some(hint.into());
    error
}

impl Pacman {
    pub fn here() -> Self {
        Self { db: "/var/lib/pacman".into(), copy: COPY.into(), args: Vec::new() }
    }

    fn pacman(&self, verb: &[&str]) -> Command {
        Command::new("pacman")
            .args(self.args.iter().map(String::as_str))
            // Only what changes something asks questions, and takes these.
            .args(
                if verb.iter().any(|v| v.starts_with("-S")) { &QUIET[..] } else { &[] }
                    .iter()
                    .copied(),
            )
            .args(verb.iter().copied())
    }

    fn on_copy(&self, verb: &str) -> Command {
        let copy = self.copy.display().to_string();
        self.pacman(&[verb, "--dbpath", &copy, "--logfile", "/dev/null"])
    }

    /// What the repositories have that is newer.
    async fn pending(&self) -> SysResult<Vec<String>> {
        let failed = |e: std::io::Error| {
            SysError::other(format!(
                "make a copy of pacman's databases at {}: {e}",
                self.copy.display()
            ))
        };
        let mark = self.copy.join(".fresh");
        let age =
            fs::metadata(&mark).and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        if age.is_none_or(|age| age > FRESH) {
            fs::create_dir_all(&self.copy).map_err(failed)?;
            let local = self.copy.join("local");
            if fs::read_link(&local).ok() != Some(self.db.join("local")) {
                let _ = fs::remove_file(&local);
                std::os::unix::fs::symlink(self.db.join("local"), &local).map_err(failed)?;
            }
            // One that a power cut left; nobody else works on the copy.
            let _ = fs::remove_file(self.copy.join("db.lck"));
            self.on_copy("-Sy").done().await.map_err(explained)?;
            fs::write(&mark, b"").map_err(failed)?;
        }
        // Exit 1 means that there are none.
        let found = self.on_copy("-Qu").run().await?;
        if !found.ok() && !found.stderr.trim().is_empty() {
            return Err(SysError {
                output: found.tail(),
                ..SysError::other("`pacman -Qu` failed")
            });
        }
        Ok(updates(&found.stdout))
    }

    /// Waits for another pacman; one that died is for a person to look at.
    async fn unlocked(&self) -> SysResult<()> {
        let lock = self.db.join("db.lck");
        let mut waited = Duration::ZERO;
        while lock.exists() {
            let Some((pid, name)) = holder(&lock) else {
                // Between looking for the file and for its holder, that may have ended.
                if !lock.exists() {
                    return Ok(());
                }
                return Err(SysError::other(format!(
                    "pacman's lock {} is there, and nobody holds it: a pacman was killed in the middle",
                    lock.display()
                ))
                .hint(format!("look at /var/log/pacman.log on the node, then `rm {}`, and `pacman -Syu` if it was an upgrade", lock.display())));
            };
            if waited >= LOCK_WAIT {
                return Err(SysError::passing(format!(
                    "{name} (process {pid}) works with pacman's databases, and has not ended within {} s",
                    LOCK_WAIT.as_secs()
                )));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            waited += Duration::from_millis(500);
        }
        Ok(())
    }

    fn forget_copy(&self) {
        let _ = fs::remove_file(self.copy.join(".fresh"));
    }
}

/// The process that has the lock's file open.
fn holder(lock: &Path) -> Option<(u32, String)> {
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        let mut open = fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        if open.any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to == lock)) {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some((pid, name.trim().to_string()));
        }
    }
    None
}

#[async_trait]
impl Manager for Pacman {
    async fn missing(&self, names: &[String]) -> SysResult<Vec<String>> {
        // What provides a package is as good as the package.
        let asked = self.pacman(&["-T", "--"]).args(names.iter().map(String::as_str)).run().await?;
        match asked.code {
            Some(0) => Ok(Vec::new()),
            Some(127) => {
                let found: Vec<String> =
                    asked.stdout.lines().map(|l| l.trim().to_string()).collect();
                Ok(names.iter().filter(|n| found.contains(n)).cloned().collect())
            }
            _ => Err(SysError { output: asked.tail(), ..SysError::other("`pacman -T` failed") }),
        }
    }

    async fn install(&self, names: &[String]) -> SysResult<()> {
        self.unlocked().await?;
        self.forget_copy();
        let pending = self.pending().await?;
        if !pending.is_empty() {
            let some = pending.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            return Err(SysError::other(format!(
                "to install {} would be a partial upgrade, which breaks an Arch: {} updates are pending ({some}{})",
                names.join(", "),
                pending.len(),
                if pending.len() > 3 { ", ..." } else { "" }
            ))
            .hint("let Slipway update the OS first (`host.update_os = true`); on a member that is `slipway upgrade --os`'s business"));
        }
        // Nothing else is out of date, so this refresh makes nothing partial.
        self.pacman(&["-Sy"]).done().await.map_err(explained)?;
        let install = self.pacman(&["-S", "--needed", "--"]);
        install.args(names.iter().map(String::as_str)).done().await.map(drop).map_err(explained)
    }

    async fn updates(&self) -> SysResult<Vec<String>> {
        self.pending().await
    }

    async fn update_all(&self) -> SysResult<()> {
        self.unlocked().await?;
        self.forget_copy();
        let pending = self.pending().await?;
        // Signed by keys that only the new keyring has: it goes first, and everything else at once
        // behind it.
        if pending.iter().any(|u| u.starts_with(&format!("{KEYRING} "))) {
            self.pacman(&["-Sy", "--needed", KEYRING]).done().await.map_err(explained)?;
            self.pacman(&["-Su"]).done().await.map_err(explained)?;
        } else {
            self.pacman(&["-Syu"]).done().await.map_err(explained)?;
        }
        self.forget_copy();
        Ok(())
    }

    async fn set_iptables(&self, backend: &str) -> SysResult<()> {
        self.unlocked().await?;
        // The two exclude each other, and Arch has called the newer one by either name; `--ask 4`
        // says yes to the one replacing the other.
        let names: [&str; 2] = match backend {
            "nft" => ["iptables-nft", "iptables"],
            _ => ["iptables-legacy", "iptables"],
        };
        let mut last = None;
        for name in names {
            match self.pacman(&["--ask", "4", "-S", "--", name]).done().await {
                Ok(_) => return Ok(()),
                Err(error) if error.output.iter().any(|l| l.contains("target not found")) => {
                    last = Some(explained(error));
                }
                Err(error) => return Err(explained(error)),
            }
        }
        last.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pacman_lists() {
        let text = "linux 6.17.1.arch1-1 -> 6.17.3.arch1-1\nkubelet 1.34.1-1 -> 1.35.0-1 [ignored]\n\nwarning: x\n";
        assert_eq!(updates(text), ["linux 6.17.1.arch1-1 -> 6.17.3.arch1-1"]);
    }

    #[test]
    fn what_pacman_says_is_explained() {
        let said = |line: &str| {
            let mut error = SysError::other("`pacman -Syu` failed: exit 1");
            error.output = vec![line.into()];
            explained(error)
        };
        let keys = said("error: socat: signature from \"A B <a@b>\" is unknown trust");
        assert!(keys.message.contains("keyring") && keys.hint.is_some());
        assert_eq!(
            said("error: Partition / too full: 2 blocks needed").kind,
            SysErrorKind::NoSpace
        );
        let lag = said(
            "error: failed retrieving file 'socat.pkg.tar.zst' from mirror : The requested URL returned error: 404",
        );
        assert_eq!(lag.kind, SysErrorKind::Passing);
        assert!(said("error: target not found: nonsense").message.contains("repositories"));
        assert_eq!(said("something else").hint, None);
    }

    #[test]
    fn a_lock_is_held_by_who_has_it_open() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("db.lck");
        let file = fs::File::create(&lock).unwrap();
        let lock = lock.canonicalize().unwrap();
        assert_eq!(holder(&lock).map(|(pid, _)| pid), Some(std::process::id()));
        drop(file);
        assert_eq!(holder(&lock), None);
    }
}
