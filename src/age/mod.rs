//! Files that only who holds a key can read, as age (age-encryption.org/v1) writes them: to X25519
//! recipients, streamed.
//!
//! Of that format the part that is needed here. The primitives are ring's and curve25519-dalek's,
//! which SSH and TLS bring along anyway; the `age` crate would bring its own, and a translator of its
//! messages, and would make what every node is sent by four tenths of a megabyte larger. What it
//! writes is read here, and the other way round: see the tests. Must not know what is in a file.

mod bech32;
mod header;
mod keys;
mod stream;

pub use keys::{BadKey, Identity, Recipient};
pub use stream::{Decryptor, Encryptor};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use zeroize::Zeroizing;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AgeError {
    #[error("it is no file that age encrypted")]
    NotAge,
    #[error("it is encrypted for other keys than this one")]
    NotForUs,
    #[error("its beginning is damaged")]
    Damaged,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

const ARMOR: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const ARMOR_END: &str = "-----END AGE ENCRYPTED FILE-----";

/// All of a small file, which may be written in letters (`age --armor`).
pub fn decrypt(sealed: &[u8], identity: &Identity) -> Result<Zeroizing<Vec<u8>>, AgeError> {
    use std::io::Read;
    let armored = std::str::from_utf8(sealed).ok().map(str::trim);
    let letters = armored.and_then(|text| text.strip_prefix(ARMOR)?.strip_suffix(ARMOR_END));
    let decoded = match letters {
        Some(letters) => {
            let letters: String = letters.split_whitespace().collect();
            Some(STANDARD.decode(letters).map_err(|_| AgeError::Damaged)?)
        }
        None => None,
    };
    let mut plain = Zeroizing::new(Vec::new());
    Decryptor::new(decoded.as_deref().unwrap_or(sealed), identity)?.read_to_end(&mut plain)?;
    Ok(plain)
}

type Key = [u8; 32];

fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Key {
    let mut key = [0; 32];
    let infos = [info];
    let made = Salt::new(HKDF_SHA256, salt).extract(secret);
    // The length that is asked for is the hash's own: it is always given.
    if let Ok(output) = made.expand(&infos, HKDF_SHA256) {
        let _ = output.fill(&mut key);
    }
    key
}

/// ring does not say why.
fn failed(_: ring::error::Unspecified) -> std::io::Error {
    std::io::Error::other("a key or a random number could not be made")
}

struct Aead(LessSafeKey);

/// What authenticates a piece.
const TAG: usize = 16;

impl Aead {
    fn new(key: &Key) -> std::io::Result<Self> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key);
        Ok(Self(LessSafeKey::new(key.map_err(failed)?)))
    }

    fn seal(&self, nonce: [u8; 12], bytes: &mut Vec<u8>) -> std::io::Result<()> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self.0.seal_in_place_append_tag(nonce, Aad::empty(), bytes);
        sealed.map_err(failed)
    }

    /// None when it is not what was sealed.
    fn open<'a>(&self, nonce: [u8; 12], bytes: &'a mut [u8]) -> Option<&'a [u8]> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.open_in_place(nonce, Aad::empty(), bytes).ok().map(|plain| &*plain)
    }
}

fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    use ring::rand::SecureRandom;
    let mut bytes = [0; N];
    ring::rand::SystemRandom::new().fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
