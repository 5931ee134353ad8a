//! What looks like a secret even though nobody said that it is one.
//!
//! The last line of defence behind typed secrets and the registered ones. Only ranges of a text are
//! found here; must not know what becomes of them.

use std::ops::Range;

/// The ranges that look like secrets, in no order, perhaps overlapping.
#[derive(Debug, Default)]
pub struct Found {
    pub ranges: Vec<Range<usize>>,
    /// A private key began and its end is not in the text: the next line belongs to it.
    pub open: bool,
}

/// A line that makes the scanner believe that it stands inside a private key.
pub const PEM_OPEN: &str = "-----BEGIN PRIVATE KEY-----";

pub fn scan(text: &str) -> Found {
    let mut found = Found::default();
    private_keys(text, &mut found);
    tokens(text, &mut found.ranges);
    // ASCII lower case keeps every byte in its place.
    let lower = text.to_ascii_lowercase();
    authorization(&lower, &mut found.ranges);
    for word in ["certificate-key", "certificate key", "certificatekey"] {
        certificate_key(&lower, word, &mut found.ranges);
    }
    encoded_pem(text, &mut found.ranges);
    found
}

/// `abcdef.0123456789abcdef`, alone between other characters.
fn tokens(text: &str, ranges: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    for (dot, _) in text.match_indices('.') {
        let before = bytes[..dot].iter().rev().take(7).take_while(|b| plain(b)).count();
        let after = bytes[dot + 1..].iter().take(17).take_while(|b| plain(b)).count();
        if before == 6 && after == 16 {
            ranges.push(dot - 6..dot + 17);
        }
    }
}

fn private_keys(text: &str, found: &mut Found) {
    let mut from = 0;
    while let Some(begin) = text[from..].find("-----BEGIN ").map(|at| from + at) {
        let label = begin + "-----BEGIN ".len();
        from = label;
        let Some(dashes) = text[label..].find("-----").map(|at| label + at) else { continue };
        if !text[label..dashes].ends_with("PRIVATE KEY") {
            continue;
        }
        let end = text[dashes..].find("-----END ").map(|at| dashes + at);
        let close = end.and_then(|end| {
            let label = end + "-----END ".len();
            text[label..].find("-----").map(|at| label + at + 5)
        });
        found.open = close.is_none();
        from = close.unwrap_or(text.len());
        found.ranges.push(begin..from);
    }
}

/// `Authorization: Bearer ...`, also as JSON or an option writes it.
fn authorization(lower: &str, ranges: &mut Vec<Range<usize>>) {
    let between = |c: char| c.is_whitespace() || matches!(c, ':' | '=' | '"' | '\'' | '\\');
    for (at, word) in lower.match_indices("authorization") {
        let scheme = skip(lower, at + word.len(), between);
        let Some(name) =
            ["bearer", "basic", "token"].iter().find(|s| lower[scheme..].starts_with(**s))
        else {
            continue;
        };
        let start = skip(lower, scheme + name.len(), between);
        let end = skip(lower, start, |c| !c.is_whitespace() && !matches!(c, '"' | '\'' | ','));
        if end > start {
            ranges.push(start..end);
        }
    }
}

/// 64 hexadecimal digits right after the word; alone they are any checksum.
fn certificate_key(lower: &str, word: &str, ranges: &mut Vec<Range<usize>>) {
    for (at, _) in lower.match_indices(word) {
        let start = skip(lower, at + word.len(), |c| !c.is_ascii_alphanumeric());
        let end = skip(lower, start, |c| c.is_ascii_hexdigit());
        if end - start >= 64 {
            ranges.push(start..end);
        }
    }
}

/// Base64 of a PEM file, as in a kubeconfig. Certificates go too: nobody reads them here.
fn encoded_pem(text: &str, ranges: &mut Vec<Range<usize>>) {
    for (start, _) in text.match_indices("LS0tLS1CRUdJTi") {
        let end = skip(text, start, |c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '='));
        ranges.push(start..end);
    }
}

fn skip(text: &str, from: usize, what: impl Fn(char) -> bool) -> usize {
    text[from..].find(|c| !what(c)).map_or(text.len(), |at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> Vec<&str> {
        let mut found = scan(text).ranges;
        found.sort_by_key(|range| range.start);
        found.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn kubeadm_tokens() {
        let token = "abcdef.0123456789abcdef";
        assert_eq!(hidden(token), [token]);
        assert_eq!(hidden("join --token=abcdef.0123456789abcdef --v"), [token]);
        for not in ["xabcdef.0123456789abcdef", "abcdef.0123456789abcdef0", "k8s-api.lab.home", "."]
        {
            assert!(hidden(not).is_empty(), "{not}");
        }
    }

    #[test]
    fn private_keys_and_not_certificates() {
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----";
        assert_eq!(hidden(&format!("a {key} b")), [key]);
        assert!(hidden("-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----").is_empty());
        let cut = scan("x\n-----BEGIN PRIVATE KEY-----\nMIIE");
        assert!(cut.open);
        assert_eq!(cut.ranges.first(), Some(&(2..34)));
        assert!(scan(PEM_OPEN).open);
        assert!(!scan("-----BEGIN ").open);
    }

    #[test]
    fn bearer_headers() {
        assert_eq!(hidden("authorization: bearer eyJh.b-c"), ["eyJh.b-c"]);
        assert_eq!(hidden(r#"{"Authorization":"Bearer eyJh"}"#), ["eyJh"]);
        assert!(hidden("RBAC authorization mode").is_empty());
    }

    #[test]
    fn certificate_keys_and_not_checksums() {
        let hex = "0a".repeat(32);
        for text in [
            format!("--certificate-key {hex}"),
            format!("certificateKey: {hex}"),
            format!("[upload-certs] Using certificate key:\n{hex}"),
        ] {
            assert_eq!(hidden(&text), [&hex], "{text}");
        }
        assert!(hidden(&format!("sha256:{hex}")).is_empty());
        assert_eq!(hidden("client-key-data: LS0tLS1CRUdJTiBSU0E="), ["LS0tLS1CRUdJTiBSU0E="]);
    }

    #[test]
    fn other_scripts_do_not_disturb() {
        assert!(hidden("é.日本語 authorization: é certificate-key é -----BEGIN é").is_empty());
    }
}
