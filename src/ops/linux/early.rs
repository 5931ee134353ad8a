//! Release files made ready beside the ops: unpacked, or imported, as soon as they are on the node.
//!
//! It only ever saves time. What was begun here nobody sees before its op: a release gets its name, and an
//! image's archive goes, only then. The op takes over what was begun for it, and does itself what was not, or
//! failed. When the agent is gone, so is all of this, and what it left is thrown away like any half of an op.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Semaphore, time::sleep};

use super::{Linux, task::Task};
use crate::ops::{packages::Wanted, sys::SysResult};

/// How often it is looked whether something has come, and how long in all.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: u32 = 30 * 60 * 10;
/// Unpacking takes a core each, and the node has other things to do.
const UNPACKED_AT_ONCE: usize = 2;

#[derive(Debug, Clone)]
pub(super) struct Early {
    begun: Arc<Mutex<BTreeMap<Wanted, Task<SysResult<()>>>>>,
    unpacking: Arc<Semaphore>,
    /// One by one: images share layers.
    importing: Arc<Semaphore>,
}

impl Default for Early {
    fn default() -> Self {
        Self {
            begun: Arc::default(),
            unpacking: Arc::new(Semaphore::new(UNPACKED_AT_ONCE)),
            importing: Arc::new(Semaphore::new(1)),
        }
    }
}

async fn there(path: &Path) -> bool {
    for _ in 0..LOOKS {
        if path.exists() {
            return true;
        }
        sleep(LOOK).await;
    }
    false
}

impl Early {
    fn begun(&self) -> std::sync::MutexGuard<'_, BTreeMap<Wanted, Task<SysResult<()>>>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when this was begun here, and is done.
    pub async fn done(&self, wanted: &Wanted) -> bool {
        let Some(task) = self.begun().remove(wanted) else { return false };
        matches!(task.done().await, Some(Ok(())))
    }

    pub fn stop(&self) {
        self.begun().clear();
    }
}

impl Linux {
    /// Begins with what was not begun before.
    pub(super) fn begin(&self, wanted: &[Wanted]) {
        for wanted in wanted {
            let (linux, item) = (self.clone(), wanted.clone());
            let work = async move {
                match &item {
                    Wanted::Release(name, version) => {
                        let [archive, program] =
                            [true, false].map(|a| linux.brought_release(name, version, a));
                        // Whichever of the two it comes as.
                        tokio::select! {
                            _ = there(&archive) => {}
                            _ = there(&program) => {}
                        }
                        let _room = linux.early.unpacking.acquire().await;
                        linux.unpack_release(name, version).await
                    }
                    Wanted::Image(image) => {
                        there(&linux.runtime_socket()).await;
                        there(&linux.brought_image(image)).await;
                        let _room = linux.early.importing.acquire().await;
                        linux.unpack_image(image).await
                    }
                    Wanted::Package(_) => Ok(()),
                }
            };
            let mut begun = self.early.begun();
            begun.entry(wanted.clone()).or_insert_with(|| Task::begin(work));
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests make files")]
mod tests {
    use super::*;
    use crate::{
        names::Version,
        ops::sys::{Artifacts, Files},
    };

    fn of(version: &Version) -> Wanted {
        Wanted::Release("kubectl".into(), version.clone())
    }

    #[tokio::test]
    async fn what_comes_is_unpacked_and_nobody_sees_it_before_its_op() {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::at(dir.path());
        let version: Version = "1.36.4".parse().unwrap();
        linux.begin(&[of(&version)]);
        linux.begin(&[of(&version)]);
        linux.write("/var/lib/slipway/incoming/kubectl-1.36.4", b"program", 0o600).await.unwrap();
        let part = linux.path("/opt/slipway/kubectl/.part-1.36.4/.complete");
        assert!(there(&part).await);
        assert_eq!(linux.artifact_versions("kubectl").await.unwrap(), []);
        linux.install_artifact("kubectl", &version).await.unwrap();
        assert_eq!(
            linux.artifact_versions("kubectl").await.unwrap(),
            std::slice::from_ref(&version)
        );
        assert!(!linux.path("/var/lib/slipway/incoming/kubectl-1.36.4").exists());
        let program = linux.read("/opt/slipway/kubectl/1.36.4/kubectl").await.unwrap().unwrap();
        assert_eq!(program.content, b"program");
        assert!(!linux.early.done(&of(&version)).await, "it was taken over once");
    }

    #[tokio::test]
    async fn what_fails_or_is_stopped_the_op_does_itself() {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::at(dir.path());
        let (bad, stopped): (Version, Version) =
            ("1.0.0".parse().unwrap(), "2.0.0".parse().unwrap());
        linux.begin(&[of(&bad), of(&stopped)]);
        let archive = "/var/lib/slipway/incoming/kubectl-1.0.0.tar.gz";
        linux.write(archive, b"no archive", 0o600).await.unwrap();
        linux.install_artifact("kubectl", &bad).await.unwrap_err();
        assert_eq!(linux.artifact_versions("kubectl").await.unwrap(), []);
        linux.stop_early();
        linux.write("/var/lib/slipway/incoming/kubectl-2.0.0", b"program", 0o600).await.unwrap();
        linux.install_artifact("kubectl", &stopped).await.unwrap();
        assert_eq!(linux.artifact_versions("kubectl").await.unwrap(), [stopped]);
    }
}
