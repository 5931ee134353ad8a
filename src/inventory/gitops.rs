//! The repository that the cluster is handed over to, and how it is reached.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secrets::{GithubAppAccess, SecretFrom, TierZero};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gitops {
    pub engine: GitopsEngine,
    pub repo: String,
    #[serde(default = "defaults::revision")]
    pub revision: String,
    /// Kustomization in the repository that installs the engine. Without one, it is installed from its
    /// project's release, by checksum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<String>,
    /// Kustomization in the repository that holds the root application.
    pub root: String,
    /// How the repository is reached, where it is not open to everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<GitAccess>,
    /// Who can read age and SOPS files that secrets are taken from. Left out: as SOPS itself looks,
    /// `SOPS_AGE_KEY`, `SOPS_AGE_KEY_FILE`, `~/.config/sops/age/keys.txt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_identity: Option<SecretFrom>,
    /// The few Secrets that must be there before the cluster can get its others by itself.
    #[serde(default, rename = "secret", skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<TierZero>,
    /// How long the applications have to become Synced and Healthy.
    #[serde(default = "defaults::hand_off_s")]
    pub wait_s: u32,
    /// How long a failed sync or a Degraded application may last before it counts as a failure.
    #[serde(default = "defaults::grace_s")]
    pub grace_s: u32,
    /// With both engines: Flux's own directories, where they are not the ones of Argo CD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flux: Option<FluxPaths>,
}

/// Where Flux's part lies beside Argo CD's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FluxPaths {
    /// Kustomization in the repository that installs Flux; without one, its release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<String>,
    /// Kustomization in the repository that holds Flux's source and its root Kustomization.
    pub root: String,
}

impl Gitops {
    /// Everything of the repository that is named, with its key.
    pub fn paths(&self) -> Vec<(&'static str, &str)> {
        let flux = self.flux.as_ref();
        let named = [
            ("gitops.bootstrap", self.bootstrap.as_deref()),
            ("gitops.root", Some(self.root.as_str())),
            ("gitops.flux.bootstrap", flux.and_then(|f| f.bootstrap.as_deref())),
            ("gitops.flux.root", flux.map(|f| f.root.as_str())),
        ];
        named.into_iter().filter_map(|(key, path)| Some((key, path?))).collect()
    }
}

/// Credentials are named here, never given: they are read when they are needed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GitAccess {
    /// Over HTTPS, beside the token; most hosts take any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Over HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretFrom>,
    /// The private half of a deploy key, without a passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key: Option<SecretFrom>,
    /// In their place: an app of GitHub's, which is installed for the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub github_app: Option<GithubAppAccess>,
    /// Lines of a known_hosts file with the Git host's keys. Those of github.com, gitlab.com,
    /// codeberg.org and bitbucket.org are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<TextFrom>,
    /// The Git host's own CA, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<TextFrom>,
}

/// A text, here or in a file beside the inventory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TextFrom {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GitopsEngine {
    Argocd,
    Flux,
    /// Flux for infrastructure, Argo CD for applications.
    Both,
}

pub(super) mod defaults {
    pub fn revision() -> String {
        "main".into()
    }
    pub fn hand_off_s() -> u32 {
        900
    }
    pub fn grace_s() -> u32 {
        300
    }
}
