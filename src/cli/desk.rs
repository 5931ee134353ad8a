//! What is done on this machine for a run: secrets are read, and the GitOps repository is tried, so that
//! a wrong token is found before the first node is changed.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rand::{RngCore, SeedableRng, rngs::StdRng};

use super::{context, secrets};
use crate::{
    engine::sources::{Desk, Reach},
    events::Failure,
    inventory::Loaded,
    ops::{
        linux::Linux,
        repository::RepositoryReached,
        sys::{Cluster, SysErrorKind},
    },
    ui::Redactor,
};

/// The plan waits for it, so it is given less time than on a node.
const PATIENCE: Duration = Duration::from_secs(25);
/// Where the agent's own commands are looked for too.
const PLACES: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

pub fn desk(loaded: &Loaded, redactor: Redactor) -> Desk {
    let simulated = loaded.inventory.simulated();
    Desk {
        read_secret: match simulated {
            true => secrets::made_up(),
            false => secrets::reader(context::resolver(loaded)),
        },
        hide: Arc::new(move |secret| redactor.add(secret)),
        try_repository: Arc::new(move |reached| {
            Box::pin(async move {
                if simulated { Ok(Reach::Fine) } else { try_repository(&reached).await }
            })
        }),
    }
}

/// A directory that nobody else can look into; gone with this value.
struct Aside(PathBuf);

impl Aside {
    /// In memory, where this user has such a place: a deploy key lies there for a moment.
    fn make() -> std::io::Result<Self> {
        let own = nix::unistd::Uid::current().as_raw();
        let is_own = |dir: &Path| {
            fs::metadata(dir).is_ok_and(|m| m.is_dir() && m.uid() == own && m.mode() & 0o077 == 0)
        };
        let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let dir = given.filter(|dir| is_own(dir)).unwrap_or_else(std::env::temp_dir);
        let mut rng = StdRng::from_os_rng();
        let name = format!("slipway-{}-{:08x}", std::process::id(), rng.next_u32());
        let dir = dir.join(name);
        // Somebody else's of that name is an error.
        fs::DirBuilder::new().mode(0o700).create(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn try_repository(reached: &RepositoryReached) -> Result<Reach, Failure> {
    let RepositoryReached { repository, paths } = reached;
    let url = &repository.url;
    let later = |why: &str| {
        Ok(Reach::Unknown(format!(
            "{url} was not tried from here ({why}): the first control plane does so in phase gitops"
        )))
    };
    if url.starts_with("file://") {
        return Ok(Reach::Fine);
    }
    if !PLACES.iter().any(|place| Path::new(place).join("git").exists()) {
        return later("there is no git on this machine");
    }
    let aside = match Aside::make() {
        Ok(aside) => aside,
        Err(error) => return later(&error.to_string()),
    };
    let linux = Linux::at(&aside.0);
    match tokio::time::timeout(PATIENCE, linux.commit_of(repository, paths)).await {
        Err(_) => later(&format!("no answer within {} s", PATIENCE.as_secs())),
        Ok(Ok(_)) => Ok(Reach::Fine),
        // This machine may be in another network than the nodes are.
        Ok(Err(error)) if error.kind == SysErrorKind::Passing => {
            later(&error.message.replace("this node", "this machine"))
        }
        Ok(Err(error)) => {
            let why = error.message.replace("this node", "this machine");
            let mut failure = Failure::new(format!("reach {url}"), why);
            failure.output = error.output;
            failure.hint = error.hint;
            Err(failure)
        }
    }
}
