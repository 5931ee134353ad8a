//! Whom a file is for, and who can read it.

use std::str::FromStr;

use curve25519_dalek::{constants::X25519_BASEPOINT, montgomery::MontgomeryPoint};
use zeroize::Zeroizing;

use super::{Key, bech32, random};
use crate::secret::Sealed;

const RECIPIENT: &str = "age";
const IDENTITY: &str = "age-secret-key-";

/// Why a text is no key; without the text, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error("is no key of age's: a letter is wrong or missing")]
    Garbled,
    #[error("is a secret key, and here its public one is wanted (`age1...`)")]
    Secret,
    #[error("is a key of another kind than age's own (`age1...`)")]
    OtherKind,
    #[error("holds no secret key (`AGE-SECRET-KEY-1...`)")]
    NoIdentity,
}

/// A public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipient(pub(super) Key);

/// A secret key.
#[derive(Clone)]
pub struct Identity(Zeroizing<Key>);

fn decoded(text: &str, prefix: &str) -> Result<Key, BadKey> {
    match bech32::decode(text) {
        Some((found, bytes)) if found == prefix => bytes.try_into().map_err(|_| BadKey::Garbled),
        Some((found, _)) if found.starts_with(IDENTITY) => Err(BadKey::Secret),
        Some(_) => Err(BadKey::OtherKind),
        None if text.to_ascii_lowercase().starts_with(IDENTITY) => Err(BadKey::Secret),
        None if text.starts_with("ssh-") => Err(BadKey::OtherKind),
        None => Err(BadKey::Garbled),
    }
}

impl FromStr for Recipient {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        decoded(text, RECIPIENT).map(Self)
    }
}

impl std::fmt::Display for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&bech32::encode(RECIPIENT, &self.0))
    }
}

impl Identity {
    pub fn generate() -> std::io::Result<Self> {
        Ok(Self(Zeroizing::new(random()?)))
    }

    /// The first one in a file as `age-keygen` writes it.
    pub fn in_file(text: &str) -> Result<Self, BadKey> {
        let mut lines = text.lines().map(str::trim);
        let line = lines.find(|l| !l.is_empty() && !l.starts_with('#'));
        match decoded(line.ok_or(BadKey::NoIdentity)?, IDENTITY) {
            Ok(key) => Ok(Self(Zeroizing::new(key))),
            Err(BadKey::Garbled | BadKey::Secret) => Err(BadKey::Garbled),
            Err(BadKey::OtherKind | BadKey::NoIdentity) => Err(BadKey::NoIdentity),
        }
    }

    pub fn recipient(&self) -> Recipient {
        Recipient(X25519_BASEPOINT.mul_clamped(*self.0).to_bytes())
    }

    pub fn to_text(&self) -> Sealed {
        let text = Zeroizing::new(bech32::encode(IDENTITY, &*self.0));
        Sealed::new(text.to_ascii_uppercase())
    }

    /// What only the two of them know. None for a point that gives everybody the same.
    pub(super) fn shared_with(&self, other: &Key) -> Option<Zeroizing<Key>> {
        let shared = MontgomeryPoint(*other).mul_clamped(*self.0).to_bytes();
        (shared != [0; 32]).then(|| Zeroizing::new(shared))
    }
}
