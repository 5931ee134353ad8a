//! What can go wrong with the ledger, in words that say what to do. Must not know who prints them.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::names::NodeName;

/// Cloneable, because everybody who waits for a write that failed gets the same error.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    #[error("{action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: Arc<io::Error> },

    #[error("read {}: line {line} is damaged: {why}", path.display())]
    Corrupt { path: PathBuf, line: u64, why: String },

    #[error(
        "read {}: it has ledger format {found}, and this slipway knows formats up to {known}",
        path.display()
    )]
    Newer { path: PathBuf, found: u64, known: u64 },

    #[error("open {}: it belongs to cluster `{found}`, not to `{expected}`", path.display())]
    OtherCluster { path: PathBuf, found: NodeName, expected: NodeName },

    #[error("another slipway ({holder}) holds {}", path.display())]
    Locked { path: PathBuf, holder: String },

    #[error("write an event as JSON for {}", path.display())]
    Unwritable { path: PathBuf, source: Arc<serde_json::Error> },

    #[error("write {}: the ledger is closed", path.display())]
    Closed { path: PathBuf },
}

impl LedgerError {
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { action, path: path.into(), source: Arc::new(source) }
    }

    pub(super) fn unwritable(path: &Path, error: serde_json::Error) -> Self {
        Self::Unwritable { path: path.into(), source: Arc::new(error) }
    }

    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, path, .. } => io_hint(source, &path.display().to_string()),
            Self::Corrupt { path, .. } => {
                let path = path.display();
                Some(format!(
                    "nothing is dropped silently: look at that line, then move the file aside \
                     (`mv {path} {path}.damaged`) and run the command again; Slipway trusts the \
                     nodes and finds its way without it, but asks again for what was approved"
                ))
            }
            Self::Newer { .. } => {
                Some("a newer slipway wrote it: use that one, or a newer one still".into())
            }
            Self::OtherCluster { expected, .. } => Some(format!(
                "give each cluster its own: `--state-dir .slipway-{expected}`, or check `-i`"
            )),
            Self::Locked { .. } => Some(
                "wait for it to finish, or stop it with Ctrl-C there; the lock goes with its process"
                    .into(),
            ),
            Self::Unwritable { .. } => Some("this is a bug in slipway; please report it".into()),
            Self::Closed { .. } => None,
        }
    }
}

/// What to do about an operating system's no; shared by the ledger and the state directory.
pub(super) fn io_hint(error: &io::Error, object: &str) -> Option<String> {
    use io::ErrorKind::*;
    Some(match error.kind() {
        StorageFull | QuotaExceeded => format!(
            "the disk under {object} is full: free some space and run the same command again; what \
             was recorded before is whole"
        ),
        ReadOnlyFilesystem => {
            format!("{object} is on a read-only file system: choose another with `--state-dir`")
        }
        PermissionDenied => format!(
            "check who owns {object} (a run under sudo may have made it), or choose another with \
             `--state-dir`"
        ),
        _ => return None,
    })
}
