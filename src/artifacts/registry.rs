//! A registry of images, asked without an account: with the token that it gives to anybody, where it
//! wants one.

use reqwest::{Response, StatusCode, Url, header};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::web::{Question, Stop, Web, for_good, granted};
use crate::{events::Failure, names::ImageName};

pub struct Registry<'a> {
    web: &'a Web,
    /// Up to and with the repository.
    base: String,
    repository: &'a str,
    /// Layers ask for it at the same time; one of them gets it for all.
    token: Mutex<Option<String>>,
}

/// What a registry wants to see, and who gives it.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    realm: String,
    service: Option<String>,
    scope: Option<String>,
}

#[derive(Deserialize)]
struct Granted {
    token: Option<String>,
    access_token: Option<String>,
}

impl<'a> Registry<'a> {
    pub fn new(web: &'a Web, image: &'a ImageName, mirror: Option<&str>) -> Self {
        let ImageName { registry, repository, .. } = image;
        let base = match mirror {
            Some(mirror) => {
                format!("{}/{registry}/v2/{repository}", mirror.trim_end_matches('/'))
            }
            // The one whose name is not its address.
            None if registry == "docker.io" => {
                format!("https://registry-1.docker.io/v2/{repository}")
            }
            None => format!("https://{registry}/v2/{repository}"),
        };
        Self { web, base, repository, token: Mutex::new(None) }
    }

    pub fn manifest(&self, name: &str) -> String {
        format!("{}/manifests/{name}", self.base)
    }

    pub fn blob(&self, digest: &str) -> String {
        format!("{}/blobs/{digest}", self.base)
    }

    /// Asked without a token first; one that has run out in the meantime is replaced, once.
    pub async fn get(&self, what: &str, asked: Question<'_>) -> Result<Response, Stop> {
        let mut token = self.token.lock().await.clone();
        for last in [false, true] {
            let question = Question { token: token.as_deref(), ..asked };
            let response = self.web.ask(what, question).await?;
            let wanted = (response.status() == StatusCode::UNAUTHORIZED)
                .then(|| response.headers().get(header::WWW_AUTHENTICATE)?.to_str().ok())
                .flatten()
                .and_then(challenge);
            match wanted {
                Some(challenge) if !last => {
                    token = Some(self.token(what, &challenge, token.as_deref()).await?);
                }
                _ => return granted(what, asked, response),
            }
        }
        Err(Stop::Passing("it wants another token each time".into()))
    }

    async fn token(
        &self,
        what: &str,
        challenge: &Challenge,
        refused: Option<&str>,
    ) -> Result<String, Stop> {
        let mut kept = self.token.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| Some(token.as_str()) != refused) {
            return Ok(token.clone());
        }
        let url = self.token_address(challenge).ok_or_else(|| {
            let why = format!("`{}` is to give a token, and is no address", challenge.realm);
            for_good(Failure::new(what, why).hint("another mirror is `[artifacts] mirror`"))
        })?;
        let question = Question { url: &url, ..Question::default() };
        let text = self.web.text(self.web.get(what, question).await?).await?;
        let granted = serde_json::from_slice::<Granted>(&text).ok();
        let token = granted.and_then(|g| g.token.or(g.access_token)).ok_or_else(|| {
            // Not what it says: a token might be in it.
            let why = format!("{} gives no token", challenge.realm);
            for_good(Failure::new(what, why).hint(
                "that registry wants to know who asks: use a mirror that does not, or put the image into the directory by hand",
            ))
        })?;
        Ok(kept.insert(token).clone())
    }

    fn token_address(&self, challenge: &Challenge) -> Option<String> {
        let mut url = Url::parse(&challenge.realm).ok().filter(Url::has_host)?;
        let pull = format!("repository:{}:pull", self.repository);
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = &challenge.service {
                query.append_pair("service", service);
            }
            query.append_pair("scope", challenge.scope.as_deref().unwrap_or(&pull));
        }
        Some(url.into())
    }
}

/// `Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:a/b:pull,push"`
fn challenge(header: &str) -> Option<Challenge> {
    let (scheme, mut rest) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (None, None, None);
    while let Some((key, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after
                .split_once(',')
                .map_or((after, ""), |(value, _)| (value, &after[value.len()..])),
        };
        let value = Some(value.to_string());
        match key.trim_matches([',', ' ']).to_ascii_lowercase().as_str() {
            "realm" => realm = value,
            "service" => service = value,
            "scope" => scope = value,
            _ => {}
        }
        rest = next;
    }
    Some(Challenge { realm: realm?, service, scope })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let found = challenge(
            r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:a/b:pull,push""#,
        )
        .unwrap();
        assert_eq!(found.realm, "https://ghcr.io/token");
        assert_eq!(found.scope.as_deref(), Some("repository:a/b:pull,push"));
        let bare = challenge("bearer realm=https://r/t, service=r").unwrap();
        assert_eq!((bare.realm.as_str(), bare.service.as_deref()), ("https://r/t", Some("r")));
        assert_eq!(challenge("Basic realm=\"x\""), None);
        assert_eq!(challenge("Bearer service=\"x\""), None);
        assert_eq!(challenge("Bearer realm=\"x"), None);
        assert_eq!(challenge(""), None);
    }

    #[test]
    fn addresses_with_and_without_a_mirror() {
        let web = Web::default();
        let image: ImageName = "ghcr.io/kube-vip/kube-vip:v1.0".parse().unwrap();
        let direct = Registry::new(&web, &image, None);
        assert_eq!(direct.manifest("v1.0"), "https://ghcr.io/v2/kube-vip/kube-vip/manifests/v1.0");
        let mirrored = Registry::new(&web, &image, Some("http://nas.lan/m/"));
        assert_eq!(
            mirrored.blob("sha256:0"),
            "http://nas.lan/m/ghcr.io/v2/kube-vip/kube-vip/blobs/sha256:0"
        );
        let challenge =
            Challenge { realm: "https://ghcr.io/token?a=b".into(), service: None, scope: None };
        let asked = direct.token_address(&challenge).unwrap();
        assert_eq!(
            asked,
            "https://ghcr.io/token?a=b&scope=repository%3Akube-vip%2Fkube-vip%3Apull"
        );
    }
}
