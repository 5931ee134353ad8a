//! Tar archives of plain files, streamed: just what an image's layout and a bundle need, written the
//! same for the same files, and read strictly. What Slipway did not write itself is refused, so a path
//! that leaves a directory, a link or a device is never met by whoever unpacks.

use std::io::{self, Read, Write};

pub(super) const BLOCK: usize = 512;
/// What eleven octal digits can say.
const MOST_BYTES: u64 = (1 << 33) - 1;
const NAME: usize = 100;
const PREFIX: usize = 155;

fn wrong(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

pub(super) fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// A long name is cut at a slash.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= NAME {
        return Some(("", name));
    }
    let cut = |(at, _): (usize, &str)| (&name[..at], &name[at + 1..]);
    let fits = |(dir, rest): &(&str, &str)| dir.len() <= PREFIX && rest.len() <= NAME;
    name.match_indices('/').map(cut).find(fits)
}

pub(super) fn checksum(header: &[u8; BLOCK]) -> u32 {
    let counted =
        |(at, byte): (usize, &u8)| u32::from(if (148..156).contains(&at) { b' ' } else { *byte });
    header.iter().enumerate().map(counted).sum()
}

fn header(name: &str, size: u64, mode: &[u8; 8]) -> io::Result<[u8; BLOCK]> {
    let Some((prefix, base)) = split(name) else {
        return Err(wrong(format!("the name `{name}` is too long")));
    };
    if size > MOST_BYTES {
        return Err(wrong(format!("`{name}` is larger than 8 GiB")));
    }
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, base.as_bytes());
    put(100, mode);
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(345, prefix.as_bytes());
    let sum = format!("{:06o}\0 ", checksum(&header));
    header[148..156].copy_from_slice(sum.as_bytes());
    Ok(header)
}

/// Writes an archive, file by file.
pub struct Archive<W> {
    out: W,
    mode: &'static [u8; 8],
}

impl<W: Write> Archive<W> {
    pub fn new(out: W) -> Self {
        Self { out, mode: b"0000644\0" }
    }

    /// Whoever unpacks it gets files that nobody else can read.
    pub fn private(out: W) -> Self {
        Self { out, mode: b"0000600\0" }
    }

    /// A file of exactly `size` bytes.
    pub fn file(&mut self, name: &str, size: u64, from: impl Read) -> io::Result<()> {
        self.begin(name, size)?;
        let mut from = from.take(size + 1);
        let copied = io::copy(&mut from, &mut self.out)?;
        if copied != size {
            return Err(wrong(format!("`{name}` changed while it was read")));
        }
        self.end(size)
    }

    /// A file whose bytes come one after the other: `size` of them, by [`Archive::part`].
    pub fn begin(&mut self, name: &str, size: u64) -> io::Result<()> {
        self.out.write_all(&header(name, size, self.mode)?)
    }

    pub fn part(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// After all bytes of a file of that size.
    pub fn end(&mut self, size: u64) -> io::Result<()> {
        self.out.write_all(&[0; BLOCK][..padding(size)])
    }

    /// Its end, without which an archive is not whole.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }
}

/// A file of an archive, before its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub size: u64,
}

/// Reads an archive, file by file, in its order.
pub struct Reader<R> {
    from: R,
    /// Of the file that is being read.
    left: u64,
    padding: usize,
}

impl<R: Read> Reader<R> {
    pub fn new(from: R) -> Self {
        Self { from, left: 0, padding: 0 }
    }

    /// The next file; None at the archive's end. The one before has to be read to its end.
    pub fn entry(&mut self) -> io::Result<Option<Entry>> {
        if self.left > 0 {
            return Err(wrong("a file was not read to its end"));
        }
        let mut block = [0; BLOCK];
        let rest = std::mem::take(&mut self.padding);
        self.from.read_exact(&mut block[..rest])?;
        self.from.read_exact(&mut block)?;
        if block == [0; BLOCK] {
            self.from.read_exact(&mut block)?;
            return if block == [0; BLOCK] { Ok(None) } else { Err(wrong("its end is damaged")) };
        }
        let octal = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).ok()?.trim_end_matches(['\0', ' ']);
            u64::from_str_radix(text, 8).ok()
        };
        if octal(&block[148..156]) != Some(u64::from(checksum(&block))) {
            return Err(wrong("a file's header is damaged"));
        }
        let text = |bytes: &[u8]| {
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            String::from_utf8(bytes[..end].to_vec())
                .map_err(|_| wrong("a file's name is not UTF-8"))
        };
        let (prefix, base) = (text(&block[345..500])?, text(&block[..NAME])?);
        let name = if prefix.is_empty() { base } else { format!("{prefix}/{base}") };
        if &block[257..263] != b"ustar\0" || block[156] != b'0' {
            return Err(wrong(format!("`{name}` is not a plain file")));
        }
        let Some(size) = octal(&block[124..136]) else {
            return Err(wrong(format!("the size of `{name}` is damaged")));
        };
        (self.left, self.padding) = (size, padding(size));
        Ok(Some(Entry { name, size }))
    }

    /// What the archive came from, read to the archive's end.
    pub fn into_inner(self) -> R {
        self.from
    }
}

impl<R: Read> Read for Reader<R> {
    /// Of the file that [`Reader::entry`] told of.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let read = self.from.read(&mut into[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = Archive::new(Vec::new());
        for (name, bytes) in files {
            archive.file(name, bytes.len() as u64, *bytes).unwrap();
        }
        archive.finish().unwrap()
    }

    fn listed(bytes: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
        let (mut reader, mut found) = (Reader::new(bytes), Vec::new());
        while let Some(entry) = reader.entry()? {
            let mut content = Vec::new();
            reader.read_to_end(&mut content)?;
            assert_eq!(content.len() as u64, entry.size);
            found.push((entry.name, content));
        }
        Ok(found)
    }

    #[test]
    fn what_is_written_is_read_and_so_does_tar() {
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
        let files: [(&str, &[u8]); 4] =
            [("a", b"one"), ("d/empty", b""), (&long, &[7; 512]), ("z", &[8; 513])];
        let bytes = made(&files);
        assert_eq!(bytes, made(&files), "the same for the same files");
        let read = listed(&bytes).unwrap();
        let same = read.iter().map(|(n, c)| (n.as_str(), c.as_slice())).eq(files);
        assert!(same, "{read:?}");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.tar");
        std::fs::write(&file, &bytes).unwrap();
        let tar = std::process::Command::new("tar").arg("-tf").arg(&file).output().unwrap();
        let names: Vec<&str> = std::str::from_utf8(&tar.stdout).unwrap().lines().collect();
        assert_eq!(names, ["a", "d/empty", &long, "z"]);
    }

    #[test]
    fn what_is_damaged_or_no_plain_file_is_refused() {
        let bytes = made(&[("a", &[1; 600])]);
        for cut in [1, 511, 513, 1000, bytes.len() - 1, bytes.len() - 600] {
            assert!(listed(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for at in [0, 124, 148, 200] {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(listed(&other).is_err(), "changed at {at}");
        }
        let mut link = bytes.clone();
        link[156] = b'2';
        let sum = format!("{:06o}\0 ", checksum(link[..BLOCK].try_into().unwrap()));
        link[148..156].copy_from_slice(sum.as_bytes());
        assert!(listed(&link).unwrap_err().to_string().contains("not a plain file"));
        let mut archive = Archive::new(Vec::new());
        assert!(archive.file(&"x".repeat(101), 0, &[][..]).is_err());
        assert!(archive.file("shorter", 5, &b"four"[..]).is_err());
        assert!(archive.file("longer", 3, &b"four"[..]).is_err());
    }
}
