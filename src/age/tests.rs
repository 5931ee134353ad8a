//! Against files that age itself wrote, and every way to damage one.

use std::io::{Read, Write};

use super::{header, *};

// Made by the `age` crate 0.12 for this key and another one.
const IDENTITY: &str = include_str!("../../tests/age/identity.txt");
const WORDS: &[u8] = include_bytes!("../../tests/age/words.age");
const NOTHING: &[u8] = include_bytes!("../../tests/age/nothing.age");

fn encrypted(plain: &[u8], recipients: &[Recipient]) -> Vec<u8> {
    let mut encryptor = Encryptor::new(Vec::new(), recipients).unwrap();
    encryptor.write_all(plain).unwrap();
    encryptor.finish().unwrap()
}

fn decrypted(sealed: &[u8], identity: &Identity) -> Result<Vec<u8>, AgeError> {
    let mut plain = Vec::new();
    Decryptor::new(sealed, identity)?.read_to_end(&mut plain)?;
    Ok(plain)
}

#[test]
fn what_age_wrote_is_read() {
    let identity = Identity::in_file(IDENTITY).unwrap();
    assert_eq!(decrypted(WORDS, &identity).unwrap(), b"from age\n");
    assert_eq!(decrypted(NOTHING, &identity).unwrap(), b"");
    let public = IDENTITY.lines().find_map(|l| l.strip_prefix("# public key: ")).unwrap();
    assert_eq!(identity.recipient().to_string(), public);
    assert_eq!(public.parse::<Recipient>().unwrap(), identity.recipient());
    assert!(IDENTITY.contains(identity.to_text().reveal()));
}

#[test]
fn every_recipient_reads_it_and_nobody_else() {
    let all = [(); 3].map(|()| Identity::generate().unwrap());
    let sealed = encrypted(b"words", &[all[0].recipient(), all[1].recipient()]);
    assert_eq!(decrypted(&sealed, &all[0]).unwrap(), b"words");
    assert_eq!(decrypted(&sealed, &all[1]).unwrap(), b"words");
    assert!(matches!(decrypted(&sealed, &all[2]), Err(AgeError::NotForUs)));
    assert!(matches!(decrypted(b"<html>", &all[0]), Err(AgeError::NotAge)));
    assert!(matches!(decrypted(b"", &all[0]), Err(AgeError::NotAge)));
}

#[test]
fn pieces_of_every_size() {
    let identity = Identity::generate().unwrap();
    for size in [0usize, 1, 65_535, 65_536, 65_537, 131_072, 200_000] {
        let plain: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let mut encryptor = Encryptor::new(Vec::new(), &[identity.recipient()]).unwrap();
        for part in plain.chunks(10_007) {
            encryptor.write_all(part).unwrap();
        }
        let sealed = encryptor.finish().unwrap();
        assert_eq!(decrypted(&sealed, &identity).unwrap(), plain, "{size} bytes");
        let pieces = size.div_ceil(65_536).max(1);
        let header = sealed.len() - size - 16 - 16 * pieces;
        for cut in [1, 17, 65_553, 65_552] {
            if let Some(left) = sealed.len().checked_sub(cut).filter(|l| *l > header) {
                assert!(decrypted(&sealed[..left], &identity).is_err(), "{size} cut by {cut}");
            }
        }
        let longer = [sealed.as_slice(), &[0]].concat();
        assert!(decrypted(&longer, &identity).is_err(), "{size} with one more");
    }
}

#[test]
fn every_byte_counts() {
    let identity = Identity::in_file(IDENTITY).unwrap();
    for at in 0..WORDS.len() {
        let mut other = WORDS.to_vec();
        other[at] ^= 1;
        assert!(decrypted(&other, &identity).is_err(), "changed at {at}");
        assert!(decrypted(&WORDS[..at], &identity).is_err(), "cut at {at}");
    }
}

#[test]
fn keys_that_are_none() {
    let identity = Identity::generate().unwrap();
    let secret = identity.to_text();
    let reads = |text: &str| text.parse::<Recipient>().unwrap_err();
    assert_eq!(reads(secret.reveal()), BadKey::Secret);
    assert_eq!(reads(&secret.reveal()[..40]), BadKey::Secret);
    assert_eq!(reads("ssh-ed25519 AAAA"), BadKey::OtherKind);
    assert_eq!(reads("age1qqqq"), BadKey::Garbled);
    assert_eq!(reads(""), BadKey::Garbled);
    let public = identity.recipient().to_string();
    assert_eq!(Identity::in_file(&public).err(), Some(BadKey::NoIdentity));
    assert_eq!(Identity::in_file("# empty\n").err(), Some(BadKey::NoIdentity));
    let file = format!("# note\n\n  {}  \n", secret.reveal());
    assert_eq!(Identity::in_file(&file).unwrap().recipient(), identity.recipient());
}

#[test]
fn a_header_is_read_and_nothing_behind_it() {
    let identity = Identity::generate().unwrap();
    let mut written = Vec::new();
    let key = header::write(&mut written, &[identity.recipient()]).unwrap();
    written.extend(b"payload");
    let mut rest = &written[..];
    assert_eq!(*header::read(&mut rest, &identity).unwrap(), *key);
    assert_eq!(rest, b"payload");
}
