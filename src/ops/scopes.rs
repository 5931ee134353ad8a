//! Both engines beside each other: none has anything that the other has too.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Nature, Observed, OpError, OpResult};
use super::repository::Kustomization;
use super::sys::Sys;
use crate::kube::overlap::{Scope, overlaps};

/// What each engine has of a repository, by what the repository says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scopes {
    pub flux: Vec<Scope>,
    pub argocd: Vec<Scope>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScopesApart {
    /// Where the engines begin; they may share one.
    pub roots: Vec<Kustomization>,
    /// Flux's and Argo CD's, where each is installed from a directory of its own.
    pub bootstraps: Vec<Kustomization>,
}

/// More says nothing that these do not.
const MOST: usize = 10;

#[async_trait]
impl Action for ScopesApart {
    fn title(&self) -> String {
        "Flux and Argo CD are apart".into()
    }

    fn nature(&self) -> Nature {
        // Fetches, and builds everything that either of them has.
        Nature { timeout_s: 900, ..Nature::CHECK }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let Scopes { flux, argocd } = sys.scopes(&self.roots).await?;
        let mut found = overlaps(&flux, &argocd);
        if let [flux, argocd] = self.bootstraps.as_slice() {
            let (flux, argocd) = (sys.built(flux).await?, sys.built(argocd).await?);
            found.extend(overlaps(&[flux], &[argocd]));
        }
        if found.is_empty() {
            return Ok(Observed::Holds);
        }
        let left = found.len().saturating_sub(MOST);
        let mut shown: Vec<String> = found.iter().take(MOST).cloned().collect();
        shown.extend((left > 0).then(|| format!("and {left} more")));
        let mut error = OpError::new("keep Flux and Argo CD apart", shown.join("; "));
        error.failure.output = found;
        error.failure.left = Some("nothing was applied".into());
        Err(error.hint("leave each of them to one engine: two that bring the same undo each other's work without an end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_changed_by_looking() {
        let op = ScopesApart { roots: Vec::new(), bootstraps: Vec::new() };
        assert!(op.nature().check);
    }
}
