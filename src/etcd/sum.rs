//! A snapshot's checksum: etcd ends it with the SHA-256 of what came before.

use sha2::{Digest, Sha256};

use crate::names::hex;

const SUM: usize = 32;
/// The database is made of whole sectors.
const SECTOR: u64 = 512;

/// Checks a snapshot while it passes by.
#[derive(Default)]
pub struct Sum {
    whole: Sha256,
    body: Sha256,
    /// The last bytes so far, which are its checksum if nothing follows.
    last: Vec<u8>,
    bytes: u64,
}

impl Sum {
    pub fn update(&mut self, bytes: &[u8]) {
        self.whole.update(bytes);
        self.bytes += bytes.len() as u64;
        self.last.extend_from_slice(bytes);
        let body = self.last.len().saturating_sub(SUM);
        self.body.update(&self.last[..body]);
        self.last.drain(..body);
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The SHA-256 of all of it; or what is wrong with it.
    pub fn finish(self) -> Result<String, &'static str> {
        let body = self.bytes.checked_sub(SUM as u64);
        if body.is_none_or(|body| body == 0 || body % SECTOR != 0) {
            return Err("came without its checksum: it is cut off");
        }
        if self.body.finalize().as_slice() != self.last {
            return Err("is not what its checksum says");
        }
        Ok(hex(&self.whole.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summed(bytes: &[u8], part: usize) -> Result<String, &'static str> {
        let mut sum = Sum::default();
        bytes.chunks(part).for_each(|part| sum.update(part));
        assert_eq!(sum.bytes(), bytes.len() as u64);
        sum.finish()
    }

    #[test]
    fn in_parts_of_any_size() {
        let mut bytes = vec![7; 1024];
        bytes.extend(Sha256::digest(&bytes));
        let whole = hex(&Sha256::digest(&bytes));
        for part in [1, 31, 32, 33, 1000, 2000] {
            assert_eq!(summed(&bytes, part).as_ref(), Ok(&whole), "parts of {part}");
        }
        for cut in [1, 32, 512, bytes.len() - 32, bytes.len()] {
            assert!(summed(&bytes[..bytes.len() - cut], 100).is_err(), "cut by {cut}");
        }
        for at in [0, 1023, 1024, 1055] {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(summed(&other, 100).is_err(), "changed at {at}");
        }
    }
}
