//! pacman, and the traps of Arch: no partial upgrades, a keyring that ages, a lock that stays.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
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
const CONFIG: &str = "/etc/pacman.conf";
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
pub(super) fn explained(mut error: SysError) -> SysError {
    let output = error.output.join("\n");
    let says = |word: &str| output.contains(word);
    let (message, hint) = if [
        "unknown trust",
        "marginal trust",
        "PGP signature",
        "keyring is not",
        "missing from keyring",
        "could not be looked up remotely",
        "could not be imported",
    ]
    .into_iter()
    .any(says)
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
    } else if says("unable to lock database") {
        error.kind = SysErrorKind::Passing;
        ("another pacman took the lock a moment before", "run the same command again")
    } else if says("could not satisfy dependencies") || says("unresolvable package conflicts") {
        (
            "packages on the node stand in each other's way",
            "the lines below name them. Is one of them installed and held back by IgnorePkg in /etc/pacman.conf? Slipway brings its own (containerd, kubelet, ...): remove the distribution's with `pacman -R`, then run the same command again",
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

    pub(super) fn db(&self) -> &Path {
        &self.db
    }

    pub(super) fn config_file(&self) -> PathBuf {
        let named = self.args.iter().skip_while(|arg| *arg != "--config").nth(1);
        named.map_or_else(|| CONFIG.into(), PathBuf::from)
    }

    /// With another configuration, and packages that are there already.
    pub(super) fn pacman_with(&self, config: &Path, packages: &Path, verb: &[&str]) -> Command {
        let mut skip = false;
        let kept = self.args.iter().filter(|arg| {
            let ours = matches!(arg.as_str(), "--config" | "--cachedir");
            !(std::mem::replace(&mut skip, ours) || ours)
        });
        Command::new("pacman")
            .args(kept.map(String::as_str).collect::<Vec<_>>())
            .args(QUIET)
            .args(["--config", &config.display().to_string()])
            .args(["--cachedir", &packages.display().to_string()])
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
            // pacman 7 downloads as a user of its own, who has to get in.
            let open = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&self.copy, open).map_err(failed)?;
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
    pub(super) async fn unlocked(&self) -> SysResult<()> {
        // Open files are known by their real path.
        let lock = fs::canonicalize(&self.db).unwrap_or_else(|_| self.db.clone()).join("db.lck");
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

    /// Installing while anything else is out of date mixes two states of the distribution: libraries
    /// of one with programs of the other.
    async fn nothing_pending(&self, what: &str) -> SysResult<()> {
        self.forget_copy();
        let pending = self.pending().await?;
        if pending.is_empty() {
            return Ok(());
        }
        let some = pending.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let more = if pending.len() > 3 { ", ..." } else { "" };
        Err(SysError::other(format!(
            "to install {what} would be a partial upgrade, which breaks an Arch: {} updates are pending ({some}{more})",
            pending.len(),
        ))
        .hint("let Slipway update the OS first (`host.update_os = true`); on a member that is `slipway upgrade --os`'s business"))
    }

    /// Those of the unsatisfied names that are groups of which every package is there.
    async fn whole_groups(&self, names: &[String]) -> SysResult<Vec<String>> {
        let mut whole = Vec::new();
        for name in names {
            let asked = self.pacman(&["-Sgq", "--", name]).run().await?;
            let members: Vec<String> = asked.stdout.lines().map(|l| l.trim().into()).collect();
            if asked.ok() && !members.is_empty() && self.unsatisfied(&members).await?.is_empty() {
                whole.push(name.clone());
            }
        }
        Ok(whole)
    }

    /// What provides a package is as good as the package.
    async fn unsatisfied(&self, names: &[String]) -> SysResult<Vec<String>> {
        let asked = self.pacman(&["-T", "--"]).args(names.iter().map(String::as_str)).run().await?;
        match asked.code {
            Some(0) => Ok(Vec::new()),
            Some(127) => {
                let found: Vec<&str> = asked.stdout.lines().map(str::trim).collect();
                Ok(names.iter().filter(|n| found.contains(&n.as_str())).cloned().collect())
            }
            _ => Err(SysError { output: asked.tail(), ..SysError::other("`pacman -T` failed") }),
        }
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
        let mut missing = self.unsatisfied(names).await?;
        if !missing.is_empty() {
            let whole = self.whole_groups(&missing).await?;
            missing.retain(|name| !whole.contains(name));
        }
        Ok(missing)
    }

    async fn install(&self, names: &[String]) -> SysResult<()> {
        self.unlocked().await?;
        self.nothing_pending(&names.join(", ")).await?;
        // One transaction that refreshes: what a mirror got since the look above comes along, and
        // nothing is ever installed beside it.
        let install = self.pacman(&["-Syu", "--needed", "--"]);
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
        self.nothing_pending(&format!("iptables for {backend}")).await?;
        // The two exclude each other, and Arch has called the newer one by either name; `--ask 4`
        // says yes to the one replacing the other.
        let names: [&str; 2] = match backend {
            "nft" => ["iptables-nft", "iptables"],
            _ => ["iptables-legacy", "iptables"],
        };
        let mut last = None;
        for name in names {
            match self.pacman(&["--ask", "4", "-Syu", "--", name]).done().await {
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
#[path = "pacman_tests.rs"]
mod tests;
