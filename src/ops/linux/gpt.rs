//! The partition table (GPT) of a disk that is in use: read whole, given one entry more, renamed in.
//!
//! Linux reads the first table only, and that one is a header and its entries: two places that have
//! to fit each other. So entries are never written where the header points. The new ones go to free
//! space first; then the header, a single sector, is pointed at them; then the copy at the disk's end
//! is made; and then the same again, back to where everybody expects the entries. Whenever the power
//! goes, the table is the old one or the new one. Bytes that are nobody's business here (attributes,
//! other entries, the header's reserve) stay what they are. Must not decide what a disk should hold.

use std::io;

use super::media::Media;

const SIGNATURE: &[u8] = b"EFI PART";
/// What other programs align to, and so do we.
pub const ALIGN: u64 = 1 << 20;
const ENTRIES_AT: u64 = 2;
const LINUX: [u8; 16] = guid([0x0fc6_3daf, 0x8483, 0x4772], 0x8e79_3d69_d847_7de4);
const ESP: [u8; 16] = guid([0xc12a_7328, 0xf81f, 0x11d2], 0xba4b_00a0_c93e_c93b);
const NAME_UNITS: usize = 36;

/// A GUID as it lies on the disk: its first three parts the other way around.
const fn guid(parts: [u32; 3], rest: u64) -> [u8; 16] {
    let (a, b, c, d) = (
        parts[0].to_le_bytes(),
        parts[1].to_le_bytes(),
        parts[2].to_le_bytes(),
        rest.to_be_bytes(),
    );
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub number: u32,
    /// Bytes from the disk's beginning.
    pub start: u64,
    pub bytes: u64,
    pub uuid: String,
    pub name: String,
    pub is_esp: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    sector: u64,
    /// The first header, a sector of it.
    header: Vec<u8>,
    entries: Vec<u8>,
}

fn bad(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Over the header, with its own sum taken for zero.
fn header_sum(header: &[u8]) -> Option<u32> {
    let size = u32_at(header, 12) as usize;
    let mut some = header.get(..size)?.to_vec();
    some.get_mut(16..20)?.fill(0);
    Some(crc32fast::hash(&some))
}

impl Table {
    /// Fails where there is no whole GPT: nothing is guessed from the copy at the end.
    pub fn read(media: &impl Media, bytes: u64, sector: u64) -> io::Result<Self> {
        let mut first = vec![0; 512];
        media.read(&mut first, 0)?;
        let kinds: Vec<u8> = (0..4).map(|n| first[446 + 16 * n + 4]).collect();
        if first[510..] != [0x55, 0xaa] || !kinds.contains(&0xee) {
            return Err(bad("it has no GPT"));
        }
        if kinds.iter().any(|k| !matches!(k, 0 | 0xee)) {
            return Err(bad("it has an MBR's partitions beside its GPT (a hybrid)"));
        }
        let mut header = vec![0; usize::try_from(sector).map_err(io::Error::other)?];
        media.read(&mut header, sector)?;
        if !header.starts_with(SIGNATURE)
            || header_sum(&header) != Some(u32_at(&header, 16))
            || u64_at(&header, 24) != 1
        {
            return Err(bad("the first header of its GPT is damaged"));
        }
        let (count, size) = (u64::from(u32_at(&header, 80)), u64::from(u32_at(&header, 84)));
        if size < 128 || !size.is_multiple_of(128) || !(1..=4096).contains(&count) || size > 4096 {
            return Err(bad(format!("its GPT has {count} entries of {size} bytes")));
        }
        let mut table = Self { sector, header, entries: Vec::new() };
        let last_usable = table.last_usable();
        if table.first_usable() > last_usable || (last_usable + 1).saturating_mul(sector) > bytes {
            return Err(bad("its GPT is made for a larger disk"));
        }
        if table.copy_at() <= last_usable || (table.copy_at() + 1).saturating_mul(sector) > bytes {
            return Err(bad("the copy of its GPT does not lie behind its partitions"));
        }
        let mut entries = vec![0; usize::try_from(count * size).map_err(io::Error::other)?];
        media.read(&mut entries, table.entries_at() * sector)?;
        if crc32fast::hash(&entries) != u32_at(&table.header, 88) {
            return Err(bad("the entries of its GPT are damaged"));
        }
        table.entries = entries;
        if table.copy_entries_at() <= last_usable {
            return Err(bad("there is no room for the copy of its GPT's entries"));
        }
        Ok(table)
    }

    fn first_usable(&self) -> u64 {
        u64_at(&self.header, 40)
    }

    fn last_usable(&self) -> u64 {
        u64_at(&self.header, 48)
    }

    fn entries_at(&self) -> u64 {
        u64_at(&self.header, 72)
    }

    /// The sector of the second header.
    fn copy_at(&self) -> u64 {
        u64_at(&self.header, 32)
    }

    fn entry_sectors(&self) -> u64 {
        (self.entries.len() as u64).div_ceil(self.sector)
    }

    fn copy_entries_at(&self) -> u64 {
        self.copy_at().saturating_sub(self.entry_sectors())
    }

    /// A change was cut off: the entries lie in free space.
    pub fn is_unfinished(&self) -> bool {
        self.entries_at() != ENTRIES_AT
    }

    fn entry_size(&self) -> usize {
        u32_at(&self.header, 84) as usize
    }

    pub fn entries(&self) -> Vec<Entry> {
        let entry = |(n, raw): (usize, &[u8])| {
            let (first, last) = (u64_at(raw, 32), u64_at(raw, 40));
            let units: Vec<u16> = raw[56..56 + 2 * NAME_UNITS]
                .chunks_exact(2)
                .map(|b| u16::from_le_bytes([b[0], b[1]]))
                .take_while(|u| *u != 0)
                .collect();
            (raw[..16] != [0; 16]).then(|| Entry {
                number: u32::try_from(n + 1).unwrap_or(u32::MAX),
                start: first.saturating_mul(self.sector),
                bytes: (last + 1).saturating_sub(first).saturating_mul(self.sector),
                uuid: uuid_text(&raw[16..32]),
                name: String::from_utf16_lossy(&units),
                is_esp: raw[..16] == ESP,
            })
        };
        self.entries.chunks_exact(self.entry_size()).enumerate().filter_map(entry).collect()
    }

    /// Runs of free sectors: the first, and how many.
    fn free(&self) -> Vec<(u64, u64)> {
        let mut taken: Vec<(u64, u64)> = self
            .entries()
            .iter()
            .map(|e| (e.start / self.sector, (e.start + e.bytes) / self.sector))
            .collect();
        if self.is_unfinished() {
            taken.push((self.entries_at(), self.entries_at() + self.entry_sectors()));
        }
        taken.sort_unstable();
        taken.push((self.last_usable() + 1, u64::MAX));
        let (mut free, mut from) = (Vec::new(), self.first_usable());
        for (first, end) in taken {
            if first > from {
                free.push((from, first - from));
            }
            from = from.max(end);
        }
        free
    }

    /// What partitions could take, aligned: where, and how many bytes.
    pub fn gaps(&self) -> Vec<(u64, u64)> {
        let aligned = |(first, count): (u64, u64)| {
            let start = (first * self.sector).next_multiple_of(ALIGN);
            let end = (first + count) * self.sector / ALIGN * ALIGN;
            (end > start).then(|| (start, end - start))
        };
        self.free().into_iter().filter_map(aligned).collect()
    }

    /// The table with a partition more, in the first gap that is large enough.
    pub fn with(&self, name: &str, uuid: &[u8; 16], bytes: u64) -> io::Result<Self> {
        let bytes = bytes.next_multiple_of(ALIGN);
        let gap = self.gaps().into_iter().find(|(_, room)| *room >= bytes);
        let (start, _) = gap.ok_or_else(|| bad("it has no free space that is large enough"))?;
        let size = self.entry_size();
        let slot = self.entries.chunks_exact(size).position(|raw| raw[..16] == [0; 16]);
        let slot = slot.ok_or_else(|| bad("its partition table has no entry left"))?;
        let mut table = self.clone();
        let raw = &mut table.entries[slot * size..][..size];
        raw.fill(0);
        raw[..16].copy_from_slice(&LINUX);
        raw[16..32].copy_from_slice(uuid);
        raw[32..40].copy_from_slice(&(start / self.sector).to_le_bytes());
        raw[40..48].copy_from_slice(&((start + bytes) / self.sector - 1).to_le_bytes());
        write_name(raw, name);
        Ok(table)
    }

    pub fn renamed(&self, number: u32, name: &str) -> io::Result<Self> {
        let (size, mut table) = (self.entry_size(), self.clone());
        let raw = table.entries.chunks_exact_mut(size).nth(number.saturating_sub(1) as usize);
        let raw = raw.filter(|raw| raw[..16] != [0; 16]);
        write_name(raw.ok_or_else(|| bad(format!("it has no partition {number}")))?, name);
        Ok(table)
    }

    /// Where entries may lie for a moment.
    fn aside(&self) -> io::Result<u64> {
        let wanted = self.entry_sectors();
        // From the end, where the alignment leaves some.
        let run = self.free().into_iter().rev().find(|(_, count)| *count >= wanted);
        let (first, count) = run.ok_or_else(|| {
            bad("it has no free space left to change its table safely: 16 KiB are needed")
        })?;
        Ok(first + count - wanted)
    }

    /// A header for this table, in the sector `at`, whose entries lie elsewhere.
    fn header(&self, at: u64, other: u64, entries_at: u64) -> Vec<u8> {
        let mut header = self.header.clone();
        header[24..32].copy_from_slice(&at.to_le_bytes());
        header[32..40].copy_from_slice(&other.to_le_bytes());
        header[72..80].copy_from_slice(&entries_at.to_le_bytes());
        header[88..92].copy_from_slice(&crc32fast::hash(&self.entries).to_le_bytes());
        let sum = header_sum(&header).unwrap_or_default();
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        header
    }

    fn write(&self, media: &impl Media, at: u64, other: u64, entries_at: u64) -> io::Result<()> {
        media.write(&self.entries, entries_at * self.sector)?;
        media.flush()?;
        media.write(&self.header(at, other, entries_at), at * self.sector)?;
        media.flush()
    }

    /// Makes this the disk's table. What is there must not be unfinished.
    pub fn commit(&self, media: &impl Media) -> io::Result<()> {
        self.write(media, 1, self.copy_at(), self.aside()?)?;
        self.settle(media)
    }

    /// The copy at the end, and the entries back to where they belong.
    pub fn settle(&self, media: &impl Media) -> io::Result<()> {
        self.write(media, self.copy_at(), 1, self.copy_entries_at())?;
        self.write(media, 1, self.copy_at(), ENTRIES_AT)
    }
}

fn write_name(raw: &mut [u8], name: &str) {
    raw[56..56 + 2 * NAME_UNITS].fill(0);
    for (n, unit) in name.encode_utf16().take(NAME_UNITS).enumerate() {
        raw[56 + 2 * n..58 + 2 * n].copy_from_slice(&unit.to_le_bytes());
    }
}

/// As udev and mkfs write it.
pub fn uuid_text(raw: &[u8]) -> String {
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut text = String::new();
    for (n, at) in order.into_iter().enumerate() {
        if matches!(n, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{:02x}", raw.get(at).copied().unwrap_or_default()));
    }
    text
}

/// A random one, of the kind that says so.
pub fn random_uuid(mut random: [u8; 16]) -> [u8; 16] {
    random[7] = (random[7] & 0x0f) | 0x40;
    random[8] = (random[8] & 0x3f) | 0x80;
    random
}

#[cfg(test)]
#[path = "gpt_tests.rs"]
mod tests;
