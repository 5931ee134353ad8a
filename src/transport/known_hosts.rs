//! Which host keys are known, matched as OpenSSH matches them. Text in, judgement out.
//!
//! Plain names, `[host]:port`, wildcards and negations, hashed names, `@revoked` and
//! `@cert-authority` lines. Must not do IO, nor know who asks.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac as _};
use sha1::Sha1;

/// A host key as the server shows it: algorithm and the key's bytes in base64, as in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownKey {
    pub algorithm: String,
    pub base64: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    Known,
    /// No line is about this host.
    Unknown,
    /// The host is known by other keys of this kind.
    Changed {
        file: String,
        line: usize,
    },
    /// The host is known, but by keys of other kinds only.
    OtherKind {
        file: String,
        line: usize,
        kinds: Vec<String>,
    },
    Revoked {
        file: String,
        line: usize,
    },
    /// Only a certificate authority vouches for this host.
    OnlyAuthority {
        file: String,
        line: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    None,
    Revoked,
    Authority,
}

struct Line<'a> {
    number: usize,
    marker: Marker,
    hosts: &'a str,
    algorithm: &'a str,
    base64: &'a str,
}

/// Every line that can be one; OpenSSH passes over the others too.
fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().enumerate().filter_map(|(n, line)| {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let mut words = line.split_ascii_whitespace();
        let first = words.next()?;
        let (marker, hosts) = match first {
            "@revoked" => (Marker::Revoked, words.next()?),
            "@cert-authority" => (Marker::Authority, words.next()?),
            marker if marker.starts_with('@') => return None,
            hosts => (Marker::None, hosts),
        };
        let (algorithm, base64) = (words.next()?, words.next()?);
        Some(Line { number: n + 1, marker, hosts, algorithm, base64 })
    })
}

/// How a host is written in known_hosts: the port is named when it is not 22.
pub fn lookup_name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// Whether a list of patterns (or a hash) is about this name. A negated match rules the line out.
fn is_about(hosts: &str, name: &str) -> bool {
    if let Some(hashed) = hosts.strip_prefix("|1|") {
        let Some((salt, hash)) = hashed.split_once('|') else { return false };
        let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else {
            return false;
        };
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(&salt) else { return false };
        mac.update(name.as_bytes());
        return mac.verify_slice(&hash).is_ok();
    }
    let mut matched = false;
    for pattern in hosts.split(',') {
        let pattern = pattern.to_ascii_lowercase();
        if let Some(negated) = pattern.strip_prefix('!') {
            if glob(negated.as_bytes(), name.as_bytes()) {
                return false;
            }
        } else if glob(pattern.as_bytes(), name.as_bytes()) {
            matched = true;
        }
    }
    matched
}

/// `*` and `?`, as OpenSSH has them. Linear in memory, without recursion: patterns are not ours.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// Judges a key by all files together, for all names that the host goes by (its address and the
/// name that was dialled). A revoked key is refused for every host it is revoked for, whatever else
/// is known; a known key is known, even if the host has others of its kind.
pub fn judge(files: &[(String, String)], names: &[String], shown: &ShownKey) -> Judgement {
    let (mut known, mut changed, mut authority) = (false, None, None);
    let mut kinds: Vec<(String, String, usize)> = Vec::new();
    for (file, text) in files {
        for line in lines(text) {
            if !names.iter().any(|name| is_about(line.hosts, name)) {
                continue;
            }
            let same = line.base64 == shown.base64;
            let place = (file.clone(), line.number);
            match line.marker {
                Marker::Revoked if same => {
                    return Judgement::Revoked { file: place.0, line: place.1 };
                }
                Marker::Revoked => {}
                Marker::Authority => authority = authority.or(Some(place)),
                Marker::None if same => known = true,
                Marker::None if line.algorithm == shown.algorithm => {
                    changed = changed.or(Some(place));
                }
                Marker::None => kinds.push((line.algorithm.to_string(), place.0, place.1)),
            }
        }
    }
    if known {
        return Judgement::Known;
    }
    if let Some((file, line)) = changed {
        return Judgement::Changed { file, line };
    }
    if let Some((_, file, line)) = kinds.first().cloned() {
        let kinds = kinds.into_iter().map(|(kind, _, _)| kind).collect();
        return Judgement::OtherKind { file, line, kinds };
    }
    match authority {
        Some((file, line)) => Judgement::OnlyAuthority { file, line },
        None => Judgement::Unknown,
    }
}

/// The kinds of keys that this host is known by, so that the server is asked for one of those: a
/// host with an RSA line only would show its Ed25519 key otherwise, and seem changed.
pub fn kinds(files: &[(String, String)], names: &[String]) -> Vec<String> {
    let mut kinds = Vec::new();
    for (_, text) in files {
        for line in lines(text).filter(|l| l.marker == Marker::None) {
            let about = names.iter().any(|name| is_about(line.hosts, name));
            if about && !kinds.iter().any(|k| k == line.algorithm) {
                kinds.push(line.algorithm.to_string());
            }
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const B: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

    fn judged(text: &str, host: &str, port: u16, key: &str) -> Judgement {
        let shown = ShownKey { algorithm: "ssh-ed25519".into(), base64: key.into() };
        let files = [("known".to_string(), text.to_string())];
        judge(&files, &[lookup_name(host, port)], &shown)
    }

    #[test]
    fn plain_names_ports_and_case() {
        let text = format!("# mine\n\nNode-A,10.0.0.1 ssh-ed25519 {A} me@here\n");
        assert_eq!(judged(&text, "node-a", 22, A), Judgement::Known);
        assert_eq!(judged(&text, "NODE-A", 22, A), Judgement::Known);
        assert_eq!(judged(&text, "10.0.0.1", 22, A), Judgement::Known);
        assert_eq!(judged(&text, "node-a", 2222, A), Judgement::Unknown);
        assert_eq!(judged(&text, "node-b", 22, A), Judgement::Unknown);
        let place = Judgement::Changed { file: "known".into(), line: 3 };
        assert_eq!(judged(&text, "node-a", 22, B), place);
        let text = format!("[node-a]:2222 ssh-ed25519 {A}\n");
        assert_eq!(judged(&text, "node-a", 2222, A), Judgement::Known);
        assert_eq!(judged(&text, "node-a", 22, A), Judgement::Unknown);
    }

    #[test]
    fn several_keys_of_one_kind() {
        let text = format!("node-a ssh-ed25519 {A}\nnode-a ssh-ed25519 {B}\n");
        assert_eq!(judged(&text, "node-a", 22, A), Judgement::Known);
        assert_eq!(judged(&text, "node-a", 22, B), Judgement::Known);
    }

    #[test]
    fn wildcards_and_negations() {
        let text = format!("10.0.?.*,!10.0.0.9 ssh-ed25519 {A}\n");
        assert_eq!(judged(&text, "10.0.0.1", 22, A), Judgement::Known);
        assert_eq!(judged(&text, "10.0.10.1", 22, A), Judgement::Unknown);
        assert_eq!(judged(&text, "10.0.0.9", 22, A), Judgement::Unknown);
        assert!(glob(b"*a*b*", b"xxaxxbxx") && !glob(b"*a*b", b"xxaxxbx"));
    }

    #[test]
    fn revoked_wins() {
        let text = format!("node-a ssh-ed25519 {A}\n@revoked * ssh-ed25519 {A}\n");
        let place = Judgement::Revoked { file: "known".into(), line: 2 };
        assert_eq!(judged(&text, "node-a", 22, A), place);
        // Another key that is revoked says nothing about this one.
        let text = format!("node-a ssh-ed25519 {A}\n@revoked * ssh-ed25519 {B}\n");
        assert_eq!(judged(&text, "node-a", 22, A), Judgement::Known);
    }

    #[test]
    fn authorities_are_told_apart() {
        let text = format!("@cert-authority *.lab ssh-ed25519 {A}\n");
        let place = Judgement::OnlyAuthority { file: "known".into(), line: 1 };
        assert_eq!(judged(&text, "a.lab", 22, A), place);
        assert_eq!(judged(&text, "a.home", 22, A), Judgement::Unknown);
    }

    #[test]
    fn other_kinds_are_named() {
        let text = "node-a ssh-rsa AAAAB3NzaC1yc2E\n";
        let files = [("known".to_string(), text.to_string())];
        assert_eq!(kinds(&files, &["node-a".to_string()]), ["ssh-rsa"]);
        assert!(matches!(judged(text, "node-a", 22, A), Judgement::OtherKind { line: 1, .. }));
    }

    /// As `ssh-keygen -H` writes them; a test on real hosts uses its own output.
    #[test]
    fn hashed_names() {
        let mut mac = Hmac::<Sha1>::new_from_slice(b"0123456789abcdefghij").unwrap();
        mac.update(b"[10.77.0.1]:2222");
        let hash = STANDARD.encode(mac.finalize().into_bytes());
        let salt = STANDARD.encode(b"0123456789abcdefghij");
        let text = format!("|1|{salt}|{hash} ssh-ed25519 {A}\n|1|broken ssh-ed25519 {A}\n");
        assert_eq!(judged(&text, "10.77.0.1", 2222, A), Judgement::Known);
        assert_eq!(judged(&text, "10.77.0.2", 2222, A), Judgement::Unknown);
    }

    #[test]
    fn rubbish_is_passed_over() {
        for text in
            ["@strange x y z", "node-a", "node-a ssh-ed25519", "|1|| a b", "\u{0}", "!,,, a b"]
        {
            assert_eq!(judged(text, "node-a", 22, A), Judgement::Unknown, "{text}");
        }
    }
}
