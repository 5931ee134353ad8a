//! Where an agent process lives on its node: its socket, its lock, its name.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
};

use crate::held::{Held, Taken};

/// Of one build of Slipway. Sockets of other builds lie beside it; the lock is one for all.
#[derive(Debug, Clone)]
pub struct Place {
    dir: PathBuf,
    /// Tells builds apart: the beginning of the binary's hash.
    pub build: String,
}

/// Who holds the lock of a node's agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub pid: i32,
    pub build: String,
}

impl Place {
    /// Binaries are named `slipway-<sha256>`; one that is not was started by hand.
    pub fn of(program: &std::path::Path) -> Self {
        let name = program.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let hash = name.strip_prefix("slipway-").filter(|h| h.len() == 64);
        let build = hash.map_or_else(|| "by-hand".into(), |h| h[..16].to_string());
        Self { dir: "/run/slipway/agent".into(), build }
    }

    #[cfg(test)]
    pub fn at(dir: impl Into<PathBuf>, build: &str) -> Self {
        Self { dir: dir.into(), build: build.into() }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join(format!("{}.sock", self.build))
    }

    /// Makes the directory; only root gets into it.
    pub fn make(&self) -> io::Result<()> {
        if let Some(parent) = self.dir.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the agent's own directory under /run")]
    fn lock_file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.open(self.dir.join("lock"))
    }

    /// Held as long as the file is. None when another agent holds it.
    pub fn lock(&self) -> io::Result<Option<Held>> {
        let Taken::Held(mut file) = Held::take(self.lock_file()?)? else { return Ok(None) };
        file.set_len(0)?;
        write!(file, "{} {}", std::process::id(), self.build)?;
        Ok(Some(file))
    }

    /// Who holds the lock right now.
    pub fn holder(&self) -> io::Result<Option<Holder>> {
        let mut file = self.lock_file()?;
        if file.try_lock_shared().is_ok() {
            let _ = file.unlock();
            return Ok(None);
        }
        let mut text = String::new();
        file.rewind()?;
        file.read_to_string(&mut text)?;
        let holder = text.split_once(' ').and_then(|(pid, build)| {
            Some(Holder { pid: pid.parse().ok()?, build: build.to_string() })
        });
        // Between taking the lock and writing the name: whoever it is, it has only begun.
        Ok(Some(holder.unwrap_or(Holder { pid: 0, build: String::new() })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_agent_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::at(dir.path().join("agent"), "one");
        place.make().unwrap();
        place.make().unwrap();
        assert_eq!(place.holder().unwrap(), None);
        let held = place.lock().unwrap().unwrap();
        let other = Place::at(dir.path().join("agent"), "two");
        assert!(other.lock().unwrap().is_none());
        let holder = other.holder().unwrap().unwrap();
        assert_eq!(holder.build, "one");
        assert_eq!(holder.pid, std::process::id().cast_signed());
        drop(held);
        assert!(other.lock().unwrap().is_some());
    }

    #[test]
    fn builds_are_named_by_their_hash() {
        let path = format!("/var/lib/slipway/bin/slipway-{}", "ab".repeat(32));
        assert_eq!(Place::of(path.as_ref()).build, "abababababababab");
        assert_eq!(Place::of("/usr/bin/slipway".as_ref()).build, "by-hand");
    }
}
