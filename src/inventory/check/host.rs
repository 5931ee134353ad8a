//! How SSH logs in and how hosts are prepared.

use super::{Finding, Findings, text};
use crate::inventory::Inventory;

pub fn check(inventory: &Inventory, f: &mut Findings<'_>) {
    let ssh = &inventory.ssh;
    if let Some(user) = ssh.user.as_deref().filter(|u| !text::user(u)) {
        f.add(Finding::error("ssh.user", format!("`{user}` is not a Linux user's name")));
    }
    if ssh.config.as_deref().is_some_and(|c| c.trim().is_empty()) {
        f.add(
            Finding::error("ssh.config", "it names no file")
                .hint("leave it out to use your own SSH configuration"),
        );
    }
    if ssh.port == Some(0) {
        f.add(
            Finding::error("ssh.port", "0 is not a port that SSH can listen on")
                .hint("22 is usual"),
        );
    }
    let host = &inventory.host;
    if !text::size(&host.journal_max) {
        let message = format!("`{}` is not a size that journald understands", host.journal_max);
        f.add(Finding::error("host.journal_max", message).hint("for example: `500M` or `1G`"));
    }
    for (i, package) in host.packages.iter().enumerate() {
        if !text::package(package) {
            let message = format!("`{package}` is not a package's name");
            f.add(
                Finding::error(&format!("host.packages.{i}"), message)
                    .hint("lowercase letters, digits and `@._+-`; no version, no path"),
            );
        }
    }
    for (key, value) in &host.sysctls {
        let path = format!("host.sysctls.{key}");
        if !text::sysctl(key) {
            let message = format!("`{key}` is not a sysctl's name");
            f.add(
                Finding::error(&path, message)
                    .on_key()
                    .hint("for example: \"vm.swappiness\" = \"10\""),
            );
        }
        // It is written as one line of a file: a newline would begin another setting.
        if value.trim().is_empty() || value.chars().any(|c| c.is_control() && c != '\t') {
            let message =
                format!("the value of the sysctl `{key}` is empty or has more than one line");
            f.add(Finding::error(&path, message));
        }
    }
}
