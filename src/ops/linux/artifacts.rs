//! Upstream releases below /opt/slipway, and images in containerd.

use std::fs;

use async_trait::async_trait;

use super::{
    Linux,
    command::Command,
    files::{blocking, failed},
};
use crate::{
    names::Version,
    ops::{
        packages::{COMPLETE, INCOMING, complete, incoming, release_dir},
        sys::{Artifacts, Files, SysError, SysResult},
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
        let brought = |archive| format!("{INCOMING}/{}", incoming(name, version, archive));
        let archive = self.path(&brought(true)).exists();
        let from = brought(archive);
        if !self.path(&from).exists() {
            // It went when the release had come to its place.
            if self.path(&complete(name, version)).exists() {
                return Ok(());
            }
            return Err(SysError::other(format!("{name} {version} was not brought to this node"))
                .hint("run the same command again: it plans anew, and brings what is missing"));
        }
        let dir = release_dir(name, version);
        let part = format!("/opt/slipway/{name}/.part-{version}");
        self.remove(&part).await?;
        self.write(&format!("{part}/.begun"), b"", 0o644).await?;
        let (source, to) = (self.path(&from), self.path(&part));
        if archive {
            let unpack = Command::new("tar").args(["--no-same-owner", "-xzf"]);
            unpack.arg(source.to_string_lossy()).arg("-C").arg(to.to_string_lossy()).done().await?;
        } else {
            let program = to.join(name);
            let place = Command::new("install").args(["-m", "755"]);
            place.arg(source.to_string_lossy()).arg(program.to_string_lossy()).done().await?;
        }
        self.write(&format!("{part}/{COMPLETE}"), b"", 0o644).await?;
        // Everything in it has to be on the disk before its name says that it is whole.
        Command::new("sync").arg("-f").arg(to.to_string_lossy()).done().await?;
        self.remove(&dir).await?;
        let (real, parent) = (self.path(&dir), self.path(&format!("/opt/slipway/{name}")));
        blocking(move || {
            fs::rename(&to, &real)
                .and_then(|()| fs::File::open(&parent)?.sync_all())
                .map_err(|e| failed("put in place", &real, &e))
        })
        .await?;
        // It would only take room now.
        self.remove(&from).await
    }

    async fn has_image(&self, image: &str) -> SysResult<bool> {
        // Before the runtime is there and runs, no image is.
        let asked = Command::new("ctr").args(["-n", "k8s.io", "images", "ls", "-q"]).done().await;
        let Ok(asked) = asked else { return Ok(false) };
        Ok(asked.stdout.lines().any(|line| line.trim() == image))
    }

    async fn pull_image(&self, image: &str) -> SysResult<()> {
        let pull = Command::new("ctr").args(["-n", "k8s.io", "images", "pull", "--", image]);
        pull.done().await.map(drop).map_err(|e| SysError::passing(e.message))
    }
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
}
