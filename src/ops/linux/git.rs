//! The GitOps repository, through the system's git. The only one that starts it.
//!
//! A fetch lives in a directory of its own below /run, which goes with it. A token gets to git by its
//! environment, a key by a file that only root can read: argv shows neither.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use super::{Linux, command::Command, command::Finished};
use crate::ops::{
    repository::Repository,
    sys::{Access, SysError, SysResult},
};

const HOME: &str = "/run/slipway/git";
/// How long one git may take; a shallow fetch of a repository of manifests is seconds.
const PATIENCE: Duration = Duration::from_secs(120);
/// Files that make a directory a kustomization.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// Prints what git's credential protocol wants to hear; the secret is in the environment.
const HELPER: &str = "!f() { test \"$1\" = get || exit 0; printf 'username=%s\\npassword=%s\\n' \"$SLIPWAY_GIT_USERNAME\" \"$SLIPWAY_GIT_TOKEN\"; }; f";

static NUMBER: AtomicU32 = AtomicU32::new(0);

pub(super) struct Git<'a> {
    repository: &'a Repository,
    /// Of the node; gone with this value.
    dir: PathBuf,
    env: Vec<(String, String)>,
}

impl Drop for Git<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// What an agent that was killed left behind.
fn sweep(home: &Path) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let alive = name.split('-').next().is_some_and(|pid| Path::new("/proc").join(pid).exists());
        if !alive {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// `https://HOST[:PORT]`: credentials are for this host, wherever it may redirect to.
fn origin(url: &str) -> &str {
    let from = url.find("://").map_or(0, |at| at + 3);
    url[from..].find('/').map_or(url, |slash| &url[..from + slash])
}

impl<'a> Git<'a> {
    pub fn new(linux: &Linux, repository: &'a Repository) -> SysResult<Self> {
        sweep(&linux.path(HOME));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let home = format!("{HOME}/{}-{number}", std::process::id());
        let put = |name: &str, text: &str| {
            let path = format!("{home}/{name}");
            let text = format!("{}\n", text.trim_end());
            linux.write_now(&path, text.as_bytes(), &Access::mode(0o600))?;
            Ok::<_, SysError>(linux.path(&path).display().to_string())
        };
        let dir = linux.path(&home);
        let mut git = Self { repository, dir, env: Vec::new() };
        put("mark", "a fetch of the GitOps repository; it goes by itself")?;
        let shown = git.dir.display().to_string();
        let access = &repository.access;
        // Nothing of this machine's or this user's git has a say, and nobody can be asked.
        let mut env = vec![
            ("HOME", shown.clone()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
            ("GIT_TERMINAL_PROMPT", "0".into()),
            ("GIT_ASKPASS", "true".into()),
            ("GIT_ALLOW_PROTOCOL", "https:ssh:file".into()),
            ("GIT_DIR", format!("{shown}/repository")),
        ];
        let mut config = vec![
            ("http.lowSpeedLimit".to_string(), "100".to_string()),
            ("http.lowSpeedTime".into(), "30".into()),
            ("safe.directory".into(), "*".into()),
            ("gc.auto".into(), "0".into()),
        ];
        if let Some(token) = access.token.as_ref().and_then(|t| t.value.as_ref()) {
            config.push((format!("credential.{}.helper", origin(&repository.url)), HELPER.into()));
            let username = access.username.clone().unwrap_or_else(|| "git".into());
            env.push(("SLIPWAY_GIT_USERNAME", username));
            env.push(("SLIPWAY_GIT_TOKEN", token.reveal().into()));
        } else {
            // An answer of no name and no password ends in git's own words.
            env.retain(|(name, _)| *name != "GIT_ASKPASS");
        }
        if let Some(ca) = &access.ca {
            env.push(("GIT_SSL_CAINFO", put("ca.pem", ca)?));
        }
        let mut ssh = String::from(
            "ssh -F none -o BatchMode=yes -o ConnectTimeout=10 -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=none",
        );
        let known = put("known_hosts", access.known_hosts.as_deref().unwrap_or_default())?;
        ssh.push_str(&format!(" -o UserKnownHostsFile={known}"));
        if let Some(key) = access.ssh_key.as_ref().and_then(|k| k.value.as_ref()) {
            let key = put("key", key.reveal())?;
            ssh.push_str(&format!(" -o IdentitiesOnly=yes -i {key}"));
        }
        env.push(("GIT_SSH_COMMAND", ssh));
        git.env = env.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        git.env.push(("GIT_CONFIG_COUNT".into(), config.len().to_string()));
        for (n, (key, value)) in config.into_iter().enumerate() {
            git.env.push((format!("GIT_CONFIG_KEY_{n}"), key));
            git.env.push((format!("GIT_CONFIG_VALUE_{n}"), value));
        }
        Ok(git)
    }

    async fn run(&self, args: &[&str]) -> SysResult<Finished> {
        let mut command = Command::new("git").args(args.iter().copied());
        for (name, value) in &self.env {
            command = command.env(name, value);
        }
        match tokio::time::timeout(PATIENCE, command.run()).await {
            Ok(finished) => finished.map_err(|error| {
                error.hint("`git` is among the hosts' packages: the step `packages` installs it")
            }),
            Err(_) => Err(SysError::passing(format!(
                "{} did not answer within {} s",
                self.repository.url,
                PATIENCE.as_secs()
            ))),
        }
    }

    async fn done(&self, args: &[&str]) -> SysResult<String> {
        let finished = self.run(args).await?;
        if finished.ok() {
            return Ok(finished.stdout);
        }
        Err(trouble(self.repository, &finished))
    }

    /// The name of what is fetched: a branch goes before a tag of the same name.
    async fn reference(&self) -> SysResult<String> {
        let Repository { url, revision, .. } = self.repository;
        let listed = self.done(&["ls-remote", "--quiet", "--", url]).await?;
        reference(&listed, revision).map_err(|why| {
            let hint = match why {
                Unknown::Empty => "push the repository first; `slipway gitops init` writes one",
                Unknown::Revision(_) => {
                    "look at `gitops.revision`; a commit is named by all of its 40 digits"
                }
            };
            SysError::other(match why {
                Unknown::Empty => format!("{url} is empty: it has no branch"),
                Unknown::Revision(has) => {
                    format!("{url} has no branch or tag `{revision}`; it has {has}")
                }
            })
            .hint(hint)
        })
    }

    /// The commit that the revision is right now, without what came before it.
    pub async fn fetch(&self) -> SysResult<String> {
        self.done(&["init", "--quiet", "--bare", &format!("{}/repository", self.dir.display())])
            .await?;
        let reference = self.reference().await?;
        self.done(&[
            "fetch",
            "--quiet",
            "--depth=1",
            "--no-tags",
            "--",
            &self.repository.url,
            &reference,
        ])
        .await?;
        let commit = self.done(&["rev-parse", "--verify", "FETCH_HEAD^{commit}"]).await?;
        Ok(commit.trim().to_string())
    }

    /// Whether a path of the commit is a directory that can be built.
    pub async fn check_kustomization(&self, commit: &str, path: &str) -> SysResult<()> {
        let path = path.trim_matches('/');
        let at = |n: &str| {
            format!(
                "{commit}:{}",
                if path.is_empty() {
                    n.into()
                } else {
                    format!("{path}{}{n}", if n.is_empty() { "" } else { "/" })
                }
            )
        };
        let found = self.run(&["cat-file", "-t", &at("")]).await?;
        let short = commit.get(..10).unwrap_or(commit);
        let told = |why: &str| {
            let Repository { url, revision, .. } = self.repository;
            SysError::other(format!("`{path}` {why} in {url} at {revision} ({short})"))
                .hint("look at `gitops.bootstrap` and `gitops.root`, and at what was pushed; `slipway gitops init` writes both")
        };
        match found.stdout.trim() {
            "tree" => {}
            "" => return Err(told("is not there")),
            _ => return Err(told("is not a directory")),
        }
        for name in KUSTOMIZATIONS {
            if self.run(&["cat-file", "-e", &at(name)]).await?.ok() {
                return Ok(());
            }
        }
        Err(told("holds no kustomization.yaml"))
    }

    /// The text of a file of the commit.
    pub async fn file(&self, commit: &str, path: &str) -> SysResult<String> {
        let at = format!("{commit}:{}", path.trim_matches('/'));
        let found = self.run(&["cat-file", "-t", &at]).await?;
        let why = match found.stdout.trim() {
            "blob" => return self.done(&["cat-file", "blob", &at]).await,
            "" => "is not there",
            _ => "is not a file",
        };
        let Repository { url, revision, .. } = self.repository;
        let short = commit.get(..10).unwrap_or(commit);
        Err(SysError::other(format!("`{path}` {why} in {url} at {revision} ({short})")))
    }

    /// The files of a commit; gone with this value.
    pub async fn check_out(&self, commit: &str) -> SysResult<PathBuf> {
        let tree = self.dir.join("tree");
        fs::create_dir_all(&tree)
            .map_err(|e| SysError::other(format!("make {}: {e}", tree.display())))?;
        let work = format!("--work-tree={}", tree.display());
        self.done(&[&work, "checkout", "--quiet", "--force", commit, "--", "."]).await?;
        Ok(tree)
    }

    /// Whether a directory of the files of a commit is one that can be built.
    pub fn is_kustomization(&self, tree: &Path, path: &str) -> bool {
        KUSTOMIZATIONS.iter().any(|name| tree.join(path).join(name).is_file())
    }

    /// Where a build may leave what it made.
    pub fn aside(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Whether the commit is `from` or comes after it: asked of the history, without its files.
    pub async fn descends(&self, from: &str, commit: &str) -> SysResult<bool> {
        self.done(&["init", "--quiet", "--bare", &format!("{}/repository", self.dir.display())])
            .await?;
        let reference = self.reference().await?;
        self.done(&[
            "fetch",
            "--quiet",
            "--no-tags",
            "--filter=tree:0",
            "--",
            &self.repository.url,
            &reference,
        ])
        .await?;
        // One that the revision does not lead to is nothing of ours, whatever else it is.
        let known = self.run(&["merge-base", "--is-ancestor", commit, "FETCH_HEAD"]).await?.ok();
        Ok(known && self.run(&["merge-base", "--is-ancestor", from, commit]).await?.ok())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Unknown {
    Empty,
    /// And what there is in its place.
    Revision(String),
}

/// What `git ls-remote` says a revision is.
fn reference(listed: &str, revision: &str) -> Result<String, Unknown> {
    let names = || listed.lines().filter_map(|l| Some(l.split_once('\t')?.1));
    if names().next().is_none() {
        return Err(Unknown::Empty);
    }
    for candidate in
        [format!("refs/heads/{revision}"), format!("refs/tags/{revision}"), revision.to_string()]
    {
        if names().any(|n| n == candidate) {
            return Ok(candidate);
        }
    }
    if revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(revision.to_string());
    }
    let branches: Vec<&str> = names().filter_map(|n| n.strip_prefix("refs/heads/")).collect();
    let more = if branches.len() > 5 { ", ..." } else { "" };
    let shown: Vec<String> = branches.iter().take(5).map(|b| format!("`{b}`")).collect();
    Err(Unknown::Revision(format!("{}{more}", shown.join(", "))))
}

/// git's words, told apart.
fn trouble(repository: &Repository, finished: &Finished) -> SysError {
    let Repository { url, access, .. } = repository;
    let said = finished.stderr.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| said.contains(w));
    let has_token = access.token.is_some();
    let error = if says(&[
        "authentication failed",
        "could not read username",
        "could not read password",
        "error: 401",
        "error: 403",
        "access denied",
    ]) {
        let (why, hint) = if has_token {
            (
                "does not take this token",
                "check that it has not ended and may read this repository; `gitops.access.token` says where it is read from, `gitops.access.username` whose it is",
            )
        } else {
            ("wants credentials", "name a token: [gitops.access] token = { env = \"GIT_TOKEN\" }")
        };
        SysError::other(format!("{url} {why}")).hint(hint)
    } else if says(&[
        "host key verification failed",
        "no matching host key",
        "remote host identification has changed",
    ]) {
        SysError::other(format!(
            "the Git host of {url} shows a key that is not in `gitops.access.known_hosts`"
        ))
        .hint("compare `ssh-keyscan HOST` with what the host publishes, then put the lines there")
    } else if says(&["permission denied (publickey", "error in libcrypto", "invalid format"]) {
        let hint = if access.ssh_key.is_some() {
            "check that its public half is a deploy key of this repository, and that it has no passphrase"
        } else {
            "name a deploy key: [gitops.access] ssh_key = { file = \"...\" }, known_hosts = { file = \"...\" }"
        };
        SysError::other(format!("{url} does not take this SSH key")).hint(hint)
    } else if says(&[
        "repository not found",
        "does not appear to be a git repository",
        "not found",
        "error: 404",
    ]) && !says(&["could not resolve"])
    {
        SysError::other(format!("there is no repository at {url}, or not for these credentials"))
            .hint("check the address `gitops.repo`; Git hosts say the same where a token may not read it")
    } else if says(&["certificate", "ssl"]) {
        SysError::other(format!("the certificate of {url} is not trusted on this node")).hint(
            "give its CA: [gitops.access] ca = { file = \"ca.pem\" }; and check the node's clock",
        )
    } else if says(&[
        "could not resolve",
        "failed to connect",
        "couldn't connect",
        "connection refused",
        "timed out",
        "no route to host",
        "network is unreachable",
        "connection reset",
        "operation too slow",
        "connection closed",
    ]) {
        SysError::passing(format!("{url} cannot be reached from this node"))
            .hint("the node has to reach the Git host itself: check its DNS, its route and the host's port")
    } else if says(&["not our ref", "couldn't find remote ref", "unadvertised object"]) {
        SysError::other(format!("{url} does not have {}", repository.revision))
            .hint("look at `gitops.revision`; not every host gives out a commit by its digits")
    } else if says(&["no space left"]) {
        SysError::new(
            crate::ops::sys::SysErrorKind::NoSpace,
            format!("no room for a fetch of {url}"),
        )
    } else {
        SysError::other(format!("git cannot read {url}"))
    };
    SysError { output: finished.tail(), ..error }
}

#[cfg(test)]
#[path = "git_tests.rs"]
mod tests;
