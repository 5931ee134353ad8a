//! The hand-off: the root application, and the proof that Git has taken over.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Diff, Nature, Observed, OpError, OpResult, Output};
use super::repository::Kustomization;
use super::sys::{Sys, SysErrorKind};
use crate::{
    facts::ApiFacts,
    kube::argocd::{self, Application, Trouble},
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandOff {
    pub root: Kustomization,
    pub wait_s: u32,
    /// How long a failed sync or a Degraded application may last.
    pub grace_s: u32,
}

/// Noted with the add-ons once all of it is proven: `REVISION@COMMIT`.
const ROOT: &str = "root-application";
const EVERY_MS: u64 = 3000;

impl HandOff {
    /// The commit that was proven, where it was; from then on Git owns what becomes of it.
    fn proven<'a>(&self, api: &'a ApiFacts) -> Option<&'a str> {
        let (revision, commit) = api.addons.get(ROOT)?.version.rsplit_once('@')?;
        let here = revision == self.root.repository.revision && !api.applications.is_empty();
        here.then_some(commit)
    }

    fn output(&self, commit: &str, applications: Vec<String>) -> Output {
        Output::HandedOff {
            repo: self.root.repository.url.clone(),
            commit: commit.into(),
            applications,
        }
    }
}

/// Commits that were asked about: each costs a fetch.
#[derive(Default)]
struct Descent {
    known: BTreeMap<String, bool>,
    /// Why one could not be told just now.
    unknown: BTreeMap<String, String>,
}

impl Descent {
    async fn ask(
        &mut self,
        sys: &dyn Sys,
        root: &Kustomization,
        commit: &str,
        others: BTreeSet<String>,
    ) -> OpResult<()> {
        self.unknown.clear();
        for other in others {
            if other == commit || self.known.contains_key(&other) {
                continue;
            }
            match sys.descends(&root.repository, commit, &other).await {
                Ok(descends) => drop(self.known.insert(other, descends)),
                // The Git host may be back in a moment, before the time is up.
                Err(error) if error.kind != SysErrorKind::NoSpace => {
                    self.unknown.insert(other, error.message);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Since when each application has been in trouble that may end the wait.
#[derive(Default)]
struct Patience(BTreeMap<String, u64>);

impl Patience {
    /// Those that are past the grace.
    fn spent<'t>(
        &mut self,
        troubles: &'t [Trouble],
        now_ms: u64,
        grace_ms: u64,
    ) -> Vec<&'t Trouble> {
        let grave: Vec<&Trouble> = troubles.iter().filter(|t| t.grave).collect();
        self.0.retain(|app, _| grave.iter().any(|t| &t.application == app));
        for trouble in &grave {
            self.0.entry(trouble.application.clone()).or_insert(now_ms);
        }
        let past = |t: &&Trouble| now_ms.saturating_sub(self.0[&t.application]) >= grace_ms;
        grave.into_iter().filter(past).collect()
    }
}

fn lines(troubles: &[Trouble]) -> Vec<String> {
    troubles.iter().flat_map(Trouble::lines).collect()
}

#[async_trait]
impl Action for HandOff {
    fn title(&self) -> String {
        format!("hand off to {}", self.root.repository.url)
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: self.wait_s + 600, ..Nature::CHANGE }
    }

    async fn recall(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        Ok(sys.api().await?.and_then(|api| {
            let commit = self.proven(&api)?.to_string();
            Some(self.output(&commit, api.applications.into_iter().map(|a| a.name).collect()))
        }))
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        if sys.api().await?.is_some_and(|api| self.proven(&api).is_some()) {
            return Ok(Observed::Holds);
        }
        Ok(Observed::Differs(vec![
            Diff::say(format!("apply the root application {}", self.root.path)),
            Diff::say("wait until it and its children are Synced and Healthy"),
        ]))
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        let what = "wait for the applications";
        let installed = sys.install_kustomization(ROOT, &self.root, self.wait_s).await?;
        let commit = &installed.commit;
        let deadline = sys.now_ms() + u64::from(self.wait_s) * 1000;
        let (mut descent, mut patience) = (Descent::default(), Patience::default());
        loop {
            let all: Vec<Application> = match sys.gitops_applications().await {
                Ok(all) => all,
                // The API server is restarted now and then; only the deadline ends this.
                Err(error) if error.kind == SysErrorKind::Passing && sys.now_ms() < deadline => {
                    sys.sleep_ms(EVERY_MS).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let family = argocd::family(&all, &installed.applications);
            let repository = &self.root.repository;
            let ours = |url: &str| repository.is_at(url);
            let follow = argocd::Follow { ours: &ours, revision: &repository.revision, commit };
            descent.ask(sys, &self.root, commit, follow.revisions(&family)).await?;
            let troubles = follow.troubles(&family, &descent.known, &descent.unknown);
            if troubles.is_empty() && !family.members.is_empty() {
                sys.note_addon(ROOT, &format!("{}@{commit}", repository.revision)).await?;
                let names = family.members.iter().map(|a| a.name.clone()).collect();
                return Ok(Some(self.output(commit, names)));
            }
            let now_ms = sys.now_ms();
            let spent = patience.spent(&troubles, now_ms, u64::from(self.grace_s) * 1000);
            if !spent.is_empty() {
                let spent: Vec<Trouble> = spent.into_iter().cloned().collect();
                let why = format!("for more than {} s: {}", self.grace_s, lines(&spent).join("; "));
                let mut error = OpError::new(what, why);
                error.failure.output = lines(&troubles);
                return Err(error.hint(
                    "mend it in the repository; the engine goes on trying, and the same command goes on waiting",
                ));
            }
            if now_ms >= deadline {
                let why = match lines(&troubles) {
                    none if none.is_empty() => "there is no root application".into(),
                    lines => lines.join("; "),
                };
                return Err(OpError::new(what, format!("after {} s: {why}", self.wait_s))
                    .hint("the hand-off itself is done; the engine goes on trying. Look at the applications named"));
            }
            sys.sleep_ms(EVERY_MS).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_only_with_what_lasts() {
        let grave = |app: &str, grave| Trouble {
            application: app.into(),
            what: "is Degraded".into(),
            details: Vec::new(),
            grave,
        };
        let mut patience = Patience::default();
        let (a, b) = (grave("a", true), grave("b", false));
        assert!(patience.spent(&[a.clone(), b.clone()], 0, 1000).is_empty());
        assert_eq!(patience.spent(&[a.clone(), b.clone()], 1000, 1000), [&a]);
        // It was well for a moment: its time begins anew.
        assert!(patience.spent(&[b], 1500, 1000).is_empty());
        assert!(patience.spent(&[a], 2000, 1000).is_empty());
    }
}
