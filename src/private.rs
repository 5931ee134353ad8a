//! Private files of the operator's: replaced whole or not at all, and readable by nobody else.
//!
//! Must not know what is in them.
#![allow(clippy::disallowed_methods, reason = "a home of files that are written")]

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
};

const MOST_LINKS: usize = 40;

/// Where a path leads in the end, also where nothing lies there yet.
pub fn target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            // Relative to where the link is; an absolute one takes over.
            Ok(to) => path = path.parent().unwrap_or(Path::new("")).join(to),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// The directory that a file is in.
pub fn directory(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Gone when it is dropped, unless it was kept.
pub struct Part {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl Part {
    /// Beside the file that it is to become.
    pub fn beside(path: &Path) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let part = directory(path).join(format!(".{name}.part-{}", std::process::id()));
        // Never a file that is there already, nor where a link leads: whoever may put one into this
        // directory would read what is written. One of ours that a kill left, of a process with the same
        // number, goes first.
        let new = || OpenOptions::new().create_new(true).write(true).mode(0o600).open(&part);
        let file = new().or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => fs::remove_file(&part).and_then(|()| new()),
            _ => Err(error),
        })?;
        Ok(Self { path: part, file, kept: false })
    }

    /// The same, where nothing has that name yet; false where something has.
    pub fn keep_new(self, path: &Path) -> io::Result<bool> {
        self.file.sync_all()?;
        match fs::hard_link(&self.path, path) {
            Ok(()) => File::open(directory(path))?.sync_all().map(|()| true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Under its name, where it survives a loss of power.
    pub fn keep(mut self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, path)?;
        self.kept = true;
        File::open(directory(path))?.sync_all()
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// 0600, and whose it was before.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory(path))?;
    let mut part = Part::beside(path)?;
    if let Ok(old) = fs::metadata(path)
        && nix::unistd::geteuid().is_root()
    {
        fchown(&part.file, Some(old.uid()), Some(old.gid()))?;
    }
    part.file.write_all(content)?;
    part.keep(path)
}

/// kubectl's own lock of a kubeconfig: it writes none while this is there.
pub struct Lock(PathBuf);

impl Lock {
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory(path))?;
        let mut name = path.as_os_str().to_os_string();
        name.push(".lock");
        let lock = PathBuf::from(name);
        OpenOptions::new().create_new(true).write(true).mode(0o600).open(&lock)?;
        Ok(Self(lock))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_behind_links_is_replaced_and_the_links_stay() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("real")).unwrap();
        symlink("real/config", at("one")).unwrap();
        symlink(at("one"), at("two")).unwrap();
        let end = target(&at("two")).unwrap();
        assert_eq!(end, at("real/config"), "though nothing is there yet");
        for text in ["first", "second"] {
            replace(&end, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(at("two")).unwrap(), text);
        }
        assert!(at("two").is_symlink());
        assert_eq!(fs::metadata(&end).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(at("real")).unwrap().count(), 1, "no part is left");
        symlink("b", at("a")).unwrap();
        symlink("a", at("b")).unwrap();
        assert!(target(&at("a")).is_err());
    }

    #[test]
    fn a_part_is_a_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("others"), "theirs").unwrap();
        let part = at(&format!(".config.part-{}", std::process::id()));
        symlink(at("others"), &part).unwrap();
        replace(&at("config"), b"secret").unwrap();
        assert_eq!(fs::read_to_string(at("others")).unwrap(), "theirs", "no link is followed");
        fs::write(&part, "old").unwrap();
        fs::set_permissions(&part, fs::Permissions::from_mode(0o644)).unwrap();
        replace(&at("config"), b"new").unwrap();
        assert_eq!(fs::metadata(at("config")).unwrap().permissions().mode() & 0o777, 0o600);
        fs::create_dir(&part).unwrap();
        assert!(replace(&at("config"), b"x").is_err());
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/config");
        let lock = Lock::of(&path).unwrap();
        assert!(Lock::of(&path).is_err());
        drop(Part::beside(&path).unwrap());
        drop(lock);
        assert_eq!(fs::read_dir(dir.path().join("new")).unwrap().count(), 0);
    }
}
