//! Files of a node: whole, atomic, durable.
//!
//! A path that is a symbolic link is replaced by a file: what Slipway writes is its own, and must
//! not end up wherever a link happens to lead (`/etc/resolv.conf` into somebody's runtime
//! directory). The accounts are read from the files themselves: a static program loads no name
//! service.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use async_trait::async_trait;

use super::Linux;
use crate::{
    facts::read::accounts,
    ops::sys::{Access, DirState, FileState, Files, SysError, SysErrorKind, SysResult},
};

/// What the name of a half-written file begins with; one that a crash left is overwritten in time.
const PART: &str = ".slipway-part-";

/// An error that says what was done to which path.
pub fn failed(what: &str, path: &Path, error: &io::Error) -> SysError {
    use io::ErrorKind as Kind;
    let shown = path.display();
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => SysError::new(
            SysErrorKind::NoSpace,
            format!("cannot {what} {shown}: no space left on its disk"),
        ),
        Kind::ReadOnlyFilesystem => {
            SysError::other(format!("cannot {what} {shown}: its filesystem is mounted read-only"))
        }
        _ => SysError::other(format!("cannot {what} {shown}: {error}")),
    }
}

fn none_if_absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Linux {
    /// `user:group` of numbers; root's are known without looking.
    fn owner_name(&self, uid: u32, gid: u32) -> String {
        let name = |id: u32, file: &str| {
            if id == 0 {
                return "root".to_string();
            }
            let text = fs::read_to_string(self.path(file)).unwrap_or_default();
            accounts::name_of(&text, id).map_or_else(|| id.to_string(), str::to_string)
        };
        format!("{}:{}", name(uid, "/etc/passwd"), name(gid, "/etc/group"))
    }

    fn owner_ids(&self, owner: &str) -> SysResult<(u32, u32)> {
        let Some((user, group)) = owner.split_once(':') else {
            return Err(SysError::other(format!("`{owner}` is not `user:group`")));
        };
        let id = |name: &str, file: &str, kind: &str| {
            if let Ok(id) = name.parse() {
                return Ok(id);
            }
            let text = fs::read_to_string(self.path(file)).unwrap_or_default();
            accounts::id_of(&text, name)
                .ok_or_else(|| SysError::other(format!("there is no {kind} `{name}` on this node")))
        };
        Ok((id(user, "/etc/passwd", "user")?, id(group, "/etc/group", "group")?))
    }

    /// Writes beside, syncs, renames, and syncs the directory.
    pub fn write_now(&self, path: &str, content: &[u8], access: &Access) -> SysResult<()> {
        let target = self.path(path);
        let owner = match &access.owner {
            Some(owner) => Some(self.owner_ids(owner)?),
            None => fs::symlink_metadata(&target)
                .ok()
                .filter(|m| m.is_file())
                .map(|m| (m.uid(), m.gid())),
        };
        let (Some(dir), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(SysError::other(format!("`{path}` is not a file's path")));
        };
        if fs::symlink_metadata(&target).is_ok_and(|m| m.is_dir()) {
            return Err(SysError::other(format!("cannot write {path}: it is a directory")));
        }
        make_parents(dir).map_err(|e| failed("make", dir, &e))?;
        let part = dir.join(format!("{PART}{}", name.to_string_lossy()));
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            // Nobody reads it before it has its mode.
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.open(&part)?;
            file.write_all(content)?;
            if let Some((uid, gid)) = owner {
                chown(&part, Some(uid), Some(gid))?;
            }
            file.set_permissions(fs::Permissions::from_mode(access.mode))?;
            file.sync_all()?;
            fs::rename(&part, &target)?;
            File::open(dir)?.sync_all()
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&part);
            failed("write", &target, &error)
        })
    }
}

/// With mode 0755, whatever the umask.
fn make_parents(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        make_parents(parent)?;
    }
    match DirBuilder::new().mode(0o755).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        other => other,
    }
}

/// Blocking work with syncs is kept off the threads that carry events.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> SysResult<T> + Send + 'static,
) -> SysResult<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(SysError::other(format!("a task of the agent failed: {error}"))),
    }
}

/// All below is on the disk. Not by a sync of the filesystem: that would wait for what others write, too.
pub fn flush_tree(at: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(at)?;
    if meta.is_dir() {
        for entry in fs::read_dir(at)? {
            flush_tree(&entry?.path())?;
        }
    }
    // A link is its directory's.
    if meta.is_dir() || meta.is_file() { File::open(at)?.sync_all() } else { Ok(()) }
}

#[async_trait]
impl Files for Linux {
    async fn read(&self, path: &str) -> SysResult<Option<FileState>> {
        let real = self.path(path);
        let found = none_if_absent(fs::symlink_metadata(&real))
            .map_err(|e| failed("look at", &real, &e))?;
        let Some(meta) = found else { return Ok(None) };
        if meta.is_dir() {
            return Err(SysError::other(format!("cannot read {path}: it is a directory")));
        }
        // A link is not the file that was written, even if it leads to the same text: its mode
        // differs from every file's.
        let content = none_if_absent(fs::read(&real)).map_err(|e| failed("read", &real, &e))?;
        let changed = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        Ok(Some(FileState {
            content: content.unwrap_or_default(),
            mode: if meta.is_symlink() { 0o120_777 } else { meta.mode() & 0o7777 },
            owner: self.owner_name(meta.uid(), meta.gid()),
            changed_ms: changed.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
        }))
    }

    async fn write_as(&self, path: &str, content: &[u8], access: &Access) -> SysResult<()> {
        let (linux, path, content, access) =
            (self.clone(), path.to_string(), content.to_vec(), access.clone());
        blocking(move || linux.write_now(&path, &content, &access)).await
    }

    async fn directory(&self, path: &str) -> SysResult<Option<DirState>> {
        let real = self.path(path);
        let found =
            none_if_absent(fs::metadata(&real)).map_err(|e| failed("look at", &real, &e))?;
        match found {
            None => Ok(None),
            Some(meta) if meta.is_dir() => Ok(Some(DirState {
                mode: meta.mode() & 0o7777,
                owner: self.owner_name(meta.uid(), meta.gid()),
            })),
            Some(_) => Err(SysError::other(format!("{path} is there, and is no directory"))),
        }
    }

    async fn make_directory(&self, path: &str, access: &Access) -> SysResult<()> {
        let owner = access.owner.as_deref().map(|o| self.owner_ids(o)).transpose()?;
        let (real, mode) = (self.path(path), access.mode);
        blocking(move || {
            let make = || -> io::Result<()> {
                make_parents(&real)?;
                if let Some((uid, gid)) = owner {
                    chown(&real, Some(uid), Some(gid))?;
                }
                fs::set_permissions(&real, fs::Permissions::from_mode(mode))?;
                File::open(real.parent().unwrap_or(&real))?.sync_all()
            };
            make().map_err(|e| failed("make the directory", &real, &e))
        })
        .await
    }

    async fn remove(&self, path: &str) -> SysResult<()> {
        let real = self.path(path);
        if path.trim_matches('/').split('/').filter(|p| !p.is_empty()).count() < 2 {
            return Err(SysError::other(format!("`{path}` is too much to remove")));
        }
        blocking(move || {
            let gone = match fs::symlink_metadata(&real) {
                Ok(meta) if meta.is_dir() => fs::remove_dir_all(&real),
                Ok(_) => fs::remove_file(&real),
                Err(error) => Err(error),
            };
            match none_if_absent(gone).map_err(|e| failed("remove", &real, &e))? {
                None => Ok(()),
                Some(()) => real.parent().map_or(Ok(()), |dir| {
                    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| failed("sync", dir, &e))
                }),
            }
        })
        .await
    }

    async fn link_target(&self, path: &str) -> SysResult<Option<String>> {
        let real = self.path(path);
        match fs::read_link(&real) {
            Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
            // Something that is no link has no target.
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(None),
            Err(error) => {
                none_if_absent(Err(error)).map_err(|e| failed("read the link", &real, &e))
            }
        }
    }

    async fn link(&self, path: &str, target: &str) -> SysResult<()> {
        let (real, target) = (self.path(path), PathBuf::from(target));
        blocking(move || {
            let (Some(dir), Some(name)) = (real.parent(), real.file_name()) else {
                return Err(SysError::other(format!("{} cannot be a link", real.display())));
            };
            let part = dir.join(format!("{PART}{}", name.to_string_lossy()));
            let make = || -> io::Result<()> {
                make_parents(dir)?;
                none_if_absent(fs::remove_file(&part))?;
                symlink(&target, &part)?;
                fs::rename(&part, &real)?;
                File::open(dir)?.sync_all()
            };
            make().map_err(|e| failed("link", &real, &e))
        })
        .await
    }

    async fn read_part(&self, path: &str, from: u64, most: usize) -> SysResult<Option<Vec<u8>>> {
        let real = self.path(path);
        let mut bytes = Vec::with_capacity(most);
        let mut read = || {
            let mut file = File::open(&real)?;
            file.seek(io::SeekFrom::Start(from))?;
            file.take(most as u64).read_to_end(&mut bytes)
        };
        let found = none_if_absent(read()).map_err(|e| failed("read", &real, &e))?;
        Ok(found.map(|_| bytes))
    }

    async fn list(&self, dir: &str) -> SysResult<Vec<String>> {
        let mut files = Vec::new();
        let mut left = vec![dir.trim_end_matches('/').to_string()];
        while let Some(dir) = left.pop() {
            let real = self.path(&dir);
            let entries =
                none_if_absent(fs::read_dir(&real)).map_err(|e| failed("list", &real, &e))?;
            for entry in entries.into_iter().flatten() {
                let entry = entry.map_err(|e| failed("list", &real, &e))?;
                let name = entry.file_name().to_string_lossy().into_owned();
                // Not a file of anybody's, but what a crash left of one.
                if name.starts_with(PART) {
                    continue;
                }
                let path = format!("{dir}/{name}");
                let kind = entry.file_type().map_err(|e| failed("look at", &real, &e))?;
                if kind.is_dir() { left.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> (tempfile::TempDir, Linux) {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::at(dir.path());
        (dir, linux)
    }

    #[tokio::test]
    async fn a_file_is_written_whole_with_its_mode() {
        let (dir, linux) = here();
        assert_eq!(linux.read("/etc/a/b").await.unwrap(), None);
        linux.write("/etc/a/b", b"one", 0o640).await.unwrap();
        linux.write("/etc/a/b", b"two", 0o600).await.unwrap();
        let found = linux.read("/etc/a/b").await.unwrap().unwrap();
        assert_eq!((found.content.as_slice(), found.mode), (&b"two"[..], 0o600));
        assert_eq!(linux.list("/etc").await.unwrap(), ["/etc/a/b"], "and nothing beside it");
        let mode = fs::metadata(dir.path().join("etc/a")).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o755);
        linux.remove("/etc/a").await.unwrap();
        linux.remove("/etc/a").await.unwrap();
        assert_eq!(linux.list("/etc").await.unwrap(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_link_is_replaced_and_not_followed() {
        let (dir, linux) = here();
        linux.write("/etc/real", b"theirs", 0o644).await.unwrap();
        linux.link("/etc/link", &dir.path().join("etc/real").display().to_string()).await.unwrap();
        assert!(linux.link_target("/etc/link").await.unwrap().is_some());
        assert_ne!(linux.read("/etc/link").await.unwrap().unwrap().mode, 0o777);
        linux.write("/etc/link", b"ours", 0o644).await.unwrap();
        assert_eq!(linux.read("/etc/real").await.unwrap().unwrap().content, b"theirs");
        assert_eq!(linux.link_target("/etc/link").await.unwrap(), None);
    }

    #[tokio::test]
    async fn wrong_places_say_so() {
        let (_dir, linux) = here();
        for path in ["/", "", "/etc", "//", "/etc/"] {
            assert!(linux.remove(path).await.is_err(), "{path}");
        }
        linux.write("/etc/a/b", b"", 0o644).await.unwrap();
        let error = linux.write("/etc/a", b"", 0o644).await.unwrap_err();
        assert!(error.message.contains("is a directory"), "{error}");
        assert!(linux.directory("/etc/a/b").await.is_err());
        let owner = Access { mode: 0o644, owner: Some("nobody-at-all:root".into()) };
        let error = linux.write_as("/etc/c", b"", &owner).await.unwrap_err();
        assert!(error.message.contains("no user `nobody-at-all`"), "{error}");
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let full = failed("write", Path::new("/x"), &io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.kind, SysErrorKind::NoSpace);
    }
}
