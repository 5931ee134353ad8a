//! Addresses of Git repositories, and Git hosts that are known by their keys already.

const KNOWN: &str = include_str!("../../assets/known_hosts");

/// Where a repository is reached, if that is over SSH: `ssh://git@host:22/path`, `git@host:path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Over<'a> {
    pub host: &'a str,
    pub port: u16,
}

pub fn over_ssh(url: &str) -> Option<Over<'_>> {
    if !url.contains("://") {
        let (login, _) = url.split_once(':')?;
        return Some(Over { host: login.rsplit('@').next()?, port: 22 });
    }
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("ssh") {
        return None;
    }
    let authority = rest.split('/').next()?.rsplit('@').next()?;
    let (host, port) = authority.split_once(':').unwrap_or((authority, "22"));
    Some(Over { host, port: port.parse().ok()? })
}

/// The line of a known_hosts file for the host of this repository, where everybody knows it.
pub fn known(url: &str) -> Option<&'static str> {
    let over = over_ssh(url).filter(|over| over.port == 22)?;
    KNOWN.lines().find(|line| {
        let name = line.split(' ').next().unwrap_or_default();
        !line.starts_with('#') && name.eq_ignore_ascii_case(over.host)
    })
}

/// How the same repository is addressed over SSH, as all of the usual hosts have it.
pub fn as_ssh(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_once('/')?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    (scheme.eq_ignore_ascii_case("https") && !path.is_empty()).then(|| format!("git@{host}:{path}"))
}

#[cfg(test)]
mod tests {
    use base64::{
        Engine as _,
        engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
    };
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn addresses() {
        let at = |url| over_ssh(url).map(|over| (over.host, over.port));
        assert_eq!(at("git@github.com:me/home.git"), Some(("github.com", 22)));
        assert_eq!(at("ssh://git@git.lab:2222/home.git"), Some(("git.lab", 2222)));
        assert_eq!(at("https://github.com/me/home.git"), None);
        let ssh = as_ssh("https://github.com/me/home.git");
        assert_eq!(ssh.as_deref(), Some("git@github.com:me/home.git"));
        assert_eq!(as_ssh("git@github.com:me/home.git"), None);
    }

    /// By the fingerprints that the hosts publish.
    #[test]
    fn known_hosts_have_the_fingerprints_that_they_publish() {
        let published = [
            ("github.com", "+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"),
            ("gitlab.com", "eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8"),
            ("codeberg.org", "mIlxA9k46MmM6qdJOdMnAQpzGxF4WIVVL+fj+wZbw0g"),
            ("bitbucket.org", "ybgmFkzwOSotHTHLJgHO0QN8L0xErw6vd0VhFA9m3SM"),
        ];
        for (host, fingerprint) in published {
            let line = known(&format!("git@{host}:me/home.git")).unwrap();
            let key = STANDARD.decode(line.split(' ').nth(2).unwrap()).unwrap();
            assert_eq!(STANDARD_NO_PAD.encode(Sha256::digest(key)), fingerprint, "{host}");
        }
        assert_eq!(known("git@git.lab:me/home.git"), None);
        assert_eq!(known("ssh://git@github.com:443/me/home.git"), None);
    }
}
