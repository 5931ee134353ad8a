//! The shapes of words that are plain strings in the model.

use std::net::Ipv4Addr;

/// A host: an IPv4 address or a DNS name. The error says why it is neither.
pub fn host(text: &str) -> Result<(), String> {
    if text.parse::<Ipv4Addr>().is_ok() {
        return Ok(());
    }
    let numeric = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit());
    if text.rsplit('.').next().is_some_and(numeric) {
        return Err("is not an IPv4 address, and no DNS name ends in a number".into());
    }
    if text.contains("://") {
        return Err("is an address with a scheme; only the host's name belongs here".into());
    }
    if text.contains(':') {
        return Err("contains `:`; only the host's name or IPv4 address belongs here".into());
    }
    dns_name(text)
}

/// RFC 1123, lower case, as Kubernetes wants it in certificates.
pub fn dns_name(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("must not be empty".into());
    }
    if text.len() > 253 {
        return Err(format!("is {} characters long; a DNS name has at most 253", text.len()));
    }
    for label in text.split('.') {
        let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if let Some(bad) = label.chars().find(|c| !inside(*c)) {
            let shown = bad.escape_debug();
            return Err(format!(
                "contains `{shown}`; lowercase letters, digits, `-` and `.` are allowed"
            ));
        }
        if label.is_empty() || label.len() > 63 || label.starts_with('-') || label.ends_with('-') {
            return Err(
                "is not a DNS name: between dots stand 1 to 63 letters, digits and inner `-`"
                    .into(),
            );
        }
    }
    Ok(())
}

/// A path on a node, written out in full.
pub fn absolute_path(text: &str) -> Result<(), &'static str> {
    let parts: Vec<&str> = text.trim_start_matches('/').split('/').collect();
    if !text.starts_with('/') {
        Err("is not absolute: a path on the node begins with `/`")
    } else if parts.iter().any(|p| matches!(*p, "." | ".." | "")) {
        Err("is not written out: `.`, `..`, `//` and a `/` at the end do not belong into it")
    } else if parts.len() < 2 {
        Err("is too near the root: something below a directory is expected")
    } else if text.chars().any(char::is_control) || text.len() > 1024 {
        Err("is not a path that anybody could type")
    } else {
        Ok(())
    }
}

/// A public key, as a line of authorized_keys without options.
pub fn public_key(text: &str) -> Result<(), &'static str> {
    if text.contains("PRIVATE KEY") {
        return Err("is a private key, which must never be here");
    }
    let mut words = text.split(' ');
    let kind = words.next().unwrap_or_default();
    let known = ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"].iter().any(|k| kind.starts_with(k));
    let body = words.next().unwrap_or_default();
    let base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    if !known || body.len() < 16 || !body.chars().all(base64) || text.chars().any(char::is_control)
    {
        return Err("is not a public key");
    }
    Ok(())
}

/// A path inside a repository that cannot lead out of it.
pub fn relative_path(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split('/').collect();
    if text.is_empty() {
        Err("must not be empty".into())
    } else if text.starts_with('/') || text.starts_with('~') {
        Err("is absolute; a path inside the GitOps repository belongs here".into())
    } else if parts.contains(&"..") {
        Err("leads upwards with `..`; a path inside the GitOps repository belongs here".into())
    } else if text.contains('\\') || text.contains("://") || text.chars().any(char::is_control) {
        Err("is not a path inside the GitOps repository".into())
    } else {
        Ok(())
    }
}

/// `500M`, `1G`, as journald reads it.
pub fn size(text: &str) -> bool {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T']);
    text.len() == digits.len() + 1
        && (1..=9).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0')
}

pub fn package(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "@._+-".contains(c);
    !text.is_empty() && text.chars().all(inside) && !text.starts_with(['-', '.'])
}

pub fn user(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
    (1..=32).contains(&text.len())
        && text.chars().all(inside)
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
}

/// `net.ipv4.ip_forward`, `net/ipv4/conf/eth0.10/rp_filter`.
pub fn sysctl(text: &str) -> bool {
    let part = |p: &str| {
        !p.is_empty() && p.chars().all(|c| c.is_ascii_alphanumeric() || "_-*".contains(c))
    };
    let parts: Vec<&str> = text.split(['.', '/']).collect();
    parts.len() >= 2 && parts.into_iter().all(part)
}

/// Why Kubernetes would refuse the label's key.
pub fn label_key(text: &str) -> Result<(), String> {
    let name = match text.split_once('/') {
        Some((prefix, name)) => {
            dns_name(prefix).map_err(|why| format!("has the prefix `{prefix}`, which {why}"))?;
            name
        }
        None => text,
    };
    if name.is_empty() { Err("has no name".into()) } else { label_value(name) }
}

/// Why Kubernetes would refuse the label's value.
pub fn label_value(text: &str) -> Result<(), String> {
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    if text.len() > 63 {
        return Err(format!("is {} characters long, at most 63 are allowed", text.len()));
    }
    let inside = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if let Some(bad) = text.chars().find(|c| !inside(*c)) {
        let shown = bad.escape_debug();
        return Err(format!("contains `{shown}`; letters, digits, `-`, `_` and `.` are allowed"));
    }
    if !edge(text.chars().next()) || !edge(text.chars().last()) {
        return Err("must start and end with a letter or digit".into());
    }
    Ok(())
}

/// Ceph's cluster ids: a UUID, in its one usual spelling.
pub fn uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|p| p.len()).collect();
    lengths == [8, 4, 4, 4, 12] && parts.concat().bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for good in ["k8s-api.lab.home", "192.168.1.1", "a", "1a", "xn--bcher-kva.example"] {
            assert_eq!(host(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "K8s",
            "a..b",
            "-a",
            "a.b:6443",
            "192.168.1.256",
            "1.2.3",
            "a_b",
            "bücher",
            "https://x",
        ] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_stay_inside() {
        for good in ["a/b", ".", "a/./b", "..a/b"] {
            assert_eq!(relative_path(good), Ok(()), "{good}");
        }
        for bad in ["", "/a", "a/../b", "..", "~/a", "a\\b", "https://x/y", "a\nb"] {
            assert!(relative_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words() {
        assert!(
            size("500M")
                && size("1G")
                && !size("0G")
                && !size("1GB")
                && !size("1GG")
                && !size("G")
                && !size("10%")
        );
        assert!(
            package("linux-lts")
                && package("libstdc++")
                && !package("-x")
                && !package("a b")
                && !package("")
        );
        assert!(
            sysctl("net.ipv4.ip_forward")
                && !sysctl("swappiness")
                && !sysctl("a. b")
                && !sysctl("a..b")
        );
        assert!(
            label_key("a.b/c_D").is_ok()
                && label_key("/x").is_err()
                && label_key("a/").is_err()
                && label_key("a/b/c").is_err()
        );
        assert!(
            label_value("").is_ok() && label_value("a b").is_err() && label_value("-a").is_err()
        );
        assert!(uuid("d29d8f10-9f3a-4b7e-8a55-2f6d1c0f7a11") && !uuid("d29d8f10"));
        assert!(user("root") && user("_svc") && !user("") && !user("Root") && !user("-x"));
    }
}
