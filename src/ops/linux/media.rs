//! A disk as those see it who have to think of its cache: what is written is there for certain only
//! once the disk was told to flush. A test's disk loses the rest when its power goes.

use std::{fs::File, io, os::unix::fs::FileExt};

/// Something that can be written to, and keeps it once it was told to flush.
pub trait Media {
    fn read(&self, to: &mut [u8], at: u64) -> io::Result<()>;
    fn write(&self, from: &[u8], at: u64) -> io::Result<()>;
    /// Everything is on the disk, not in its cache, when this returns.
    fn flush(&self) -> io::Result<()>;
}

impl Media for File {
    fn read(&self, to: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(to, at)
    }

    fn write(&self, from: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(from, at)
    }

    fn flush(&self) -> io::Result<()> {
        self.sync_all()
    }
}

#[cfg(test)]
pub mod mortal {
    use std::{cell::RefCell, collections::BTreeMap, io};

    use rand::{Rng, rngs::StdRng};

    use super::Media;

    /// A disk with a cache that forgets, and a machine whose power goes after some writes.
    pub struct Mortal {
        pub state: RefCell<Kept>,
    }

    impl Mortal {
        pub fn that_dies(mut kept: Kept, writes_left: u32) -> Self {
            kept.writes_left = writes_left;
            Self { state: RefCell::new(kept) }
        }
    }

    /// A unit of zeros is none.
    type Unit = Option<Box<[u8]>>;

    #[derive(Clone)]
    pub struct Kept {
        /// What is written as one, or not at all.
        unit: u64,
        durable: BTreeMap<u64, Unit>,
        cached: BTreeMap<u64, Unit>,
        pub writes_left: u32,
    }

    impl Kept {
        pub fn of_units(unit: u64) -> Self {
            Self { unit, durable: BTreeMap::new(), cached: BTreeMap::new(), writes_left: u32::MAX }
        }

        fn unit(&self, number: u64) -> Option<&[u8]> {
            self.cached.get(&number).or_else(|| self.durable.get(&number))?.as_deref()
        }

        /// Within one unit.
        pub fn put(&mut self, at: u64, bytes: &[u8]) {
            let (number, inside, size) =
                (at / self.unit, (at % self.unit) as usize, self.unit as usize);
            let zeros = bytes.iter().all(|b| *b == 0);
            let old = self.unit(number);
            let new = if zeros && (old.is_none() || bytes.len() == size) {
                None
            } else {
                let mut unit = old.map_or_else(|| vec![0; size], <[u8]>::to_vec);
                unit[inside..][..bytes.len()].copy_from_slice(bytes);
                Some(unit.into_boxed_slice())
            };
            self.cached.insert(number, new);
        }

        pub fn keep(&mut self) {
            self.durable.append(&mut self.cached);
        }

        pub fn holds(&self, at: u64, text: &[u8]) -> bool {
            let inside = (at % self.unit) as usize;
            self.unit(at / self.unit).is_some_and(|unit| unit[inside..].starts_with(text))
        }

        /// Of what was not flushed, some units made it, by lot.
        pub fn after_a_cut(mut self, lot: &mut StdRng) -> Self {
            for (number, unit) in std::mem::take(&mut self.cached) {
                if lot.random_bool(0.5) {
                    self.durable.insert(number, unit);
                }
            }
            self
        }

        fn spend(&mut self) -> io::Result<()> {
            if self.writes_left == 0 {
                return Err(io::Error::other("the power is gone"));
            }
            self.writes_left -= 1;
            Ok(())
        }
    }

    /// Parts of a range, none of which crosses a unit's border: where, and from where to where in it.
    fn parts(at: u64, count: usize, unit: u64) -> Vec<(u64, std::ops::Range<usize>)> {
        let (mut parts, mut done) = (Vec::new(), 0);
        while done < count {
            let here = at + done as u64;
            let some = (count - done).min((unit - here % unit) as usize);
            parts.push((here, done..done + some));
            done += some;
        }
        parts
    }

    impl Media for Mortal {
        fn read(&self, to: &mut [u8], at: u64) -> io::Result<()> {
            let state = self.state.borrow();
            for (here, part) in parts(at, to.len(), state.unit) {
                let inside = (here % state.unit) as usize;
                match state.unit(here / state.unit) {
                    Some(unit) => {
                        to[part.clone()].copy_from_slice(&unit[inside..][..part.len()]);
                    }
                    None => to[part].fill(0),
                }
            }
            Ok(())
        }

        fn write(&self, from: &[u8], at: u64) -> io::Result<()> {
            let state = &mut *self.state.borrow_mut();
            for (here, part) in parts(at, from.len(), state.unit) {
                state.spend()?;
                state.put(here, &from[part]);
            }
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            let state = &mut *self.state.borrow_mut();
            state.spend()?;
            state.keep();
            Ok(())
        }
    }
}
