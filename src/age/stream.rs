//! What follows the header: pieces of 64 KiB, each sealed, the last one marked as that.

use std::io::{self, Read, Write};

use zeroize::{Zeroize, Zeroizing};

use super::{Aead, AgeError, Identity, Recipient, TAG, derive, header, random};

const PIECE: usize = 64 << 10;
const NONCE: usize = 16;

struct Pieces {
    key: Aead,
    counter: u64,
}

impl Pieces {
    fn new(file_key: &header::FileKey, nonce: [u8; NONCE]) -> io::Result<Self> {
        let key = Zeroizing::new(derive(&**file_key, &nonce, b"payload"));
        Ok(Self { key: Aead::new(&key)?, counter: 0 })
    }

    fn nonce(&mut self, last: bool) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&self.counter.to_be_bytes());
        nonce[11] = u8::from(last);
        self.counter += 1;
        nonce
    }
}

/// Encrypts what is written to it. Without [`Encryptor::finish`] the file has no end, and is refused.
pub struct Encryptor<W> {
    out: W,
    pieces: Pieces,
    plain: Vec<u8>,
}

impl<W: Write> Encryptor<W> {
    pub fn new(mut out: W, recipients: &[Recipient]) -> io::Result<Self> {
        let file_key = header::write(&mut out, recipients)?;
        let nonce = random()?;
        out.write_all(&nonce)?;
        let pieces = Pieces::new(&file_key, nonce)?;
        Ok(Self { out, pieces, plain: Vec::with_capacity(PIECE + TAG) })
    }

    fn piece(&mut self, last: bool) -> io::Result<()> {
        let nonce = self.pieces.nonce(last);
        self.pieces.key.seal(nonce, &mut self.plain)?;
        self.out.write_all(&self.plain)?;
        self.plain.clear();
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<W> {
        self.piece(true)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Encryptor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Only when more follows is it known that a full piece is not the last.
        if self.plain.len() == PIECE && !bytes.is_empty() {
            self.piece(false)?;
        }
        let taken = bytes.len().min(PIECE - self.plain.len());
        self.plain.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads what was encrypted; anything that was not is an error, and so is an end that is missing.
pub struct Decryptor<R> {
    from: R,
    pieces: Pieces,
    sealed: Vec<u8>,
    /// Of `sealed`, what is open and not read yet.
    open: std::ops::Range<usize>,
    /// The byte that showed that a piece is not the last.
    ahead: Option<u8>,
    ended: bool,
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is damaged, or cut off")
}

impl<R: Read> Decryptor<R> {
    pub fn new(mut from: R, identity: &Identity) -> Result<Self, AgeError> {
        let file_key = header::read(&mut from, identity)?;
        let mut nonce = [0; NONCE];
        from.read_exact(&mut nonce).map_err(|_| AgeError::Damaged)?;
        let pieces = Pieces::new(&file_key, nonce)?;
        Ok(Self { from, pieces, sealed: Vec::new(), open: 0..0, ahead: None, ended: false })
    }

    fn piece(&mut self) -> io::Result<()> {
        self.sealed.zeroize();
        self.sealed.extend(self.ahead.take());
        let more = (PIECE + TAG + 1 - self.sealed.len()) as u64;
        self.from.by_ref().take(more).read_to_end(&mut self.sealed)?;
        let last = self.sealed.len() <= PIECE + TAG;
        if !last {
            self.ahead = self.sealed.pop();
        }
        let first = self.pieces.counter == 0;
        let nonce = self.pieces.nonce(last);
        let length = self.pieces.key.open(nonce, &mut self.sealed).ok_or_else(damaged)?.len();
        // Only a file of nothing ends in a piece of nothing.
        if length == 0 && !first {
            return Err(damaged());
        }
        (self.open, self.ended) = (0..length, last);
        Ok(())
    }
}

impl<R: Read> Read for Decryptor<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.open.is_empty() {
            if self.ended || into.is_empty() {
                return Ok(0);
            }
            self.piece()?;
        }
        let taken = into.len().min(self.open.len());
        let from = self.open.start;
        into[..taken].copy_from_slice(&self.sealed[from..from + taken]);
        self.open.start += taken;
        Ok(taken)
    }
}
