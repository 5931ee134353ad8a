//! Where secrets are read from: each from one place, and such that fit what they are for.

use std::collections::BTreeMap;

use super::{Finding, Findings, text};
use crate::inventory::{GitAccess, Gitops, SecretFrom, TierZero, git_hosts};

/// Slipway makes it itself, out of `[gitops.access]`.
const OWN: &str = "slipway-repository";
/// The API server takes no more in one Secret.
const MOST_KEYS: usize = 100;

pub(super) fn check(gitops: &Gitops, f: &mut Findings<'_>) {
    if let Some(access) = &gitops.access {
        self::access(&gitops.repo, access, f);
    }
    if let Some(identity) = &gitops.age_identity {
        from("gitops.age_identity", "age_identity", identity, f);
        if identity.age.is_some() || identity.sops.is_some() {
            let message = "`age_identity` is what reads encrypted files, so it cannot be in one";
            f.add(Finding::error("gitops.age_identity", message));
        }
    }
    let mut seen = BTreeMap::new();
    for (i, secret) in gitops.secrets.iter().enumerate() {
        let at = format!("gitops.secret.{i}");
        tier_zero(&at, secret, f);
        let id = format!("{}/{}", secret.namespace, secret.name);
        let place = (format!("{at}.name"), format!("the Secret {id}"));
        f.unique(&mut seen, id.clone(), place, |first| format!("{first} is there twice"));
    }
}

fn from(at: &str, name: &str, from: &SecretFrom, f: &mut Findings<'_>) {
    if from.places() != 1 {
        let message = format!("`{name}` wants one of `env`, `file`, `command`, `age` and `sops`");
        f.add(Finding::error(at, message).hint("for example { env = \"GIT_TOKEN\" }"));
        return;
    }
    let words = [&from.env, &from.file, &from.age, &from.sops];
    let blank = words.into_iter().flatten().any(|word| word.trim().is_empty())
        || from.command.first().is_some_and(|program| program.trim().is_empty());
    if blank {
        f.add(Finding::error(at, format!("`{name}` names nothing to read it from")));
    }
    match (&from.sops, &from.key) {
        (Some(_), None) => f.add(
            Finding::error(at, format!("`{name}` does not say which value of the SOPS file it is"))
                .hint("add `key`, with a dot between levels: key = \"stringData.token\""),
        ),
        (None, Some(_)) => {
            f.add(Finding::error(at, format!("`{name}` has a `key` without a `sops` file")));
        }
        (Some(_), Some(key)) if key.split('.').any(str::is_empty) => {
            f.add(Finding::error(&format!("{at}.key"), format!("`{key}` is no path to a value")));
        }
        _ => {}
    }
}

/// Credentials that fit the address.
fn access(repo: &str, access: &GitAccess, f: &mut Findings<'_>) {
    let over_https = repo.to_lowercase().starts_with("https://");
    let at = |key: &str| format!("gitops.access.{key}");
    for (key, given) in [("token", &access.token), ("ssh_key", &access.ssh_key)] {
        let Some(given) = given else { continue };
        from(&at(key), key, given, f);
        if (key == "token") != over_https {
            let other = if over_https { "a token" } else { "an SSH key" };
            let message = format!("`{key}` is of no use for `{repo}`, which takes {other}");
            f.add(Finding::error(&at(key), message).given("gitops.repo"));
        }
    }
    if let Some(app) = &access.github_app {
        from(&at("github_app.private_key"), "private_key", &app.private_key, f);
        if !over_https {
            let message =
                format!("a GitHub App is of no use for `{repo}`: its token goes over https");
            let mut finding = Finding::error(&at("github_app"), message).given("gitops.repo");
            finding = finding.hint("write the repository as https://github.com/OWNER/NAME.git");
            f.add(finding);
        }
        if access.token.is_some() {
            let message = "there is a `token` and a `github_app`: nobody could tell which is meant";
            f.add(Finding::error(&at("github_app"), message).other(&at("token"), "and this"));
        }
        if let Some(api) = &app.api {
            let host = api.strip_prefix("https://").and_then(|rest| rest.split('/').next());
            if host.is_none_or(|host| host.is_empty() || host.contains('@')) {
                let message = format!("`{api}` is not the address of an API");
                let hint =
                    "GitHub Enterprise has it at https://HOST/api/v3; leave it out for github.com";
                f.add(Finding::error(&at("github_app.api"), message).hint(hint));
            }
        }
    }
    for (key, text) in [("known_hosts", &access.known_hosts), ("ca", &access.ca)] {
        let Some(text) = text else { continue };
        if text.text.is_some() == text.file.is_some() {
            let message = format!("`{key}` wants either `text` or `file`");
            f.add(Finding::error(&at(key), message));
        }
    }
    let known = access.known_hosts.is_some() || git_hosts::known(repo).is_some();
    if access.ssh_key.is_some() && !known {
        let message =
            "`ssh_key` without `known_hosts`: nobody could tell the Git host from another";
        f.add(
            Finding::error(&at("ssh_key"), message).hint(
                "`ssh-keyscan HOST` prints its keys; compare them with what the host publishes",
            ),
        );
    }
}

fn tier_zero(at: &str, secret: &TierZero, f: &mut Findings<'_>) {
    let TierZero { namespace, name, kind, labels, keys } = secret;
    if namespace.len() > 63 || namespace.contains('.') || text::dns_name(namespace).is_err() {
        let message = format!("`{namespace}` is not the name of a namespace");
        f.add(Finding::error(&format!("{at}.namespace"), message));
    }
    if let Err(why) = text::dns_name(name) {
        f.add(Finding::error(&format!("{at}.name"), format!("the Secret's name `{name}` {why}")));
    }
    if name == OWN {
        let message = format!("{OWN} is made out of [gitops.access], and not here");
        f.add(Finding::error(&format!("{at}.name"), message));
    }
    if kind.is_empty() || kind.chars().any(|c| !c.is_ascii_alphanumeric() && !"./-".contains(c)) {
        let message = format!("`{kind}` is not the type of a Secret");
        let hint = "for example `Opaque`, or `kubernetes.io/basic-auth`";
        f.add(Finding::error(&format!("{at}.type"), message).hint(hint));
    }
    if kind == "kubernetes.io/service-account-token" || kind.starts_with("bootstrap.kubernetes.io/")
    {
        let message = format!("Secrets of the type `{kind}` are Kubernetes' own");
        f.add(Finding::error(&format!("{at}.type"), message));
    }
    for (key, value) in labels {
        let wrong = text::label_key(key).err().or_else(|| text::label_value(value).err());
        if let Some(why) = wrong {
            let path = format!("{at}.labels.{key}");
            f.add(Finding::error(&path, format!("the label `{key}={value}` {why}")));
        }
    }
    if keys.is_empty() || keys.len() > MOST_KEYS {
        let message = format!("a Secret has 1 to {MOST_KEYS} keys, this one has {}", keys.len());
        let hint = "for example: keys = { token = { env = \"TOKEN\" } }";
        f.add(Finding::error(&format!("{at}.keys"), message).hint(hint));
    }
    for (key, given) in keys {
        let path = format!("{at}.keys.{key}");
        let odd = |c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c);
        if key.is_empty()
            || key.len() > 253
            || key.contains(odd)
            || key == "."
            || key.starts_with("..")
        {
            let message =
                format!("`{key}` is no key of a Secret: letters, digits, `-`, `_` and `.`");
            f.add(Finding::error(&path, message).on_key());
        }
        from(&path, key, given, f);
    }
}
