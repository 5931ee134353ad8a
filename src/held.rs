//! A file that one at a time may have.
//!
//! The kernel takes the lock from a process that ends, so that none is ever left behind. One that goes on
//! must unlock: to close the file is not enough, for a child that is being started meanwhile has the same open
//! file until it begins its own program.

use std::{
    fs::{File, TryLockError},
    io,
    ops::{Deref, DerefMut},
};

/// Locked for as long as it lives.
#[derive(Debug)]
pub struct Held(File);

/// Locked, or still as it was when another has it.
#[derive(Debug)]
pub enum Taken {
    Held(Held),
    Elsewhere(File),
}

impl Held {
    /// Does not wait.
    pub fn take(file: File) -> io::Result<Taken> {
        match file.try_lock() {
            Ok(()) => Ok(Taken::Held(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(Taken::Elsewhere(file)),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Deref for Held {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second descriptor of the same open file is what a child has until it begins its own program.
    #[test]
    fn a_child_that_is_being_started_keeps_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let open = || File::create(dir.path().join("x")).unwrap();
        let file = open();
        let child = file.try_clone().unwrap();
        let Taken::Held(held) = Held::take(file).unwrap() else { panic!("nobody else had it") };
        assert!(matches!(Held::take(open()).unwrap(), Taken::Elsewhere(_)));
        drop(held);
        assert!(matches!(Held::take(open()).unwrap(), Taken::Held(_)));
        drop(child);
    }
}
