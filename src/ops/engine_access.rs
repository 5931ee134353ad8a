//! The repository's credentials as each GitOps engine wants to find them in a Secret.
//!
//! Pure, and full of secrets: what these give is for the API server and nobody else.

use std::collections::BTreeMap;

use super::repository::{Access, Repository};
use crate::secret::{GithubApp, Sealed, Source, Sourced};

/// Where GitHub's API is unless it is an enterprise's own; engines know it themselves.
const GITHUB: &str = "https://api.github.com";

pub type Data = BTreeMap<&'static str, Sealed>;

fn value(sourced: &Option<Sourced>) -> Option<&Sealed> {
    sourced.as_ref()?.value.as_ref()
}

/// The app, and its key: an engine asks for tokens of its own, since one of ours ends within the hour.
fn app(access: &Access) -> Option<(&GithubApp, &Sealed)> {
    match &access.token.as_ref()?.source {
        Source::GithubApp(app) => Some((app, value(&access.app_key)?)),
        _ => None,
    }
}

fn of_app(app: &GithubApp, key: &Sealed, base_url: &'static str) -> Data {
    let mut data = Data::from([
        ("githubAppID", Sealed::new(app.app.to_string())),
        ("githubAppInstallationID", Sealed::new(app.installation.to_string())),
        ("githubAppPrivateKey", whole(key)),
    ]);
    if app.api != GITHUB {
        data.insert(base_url, Sealed::new(app.api.as_str()));
    }
    data
}

/// A key as files have it: with a newline at its end.
fn whole(key: &Sealed) -> Sealed {
    Sealed::new(format!("{}\n", key.reveal().trim_end()))
}

fn user(access: &Access) -> Sealed {
    Sealed::new(access.username.as_deref().unwrap_or("git"))
}

/// Of a Secret that the label `argocd.argoproj.io/secret-type: repository` makes one of Argo CD's. None
/// where the repository is open to everybody.
pub fn argocd(repository: &Repository) -> Option<Data> {
    let access = &repository.access;
    let mut data = if let Some((app, key)) = app(access) {
        of_app(app, key, "githubAppEnterpriseBaseUrl")
    } else if let Some(token) = value(&access.token) {
        Data::from([("username", user(access)), ("password", token.clone())])
    } else {
        Data::from([("sshPrivateKey", whole(value(&access.ssh_key)?))])
    };
    data.insert("type", Sealed::new("git"));
    data.insert("url", Sealed::new(repository.url.as_str()));
    Some(data)
}

/// Of the Secret that a GitRepository of Flux's names. None where it needs none.
pub fn flux(repository: &Repository) -> Option<Data> {
    let access = &repository.access;
    let mut data = if let Some((app, key)) = app(access) {
        of_app(app, key, "githubAppBaseURL")
    } else if let Some(token) = value(&access.token) {
        Data::from([("username", user(access)), ("password", token.clone())])
    } else if let Some(key) = value(&access.ssh_key) {
        let known = access.known_hosts.as_deref().unwrap_or_default();
        Data::from([("identity", whole(key)), ("known_hosts", Sealed::new(known))])
    } else {
        Data::new()
    };
    if let Some(ca) = &access.ca {
        data.insert("ca.crt", Sealed::new(ca.as_str()));
    }
    (!data.is_empty()).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(secret: &str) -> Option<Sourced> {
        Some(Sourced { source: Source::Env("X".into()), value: Some(Sealed::new(secret)) })
    }

    fn repository(access: Access) -> Repository {
        Repository { url: "https://git.lab/home.git".into(), revision: "main".into(), access }
    }

    fn shown(data: Option<Data>) -> Vec<(&'static str, String)> {
        data.into_iter().flatten().map(|(key, v)| (key, v.reveal().to_string())).collect()
    }

    #[test]
    fn a_token_and_a_key() {
        let token = repository(Access { token: given("hush"), ..Access::default() });
        let common = [("password", "hush".to_string())];
        assert_eq!(shown(argocd(&token))[..1], common);
        assert_eq!(shown(flux(&token)), [("password", "hush".into()), ("username", "git".into())]);
        let known_hosts = Some("git.lab ssh-ed25519 AAAA".to_string());
        let key = repository(Access { ssh_key: given("KEY"), known_hosts, ..Access::default() });
        assert_eq!(shown(argocd(&key))[0], ("sshPrivateKey", "KEY\n".into()));
        assert_eq!(shown(flux(&key))[1], ("known_hosts", "git.lab ssh-ed25519 AAAA".into()));
        assert!(argocd(&repository(Access::default())).is_none());
        assert!(flux(&repository(Access::default())).is_none());
    }

    #[test]
    fn an_app_asks_for_its_own_tokens() {
        let app = GithubApp {
            app: 123,
            installation: 456,
            key: Box::new(Source::Env("X".into())),
            api: "https://ghe.lab/api/v3".into(),
            ca: None,
        };
        let token = Sourced { source: Source::GithubApp(app), value: Some(Sealed::new("ghs_x")) };
        let access = Access { token: Some(token), app_key: given("PEM"), ..Access::default() };
        let of = repository(access);
        for (data, base) in
            [(argocd(&of), "githubAppEnterpriseBaseUrl"), (flux(&of), "githubAppBaseURL")]
        {
            let shown = shown(data);
            assert!(shown.contains(&("githubAppInstallationID", "456".into())));
            assert!(shown.contains(&("githubAppPrivateKey", "PEM\n".into())));
            assert!(shown.contains(&(base, "https://ghe.lab/api/v3".into())));
            assert!(
                !shown.iter().any(|(_, value)| value.contains("ghs_x")),
                "it ends within the hour"
            );
        }
    }
}
