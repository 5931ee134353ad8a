//! What is read off a certificate: fingerprints and when it ends.
//!
//! The few fields that are needed lie at fixed places of the outermost structure, so that no parser of
//! all of X.509 has to travel to every node.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use crate::names::hex;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] EXPLICIT`: the version, which only the oldest certificates leave out.
const VERSION: u8 = 0xa0;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of the whole certificate.
    pub fingerprint: String,
    /// SHA-256 of its public key's info: what kubeadm's `caCertHashes` want.
    pub key_hash: String,
    pub ends_ms: u64,
}

/// A value's tag, what is in it, what is behind it, and all of it with its head.
type Value<'a> = (u8, &'a [u8], &'a [u8], &'a [u8]);

fn value(from: &[u8]) -> Option<Value<'_>> {
    let (tag, first) = (*from.first()?, usize::from(*from.get(1)?));
    let (length, head) = if first < 0x80 {
        (first, 2)
    } else {
        let digits = first & 0x7f;
        if digits > 4 {
            return None;
        }
        let bytes = from.get(2..2 + digits)?;
        (bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b)), 2 + digits)
    };
    let end = head.checked_add(length)?;
    Some((tag, from.get(head..end)?, from.get(end..)?, from.get(..end)?))
}

fn inside(from: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, inside, rest, _) = value(from)?;
    (found == tag).then_some((inside, rest))
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// `YYMMDDHHMMSSZ`, or with four digits of the year.
fn time_ms(tag: u8, text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let year: i64 = text.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        GENERALIZED_TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let seconds =
        days_from_civil(year, two(0)?, two(2)?) * 86_400 + two(4)? * 3600 + two(6)? * 60 + two(8)?;
    u64::try_from(seconds).ok().map(|s| s * 1000)
}

/// The first block of a PEM file with this label.
fn block(pem: &str, label: &str) -> Option<Vec<u8>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let body = pem.split_once(&begin)?.1.split_once(&end)?.0;
    STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()
}

/// The first certificate of a PEM file.
pub fn read(pem: &str) -> Option<Certificate> {
    let der = block(pem, "CERTIFICATE")?;
    let (certificate, _) = inside(&der, SEQUENCE)?;
    let (mut rest, _) = inside(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = value(rest)?.2;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        rest = value(rest)?.2;
    }
    let (validity, rest) = inside(rest, SEQUENCE)?;
    let (tag, text, _, _) = value(value(validity)?.2)?;
    // The subject, and then the key.
    let (_, _, _, key) = value(value(rest)?.2)?;
    Some(Certificate {
        fingerprint: hex(&Sha256::digest(&der)),
        key_hash: hex(&Sha256::digest(key)),
        ends_ms: time_ms(tag, text)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // openssl req -x509 -newkey rsa:2048 -nodes -subj /O=Slipway/CN=test -days 3650
    const PEM: &str = include_str!("../../tests/facts/certificate.pem");

    #[test]
    fn a_certificate_that_openssl_made() {
        let found = read(PEM).unwrap();
        let said = include_str!("../../tests/facts/certificate.txt");
        let line = |name: &str| {
            said.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim().to_string()
        };
        assert_eq!(found.fingerprint, line("fingerprint"));
        assert_eq!(found.key_hash, line("key"));
        assert_eq!(found.ends_ms / 1000, line("ends").parse::<u64>().unwrap());
    }

    #[test]
    fn what_is_none_is_not_read() {
        for text in ["", "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n", "text"] {
            assert_eq!(read(text), None, "{text}");
        }
        let whole = block(PEM, "CERTIFICATE").unwrap();
        for length in 0..whole.len() {
            let cut = STANDARD.encode(&whole[..length]);
            let pem = format!("-----BEGIN CERTIFICATE-----\n{cut}\n-----END CERTIFICATE-----\n");
            assert_eq!(read(&pem), None, "cut at {length}");
        }
    }

    #[test]
    fn both_kinds_of_time() {
        assert_eq!(time_ms(UTC_TIME, b"700101000000Z"), Some(0));
        assert_eq!(time_ms(UTC_TIME, b"241231235959Z"), Some(1_735_689_599_000));
        assert_eq!(time_ms(GENERALIZED_TIME, b"20560229000000Z"), Some(2_719_008_000_000));
        assert_eq!(time_ms(UTC_TIME, b"2412312359Z"), None);
    }
}
