//! A person's key, and the request to certify it. The key is made here and stays here.
//!
//! A request is a dozen bytes around a name and a key: written out, it saves every node a library.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING as P256, EcdsaKeyPair, KeyPair},
};

use crate::secret::Sealed;

const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OID: u8 = 0x06;
const UTF8: u8 = 0x0c;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]`: attributes, of which there are none.
const ATTRIBUTES: u8 = 0xa0;
const ORGANIZATION: [u8; 3] = [0x55, 0x04, 0x0a];
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
const EC_KEY: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const CURVE_P256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ECDSA_SHA256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

pub struct Request {
    /// PKCS #8, PEM.
    pub key: Sealed,
    /// PKCS #10, PEM.
    pub request: String,
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let digits: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
    let mut bytes = vec![tag];
    if length < 0x80 {
        bytes.push(digits.first().copied().unwrap_or(0));
    } else {
        bytes.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
        bytes.extend(digits);
    }
    bytes.extend(content);
    bytes
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut lines = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        lines += &String::from_utf8_lossy(line);
        lines.push('\n');
    }
    lines + &format!("-----END {label}-----\n")
}

fn called(oid: &[u8], text: &str) -> Vec<u8> {
    let pair = der(SEQUENCE, &[&der(OID, &[oid]), &der(UTF8, &[text.as_bytes()])]);
    der(SET, &[&pair])
}

/// P-256, for the person's name and group as Kubernetes reads them out of a certificate.
pub fn make(name: &str, group: &str) -> Result<Request, String> {
    let said = |e: &dyn std::fmt::Display| e.to_string();
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&P256, &random).map_err(|e| said(&e))?;
    let key = EcdsaKeyPair::from_pkcs8(&P256, document.as_ref(), &random).map_err(|e| said(&e))?;
    let subject = der(SEQUENCE, &[&called(&ORGANIZATION, group), &called(&COMMON_NAME, name)]);
    let kind = der(SEQUENCE, &[&der(OID, &[&EC_KEY]), &der(OID, &[&CURVE_P256])]);
    let public = der(SEQUENCE, &[&kind, &der(BITS, &[&[0], key.public_key().as_ref()])]);
    let info = der(SEQUENCE, &[&der(INTEGER, &[&[0]]), &subject, &public, &der(ATTRIBUTES, &[])]);
    let signature = key.sign(&random, &info).map_err(|e| said(&e))?;
    let by = der(SEQUENCE, &[&der(OID, &[&ECDSA_SHA256])]);
    let request = der(SEQUENCE, &[&info, &by, &der(BITS, &[&[0], signature.as_ref()])]);
    Ok(Request {
        key: Sealed::new(pem("PRIVATE KEY", document.as_ref())),
        request: pem("CERTIFICATE REQUEST", &request),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_as_der_writes_them() {
        assert_eq!(der(4, &[]), [4, 0]);
        assert_eq!(der(4, &[&[7; 127]])[..3], [4, 127, 7]);
        assert_eq!(der(4, &[&[7; 128]])[..4], [4, 0x81, 128, 7]);
        assert_eq!(der(4, &[&[7; 300]])[..5], [4, 0x82, 1, 44, 7]);
    }

    #[test]
    fn a_request_says_who_asks() {
        let Request { key, request } = make("Zoë", "media").unwrap();
        assert!(key.reveal().starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert!(request.lines().all(|line| line.len() <= 64));
        let body: String = request.lines().filter(|line| !line.starts_with('-')).collect();
        let bytes = STANDARD.decode(body).unwrap();
        let holds = |part: &[u8]| bytes.windows(part.len()).any(|w| w == part);
        assert!(holds("Zoë".as_bytes()) && holds(b"media"));
        assert_ne!(make("Zoë", "media").unwrap().request, request);
    }
}
