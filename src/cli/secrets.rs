//! The operator's own secrets: read from where the inventory says, just before they are needed.
//!
//! They are never written anywhere here, and what is said about them names their source only.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{io::AsyncReadExt, process};

use super::encrypted;
use crate::{
    engine::sources::{Read, ReadSecret},
    events::Failure,
    github,
    secret::{GithubApp, Sealed, Source},
    ui::Redactor,
};

/// How long a command may take: somebody may have to touch a key or a phone first.
const PATIENCE: Duration = Duration::from_secs(30);
/// No token or key is longer; etcd takes no larger Secret either.
const MOST: u64 = 1 << 20;
/// As much of what a command complained about as helps.
const MOST_LINES: usize = 10;

/// How paths of the inventory are understood on this machine.
pub type Resolve = Arc<dyn Fn(&str) -> PathBuf + Send + Sync>;

/// `resolve` makes a path of the inventory one of this machine.
pub fn reader(resolve: impl Fn(&str) -> PathBuf + Send + Sync + 'static) -> ReadSecret {
    let resolve: Resolve = Arc::new(resolve);
    Arc::new(move |source| {
        let resolve = resolve.clone();
        Box::pin(async move { read(source, resolve, PATIENCE).await })
    })
}

/// For the simulated fleet: nothing of the operator's is looked at.
pub fn made_up() -> ReadSecret {
    Arc::new(|_| Box::pin(async { Ok(Sealed::new("a-simulated-secret").into()) }))
}

pub(super) fn failure(source: &Source, why: impl Into<String>) -> Failure {
    Failure::new(format!("read a secret from {source}"), why).left("nothing was sent to the node")
}

/// Boxed, since what is encrypted wants another secret first.
fn read(
    source: Source,
    resolve: Resolve,
    patience: Duration,
) -> BoxFuture<'static, Result<Read, Failure>> {
    Box::pin(async move {
        let mut warning = None;
        let text = match &source {
            Source::Env(name) => std::env::var(name).map_err(|_| {
                failure(&source, "it is not set").hint(format!("export {name} before the run"))
            })?,
            Source::File(path) => {
                let path = resolve(path);
                warning = open_to_others(&path);
                file(&path).map_err(|why| failure(&source, why))?
            }
            Source::Command(words) => command(&source, words, patience).await?,
            Source::Age { file, identity } => {
                let identities = whose(identity.as_deref(), &resolve, patience).await?;
                encrypted::age(&resolve(file), &identities).map_err(|w| w.about(&source))?
            }
            Source::Sops { file, key, identity } => {
                let identities = whose(identity.as_deref(), &resolve, patience).await?;
                encrypted::sops(&resolve(file), key, &identities).map_err(|w| w.about(&source))?
            }
            Source::GithubApp(app) => installation(&source, app, resolve, patience).await?,
        };
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            return Err(failure(&source, "it is empty"));
        }
        Ok(Read { secret: Sealed::new(text), warning })
    })
}

/// The keys that read what is encrypted.
async fn whose(
    identity: Option<&Source>,
    resolve: &Resolve,
    patience: Duration,
) -> Result<Sealed, Failure> {
    match identity {
        Some(source) => Ok(read(source.clone(), resolve.clone(), patience).await?.secret),
        None => encrypted::usual_identity(resolve),
    }
}

async fn installation(
    source: &Source,
    app: &GithubApp,
    resolve: Resolve,
    patience: Duration,
) -> Result<String, Failure> {
    let key = read((*app.key).clone(), resolve, patience).await?.secret;
    let token = github::exchange(app, &key).await.map_err(|refused| {
        let mut failure = failure(source, refused.why);
        failure.hint = refused.hint;
        failure
    })?;
    Ok(token.reveal().to_string())
}

/// A secret that others of this machine can read, in words.
fn open_to_others(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.mode();
    (mode & 0o007 != 0).then(|| {
        format!("{0} can be read by everybody on this machine: chmod 600 {0}", path.display())
    })
}

pub(super) fn file(path: &Path) -> Result<String, String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let meta = std::fs::metadata(path).map_err(told)?;
    if !meta.is_file() {
        return Err(format!("{} is not a regular file", path.display()));
    }
    if meta.len() > MOST {
        return Err(format!("{} is too large for a secret", path.display()));
    }
    let bytes = std::fs::read(path).map_err(told)?;
    String::from_utf8(bytes).map_err(|_| format!("{} is no text", path.display()))
}

/// A command in a group of its own, which does not outlive the wait for it.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

async fn command(source: &Source, words: &[String], patience: Duration) -> Result<String, Failure> {
    let Some((program, args)) = words.split_first() else {
        return Err(failure(source, "it names no command"));
    };
    let mut child = process::Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failure(source, format!("it cannot be started: {error}")))?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let mut group = Group(id.map(Pid::from_raw));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let all = async { tokio::join!(most_of(stdout), most_of(stderr), child.wait()) };
    let Ok((secret, said, status)) = tokio::time::timeout(patience, all).await else {
        let why = format!("it did not end within {} s", patience.as_secs());
        return Err(failure(source, why).hint(
            "run it by hand: it may wait for a password or a login, and there is nobody to ask here",
        ));
    };
    group.0 = None;
    let status = status.map_err(|error| failure(source, error.to_string()))?;
    if !status.success() {
        // What it printed to its standard output may be half a secret.
        let mut failure = failure(source, format!("it failed: {status}"))
            .hint("run it by hand; it has to print the secret and nothing else");
        let lines = said.lines().filter(|l| !l.trim().is_empty()).take(MOST_LINES);
        // It is nobody's secret that is known by now; but what looks like one is not shown either.
        let redactor = Redactor::default();
        failure.output = lines.map(|line| redactor.text(line)).collect();
        return Err(failure);
    }
    Ok(secret)
}

async fn most_of(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        let _ = pipe.take(MOST).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn from(source: Source) -> Result<Sealed, Failure> {
        let resolve: Resolve = Arc::new(|path: &str| PathBuf::from(path));
        Ok(read(source, resolve, Duration::from_millis(500)).await?.secret)
    }

    fn sh(script: &str) -> Source {
        Source::Command(vec!["sh".into(), "-c".into(), script.into()])
    }

    #[tokio::test]
    async fn a_secret_comes_from_where_it_is_said_to() {
        assert_eq!(from(sh("echo hidden")).await.unwrap().reveal(), "hidden");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "two\nlines\n").unwrap();
        let file = Source::File(path.display().to_string());
        assert_eq!(from(file).await.unwrap().reveal(), "two\nlines");
        assert!(!from(Source::Env("HOME".into())).await.unwrap().reveal().is_empty());
    }

    #[tokio::test]
    async fn what_cannot_be_read_says_why_and_what_to_do() {
        let unset = from(Source::Env("NO_SUCH_VARIABLE".into())).await.unwrap_err();
        assert!(unset.to_string().contains("$NO_SUCH_VARIABLE: it is not set"), "{unset}");
        let missing = from(Source::File("/no/such/file".into())).await.unwrap_err();
        assert!(missing.to_string().contains("/no/such/file"), "{missing}");
        assert!(from(sh("true")).await.unwrap_err().to_string().contains("it is empty"));
        let failed = from(sh("echo half-a-secret; echo locked >&2; exit 3")).await.unwrap_err();
        assert_eq!(failed.output, ["locked"]);
        assert!(failed.causes[0].contains("exit status: 3"), "{failed}");
        let hangs = from(sh("sleep 600 & wait")).await.unwrap_err();
        assert!(hangs.causes[0].contains("did not end within"), "{hangs}");
        let none = from(Source::Command(vec!["no-such-program".into()])).await.unwrap_err();
        assert!(none.causes[0].contains("cannot be started"), "{none}");
    }
}
