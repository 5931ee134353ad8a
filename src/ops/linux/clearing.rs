//! Clearing a disk, byte by byte: what is written where, in which order, and how it is read back.
//!
//! A mark goes on the disk before anything else is touched, and leaves it last: a clearing that was
//! cut off is known for what it is, on whichever machine the disk turns up. Must not decide whether
//! a disk may be cleared; whoever holds one of these has been through the guard.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::media::Media;
use crate::facts::read::devices::LABELS_AT_GIB;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Behind a GPT's entries, and in front of everything that is looked for there.
pub const MARK_AT: u64 = 24 * KIB;
pub const MARK: &[u8] = b"slipway: this disk is being cleared\n";
const BLOCK: u64 = 4 * KIB;
/// What every signature that libblkid knows lies in, from either end: partition tables, LVM, md,
/// ZFS' four labels, filesystems.
const END: u64 = 4 * MIB;
/// Of a partition, whose filesystem nobody shall find again when the same table is made anew.
const PART_END: u64 = MIB;
/// Btrfs' copies of its superblock; nothing else keeps any so far from the ends.
const BTRFS: [u64; 2] = [64 * MIB, 256 * GIB];

/// A disk that nobody else has, for as long as this lives.
#[derive(Debug)]
pub struct Exclusive<M = File> {
    media: M,
    bytes: u64,
}

impl Exclusive {
    /// Fails with EBUSY while anything of the disk is mounted, is swap, or is held by dm, md, LVM,
    /// Btrfs, ZFS or bcache: the kernel's own word, whatever lists say.
    pub fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).custom_flags(nix::libc::O_EXCL).open(path)?;
        Ok(Self { media: file, bytes })
    }
}

impl<M: Media> Exclusive<M> {
    fn zero(&self, from: u64, to: u64) -> io::Result<()> {
        let zeros = vec![0; MIB as usize];
        let mut at = from.min(self.bytes);
        let to = to.min(self.bytes);
        while at < to {
            let some = (to - at).min(MIB);
            self.media.write(&zeros[..some as usize], at)?;
            at += some;
        }
        Ok(())
    }

    pub fn mark(&self) -> io::Result<()> {
        let mut block = vec![0; BLOCK as usize];
        block[..MARK.len()].copy_from_slice(MARK);
        self.media.write(&block, MARK_AT)?;
        self.media.flush()
    }

    /// What lies in the partitions, and then what says where they are. The mark stays.
    pub fn signatures(&self, partitions: &[(u64, u64)]) -> io::Result<()> {
        for (start, bytes) in partitions {
            let end = start.saturating_add(*bytes);
            self.zero((*start).max(MARK_AT + BLOCK), end.min(start + PART_END))?;
            self.zero(end.saturating_sub(PART_END).max(*start).max(MARK_AT + BLOCK), end)?;
        }
        self.media.flush()?;
        for (from, to) in self.signature_places() {
            self.zero(from, to)?;
        }
        self.media.flush()
    }

    fn signature_places(&self) -> Vec<(u64, u64)> {
        let mut places = vec![(0, MARK_AT), (MARK_AT + BLOCK, END)];
        places.extend(BTRFS.map(|at| (at, at + BLOCK)));
        places.push((self.bytes.saturating_sub(END).max(MARK_AT + BLOCK), self.bytes));
        places
    }

    /// BlueStore's labels, wherever the disk is large enough for one.
    pub fn osd_labels(&self) -> io::Result<()> {
        for (from, to) in label_places() {
            self.zero(from, to)?;
        }
        self.media.flush()
    }

    /// Everything once more, for a discard promises no zeros; read back; and then the mark.
    pub fn finish(&self, flush: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.mark()?;
        let mut places = self.signature_places();
        places.extend(label_places());
        for (from, to) in &places {
            self.zero(*from, *to)?;
        }
        self.media.flush()?;
        // What is read next comes from the disk, and not from the kernel's memory of what we wrote.
        flush()?;
        for (from, to) in &places {
            self.is_zero(*from, *to)?;
        }
        self.zero(MARK_AT, MARK_AT + BLOCK)?;
        self.media.flush()
    }

    fn is_zero(&self, from: u64, to: u64) -> io::Result<()> {
        let mut some = vec![0; MIB as usize];
        let mut at = from.min(self.bytes);
        let to = to.min(self.bytes);
        while at < to {
            let count = (to - at).min(MIB) as usize;
            self.media.read(&mut some[..count], at)?;
            if let Some(odd) = some[..count].iter().position(|b| *b != 0) {
                let place = at + odd as u64;
                return Err(io::Error::other(format!(
                    "zeros were written, and byte {place} reads as something else"
                )));
            }
            at += count as u64;
        }
        Ok(())
    }
}

/// The first lies under the mark's own part of the disk, which goes with the signatures.
fn label_places() -> impl Iterator<Item = (u64, u64)> {
    LABELS_AT_GIB.into_iter().filter(|gib| *gib > 0).map(|gib| {
        let at = u64::from(gib) * GIB;
        (at, at + MIB)
    })
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests make files, and print their figures"
)]
mod tests {
    use std::{fs, os::unix::fs::FileExt};

    use super::{
        super::media::mortal::{Kept, Mortal},
        *,
    };

    fn disk(bytes: u64) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        File::create(&path).unwrap().set_len(bytes).unwrap();
        (dir, path)
    }

    fn put(path: &Path, at: u64, text: &[u8]) {
        OpenOptions::new().write(true).open(path).unwrap().write_all_at(text, at).unwrap();
    }

    fn get(path: &Path, at: u64, count: usize) -> Vec<u8> {
        let mut found = vec![0; count];
        File::open(path).unwrap().read_exact_at(&mut found, at).unwrap();
        found
    }

    #[test]
    fn nothing_that_is_looked_for_is_left_on_a_sparse_disk_of_1001_gib() {
        let bytes = 1001 * GIB + 4096;
        let (_dir, path) = disk(bytes);
        let partition = (MIB * 100, GIB);
        let mut places =
            vec![0, 512, 1024, KIB * 64, MIB * 64, GIB * 256, partition.0, bytes - 512];
        places.extend(LABELS_AT_GIB.map(|gib| u64::from(gib) * GIB));
        for at in &places {
            put(&path, *at, b"something");
        }
        // Of no meaning to anybody, and left alone.
        put(&path, GIB * 2, b"data");
        let disk = Exclusive::open(&path, bytes).unwrap();
        disk.mark().unwrap();
        assert!(get(&path, MARK_AT, MARK.len()) == MARK);
        disk.signatures(&[partition]).unwrap();
        assert!(get(&path, MARK_AT, MARK.len()) == MARK, "until the end");
        assert_eq!(get(&path, 1000 * GIB, 9), b"something", "its turn comes later");
        disk.osd_labels().unwrap();
        disk.finish(|| Ok(())).unwrap();
        for at in places {
            let count = usize::try_from((bytes - at).min(9)).unwrap();
            assert_eq!(get(&path, at, count), vec![0; count], "at {at}");
        }
        assert_eq!(get(&path, MARK_AT, MARK.len()), vec![0; MARK.len()]);
        assert_eq!(get(&path, GIB * 2, 4), b"data");
    }

    #[test]
    fn small_disks_have_no_room_for_much() {
        for bytes in [MIB, 20 * MIB, GIB + 100] {
            let (_dir, path) = disk(bytes);
            fs::write(&path, vec![7; usize::try_from(bytes.min(MIB)).unwrap()]).unwrap();
            OpenOptions::new().write(true).open(&path).unwrap().set_len(bytes).unwrap();
            let disk = Exclusive::open(&path, bytes).unwrap();
            disk.mark().unwrap();
            disk.signatures(&[(MIB / 2, bytes), (bytes, 5)]).unwrap();
            disk.osd_labels().unwrap();
            disk.finish(|| Ok(())).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().len(), bytes, "nothing beyond its end");
            assert!(get(&path, 0, usize::try_from(MIB).unwrap()).iter().all(|b| *b == 0));
        }
    }

    /// Everything that is looked for on the disk of the test below.
    const SIGNS: [u64; 6] = [0, 512, 1080, MIB, 20 * MIB, 36 * MIB - 512];
    const SMALL: u64 = 36 * MIB;

    fn clear(kept: Kept, writes: u32) -> (io::Result<()>, Kept) {
        let media = Mortal::that_dies(kept, writes);
        let disk = Exclusive { media, bytes: SMALL };
        let all = || {
            disk.mark()?;
            disk.signatures(&[(MIB, 19 * MIB), (20 * MIB, 15 * MIB)])?;
            disk.osd_labels()?;
            disk.finish(|| Ok(()))
        };
        let done = all();
        (done, disk.media.state.into_inner())
    }

    #[test]
    fn wherever_the_power_goes_the_disk_is_whole_or_marked_or_blank() {
        use rand::SeedableRng;
        let mut whole = Kept::of_units(BLOCK);
        for at in SIGNS {
            whole.put(at, b"sign");
        }
        whole.keep();
        let (done, end) = clear(whole.clone(), u32::MAX);
        done.unwrap();
        let writes = u32::MAX - end.writes_left;
        let (mut cuts, mut wholes, mut marked, mut blank) = (0, 0, 0, 0);
        // Every write at first and at last, where it matters, and a few hundred between.
        let last = writes - 40;
        let step = |n: u32| if n < 40 || n >= last { 1 } else { 401.min(last - n) };
        let (mut n, mut lots) = (0, 0);
        while n < writes {
            let (done, state) = clear(whole.clone(), n);
            assert!(done.is_err(), "after {n} writes of {writes}");
            // The first time by one lot, then again by others: the last flush is cut only once.
            lots = if n + 1 == writes { lots + 1 } else { 0 };
            let mut lot = rand::rngs::StdRng::seed_from_u64(u64::from(n + lots));
            let state = state.after_a_cut(&mut lot);
            let signs = SIGNS.iter().filter(|at| state.holds(**at, b"sign")).count();
            match (state.holds(MARK_AT, MARK), signs) {
                (true, _) => marked += 1,
                (false, 6) => wholes += 1,
                (false, 0) => blank += 1,
                (false, some) => panic!("{some} signs are left without the mark after {n} writes"),
            }
            let (done, state) = clear(state, u32::MAX);
            done.unwrap();
            assert!(SIGNS.iter().all(|at| !state.holds(*at, b"s")) && !state.holds(MARK_AT, b"s"));
            cuts += 1;
            n += if (1..9).contains(&lots) { 0 } else { step(n) };
        }
        assert!(wholes > 0 && marked > 0 && blank > 0, "{wholes} {marked} {blank}");
        println!("{cuts} power cuts: {wholes} left the disk whole, {marked} marked, {blank} blank");
    }

    #[test]
    fn a_disk_that_does_not_take_zeros_is_told() {
        let (_dir, path) = disk(64 * MIB);
        let disk = Exclusive::open(&path, 64 * MIB).unwrap();
        let worn = || {
            put(&path, 63 * MIB, b"old");
            Ok(())
        };
        let error = disk.finish(worn).unwrap_err().to_string();
        assert!(error.contains("reads as something else"), "{error}");
        assert!(get(&path, MARK_AT, MARK.len()) == MARK, "it is not done");
    }
}
