//! The GitOps repository: how a node reaches it, and the proof that it does.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Nature, Observed, OpResult};
use super::sys::Sys;
use crate::secret::Sourced;

/// Credentials and what the Git host is known by. The secrets among it are filled in by the
/// controller just before an op is sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Access {
    pub username: Option<String>,
    pub token: Option<Sourced>,
    pub ssh_key: Option<Sourced>,
    /// Of a GitHub App: the engine gets it, and asks for tokens of its own. The token above is what it
    /// was exchanged for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_key: Option<Sourced>,
    pub known_hosts: Option<String>,
    pub ca: Option<String>,
}

/// A revision of a repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repository {
    pub url: String,
    pub revision: String,
    pub access: Access,
}

impl Repository {
    pub fn secrets(&mut self) -> impl Iterator<Item = &mut Sourced> {
        let Access { token, ssh_key, app_key, .. } = &mut self.access;
        token.iter_mut().chain(ssh_key).chain(app_key)
    }

    /// Whether another spelling names the same: hosts are written in small letters or not, and
    /// `.git` may be left out.
    pub fn is_at(&self, url: &str) -> bool {
        let plain = |url: &str| {
            let url = url.trim_end_matches('/').trim_end_matches(".git");
            // git@host:path is ssh://git@host/path.
            let url = match (url.contains("://"), url.split_once(':')) {
                (false, Some((host, path))) => {
                    format!("ssh://{host}/{}", path.trim_start_matches('/'))
                }
                _ => url.to_string(),
            };
            let (scheme, rest) = url.split_once("://").unwrap_or(("", &url));
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            format!("{}://{}/{path}", scheme.to_lowercase(), host.to_lowercase())
        };
        plain(&self.url) == plain(url)
    }
}

/// A directory in the repository that `kubectl kustomize` builds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kustomization {
    pub repository: Repository,
    pub path: String,
}

/// The repository answers with these credentials, has the revision, and these paths in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RepositoryReached {
    pub repository: Repository,
    pub paths: Vec<String>,
}

#[async_trait]
impl Action for RepositoryReached {
    fn title(&self) -> String {
        format!("reach {}", self.repository.url)
    }

    fn nature(&self) -> Nature {
        Nature::CHECK
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        sys.commit_of(&self.repository, &self.paths).await?;
        Ok(Observed::Holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_has_many_spellings() {
        let at = |url: &str| Repository {
            url: url.into(),
            revision: "main".into(),
            access: Access::default(),
        };
        assert!(at("https://git.lab/me/home.git").is_at("https://Git.lab/me/home/"));
        assert!(at("git@git.lab:me/home.git").is_at("ssh://git@git.lab/me/home"));
        assert!(!at("https://git.lab/me/home.git").is_at("https://git.lab/me/other"));
        assert!(!at("https://git.lab/me/home.git").is_at("https://git.lab/Me/home"));
    }
}
