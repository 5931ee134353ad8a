//! The state directory: where things lie in it, and that nobody else can read it.
//!
//! Must not know what the files in it say.
#![allow(clippy::disallowed_methods, reason = "the state directory's home")]

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::error::io_hint;

/// Git must not take a snapshot or a ledger along, wherever the directory lies.
const GITIGNORE: &str = "*\n";

/// `.slipway/` unless `--state-dir` says otherwise.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
    warning: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("{action} the state directory {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("open the state directory {}: a file is in its place", path.display())]
    NotADirectory { path: PathBuf },
    /// Locking away (0700, `.gitignore` of `*`) a directory of somebody's own work would be rude.
    #[error(
        "open the state directory {}: it holds other things (`{example}`) and no state of Slipway's",
        path.display()
    )]
    Foreign { path: PathBuf, example: String },
}

impl StateError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { path, source, .. } => io_hint(source, &path.display().to_string()),
            Self::NotADirectory { .. } => {
                Some("move the file away, or choose another with `--state-dir`".into())
            }
            Self::Foreign { path, .. } => Some(format!(
                "name a directory of its own: `--state-dir {}`",
                path.join(".slipway").display()
            )),
        }
    }
}

impl StateDir {
    /// For reading verbs: names the directory and makes nothing.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), warning: None }
    }

    /// For verbs that write: makes the directory (and its parents), private to its owner.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        let mut dir = Self::at(path);
        let io = |action| {
            let path = dir.path.clone();
            move |source: io::Error| match source.kind() {
                io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                    StateError::NotADirectory { path }
                }
                _ => StateError::Io { action, path, source },
            }
        };
        match fs::metadata(&dir.path) {
            Ok(meta) if !meta.is_dir() => return Err(StateError::NotADirectory { path: dir.path }),
            Ok(meta) => {
                refuse_foreign(&dir.path)?;
                dir.warning = tighten(&dir.path, &meta).map_err(io("make private"))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Only the directory itself is private: its parents are the operator's own.
                if let Some(parent) = dir.path.parent().filter(|p| !p.as_os_str().is_empty()) {
                    fs::create_dir_all(parent).map_err(io("create the parents of"))?;
                }
                fs::DirBuilder::new().mode(0o700).create(&dir.path).map_err(io("create"))?;
            }
            Err(error) => return Err(io("open")(error)),
        }
        let ignore = dir.path.join(".gitignore");
        if fs::metadata(&ignore).map_or(true, |meta| meta.len() == 0) {
            fs::write(&ignore, GITIGNORE).map_err(io("write .gitignore into"))?;
        }
        Ok(dir)
    }

    /// What the operator should know of the directory's permissions.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn ledger(&self) -> PathBuf {
        self.path.join("ledger.jsonl")
    }

    pub fn lock(&self) -> PathBuf {
        self.path.join("ledger.lock")
    }

    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    pub fn snapshots(&self) -> PathBuf {
        self.path.join("snapshots")
    }

    pub fn sim(&self) -> PathBuf {
        self.path.join("sim")
    }

    /// Makes one of the folders above, as private as the directory itself.
    pub fn make(&self, folder: PathBuf) -> Result<PathBuf, StateError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        match made {
            Ok(()) => Ok(folder),
            Err(_) if folder.exists() => Err(StateError::NotADirectory { path: folder }),
            Err(source) => Err(StateError::Io { action: "create", path: folder, source }),
        }
    }
}

/// Takes group's and others' permissions away, if it is ours to do so.
fn tighten(path: &Path, meta: &fs::Metadata) -> io::Result<Option<String>> {
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(None);
    }
    if nix::unistd::geteuid().as_raw() == meta.uid() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        return Ok(None);
    }
    Ok(Some(format!(
        "{} belongs to user {} and others may read it (mode {mode:03o}); it should be 0700",
        path.display(),
        meta.uid()
    )))
}

/// An empty directory, or one with a ledger or our own `.gitignore`, is fine.
fn refuse_foreign(path: &Path) -> Result<(), StateError> {
    let ours = ["ledger.jsonl", "ledger.lock"].iter().any(|name| path.join(name).exists())
        || fs::read_to_string(path.join(".gitignore")).is_ok_and(|text| text == GITIGNORE);
    if ours {
        return Ok(());
    }
    let list = |source| StateError::Io { action: "list", path: path.into(), source };
    for entry in fs::read_dir(path).map_err(list)? {
        let entry = entry.map_err(list)?;
        // A crash in the middle of `open` leaves an empty `.gitignore`.
        let half_made =
            entry.file_name() == ".gitignore" && entry.metadata().is_ok_and(|m| m.len() == 0);
        if !half_made {
            let example = entry.file_name().to_string_lossy().into_owned();
            return Err(StateError::Foreign { path: path.into(), example });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn it_is_made_private_with_its_parents() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b/.slipway");
        let dir = StateDir::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(fs::read_to_string(path.join(".gitignore")).unwrap(), "*\n");
        assert_eq!(mode(&dir.make(dir.logs()).unwrap()), 0o700);
        StateDir::open(&path).unwrap();
    }

    #[test]
    fn an_open_one_is_tightened() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("s");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let dir = StateDir::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(dir.warning(), None);
    }

    #[test]
    fn reading_makes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let dir = StateDir::at(root.path().join("s"));
        assert_eq!(dir.ledger(), root.path().join("s/ledger.jsonl"));
        assert!(!dir.path().exists());
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("s");
        fs::write(&path, "x").unwrap();
        for path in [path.clone(), path.join("below"), path.join("far/below")] {
            let error = StateDir::open(&path).unwrap_err();
            assert!(matches!(error, StateError::NotADirectory { .. }), "{error:?}");
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn somebody_elses_directory_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(root.path().join("main.tf"), "x").unwrap();
        let error = StateDir::open(root.path()).unwrap_err();
        assert!(error.to_string().contains("`main.tf`"), "{error}");
        assert_eq!(mode(root.path()), 0o755);
        assert!(!root.path().join(".gitignore").exists());
    }

    #[test]
    fn each_cause_has_its_hint() {
        for (kind, word) in [
            (io::ErrorKind::StorageFull, "full"),
            (io::ErrorKind::ReadOnlyFilesystem, "read-only"),
            (io::ErrorKind::PermissionDenied, "who owns"),
        ] {
            let source = io::Error::from(kind);
            let error = StateError::Io { action: "create", path: "s".into(), source };
            assert!(error.hint().unwrap().contains(word), "{kind:?}");
        }
    }
}
