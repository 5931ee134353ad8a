//! Who may use the cluster. Run on a control plane.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Diff, Nature, Observed, OpResult, Output};
use super::sys::Sys;

/// A client certificate for a person. Only the request travels: its key stays where it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MintUser {
    pub name: String,
    /// PKCS #10, PEM.
    pub request: String,
    pub valid_s: u32,
}

#[async_trait]
impl Action for MintUser {
    fn title(&self) -> String {
        format!("client certificate for {}", self.name)
    }

    fn nature(&self) -> Nature {
        Nature::ANSWERS
    }

    async fn observe(&self, _sys: &dyn Sys) -> OpResult<Observed> {
        Ok(Observed::Differs(vec![Diff::say(format!("sign a certificate for {}", self.name))]))
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        Ok(Some(Output::UserCertificate(sys.sign_user(&self.request, self.valid_s).await?)))
    }
}

/// The first way into the GitOps engine's own interface, as it made it itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FirstLogin {}

#[async_trait]
impl Action for FirstLogin {
    fn title(&self) -> String {
        "Argo CD's first password".into()
    }

    fn nature(&self) -> Nature {
        Nature::ANSWERS
    }

    async fn observe(&self, _sys: &dyn Sys) -> OpResult<Observed> {
        Ok(Observed::Differs(vec![Diff::say("look it up")]))
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        Ok(Some(Output::EngineLogin(sys.argocd_login().await?)))
    }
}
