//! The repository's address, revision and paths, and how it is reached.

use super::{Finding, Findings, text};
use crate::inventory::{Gitops, GitopsEngine, Inventory};

pub(super) fn check(inventory: &Inventory, f: &mut Findings<'_>) {
    let Some(gitops) = &inventory.gitops else { return };
    apart(gitops, f);
    for (path, text) in gitops.paths() {
        if let Err(why) = text::relative_path(text) {
            f.add(Finding::error(path, format!("the path `{text}` {why}")));
        }
    }
    let revision = &gitops.revision;
    let odd = |c: char| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c);
    // A leading `-` would be an option to git.
    if revision.is_empty()
        || revision.starts_with('-')
        || revision.contains("..")
        || revision.contains(odd)
    {
        let message = format!("`{revision}` is not a branch, tag or commit");
        f.add(Finding::error("gitops.revision", message));
    }
    repo(&gitops.repo, f);
    super::secrets::check(gitops, f);
}

/// Flux's own directories: with both engines only, and none inside of one of Argo CD's or around it.
fn apart(gitops: &Gitops, f: &mut Findings<'_>) {
    if gitops.flux.is_none() {
        return;
    }
    if gitops.engine != GitopsEngine::Both {
        let message = "Flux's own directories are for both engines beside each other";
        let finding = Finding::error("gitops.flux", message).given("gitops.engine");
        return f.add(finding.hint("`gitops.bootstrap` and `gitops.root` are the one engine's"));
    }
    let (flux, argocd): (Vec<_>, Vec<_>) =
        gitops.paths().into_iter().partition(|(key, _)| key.starts_with("gitops.flux."));
    for (key, path) in &flux {
        for (other, beside) in &argocd {
            if crate::kube::overlap::nested(path, beside) {
                let message = format!(
                    "`{path}` and `{beside}` are not apart: each engine would have the other's directory in its tree"
                );
                f.add(Finding::error(key, message).given(other));
            }
        }
    }
}

fn repo(repo: &str, f: &mut Findings<'_>) {
    let path = "gitops.repo";
    let lower = repo.to_lowercase();
    let scheme = ["https://", "ssh://", "http://", "git://", "file://"]
        .into_iter()
        .find(|s| lower.starts_with(s));
    let rest = repo.split_once("://").map_or(repo, |(_, rest)| rest);
    let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
    // Whatever else is wrong with it, a secret comes first: nothing of it is shown.
    if let Some((login, _)) = authority.rsplit_once('@') {
        let token = |user: &str| {
            user.len() >= 20
                || ["ghp_", "glpat-", "github_pat_"].iter().any(|t| user.starts_with(t))
        };
        if login.contains(':') || token(login) {
            let span = f.document.spans.value(path);
            f.mask(secret(f.source.get(span.clone()).unwrap_or_default(), span));
            f.add(
                Finding::error(path, "the repository's address has a password or token in it")
                    .label("an inventory is committed and shown: no secret belongs in it")
                    .hint("take it out; credentials are given to the GitOps engine as a Secret"),
            );
            return;
        }
    }
    let host = authority.rsplit('@').next().unwrap_or_default();
    let scp = repo.split_once('@').and_then(|(user, rest)| Some((user, rest.split_once(':')?)));
    let blank = repo.chars().any(|c| c.is_whitespace() || c.is_control());
    let fine = match scheme {
        Some("file://") => rest.starts_with('/'),
        Some("https://" | "ssh://") => {
            !host.is_empty() && !host.starts_with('-') && rest.contains('/')
        }
        Some(_) => false,
        None => scp.is_some_and(|(user, (host, path))| {
            text::user(user) && text::host(host).is_ok() && !path.is_empty()
        }),
    };
    if !fine || blank {
        let hint = match scheme {
            Some(open @ ("http://" | "git://")) => {
                format!("{open} can be read and changed on the way; use https:// or ssh://")
            }
            _ => {
                "for example: https://github.com/you/homelab.git, or git@github.com:you/homelab.git"
                    .into()
            }
        };
        f.add(
            Finding::error(path, format!("`{repo}` is not the address of a Git repository"))
                .hint(hint),
        );
    }
}

/// Where in the value's text the login is; all of it, where it is not written plainly.
pub(super) fn secret(text: &str, span: crate::toml_read::Span) -> crate::toml_read::Span {
    match (text.find("://"), text.rfind('@')) {
        (Some(from), Some(to)) if from + 3 < to => span.start + from + 3..span.start + to,
        _ => span,
    }
}
