//! A file's beginning: its key, wrapped for each recipient.

use std::io::{self, Read, Write};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use ring::hmac;
use zeroize::Zeroizing;

use super::{Aead, AgeError, Identity, Key, Recipient, TAG, derive, random};

pub type FileKey = Zeroizing<[u8; FILE_KEY]>;

const FILE_KEY: usize = 16;
const VERSION: &str = "age-encryption.org/v1";
const X25519: &str = "X25519";
const WRAPS: &[u8] = b"age-encryption.org/v1/X25519";
const COLUMNS: usize = 64;
const NONCE: [u8; 12] = [0; 12];
/// More recipients than anybody has.
const MOST_BYTES: usize = 1 << 20;

fn wrapping_key(shared: &Key, ephemeral: &Key, recipient: &Key) -> Zeroizing<Key> {
    Zeroizing::new(derive(shared, &[*ephemeral, *recipient].concat(), WRAPS))
}

/// Over all of the header up to its last line's dashes.
fn authenticator(key: &FileKey) -> hmac::Key {
    let key = Zeroizing::new(derive(&**key, b"", b"header"));
    hmac::Key::new(hmac::HMAC_SHA256, &*key)
}

/// Writes one for a fresh key.
pub fn write(to: &mut impl Write, recipients: &[Recipient]) -> io::Result<FileKey> {
    let key = Zeroizing::new(random::<FILE_KEY>()?);
    let mut header = format!("{VERSION}\n");
    for recipient in recipients {
        let ephemeral = Identity::generate()?;
        let public = ephemeral.recipient().0;
        let shared = ephemeral
            .shared_with(&recipient.0)
            .ok_or_else(|| io::Error::other(format!("{recipient} is no key of anybody's")))?;
        let wrapping = wrapping_key(&shared, &public, &recipient.0);
        let mut body = key.to_vec();
        Aead::new(&wrapping)?.seal(NONCE, &mut body)?;
        let (public, body) = (BASE64.encode(public), BASE64.encode(body));
        header += &format!("-> {X25519} {public}\n{body}\n");
    }
    header += "---";
    let mac = hmac::sign(&authenticator(&key), header.as_bytes());
    header += &format!(" {}\n", BASE64.encode(mac.as_ref()));
    to.write_all(header.as_bytes())?;
    Ok(key)
}

/// Reads it, and nothing beyond it.
pub fn read(from: &mut impl Read, identity: &Identity) -> Result<FileKey, AgeError> {
    let mut text = String::new();
    if line(from, &mut text).map_err(not_age)? != VERSION {
        return Err(AgeError::NotAge);
    }
    let mut key = None;
    loop {
        let head = line(from, &mut text)?;
        if let Some(mac) = head.strip_prefix("--- ") {
            let key: FileKey = key.ok_or(AgeError::NotForUs)?;
            let covered = text.len() - 1 - mac.len() - 1;
            let mac = BASE64.decode(mac).map_err(|_| AgeError::Damaged)?;
            let made = hmac::verify(&authenticator(&key), &text.as_bytes()[..covered], &mac);
            return made.map(|()| key).map_err(|_| AgeError::Damaged);
        }
        let words = head.strip_prefix("-> ").ok_or(AgeError::Damaged)?;
        let mut body = String::new();
        loop {
            let part = line(from, &mut text)?;
            body += &part;
            if part.len() != COLUMNS {
                break;
            }
        }
        if key.is_none()
            && let Some(public) = words.strip_prefix(X25519).map(str::trim_start)
        {
            key = unwrap(public, &body, identity)?;
        }
    }
}

/// None where it is for somebody else.
fn unwrap(public: &str, body: &str, identity: &Identity) -> Result<Option<FileKey>, AgeError> {
    let decode = |text: &str| BASE64.decode(text).map_err(|_| AgeError::Damaged);
    let public: Key = decode(public)?.try_into().map_err(|_| AgeError::Damaged)?;
    let mut body = Zeroizing::new(decode(body)?);
    if body.len() != FILE_KEY + TAG {
        return Err(AgeError::Damaged);
    }
    let shared = identity.shared_with(&public).ok_or(AgeError::Damaged)?;
    let wrapping = wrapping_key(&shared, &public, &identity.recipient().0);
    let opened = Aead::new(&wrapping)?;
    let opened = opened.open(NONCE, &mut body);
    Ok(opened.and_then(|key| key.try_into().ok()).map(Zeroizing::new))
}

fn not_age(error: AgeError) -> AgeError {
    match error {
        AgeError::Damaged => AgeError::NotAge,
        other => other,
    }
}

/// The next line; `text` is everything so far.
fn line(from: &mut impl Read, text: &mut String) -> Result<String, AgeError> {
    let begin = text.len();
    loop {
        let mut byte = [0];
        match from.read_exact(&mut byte) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Err(AgeError::Damaged),
            read => read?,
        }
        match byte[0] {
            _ if text.len() >= MOST_BYTES => return Err(AgeError::Damaged),
            b'\n' => {
                let line = text[begin..].to_string();
                text.push('\n');
                return Ok(line);
            }
            letter @ b' '..=b'~' => text.push(char::from(letter)),
            _ => return Err(AgeError::Damaged),
        }
    }
}
