//! Files that SOPS encrypted for age recipients: one value of them, authenticated together with all the
//! others.
//!
//! The data key is age's business, and what SOPS makes of it is AES-GCM with a nonce of 32 bytes, which
//! ring does not have and what SSH brings along does. Files for other kinds of keys (KMS, PGP) are
//! SOPS's own to read: a `command` runs it. Pure: must not know where a file lies.

use aes_gcm::{
    AesGcm, KeyInit,
    aead::{Aead, Payload},
    aes::Aes256,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use crate::{
    age::{self, Identity},
    gitops::yaml::{self, Node, Value},
};

/// 32 bytes, as in `iv:` of every value.
type Cipher = AesGcm<Aes256, aes_gcm::aead::consts::U32>;

/// What a MAC begins with that covers encrypted values only, so that it is never another's.
const ONLY_ENCRYPTED: [u8; 32] = [
    0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b,
    0x0b, 0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
];

/// Why a value cannot be had. None of it tells a value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SopsError {
    #[error("line {line}: {why}")]
    Malformed { line: usize, why: String },
    #[error("it is not encrypted by SOPS: there is no `sops` in it")]
    NotSops,
    #[error("it is encrypted for no age recipient")]
    NoAge,
    #[error("it is encrypted for other age keys than yours: {}", .for_whom.join(", "))]
    NotForUs { for_whom: Vec<String> },
    #[error("it has no `{key}`; beside it there is {}", .has.join(", "))]
    Missing { key: String, has: Vec<String> },
    #[error("`{key}` is no single value")]
    NotOne { key: String },
    #[error(
        "line {line}: the value cannot be decrypted: it was damaged, or moved from another place"
    )]
    Damaged { line: usize },
    #[error("it was changed since SOPS wrote it: its MAC does not fit what is in it")]
    Changed,
}

/// The value at `key`, a name a level.
pub fn value(
    text: &str,
    key: &[String],
    identities: &[Identity],
) -> Result<Zeroizing<String>, SopsError> {
    let documents = yaml::read(text)
        .map_err(|error| SopsError::Malformed { line: error.line, why: error.why })?;
    let sops = documents.iter().find_map(|d| d.entry("sops")).ok_or(SopsError::NotSops)?;
    let data_key = data_key(&sops.node, identities)?;
    let cipher = Cipher::new_from_slice(&data_key).map_err(|_| SopsError::NotForUs {
        for_whom: vec!["its data key has an odd length".into()],
    })?;
    let field = |name: &str| sops.node.entry(name).and_then(|e| e.node.text());
    let mut walk = Walk {
        cipher: &cipher,
        hash: Sha512::new(),
        only_encrypted: field("mac_only_encrypted") == Some("true"),
        wanted: key,
        path: Vec::new(),
        in_list: false,
        found: None,
    };
    if walk.only_encrypted {
        walk.hash.update(ONLY_ENCRYPTED);
    }
    for document in &documents {
        walk.take(document)?;
    }
    let Walk { hash, found, .. } = walk;
    let mac: String = hash.finalize().iter().map(|b| format!("{b:02X}")).collect();
    let written = field("mac").ok_or(SopsError::NotSops)?;
    let modified = field("lastmodified").unwrap_or_default();
    let written = open(&cipher, written, modified.as_bytes()).ok_or(SopsError::Changed)?;
    if *written != *mac {
        return Err(SopsError::Changed);
    }
    found.ok_or_else(|| nothing(&documents, key))
}

/// What is there in its place.
fn nothing(documents: &[Node], key: &[String]) -> SopsError {
    let shown = key.join(".");
    let Some(mut node) = documents.first() else { return SopsError::NotSops };
    for name in key {
        let Value::Map(entries) = &node.value else { break };
        match entries.iter().find(|e| &e.key == name) {
            Some(entry) => node = &entry.node,
            None => {
                let own = entries.iter().filter(|e| e.key != "sops");
                let has = own.map(|e| format!("`{}`", e.key)).collect();
                return SopsError::Missing { key: shown, has };
            }
        }
    }
    SopsError::NotOne { key: shown }
}

fn data_key(sops: &Node, identities: &[Identity]) -> Result<Zeroizing<Vec<u8>>, SopsError> {
    let mut recipients = Vec::new();
    // Several groups share a key out among them, which is not for here.
    if let Some(Value::List(stanzas)) = sops.entry("age").map(|e| &e.node.value) {
        for stanza in stanzas {
            let field = |name: &str| stanza.entry(name).and_then(|e| e.node.text());
            let Some(sealed) = field("enc") else { continue };
            for identity in identities {
                if let Ok(key) = age::decrypt(sealed.as_bytes(), identity) {
                    return Ok(key);
                }
            }
            recipients.push(field("recipient").unwrap_or("?").to_string());
        }
    }
    match recipients.is_empty() {
        true => Err(SopsError::NoAge),
        false => Err(SopsError::NotForUs { for_whom: recipients }),
    }
}

/// `ENC[AES256_GCM,data:...,iv:...,tag:...,type:str]`
fn open(cipher: &Cipher, text: &str, place: &[u8]) -> Option<Zeroizing<String>> {
    let inside = text.strip_prefix("ENC[AES256_GCM,")?.strip_suffix(']')?;
    let part = |name: &str| {
        let found = inside.split(',').find_map(|p| p.strip_prefix(name)?.strip_prefix(':'))?;
        STANDARD.decode(found).ok()
    };
    let (mut sealed, iv) = (part("data")?, part("iv")?);
    sealed.extend(part("tag")?);
    let iv: [u8; 32] = iv.try_into().ok()?;
    let plain = cipher.decrypt(&iv.into(), Payload { msg: &sealed, aad: place }).ok()?;
    String::from_utf8(plain).ok().map(Zeroizing::new)
}

/// Through all values in their order, which is what the MAC covers.
struct Walk<'a> {
    cipher: &'a Cipher,
    hash: Sha512,
    only_encrypted: bool,
    wanted: &'a [String],
    path: Vec<String>,
    in_list: bool,
    found: Option<Zeroizing<String>>,
}

impl Walk<'_> {
    fn take(&mut self, node: &Node) -> Result<(), SopsError> {
        match &node.value {
            Value::Map(entries) => {
                for entry in entries {
                    if self.path.is_empty() && entry.key == "sops" {
                        continue;
                    }
                    self.path.push(entry.key.clone());
                    self.take(&entry.node)?;
                    self.path.pop();
                }
            }
            // Its items have no place of their own.
            Value::List(items) => {
                let outside = std::mem::replace(&mut self.in_list, true);
                items.iter().try_for_each(|item| self.take(item))?;
                self.in_list = outside;
            }
            Value::Text { text, .. } if text.starts_with("ENC[") => {
                let place = self.path.iter().map(|p| format!("{p}:")).collect::<String>();
                let opened = open(self.cipher, text, place.as_bytes());
                let plain = opened.ok_or(SopsError::Damaged { line: node.line })?;
                self.hash.update(plain.as_bytes());
                self.keep(plain);
            }
            Value::Text { .. } if node.is_null() => {}
            Value::Text { text, plain } => {
                let text = if *plain { as_sops_says(text) } else { text.clone() };
                if !self.only_encrypted {
                    self.hash.update(text.as_bytes());
                }
                self.keep(Zeroizing::new(text));
            }
        }
        Ok(())
    }

    fn keep(&mut self, value: Zeroizing<String>) {
        if self.path == self.wanted && !self.in_list && self.found.is_none() {
            self.found = Some(value);
        }
    }
}

/// How SOPS writes what is no text.
fn as_sops_says(text: &str) -> String {
    match text {
        "true" | "True" | "TRUE" => "True".into(),
        "false" | "False" | "FALSE" => "False".into(),
        _ if text.contains(['.', 'e', 'E']) && text.parse::<f64>().is_ok_and(f64::is_finite) => {
            text.parse::<f64>().map_or_else(|_| text.into(), |number| number.to_string())
        }
        _ => text.into(),
    }
}

#[cfg(test)]
#[path = "sops_tests.rs"]
mod tests;
