//! git against repositories of the test's own.

use super::*;
use crate::{
    ops::{
        repository,
        sys::{Cluster, SysErrorKind},
    },
    secret::{Sealed, Source, Sourced},
};

fn has_git() -> bool {
    std::process::Command::new("git").arg("--version").output().is_ok_and(|o| o.status.success())
}

struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn git(&self, args: &[&str]) -> String {
        let out = std::process::Command::new("git")
            .args(["-c", "user.name=x", "-c", "user.email=x@y", "-c", "init.defaultBranch=main"])
            .args(args)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .current_dir(self.dir.path().join("work"))
            .output()
            .unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_string()
    }

    fn made(&self) {
        fs::create_dir_all(self.dir.path().join("work")).unwrap();
        self.git(&["init", "--quiet"]);
    }

    fn commit(&self, path: &str) -> String {
        let path = self.dir.path().join("work").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, before + "resources: []\n").unwrap();
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "-m", "x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn at(&self, revision: &str) -> Repository {
        Repository {
            url: format!("file://{}/work", self.dir.path().display()),
            revision: revision.into(),
            access: repository::Access::default(),
        }
    }

    fn node(&self) -> Linux {
        Linux::at(self.dir.path().join("node"))
    }
}

#[tokio::test]
async fn a_revision_is_a_commit_with_paths_in_it() {
    if !has_git() {
        return;
    }
    let home = Home::new();
    home.made();
    let linux = home.node();
    let paths = |of: &[&str]| of.iter().map(|p| p.to_string()).collect::<Vec<_>>();
    let empty = linux.commit_of(&home.at("main"), &[]).await.unwrap_err();
    assert!(empty.message.contains("is empty"), "{empty}");
    let first = home.commit("boot/kustomization.yaml");
    home.git(&["tag", "v1"]);
    let second = home.commit("other/README");
    assert_eq!(linux.commit_of(&home.at("main"), &paths(&["boot"])).await.unwrap(), second);
    assert_eq!(linux.commit_of(&home.at("v1"), &paths(&["boot/"])).await.unwrap(), first);
    assert_eq!(linux.commit_of(&home.at(&first), &[]).await.unwrap(), first);
    let branch = linux.commit_of(&home.at("prod"), &[]).await.unwrap_err();
    assert!(branch.message.contains("no branch or tag `prod`; it has `main`"), "{branch}");
    assert!(branch.hint.unwrap().contains("gitops.revision"));
    for (path, why) in [
        ("root", "`root` is not there"),
        ("other", "`other` holds no kustomization"),
        ("other/README", "`other/README` is not a directory"),
    ] {
        let missing = linux.commit_of(&home.at("main"), &paths(&[path])).await.unwrap_err();
        assert!(missing.message.contains(why), "{missing}");
    }
    let left: Vec<_> = fs::read_dir(linux.path(HOME)).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_commit_descends_from_another_or_not() {
    if !has_git() {
        return;
    }
    let home = Home::new();
    home.made();
    let first = home.commit("a");
    home.git(&["branch", "side"]);
    let second = home.commit("a");
    let linux = home.node();
    assert!(linux.descends(&home.at("main"), &first, &second).await.unwrap());
    assert!(linux.descends(&home.at("main"), &second, &second).await.unwrap());
    assert!(!linux.descends(&home.at("main"), &second, &first).await.unwrap());
    assert!(!linux.descends(&home.at("side"), &first, &second).await.unwrap());
    assert!(!linux.descends(&home.at("main"), &first, &"1".repeat(40)).await.unwrap());
}

#[tokio::test]
async fn a_host_that_is_not_there_is_told_as_such() {
    if !has_git() {
        return;
    }
    let home = Home::new();
    let mut repository = home.at("main");
    // Nothing listens on this port of loopback.
    repository.url = "https://127.0.0.1:9/home.git".into();
    let secret = "the-token-itself";
    let value = Some(Sealed::new(secret));
    repository.access.token = Some(Sourced { value, ..Sourced::from(Source::Env("X".into())) });
    let error = home.node().commit_of(&repository, &[]).await.unwrap_err();
    assert!(error.message.contains("cannot be reached from this node"), "{error:?}");
    assert_eq!(error.kind, SysErrorKind::Passing);
    assert!(!format!("{error:?}").contains(secret));
}

#[test]
fn secrets_are_for_one_host_and_in_no_argument() {
    assert_eq!(origin("https://git.lab:8443/me/home.git"), "https://git.lab:8443");
    let home = Home::new();
    let mut repository = home.at("main");
    repository.url = "https://git.lab/home.git".into();
    let value = || Some(Sealed::new("hush"));
    repository.access.token =
        Some(Sourced { value: value(), ..Sourced::from(Source::Env("X".into())) });
    repository.access.ssh_key =
        Some(Sourced { value: value(), ..Sourced::from(Source::Env("Y".into())) });
    let linux = home.node();
    let git = Git::new(&linux, &repository).unwrap();
    let with: Vec<&str> =
        git.env.iter().filter(|(_, v)| v.contains("hush")).map(|(n, _)| n.as_str()).collect();
    assert_eq!(with, ["SLIPWAY_GIT_TOKEN"]);
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(git.aside("key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let dir = git.dir.clone();
    drop(git);
    assert!(!dir.exists(), "it goes with its value");
}

#[test]
fn gits_words_are_told_apart() {
    let home = Home::new();
    let mut repository = home.at("main");
    repository.url = "https://git.lab/home.git".into();
    let told = |repository: &Repository, said: &str| {
        let finished =
            Finished { code: Some(128), stdout: String::new(), stderr: said.to_string() };
        trouble(repository, &finished).message
    };
    let cases = [
        (
            "fatal: could not read Username for 'https://git.lab': terminal prompts disabled",
            "wants credentials",
        ),
        (
            "fatal: unable to access 'https://git.lab/home.git/': Could not resolve host: git.lab",
            "cannot be reached",
        ),
        (
            "fatal: unable to access 'x': SSL certificate problem: unable to get local issuer certificate",
            "is not trusted",
        ),
        (
            "remote: Repository not found.\nfatal: repository 'https://git.lab/home.git/' not found",
            "there is no repository",
        ),
        (
            "git@git.lab: Permission denied (publickey).\nfatal: Could not read from remote repository.",
            "does not take this SSH key",
        ),
        (
            "Host key verification failed.\nfatal: Could not read from remote repository.",
            "known_hosts",
        ),
        ("fatal: something else", "git cannot read"),
    ];
    for (said, why) in cases {
        assert!(told(&repository, said).contains(why), "{said}: {}", told(&repository, said));
    }
    repository.access.token = Some(Sourced::from(Source::Env("X".into())));
    let said = "fatal: Authentication failed for 'https://git.lab/home.git/'";
    assert!(told(&repository, said).contains("does not take this token"));
}

#[test]
fn a_branch_goes_before_a_tag() {
    let listed =
        "1\tHEAD\n1\trefs/heads/main\n2\trefs/tags/main\n3\trefs/tags/v1\n3\trefs/tags/v1^{}\n";
    assert_eq!(reference(listed, "main").unwrap(), "refs/heads/main");
    assert_eq!(reference(listed, "v1").unwrap(), "refs/tags/v1");
    assert_eq!(reference(listed, &"a".repeat(40)).unwrap(), "a".repeat(40));
    assert_eq!(reference("", "main"), Err(Unknown::Empty));
    assert_eq!(reference(listed, "x"), Err(Unknown::Revision("`main`".into())));
}
