//! Upstream releases below /opt/slipway, and images in containerd.

use std::{
    fs,
    io::{self, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use flate2::bufread::MultiGzDecoder;

use super::{
    Linux,
    command::Command,
    files::{blocking, failed, flush_tree},
};
use crate::{
    names::{ImageName, Version, image_file},
    ops::{
        packages::{COMPLETE, INCOMING, Wanted, complete, incoming, release_dir},
        sys::{Artifacts, Files, SysError, SysErrorKind, SysResult},
    },
};

#[async_trait]
impl Artifacts for Linux {
    async fn artifact_versions(&self, name: &str) -> SysResult<Vec<Version>> {
        let dir = self.path(&format!("/opt/slipway/{name}"));
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
        let found = entries.filter_map(|e| e.file_name().to_str()?.parse::<Version>().ok());
        Ok(found.filter(|version| self.path(&complete(name, version)).exists()).collect())
    }

    async fn install_artifact(&self, name: &str, version: &Version) -> SysResult<()> {
        if !self.early.done(&Wanted::Release(name.into(), version.clone())).await {
            let brought = |archive| self.brought_release(name, version, archive).exists();
            // It went when the release had come to its place.
            if !brought(true) && !brought(false) && self.path(&complete(name, version)).exists() {
                return Ok(());
            }
            self.unpack_release(name, version).await?;
        }
        let dir = release_dir(name, version);
        let to = self.path(&part(name, version));
        self.remove(&dir).await?;
        let (real, parent) = (self.path(&dir), self.path(&format!("/opt/slipway/{name}")));
        blocking(move || {
            fs::rename(&to, &real)
                .and_then(|()| fs::File::open(&parent)?.sync_all())
                .map_err(|e| failed("put in place", &real, &e))
        })
        .await?;
        // They would only take room now.
        for archive in [true, false] {
            self.remove(&incoming_path(name, version, archive)).await?;
        }
        Ok(())
    }

    async fn has_image(&self, image: &str) -> SysResult<bool> {
        // An import ends with its archive's going: before that, not all of it may be on the disk.
        if self.brought_image(image).exists() {
            return Ok(false);
        }
        Ok(is_ready(image).await)
    }

    async fn import_image(&self, image: &str) -> SysResult<()> {
        if !self.early.done(&Wanted::Image(image.into())).await {
            if !self.brought_image(image).exists() && is_ready(image).await {
                return Ok(());
            }
            self.unpack_image(image).await?;
        }
        self.remove(&image_path(image)).await
    }

    fn begin_early(&self, wanted: &[Wanted]) {
        self.begin(wanted);
    }

    fn stop_early(&self) {
        self.early.stop();
    }
}

impl Linux {
    pub(super) fn brought_release(&self, name: &str, version: &Version, archive: bool) -> PathBuf {
        self.path(&incoming_path(name, version, archive))
    }

    pub(super) fn brought_image(&self, image: &str) -> PathBuf {
        self.path(&image_path(image))
    }

    pub(super) fn runtime_socket(&self) -> PathBuf {
        self.path("/run/containerd/containerd.sock")
    }

    /// Everything but its name.
    pub(super) async fn unpack_release(&self, name: &str, version: &Version) -> SysResult<()> {
        let archive = self.brought_release(name, version, true).exists();
        let source = self.brought_release(name, version, archive);
        if !source.exists() {
            return Err(not_brought(&format!("{name} {version}")));
        }
        let part = part(name, version);
        self.remove(&part).await?;
        self.write(&format!("{part}/.begun"), b"", 0o644).await?;
        let to = self.path(&part);
        if archive {
            // Several times as fast as gzip's own program.
            let packed = fs::File::open(&source).map_err(|e| failed("read", &source, &e))?;
            let plain = MultiGzDecoder::new(BufReader::with_capacity(128 << 10, packed));
            let unpack = Command::new("tar").args(["--no-same-owner", "-xf", "-", "-C"]);
            unpack.arg(to.to_string_lossy()).stream(plain).done().await?;
        } else {
            let program = to.join(name);
            blocking(move || {
                place(&source, &program).map_err(|e| failed("put in place", &program, &e))
            })
            .await?;
        }
        self.write(&format!("{part}/{COMPLETE}"), b"", 0o644).await?;
        // Everything in it has to be on the disk before its name says that it is whole.
        blocking(move || flush_tree(&to).map_err(|e| failed("sync", &to, &e))).await
    }

    /// Everything but that its archive goes.
    pub(super) async fn unpack_image(&self, image: &str) -> SysResult<()> {
        let from = self.brought_image(image);
        if !from.exists() {
            return Err(not_brought(image));
        }
        if is_ready(image).await {
            // An earlier import was cut off before its end. What it unpacked may be files without
            // their bytes, if the power went too: it is taken out, and unpacked anew.
            ctr(&["images", "rm", "--sync", &in_runtime(image)]).done().await.map_err(passing)?;
        }
        ctr(&["images", "import", &from.to_string_lossy()]).done().await.map_err(passing)?;
        if !is_ready(image).await {
            let message = format!("{image} is not in what was brought under its name");
            let message = SysError::other(message);
            return Err(message.hint("remove its file from the directory of release files (`[artifacts] dir`), so that it is fetched again"));
        }
        let data = self.path(CONTAINERD_DATA);
        if data.exists() {
            Command::new("sync").arg("-f").arg(data.to_string_lossy()).done().await?;
        }
        Ok(())
    }
}

/// A program under a second name. Not copied, as long as both are on one filesystem: what was brought was
/// compared with its checksum, and goes when the release has its name. Never over a file that is there, which
/// might be the same one.
fn place(source: &Path, program: &Path) -> io::Result<()> {
    if fs::hard_link(source, program).is_err() {
        let mut copy = fs::OpenOptions::new().write(true).create_new(true).open(program)?;
        io::copy(&mut fs::File::open(source)?, &mut copy)?;
    }
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
}

const CONTAINERD_DATA: &str = "/var/lib/containerd";

/// Where a release lies until it is whole.
fn part(name: &str, version: &Version) -> String {
    format!("/opt/slipway/{name}/.part-{version}")
}

fn incoming_path(name: &str, version: &Version, archive: bool) -> String {
    format!("{INCOMING}/{}", incoming(name, version, archive))
}

fn image_path(image: &str) -> String {
    format!("{INCOMING}/{}", image_file(image))
}

fn not_brought(what: &str) -> SysError {
    SysError::other(format!("{what} was not brought to this node"))
        .hint("run the same command again: it plans anew, and brings what is missing")
}

fn ctr(args: &[&str]) -> Command {
    Command::new("ctr").args(["-n", "k8s.io"]).args(args.iter().copied())
}

/// What it goes by in the runtime.
fn in_runtime(image: &str) -> String {
    image.parse::<ImageName>().map_or_else(|_| image.to_string(), |name| name.in_runtime())
}

/// Whole and unpacked. A runtime that is not there, or does not answer, has no images: whoever wants
/// to import one will hear why.
async fn is_ready(image: &str) -> bool {
    let image = in_runtime(image);
    let check = ctr(&["images", "check", "-q", &format!("name==\"{image}\"")]).run().await;
    check.is_ok_and(|checked| checked.stdout.lines().any(|line| line.trim() == image.as_str()))
}

/// A runtime that is only just being started, or restarted, answers in a moment.
fn passing(error: SysError) -> SysError {
    let away = ["connection refused", "containerd.sock: no such file", "code = Unavailable"];
    let says = |line: &String| away.iter().any(|what| line.contains(what));
    if error.output.iter().any(says) && error.kind == SysErrorKind::Other {
        return SysError { kind: SysErrorKind::Passing, ..error };
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_whole_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::at(dir.path());
        let version: Version = "1.2.3".parse().unwrap();
        let missing = linux.install_artifact("runc", &version).await.unwrap_err();
        assert!(missing.message.contains("was not brought"), "{missing}");
        // Half of it, from a run that was cut off.
        linux.write("/opt/slipway/runc/1.2.3/runc", b"half", 0o755).await.unwrap();
        assert_eq!(linux.artifact_versions("runc").await.unwrap(), []);
        linux.write("/src/runc", b"whole", 0o755).await.unwrap();
        let archive = dir.path().join("var/lib/slipway/incoming/runc-1.2.3.tar.gz");
        fs::create_dir_all(archive.parent().unwrap()).unwrap();
        let (archive, src) =
            (archive.display().to_string(), dir.path().join("src").display().to_string());
        Command::new("tar").args(["-czf", &archive, "-C", &src, "runc"]).done().await.unwrap();
        linux.install_artifact("runc", &version).await.unwrap();
        assert_eq!(linux.artifact_versions("runc").await.unwrap(), std::slice::from_ref(&version));
        assert_eq!(
            linux.read("/opt/slipway/runc/1.2.3/runc").await.unwrap().unwrap().content,
            b"whole"
        );
        linux.install_artifact("runc", &version).await.unwrap();
    }

    #[test]
    fn a_program_is_never_written_over_itself() {
        let dir = tempfile::tempdir().unwrap();
        let (source, program) = (dir.path().join("brought"), dir.path().join("kubelet"));
        fs::write(&source, b"program").unwrap();
        place(&source, &program).unwrap();
        assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
        place(&source, &program).unwrap_err();
        assert_eq!(fs::read(&program).unwrap(), b"program");
    }

    #[tokio::test]
    async fn an_import_counts_when_its_archive_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::at(dir.path());
        let image = "registry.invalid/none:1";
        let missing = linux.import_image(image).await.unwrap_err();
        assert!(missing.message.contains("was not brought"), "{missing}");
        assert!(missing.hint.is_some());
        linux.write(&image_path(image), b"no archive", 0o600).await.unwrap();
        assert!(!linux.has_image(image).await.unwrap());
        // Whether there is no runtime here or one that does not take it: it stays for the next try.
        linux.import_image(image).await.unwrap_err();
        assert!(linux.brought_image(image).exists());
    }

    #[test]
    fn a_runtime_that_is_being_started_is_tried_again() {
        let kind = |kind, line: &str| {
            passing(SysError { output: vec![line.into()], ..SysError::new(kind, "failed") }).kind
        };
        let away = "ctr: cannot access socket /run/containerd/containerd.sock: stat /run/containerd/containerd.sock: no such file or directory";
        assert_eq!(kind(SysErrorKind::Other, away), SysErrorKind::Passing);
        assert_eq!(kind(SysErrorKind::Other, "ctr: short read"), SysErrorKind::Other);
        let full = "ctr: rpc error: code = Unavailable: no space left on device";
        assert_eq!(kind(SysErrorKind::NoSpace, full), SysErrorKind::NoSpace);
    }
}
