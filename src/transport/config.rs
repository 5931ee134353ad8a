//! The user's own SSH configuration, as `ssh -G` resolves it: nobody else gets `Match` right.
//!
//! A pure parser of its output, and the one call. Must not know what a node is.
#![allow(clippy::disallowed_methods, reason = "`ssh -G` is a process")]

use std::{path::PathBuf, process::Stdio};

/// What the configuration says about one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// The name or address to dial.
    pub hostname: String,
    /// None where it is only OpenSSH's own default.
    pub user: Option<String>,
    pub port: Option<u16>,
    pub identity_files: Vec<PathBuf>,
    /// None: `SSH_AUTH_SOCK`; an empty path: no agent.
    pub agent: Option<PathBuf>,
    pub identities_only: bool,
    /// Hosts to go through, in order, as they are written.
    pub jumps: Vec<String>,
    pub proxy_command: Option<String>,
    pub known_hosts: Vec<PathBuf>,
    pub host_key_alias: Option<String>,
}

impl HostConfig {
    /// Without any configuration: what OpenSSH would do.
    pub fn plain(host: &str, home: Option<&std::path::Path>) -> Self {
        let mine = |name: &str| home.map(|h| h.join(".ssh").join(name));
        Self {
            hostname: host.into(),
            user: None,
            port: None,
            identity_files: ["id_rsa", "id_ecdsa", "id_ed25519"]
                .iter()
                .filter_map(|n| mine(n))
                .collect(),
            agent: None,
            identities_only: false,
            jumps: Vec::new(),
            proxy_command: None,
            known_hosts: mine("known_hosts")
                .into_iter()
                .chain([PathBuf::from("/etc/ssh/ssh_known_hosts")])
                .collect(),
            host_key_alias: None,
        }
    }
}

/// Parses what `ssh -G` prints. `local_user` is what it prints for a user that nobody named.
pub fn parse(
    text: &str,
    host: &str,
    local_user: &str,
    home: Option<&std::path::Path>,
) -> HostConfig {
    let mut found = HostConfig {
        identity_files: Vec::new(),
        known_hosts: Vec::new(),
        ..HostConfig::plain(host, home)
    };
    let expand = |path: &str| match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    };
    for line in text.lines() {
        let Some((key, value)) = line.split_once(' ') else { continue };
        let value = value.trim();
        match key {
            "hostname" => found.hostname = value.into(),
            "user" => found.user = (value != local_user).then(|| value.into()),
            "port" => found.port = value.parse().ok().filter(|p| *p != 22),
            "identityfile" if value != "none" => found.identity_files.push(expand(value)),
            "identityagent" => {
                found.agent = match value {
                    "SSH_AUTH_SOCK" => None,
                    "none" => Some(PathBuf::new()),
                    path => Some(expand(path)),
                }
            }
            "identitiesonly" => found.identities_only = value == "yes",
            "proxyjump" if value != "none" => {
                found.jumps = value.split(',').map(|j| j.trim().to_string()).collect();
            }
            "proxycommand" if value != "none" => found.proxy_command = Some(value.into()),
            "userknownhostsfile" | "globalknownhostsfile" => {
                let paths = value.split_ascii_whitespace().filter(|p| *p != "none");
                found.known_hosts.extend(paths.map(expand));
            }
            "hostkeyalias" => found.host_key_alias = Some(value.into()),
            _ => {}
        }
    }
    found
}

/// Asks `ssh -G`. Where OpenSSH is not installed there is nothing configured either.
pub async fn resolve(
    host: &str,
    file: Option<&std::path::Path>,
    local_user: &str,
    home: Option<&std::path::Path>,
) -> Result<HostConfig, String> {
    let mut command = tokio::process::Command::new("ssh");
    command.arg("-G");
    if let Some(file) = file {
        command.arg("-F").arg(file);
    }
    let output = command.arg("--").arg(host).stdin(Stdio::null()).kill_on_drop(true).output().await;
    match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => {
            Ok(HostConfig::plain(host, home))
        }
        Err(error) => Err(format!("cannot run `ssh -G {host}`: {error}")),
        Ok(output) if !output.status.success() => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("`ssh -G {host}` failed: {}", said.trim().replace('\n', "; ")))
        }
        Ok(output) => Ok(parse(&String::from_utf8_lossy(&output.stdout), host, local_user, home)),
    }
}

/// `user@host:port`, as a jump is written; `ssh://` and brackets are allowed.
pub fn split_jump(text: &str) -> (Option<String>, String, Option<u16>) {
    let text = text.strip_prefix("ssh://").unwrap_or(text).trim_end_matches('/');
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_string()), rest),
        None => (None, text),
    };
    if let Some((host, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
        let port = after.strip_prefix(':').and_then(|p| p.parse().ok());
        return (user, host.into(), port);
    }
    match rest.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (user, host.into(), port.parse().ok()),
        _ => (user, rest.into(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As OpenSSH 9.2 prints it, shortened.
    const PRINTED: &str = "host node-a\nuser root\nhostname 192.168.1.11\nport 22\nidentitiesonly yes\n\
        stricthostkeychecking ask\nidentityagent none\nidentityfile ~/.ssh/id_lab\nidentityfile /k/two\n\
        userknownhostsfile ~/.ssh/known_hosts /other\nglobalknownhostsfile none\n\
        proxyjump me@bastion:2222,[fe80::1]:23\n";

    #[test]
    fn what_ssh_prints_is_read() {
        let home = std::path::Path::new("/home/me");
        let found = parse(PRINTED, "node-a", "me", Some(home));
        assert_eq!(found.hostname, "192.168.1.11");
        assert_eq!(found.user.as_deref(), Some("root"));
        assert_eq!(found.port, None);
        assert!(found.identities_only);
        assert_eq!(found.agent, Some(PathBuf::new()));
        let files: Vec<_> = found.identity_files.iter().map(|p| p.to_str().unwrap()).collect();
        assert_eq!(files, ["/home/me/.ssh/id_lab", "/k/two"]);
        assert_eq!(found.known_hosts.len(), 2);
        assert_eq!(found.jumps, ["me@bastion:2222", "[fe80::1]:23"]);
        let unsaid = parse("user me\n", "node-a", "me", None);
        assert_eq!(unsaid.user, None);
    }

    #[test]
    fn jumps() {
        let (user, host, port) = split_jump("me@bastion:2222");
        assert_eq!((user.as_deref(), host.as_str(), port), (Some("me"), "bastion", Some(2222)));
        assert_eq!(split_jump("ssh://[fe80::1]:23/"), (None, "fe80::1".into(), Some(23)));
        assert_eq!(split_jump("bastion"), (None, "bastion".into(), None));
        assert_eq!(split_jump("fe80::1"), (None, "fe80::1".into(), None));
    }
}
