//! Secrets of the operator's: where each is read from, never what it is.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::{GithubApp, Source};

/// Where a secret is read from on the controller: one of these.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretFrom {
    /// A variable of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// A file, relative to the inventory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// A program and its arguments, whose output it is: `["op", "read", "op://..."]`.
    #[serde(default)]
    pub command: Vec<String>,
    /// A file that age encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<String>,
    /// A YAML or JSON file that SOPS encrypted for age recipients; `key` says which value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sops: Option<String>,
    /// Where in the SOPS file it is, with a dot between levels: `stringData.token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl SecretFrom {
    /// How many places are named; the checks see to it that it is one.
    pub fn places(&self) -> usize {
        let given = [
            self.env.is_some(),
            self.file.is_some(),
            !self.command.is_empty(),
            self.age.is_some(),
            self.sops.is_some(),
        ];
        given.into_iter().filter(|given| *given).count()
    }

    /// The first that is given; `identity` reads what is encrypted.
    pub fn source(&self, identity: Option<&SecretFrom>) -> Source {
        let identity = || identity.map(|from| Box::new(from.source(None)));
        if let Some(name) = &self.env {
            return Source::Env(name.clone());
        }
        if let Some(path) = &self.file {
            return Source::File(path.clone());
        }
        if let Some(file) = &self.age {
            return Source::Age { file: file.clone(), identity: identity() };
        }
        if let Some(file) = &self.sops {
            let key = self.key.iter().flat_map(|k| k.split('.')).map(str::to_string).collect();
            return Source::Sops { file: file.clone(), key, identity: identity() };
        }
        Source::Command(self.command.clone())
    }
}

/// A Secret that is made before anything of the repository runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TierZero {
    /// Made where it is missing, with the Pod Security labels that the starter repository gives it.
    pub namespace: String,
    pub name: String,
    #[serde(rename = "type", default = "opaque")]
    pub kind: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What is in it, and where each value is read from.
    pub keys: BTreeMap<String, SecretFrom>,
}

pub(super) fn opaque() -> String {
    "Opaque".into()
}

/// An app of GitHub's, in place of a person's token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GithubAppAccess {
    /// The app's own number.
    pub app_id: u64,
    /// Of its installation for the repository's owner: the number in that page's address.
    pub installation_id: u64,
    /// The app's private key, PEM, as GitHub hands it out.
    pub private_key: SecretFrom,
    /// GitHub Enterprise's: `https://github.example.com/api/v3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
}

pub const GITHUB_API: &str = "https://api.github.com";

impl GithubAppAccess {
    /// What a token is asked for with.
    pub fn exchanged(&self, identity: Option<&SecretFrom>, ca: Option<String>) -> GithubApp {
        let api = self.api.as_deref().unwrap_or(GITHUB_API).trim_end_matches('/').to_string();
        GithubApp {
            app: self.app_id,
            installation: self.installation_id,
            key: Box::new(self.private_key.source(identity)),
            ca: ca.filter(|_| self.api.is_some()),
            api,
        }
    }
}
