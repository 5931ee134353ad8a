//! The directory that the repository lies in: the only part of this module that reads and writes files.
//!
//! Nothing is written through a link, and a file is there whole or not at all.
#![allow(clippy::disallowed_methods, reason = "the repository is written on this machine")]

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use super::{
    Trouble,
    owned::{self, State},
    scaffold::Scaffold,
};
use crate::events::Failure;

/// A repository with more files than this is looked through no further for what was left over.
const MOST_FILES: usize = 50_000;
/// A first line of Slipway's is shorter.
const FIRST_LINE: u64 = 256;

/// One file, what becomes of it, and its text before and after.
#[derive(Debug, Clone)]
pub struct Change {
    pub path: String,
    pub state: State,
    pub before: String,
    /// Without the first line; for a leftover, nothing.
    pub after: String,
}

#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
}

enum There {
    Nothing,
    Text(String),
    /// A link, or bytes that are no text: nothing that Slipway writes.
    Other,
}

impl Tree {
    /// The directory need not exist yet.
    pub fn open(root: &Path) -> Result<Self, Trouble> {
        match fs::metadata(root) {
            Ok(found) if !found.is_dir() => {
                let why = format!("`{}` is a file", root.display());
                Err(Trouble::Usage(
                    Failure::new("write a GitOps repository", why)
                        .hint("name a directory: a new one, or a repository of yours"),
                ))
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let why = format!("cannot look at `{}`: {error}", root.display());
                Err(Trouble::Usage(Failure::new("write a GitOps repository", why)))
            }
            _ => Ok(Self { root: root.into() }),
        }
    }

    /// The text of a file, if one is there.
    pub fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    /// What becomes of every file that is wanted, and of those that once were.
    pub fn compare(&self, scaffold: &Scaffold) -> Result<Vec<Change>, Trouble> {
        let mut changes = Vec::new();
        for (path, after) in &scaffold.files {
            let (state, before) = match self.look(path)? {
                There::Nothing => (State::Created, String::new()),
                There::Other => (State::Foreign, String::new()),
                There::Text(text) => {
                    let state = owned::judge(Some(&text), after);
                    (state, owned::body(&text).replace("\r\n", "\n"))
                }
            };
            changes.push(Change { path: path.clone(), state, before, after: after.clone() });
        }
        let known = |path: &str| {
            scaffold.files.contains_key(path) || scaffold.held.iter().any(|held| held == path)
        };
        for path in self.ours().into_iter().filter(|path| !known(path)) {
            let (before, after) = (String::new(), String::new());
            changes.push(Change { path, state: State::Leftover, before, after });
        }
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(changes)
    }

    /// Writes what is new or changed.
    pub fn write(&self, changes: &[Change]) -> Result<(), Trouble> {
        let due: Vec<&Change> = changes.iter().filter(|c| c.state.writes()).collect();
        for (done, change) in due.iter().enumerate() {
            put(&self.root.join(&change.path), &owned::sealed(&change.path, &change.after))
                .map_err(|error| {
                    let what = format!("write {}", self.root.join(&change.path).display());
                    let left = format!("{done} of {} files were written", due.len());
                    Trouble::Failed(
                        Failure::new(what, error.to_string())
                            .left(left)
                            .hint("the same command goes on, once this is mended"),
                    )
                })?;
        }
        Ok(())
    }

    fn look(&self, path: &str) -> Result<There, Trouble> {
        let wrong = |at: &Path, why: &str| {
            let why = format!("`{}` {why}", at.display());
            Trouble::Failed(Failure::new(format!("write {path}"), why).left("nothing was written"))
        };
        let mut at = self.root.clone();
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            at.push(part);
            let last = parts.peek().is_none();
            let found = match fs::symlink_metadata(&at) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(There::Nothing),
                Err(error) => return Err(wrong(&at, &format!("cannot be looked at: {error}"))),
            };
            match (found.file_type(), last) {
                (kind, true) if kind.is_file() => {}
                (kind, true) if kind.is_symlink() => return Ok(There::Other),
                (_, true) => return Err(wrong(&at, "is there, and is no file")),
                (kind, false) if kind.is_dir() => {}
                (kind, false) if kind.is_symlink() => {
                    return Err(wrong(&at, "is a link, and nothing is written through one"));
                }
                _ => return Err(wrong(&at, "is there, and is no directory")),
            }
        }
        match fs::read(&at) {
            Ok(bytes) => Ok(String::from_utf8(bytes).map_or(There::Other, There::Text)),
            Err(error) => Err(wrong(&at, &format!("cannot be read: {error}"))),
        }
    }

    /// Every file below that begins as Slipway's do.
    fn ours(&self) -> Vec<String> {
        let (mut found, mut seen) = (Vec::new(), 0);
        let mut open = vec![self.root.clone()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                seen += 1;
                if seen > MOST_FILES {
                    return found;
                }
                let path = entry.path();
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() && entry.file_name() != ".git" {
                    open.push(path);
                } else if kind.is_file()
                    && path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "md")
                    && owned::is_ours(&beginning(&path))
                    && let Ok(path) = path.strip_prefix(&self.root)
                {
                    found.push(path.to_string_lossy().into_owned());
                }
            }
        }
        found
    }
}

fn beginning(path: &Path) -> String {
    let mut bytes = Vec::new();
    // What cannot be read is nobody's here.
    let _ = File::open(path).and_then(|file| file.take(FIRST_LINE).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Beside its place first, on the disk, then into it.
fn put(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = directory.join(format!(".{name}.slipway-{}", std::process::id()));
    let written =
        OpenOptions::new().write(true).create_new(true).open(&new).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    if let Err(error) = written.and_then(|()| fs::rename(&new, path)) {
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    File::open(directory)?.sync_all()
}
