//! A key pair that a Git host lets in: made here, since this is where SSH is known.

use russh::keys::{
    HashAlg, PrivateKey,
    ssh_key::{
        LineEnding,
        private::{Ed25519Keypair, KeypairData},
    },
};
use zeroize::Zeroizing;

use crate::secret::Sealed;

/// What of a key may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicHalf {
    /// A line as Git hosts take it.
    pub line: String,
    /// `SHA256:...`
    pub fingerprint: String,
}

fn half(key: &PrivateKey) -> Result<PublicHalf, String> {
    let public = key.public_key();
    let line = public.to_openssh().map_err(|error| error.to_string())?;
    Ok(PublicHalf { line, fingerprint: public.fingerprint(HashAlg::Sha256).to_string() })
}

/// ed25519, in OpenSSH's own format, without a passphrase: a program uses it.
pub fn generate(comment: &str) -> Result<(Sealed, PublicHalf), String> {
    use ring::rand::SecureRandom;
    let mut seed = Zeroizing::new([0; 32]);
    ring::rand::SystemRandom::new().fill(&mut *seed).map_err(|error| error.to_string())?;
    let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed));
    let key = PrivateKey::new(pair, comment).map_err(|error| error.to_string())?;
    let text = key.to_openssh(LineEnding::LF).map_err(|error| error.to_string())?;
    Ok((Sealed::new(text.as_str()), half(&key)?))
}

/// The public half of a private key.
pub fn public_half(private: &Sealed) -> Result<PublicHalf, String> {
    let key = PrivateKey::from_openssh(private.reveal()).map_err(|error| error.to_string())?;
    if key.is_encrypted() {
        return Err("it has a passphrase, and nobody is there to type it".into());
    }
    half(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_new_each_time_and_reads_back() {
        let (private, public) = generate("slipway homelab").unwrap();
        assert!(private.reveal().starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n"));
        assert!(public.line.starts_with("ssh-ed25519 AAAA"), "{}", public.line);
        assert!(public.line.ends_with(" slipway homelab"));
        assert!(public.fingerprint.starts_with("SHA256:"));
        assert_eq!(public_half(&private).unwrap(), public);
        assert_ne!(generate("x").unwrap().1.fingerprint, public.fingerprint);
        assert!(public_half(&Sealed::new("nothing")).is_err());
    }
}
