//! Against files that SOPS 3.13 itself wrote, and every way to tamper with one.

use super::*;

const IDENTITY: &str = include_str!("../tests/age/identity.txt");
const ALL: &str = include_str!("../tests/secrets/all.yaml");
const SOME: &str = include_str!("../tests/secrets/some.yaml");
const ONLY: &str = include_str!("../tests/secrets/only.yaml");
const JSON: &str = include_str!("../tests/secrets/all.json");

fn at(text: &str, key: &str) -> Result<String, SopsError> {
    let key: Vec<String> = key.split('.').map(str::to_string).collect();
    let identity = Identity::in_file(IDENTITY).unwrap();
    value(text, &key, &[identity]).map(|value| value.to_string())
}

#[test]
fn what_sops_wrote_is_read() {
    for text in [ALL, SOME, ONLY] {
        assert_eq!(at(text, "stringData.token").unwrap(), "a-token-of-nobody");
        assert_eq!(at(text, "stringData.port").unwrap(), "8443");
        assert_eq!(at(text, "stringData.text").unwrap(), "two\nlines\n");
        assert_eq!(at(text, "metadata.name").unwrap(), "dns");
    }
    assert_eq!(at(JSON, "login.password").unwrap(), "pass\"word");
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let missing = at(ALL, "stringData.tokn").unwrap_err().to_string();
    assert!(missing.contains("`stringData.tokn`; beside it there is `token`, `port`"), "{missing}");
    for key in ["stringData", "list", "stringData.token.more"] {
        assert!(matches!(at(ALL, key), Err(SopsError::NotOne { .. })), "{key}");
    }
}

#[test]
fn what_was_tampered_with_is_refused() {
    // A value that was not encrypted, and that the MAC covers.
    let changed = SOME.replace("name: dns", "name: dnz");
    assert_eq!(at(&changed, "stringData.token"), Err(SopsError::Changed));
    // In this one it does not.
    let changed = ONLY.replace("name: dns", "name: dnz");
    assert_eq!(at(&changed, "metadata.name").unwrap(), "dnz");
    // One value in another's place, and one that is gone.
    let moved = ALL.replacen("    token: ENC", "    tokem: ENC", 1);
    assert!(matches!(at(&moved, "stringData.port"), Err(SopsError::Damaged { line: 7 })));
    let gone: String =
        ALL.lines().filter(|l| !l.starts_with("    port")).map(|l| format!("{l}\n")).collect();
    assert_eq!(at(&gone, "stringData.token"), Err(SopsError::Changed));
}

#[test]
fn files_for_somebody_else() {
    let other = [Identity::generate().unwrap()];
    let key = ["stringData".to_string(), "token".to_string()];
    let refused = value(ALL, &key, &other).unwrap_err();
    assert!(refused.to_string().contains("other age keys than yours: age1ae6l8"), "{refused}");
    assert_eq!(value("a: 1\n", &key, &other), Err(SopsError::NotSops));
    assert_eq!(value("a: 1\nsops:\n  kms: []\n", &key, &other), Err(SopsError::NoAge));
    assert!(matches!(value("a: [\n", &key, &other), Err(SopsError::Malformed { .. })));
}
