//! `slipway gitops key`: a deploy key for the repository. The private half is written once, for nobody
//! else to read; the public half is printed, with where it goes.

use std::{io::Write, path::PathBuf};

use serde_json::json;

use super::{
    args::{GitopsKey, Global},
    context,
    exit::{Error, Exit},
    output, secrets,
};
use crate::{
    inventory::{Gitops, Inventory, git_hosts},
    private::{self, Part},
    secret::Sealed,
    state::StateDir,
    transport::deploy_key::{self, PublicHalf},
    ui::Mode,
};

const NAME: &str = "deploy-key";

pub fn key(global: &Global, args: &GitopsKey) -> Result<Exit, Error> {
    let loaded = context::inventory(global)?;
    let inventory = &loaded.inventory;
    let Some(gitops) = &inventory.gitops else {
        return Err(Error::usage(
            "the inventory has no [gitops], so there is no repository to have a key for",
            "it names the `repo`; `slipway gitops init` writes what is in it",
        ));
    };
    let named = gitops.access.as_ref().and_then(|access| access.ssh_key.as_ref());
    let file = named.and_then(|from| from.file.as_deref());
    let path = match (&args.out, file, named) {
        (Some(out), _, _) => out.clone(),
        (None, Some(file), _) => context::resolver(&loaded)(file),
        (None, None, Some(_)) => {
            return Err(Error::usage(
                "gitops.access.ssh_key is read from somewhere else than a file, and is there already",
                "name a file for a new one with --out FILE",
            ));
        }
        (None, None, None) => StateDir::open(&global.state_dir)?.path().join(NAME),
    };
    let (public, made) = there_or_made(&path, inventory)?;
    if context::mode(global) == Mode::Json {
        output::json(&json!({
            "version": 1, "file": path, "made": made, "public_key": public.line,
            "fingerprint": public.fingerprint, "repo": gitops.repo,
        }));
        return Ok(Exit::Done);
    }
    let what = if made { "A new deploy key is in" } else { "The deploy key was there already:" };
    output::out(&format!("{}\n", public.line));
    output::err(&format!(
        "{what} {} ({})\n{}",
        path.display(),
        public.fingerprint,
        next(gitops, &path, file)
    ));
    Ok(Exit::Done)
}

fn unusable(path: &std::path::Path, what: &str, error: impl std::fmt::Display) -> Error {
    Error::text(Exit::Failed, format!("cannot {what} `{}`: {error}", path.display()), None)
}

/// One that is there is never written over: a Git host may know it.
fn there_or_made(path: &PathBuf, inventory: &Inventory) -> Result<(PublicHalf, bool), Error> {
    if std::fs::symlink_metadata(path).is_ok() {
        let text = secrets::file(path).map_err(|why| {
            Error::text(Exit::Failed, format!("cannot read the deploy key: {why}"), None)
        })?;
        let public = deploy_key::public_half(&Sealed::new(text)).map_err(|why| {
            let hint = "it is left as it is; name another file with --out FILE";
            let message = format!("`{}` holds no deploy key: {why}", path.display());
            Error::text(Exit::Failed, message, Some(hint.into()))
        })?;
        return Ok((public, false));
    }
    let comment = format!("slipway {}", inventory.cluster.name);
    let (private, public) = deploy_key::generate(&comment)
        .map_err(|why| Error::text(Exit::Failed, format!("cannot make a key: {why}"), None))?;
    std::fs::create_dir_all(private::directory(path)).map_err(|e| unusable(path, "make", e))?;
    let mut part = Part::beside(path).map_err(|e| unusable(path, "write", e))?;
    part.write_all(private.reveal().as_bytes()).map_err(|e| unusable(path, "write", e))?;
    match part.keep_new(path) {
        Ok(true) => Ok((public, true)),
        // Somebody was quicker.
        Ok(false) => there_or_made(path, inventory),
        Err(error) => Err(unusable(path, "write", error)),
    }
}

/// What is left to do by hand.
fn next(gitops: &Gitops, path: &std::path::Path, named: Option<&str>) -> String {
    let repo = &gitops.repo;
    let ssh = git_hosts::as_ssh(repo);
    let address = ssh.as_deref().unwrap_or(repo);
    let host = git_hosts::over_ssh(address).map(|over| over.host).unwrap_or_default();
    let page = match host {
        "github.com" => {
            "the repository's Settings, Deploy keys, Add deploy key; leave \"Allow write access\" off"
        }
        "gitlab.com" => {
            "the project's Settings, Repository, Deploy keys; leave write permissions off"
        }
        "bitbucket.org" => "the repository's settings, Access keys, Add key",
        _ => {
            "the repository's settings, deploy keys, for reading only (GitHub, GitLab, Gitea and Forgejo call them so)"
        }
    };
    let mut text = format!("Paste the line above at {page}.\n");
    let mut lines = Vec::new();
    // The inventory may lie elsewhere, and paths in it are its own.
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    if let Some(ssh) = &ssh {
        lines.push(format!("[gitops]\nrepo = \"{ssh}\""));
    }
    if named.is_none() {
        lines.push(format!("[gitops.access]\nssh_key = {{ file = \"{}\" }}", whole.display()));
    }
    let has_known_hosts = gitops.access.as_ref().is_some_and(|a| a.known_hosts.is_some());
    if !has_known_hosts && git_hosts::known(address).is_none() {
        let port = git_hosts::over_ssh(address).map_or(22, |over| over.port);
        let port = if port == 22 { String::new() } else { format!("-p {port} ") };
        lines.push(format!(
            "# of `ssh-keyscan {port}{host}`, once compared with the fingerprints that the host publishes\nknown_hosts = {{ file = \"known_hosts\" }}"
        ));
    }
    if !lines.is_empty() {
        text.push_str("In the inventory:\n");
        for line in lines.iter().flat_map(|l| l.lines()) {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text
}
