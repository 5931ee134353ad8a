//! The hand-off: the root application, and the proof that Git has taken over.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Diff, Nature, Observed, OpError, OpResult, Output, Tell, Telling};
use super::repository::{Kustomization, Repository};
use super::sys::{Sys, SysErrorKind};
use crate::{
    events::AppState,
    facts::ApiFacts,
    kube::delivery::{Descents, Follow, Picture, Roots, Trouble},
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandOff {
    /// One, or one an engine; all in one repository.
    pub roots: Vec<Kustomization>,
    pub wait_s: u32,
    /// How long a failed sync or a Degraded application may last.
    pub grace_s: u32,
    /// Whose health ends the wait; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wait_for: Vec<String>,
}

/// Noted with the add-ons once all of it is proven: `REVISION@COMMIT`.
const ROOT: &str = "root-application";
const EVERY_MS: u64 = 3000;

impl HandOff {
    /// The commit that was proven, where it was; from then on Git owns what becomes of it.
    fn proven<'a>(&self, api: &'a ApiFacts) -> Option<&'a str> {
        let (revision, commit) = api.addons.get(ROOT)?.version.rsplit_once('@')?;
        let here = revision == self.repository()?.revision && !api.applications.is_empty();
        here.then_some(commit)
    }

    fn repository(&self) -> Option<&Repository> {
        self.roots.first().map(|root| &root.repository)
    }

    fn url(&self) -> String {
        self.repository().map(|r| r.url.clone()).unwrap_or_default()
    }

    fn output(&self, commit: &str, applications: Vec<String>, still_ours: Vec<String>) -> Output {
        Output::HandedOff { repo: self.url(), commit: commit.into(), applications, still_ours }
    }

    /// Everything of the roots is in the cluster then, and the engines work on it.
    async fn root_applied(&self, sys: &dyn Sys) -> OpResult<(String, Roots)> {
        let (mut commit, mut roots) = (None, Roots::default());
        for root in &self.roots {
            let installed = sys.install_kustomization(ROOT, root, self.wait_s).await?;
            roots.extend(installed.roots);
            // A branch that moves on in between has moved to a descendant.
            commit.get_or_insert(installed.commit);
        }
        if roots.is_empty() {
            let paths: Vec<&str> = self.roots.iter().map(|r| r.path.as_str()).collect();
            return Err(OpError::new(
                "find the root application",
                format!(
                    "there is no Application and no Flux Kustomization in {}",
                    paths.join(", ")
                ),
            )
            .hint("`gitops.root` names the directory whose kustomization holds it"));
        }
        Ok((commit.unwrap_or_default(), roots))
    }
}

/// Objects that were applied here and that nobody else manages.
async fn still_ours(sys: &dyn Sys) -> OpResult<Vec<String>> {
    let all = sys.managed().await?;
    Ok(all.into_iter().filter(|m| m.by.is_empty()).map(|m| m.object).collect())
}

/// Asks about commits that are not known yet: each costs a fetch.
async fn ask(
    descents: &mut Descents,
    sys: &dyn Sys,
    repository: &Repository,
    commit: &str,
    others: BTreeSet<String>,
) -> OpResult<()> {
    descents.unknown.clear();
    for other in others {
        if other == commit || descents.known.contains_key(&other) {
            continue;
        }
        match sys.descends(repository, commit, &other).await {
            Ok(descends) => drop(descents.known.insert(other, descends)),
            // The Git host may be back in a moment, before the time is up.
            Err(error) if error.kind != SysErrorKind::NoSpace => {
                descents.unknown.insert(other, error.message);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
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
        format!("hand off to {}", self.url())
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: self.wait_s + 600, ..Nature::CHANGE }
    }

    async fn recall(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        Ok(sys.api().await?.and_then(|api| {
            let commit = self.proven(&api)?.to_string();
            let names = api.applications.into_iter().map(|a| a.name).collect();
            Some(self.output(&commit, names, Vec::new()))
        }))
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        if sys.api().await?.is_some_and(|api| self.proven(&api).is_some()) {
            return Ok(Observed::Holds);
        }
        let applies =
            |root: &Kustomization| Diff::say(format!("apply the root application {}", root.path));
        let mut differences: Vec<Diff> = self.roots.iter().map(applies).collect();
        differences.push(Diff::say(match self.wait_for.as_slice() {
            [] => "wait until it and its children are Synced and Healthy".into(),
            some => format!("wait until {} are Synced and Healthy", some.join(", ")),
        }));
        Ok(Observed::Differs(differences))
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        self.apply_telling(sys, &|_| ()).await
    }

    async fn apply_telling(&self, sys: &dyn Sys, tell: Tell<'_>) -> OpResult<Option<Output>> {
        let what = "wait for the applications";
        let (commit, roots) = self.root_applied(sys).await?;
        let Some(repository) = self.repository() else { return Ok(None) };
        // From here on Git has it, whatever comes of the wait.
        let waits = |waiting: Vec<String>| {
            let (repo, commit) = (self.url(), commit.clone());
            tell(Telling::HandOffWaits { repo, commit, waiting });
        };
        let named = [&roots.applications, &roots.kustomizations].into_iter().flatten();
        waits(if self.wait_for.is_empty() {
            named.map(|key| key.rsplit('/').next().unwrap_or(key).to_string()).collect()
        } else {
            self.wait_for.clone()
        });
        let deadline = sys.now_ms() + u64::from(self.wait_s) * 1000;
        let ours = |url: &str| repository.is_at(url);
        let follow = Follow { ours: &ours, revision: &repository.revision, commit: &commit };
        let (mut descents, mut patience) = (Descents::default(), Patience::default());
        let mut shown: Vec<AppState> = Vec::new();
        loop {
            let seen = match sys.gitops_seen().await {
                Ok(seen) => seen,
                // The API server is restarted now and then; only the deadline ends this.
                Err(error) if error.kind == SysErrorKind::Passing && sys.now_ms() < deadline => {
                    sys.sleep_ms(EVERY_MS).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let others = seen.revisions(&roots, &follow);
            ask(&mut descents, sys, repository, &commit, others).await?;
            let picture = seen.picture(&roots, &follow, &descents, &self.wait_for);
            if picture.rows != shown {
                shown.clone_from(&picture.rows);
                tell(Telling::Applications(shown.clone()));
            }
            let Picture { troubles, names, .. } = picture;
            if troubles.is_empty() {
                // A server that is away for a moment is asked again, as above.
                let still_ours = match still_ours(sys).await {
                    Err(error) if error.passing && sys.now_ms() < deadline => {
                        sys.sleep_ms(EVERY_MS).await;
                        continue;
                    }
                    answer => answer?,
                };
                sys.note_addon(ROOT, &format!("{}@{commit}", repository.revision)).await?;
                return Ok(Some(self.output(&commit, names, still_ours)));
            }
            let now_ms = sys.now_ms();
            let spent = patience.spent(&troubles, now_ms, u64::from(self.grace_s) * 1000);
            let late = now_ms >= deadline;
            if spent.is_empty() && !late {
                sys.sleep_ms(EVERY_MS).await;
                continue;
            }
            waits(troubles.iter().map(|t| t.application.clone()).collect());
            let (about, hint) = if spent.is_empty() {
                (
                    format!("after {} s: {}", self.wait_s, lines(&troubles).join("; ")),
                    "the hand-off itself is done and the engine goes on trying; look at the applications named, the same command goes on waiting",
                )
            } else {
                let spent: Vec<Trouble> = spent.into_iter().cloned().collect();
                (
                    format!("for more than {} s: {}", self.grace_s, lines(&spent).join("; ")),
                    "mend it in the repository; the engine goes on trying, and the same command goes on waiting",
                )
            };
            let mut error = OpError::new(what, about);
            error.failure.output = lines(&troubles);
            error.failure.left = Some(format!(
                "the cluster is handed off to {} at {}",
                repository.url,
                commit.get(..10).unwrap_or(&commit)
            ));
            return Err(error.hint(hint));
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
            key: format!("argocd/{app}"),
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
