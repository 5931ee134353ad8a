//! A disk in memory that can lose power: what the simulated fleet writes its journals on.
//!
//! Must not know what the bytes say, nor use any randomness but what it is given.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rand::RngCore;

use super::Disk;

/// What a loss of power leaves of the bytes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tear {
    /// None of them.
    Lose,
    /// All of them: they happened to be written.
    Keep,
    /// The first few.
    Cut,
    /// The first few, then zeros: the file's length was written, its data was not.
    Zeros,
    /// The first few, then what lay there before. Never a newline: a journal could not tell such a
    /// line from one that was damaged after it had been synced, and rightly refuses both.
    Garbage,
}

impl Tear {
    pub const ALL: [Tear; 5] = [Self::Lose, Self::Keep, Self::Cut, Self::Zeros, Self::Garbage];
}

/// A handle; its clones are the same disk. A handle from before a crash is dead: it belonged to a
/// process that is gone.
#[derive(Debug, Clone, Default)]
pub struct MemDisk {
    platter: Arc<Mutex<Platter>>,
    boot: u64,
}

#[derive(Debug, Default)]
struct Platter {
    bytes: Vec<u8>,
    /// How many of them are synced.
    synced: usize,
    syncs: u64,
    appends: u64,
    /// The length at which the disk is full.
    capacity: Option<usize>,
    sync_fails: bool,
    /// Calls left until the power goes.
    calls_left: Option<u64>,
    boot: u64,
}

impl MemDisk {
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk that holds these bytes, synced.
    pub fn holding(bytes: Vec<u8>) -> Self {
        let disk = Self::new();
        {
            let mut platter = disk.platter();
            platter.synced = bytes.len();
            platter.bytes = bytes;
        }
        disk
    }

    /// The power goes. Handles so far are dead; the one that is returned belongs to the next boot.
    pub fn crash(&self, rng: &mut impl RngCore, tear: Tear) -> MemDisk {
        let mut platter = self.platter();
        let (synced, len) = (platter.synced, platter.bytes.len());
        let kept = synced + (rng.next_u64() % (len - synced + 1) as u64) as usize;
        match tear {
            Tear::Lose => platter.bytes.truncate(synced),
            Tear::Keep => {}
            Tear::Cut => platter.bytes.truncate(kept),
            Tear::Zeros => platter.bytes[kept..].fill(0),
            Tear::Garbage => {
                for byte in &mut platter.bytes[kept..] {
                    *byte = rng.next_u32() as u8;
                    if *byte == b'\n' {
                        *byte = 0;
                    }
                }
            }
        }
        platter.synced = platter.bytes.len();
        platter.calls_left = None;
        platter.boot += 1;
        let boot = platter.boot;
        drop(platter);
        MemDisk { platter: Arc::clone(&self.platter), boot }
    }

    /// The power goes at the `n`th append or sync from now: that call fails, having done its work
    /// as far as the volatile cache, and so does every later one. `crash` then says what is left.
    pub fn die_at(&self, n: u64) {
        self.platter().calls_left = Some(n);
    }

    /// Full at this length; `None` for never.
    pub fn set_capacity(&self, len: Option<usize>) {
        self.platter().capacity = len;
    }

    pub fn set_sync_fails(&self, fails: bool) {
        self.platter().sync_fails = fails;
    }

    /// How many syncs succeeded.
    pub fn syncs(&self) -> u64 {
        self.platter().syncs
    }

    pub fn appends(&self) -> u64 {
        self.platter().appends
    }

    /// All bytes, synced or not.
    pub fn bytes(&self) -> Vec<u8> {
        self.platter().bytes.clone()
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, Platter>> {
        let platter = self.platter();
        if platter.boot != self.boot || platter.calls_left == Some(0) {
            return Err(power_lost());
        }
        Ok(platter)
    }
}

fn power_lost() -> io::Error {
    io::Error::other("the machine of this disk lost power")
}

impl Platter {
    /// Counts a call; an error means that the power goes during it.
    fn call(&mut self) -> io::Result<()> {
        if let Some(left) = &mut self.calls_left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return Err(power_lost());
            }
        }
        Ok(())
    }
}

impl Disk for MemDisk {
    fn load(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.alive()?.bytes.clone())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut platter = self.alive()?;
        platter.appends += 1;
        let room = platter.capacity.map(|c| c.saturating_sub(platter.bytes.len()));
        let fits = bytes.len().min(room.unwrap_or(usize::MAX));
        platter.bytes.extend_from_slice(&bytes[..fits]);
        platter.call()?;
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut platter = self.alive()?;
        platter.call()?;
        if platter.sync_fails {
            return Err(io::Error::other("the disk does not sync"));
        }
        platter.syncs += 1;
        platter.synced = platter.bytes.len();
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut platter = self.alive()?;
        platter.bytes.truncate(len as usize);
        platter.synced = platter.synced.min(platter.bytes.len());
        Ok(())
    }

    fn blocking(&self) -> bool {
        false
    }

    fn path(&self) -> PathBuf {
        "simulated-disk/ledger.jsonl".into()
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn a_crash_touches_only_what_was_not_synced() {
        for (seed, tear) in (0..200).flat_map(|s| Tear::ALL.map(|t| (s, t))) {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut disk = MemDisk::new();
            disk.append(b"safe\n").unwrap();
            disk.sync().unwrap();
            disk.append(b"not safe\n").unwrap();
            let after = disk.crash(&mut rng, tear).bytes();
            assert!(after.starts_with(b"safe\n"), "{tear:?}");
            match tear {
                Tear::Lose => assert_eq!(after, b"safe\n"),
                Tear::Keep => assert_eq!(after, b"safe\nnot safe\n"),
                _ => assert!(after.len() <= 14),
            }
        }
    }

    #[test]
    fn a_handle_from_before_the_crash_is_dead() {
        let mut old = MemDisk::new();
        let mut new = old.crash(&mut StdRng::seed_from_u64(1), Tear::Lose);
        assert!(old.append(b"x").is_err());
        new.append(b"y").unwrap();
        assert_eq!(new.bytes(), b"y");
    }

    #[test]
    fn a_full_disk_takes_what_fits() {
        let mut disk = MemDisk::new();
        disk.set_capacity(Some(3));
        let error = disk.append(b"abcd").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.bytes(), b"abc");
    }
}
