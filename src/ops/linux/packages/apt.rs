//! apt, for the second distribution.

use async_trait::async_trait;

use super::Manager;
use crate::ops::{
    linux::command::Command,
    sys::{SysError, SysResult},
};

pub struct Apt;

/// Never a question, never a new configuration file over an edited one; the lock is waited for.
fn apt(verb: &[&str]) -> Command {
    Command::new("apt-get")
        .args(["-y", "-q", "-o", "DPkg::Lock::Timeout=60", "-o", "Dpkg::Options::=--force-confold"])
        .args(verb.iter().copied())
        .env("DEBIAN_FRONTEND", "noninteractive")
}

/// Packages of `dpkg-query -W -f '${Package} ${db:Status-Status}\n'` that are whole.
fn installed(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter_map(|l| l.split_once(' '))
        .filter(|(_, s)| *s == "installed")
        .map(|(n, _)| n)
}

/// `Inst base-files [12.4+deb12u10] (12.4+deb12u12 Debian:12.12/oldstable [amd64])`
fn updates(text: &str) -> Vec<String> {
    let one = |line: &str| {
        let rest = line.strip_prefix("Inst ")?;
        let (name, rest) = rest.split_once(' ')?;
        let new = rest.split_once('(')?.1.split([' ', ')']).next()?;
        Some(match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            Some((old, _)) => format!("{name} {old} -> {new}"),
            None => format!("{name} {new} (new)"),
        })
    };
    text.lines().filter_map(one).collect()
}

fn explained(mut error: SysError) -> SysError {
    if error.output.iter().any(|l| l.contains("Could not get lock")) {
        error.message = "another apt works on this node and does not end".into();
        error.kind = crate::ops::sys::SysErrorKind::Passing;
    }
    error
}

#[async_trait]
impl Manager for Apt {
    async fn missing(&self, names: &[String]) -> SysResult<Vec<String>> {
        let asked =
            Command::new("dpkg-query").args(["-W", "-f", "${Package} ${db:Status-Status}\\n"]);
        let done = asked.args(names.iter().map(String::as_str)).run().await?;
        let there: Vec<&str> = installed(&done.stdout).collect();
        Ok(names.iter().filter(|n| !there.contains(&n.as_str())).cloned().collect())
    }

    async fn install(&self, names: &[String]) -> SysResult<()> {
        apt(&["update"]).done().await.map_err(explained)?;
        let install = apt(&["install", "--no-install-recommends", "--"]);
        install.args(names.iter().map(String::as_str)).done().await.map(drop).map_err(explained)
    }

    async fn updates(&self) -> SysResult<Vec<String>> {
        // By the lists that are there: refreshing them is a change.
        let done = Command::new("apt-get").args(["-s", "-q", "dist-upgrade"]).done().await?;
        Ok(updates(&done.stdout))
    }

    async fn update_all(&self) -> SysResult<()> {
        apt(&["update"]).done().await.map_err(explained)?;
        apt(&["dist-upgrade"]).done().await.map(drop).map_err(explained)
    }

    async fn set_iptables(&self, backend: &str) -> SysResult<()> {
        for program in ["iptables", "ip6tables"] {
            let to = format!("/usr/sbin/{program}-{backend}");
            Command::new("update-alternatives").args(["--set", program, &to]).done().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_would_do() {
        let text = "Reading package lists...\nInst base-files [12.4+deb12u10] (12.4+deb12u12 Debian:12.12/oldstable [amd64])\nInst linux-image-6.1.0-40-amd64 (6.1.153-1 Debian-Security:12 [amd64])\nConf base-files (12.4 Debian)\nInst broken\n";
        assert_eq!(
            updates(text),
            [
                "base-files 12.4+deb12u10 -> 12.4+deb12u12",
                "linux-image-6.1.0-40-amd64 6.1.153-1 (new)"
            ]
        );
        let text = "socat installed\ncurl config-files\n";
        assert_eq!(installed(text).collect::<Vec<_>>(), ["socat"]);
    }
}
