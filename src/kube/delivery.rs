//! What GitOps engines bring, whichever they are: one picture of both, and what of it stands between a
//! cluster and its hand-off.
//!
//! Pure: objects in, a picture out. It knows neither how they were read nor how long is waited.

use std::collections::{BTreeMap, BTreeSet};

use super::{argocd, flux};
use crate::{events::AppState, facts};

/// What an application still lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// As it is shown.
    pub application: String,
    /// `NAMESPACE/NAME`.
    pub key: String,
    /// `is OutOfSync`.
    pub what: String,
    /// Resources and messages.
    pub details: Vec<String>,
    /// Not only on its way: it may be waited out for a while, but no longer.
    pub grave: bool,
}

/// More says nothing that these do not.
const MOST_DETAILS: usize = 5;

impl Trouble {
    /// Of something that is named, and not there.
    fn missing(name: &str, key: &str) -> Self {
        Self {
            application: name.into(),
            key: key.into(),
            what: "is not there yet".into(),
            details: Vec::new(),
            grave: false,
        }
    }

    pub(super) fn grave(mut self) -> Self {
        self.grave = true;
        self
    }

    pub fn lines(&self) -> Vec<String> {
        let head = format!("{} {}", self.application, self.what);
        match self.details.as_slice() {
            [] => vec![head],
            details => {
                let left = details.len().saturating_sub(MOST_DETAILS);
                let more = (left > 0).then(|| format!("{head}: and {left} more"));
                let shown = details.iter().take(MOST_DETAILS);
                shown.map(|d| format!("{head}: {d}")).chain(more).collect()
            }
        }
    }

    /// Without its application, on one line.
    fn said(&self) -> String {
        match self.details.first() {
            Some(detail) => format!("{}: {detail}", self.what),
            None => self.what.clone(),
        }
    }
}

/// What the applications have to follow.
pub struct Follow<'f> {
    /// Whether an address is the repository's that was handed off to.
    pub ours: &'f (dyn Fn(&str) -> bool + Sync),
    pub revision: &'f str,
    pub commit: &'f str,
}

/// Commits that were asked about: whether they come after the resolved one, and why that is not known.
#[derive(Debug, Default)]
pub struct Descents {
    pub known: BTreeMap<String, bool>,
    pub unknown: BTreeMap<String, String>,
}

impl Follow<'_> {
    /// Why something is not where it is to be, and more about it.
    pub(super) fn astray(
        &self,
        revision: &str,
        descents: &Descents,
    ) -> Option<(String, Vec<String>)> {
        if revision == self.commit || descents.known.get(revision) == Some(&true) {
            return None;
        }
        let short = |commit: &str| commit.get(..10).unwrap_or(commit).to_string();
        let (at, commit) = (short(revision), short(self.commit));
        Some(if let Some(why) = descents.unknown.get(revision) {
            let what = format!("is at {at}, and whether that comes after {commit} cannot be told");
            (what, vec![why.clone()])
        } else if revision.is_empty() {
            ("does not say which commit it is at".into(), Vec::new())
        } else {
            (format!("is at {at}, which is neither {commit} nor comes after it"), Vec::new())
        })
    }
}

/// Where the trees begin, `NAMESPACE/NAME` each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots {
    /// Argo CD's.
    pub applications: Vec<String>,
    /// Flux's: sources and Kustomizations.
    pub sources: Vec<String>,
    pub kustomizations: Vec<String>,
}

impl Roots {
    pub fn is_empty(&self) -> bool {
        self.applications.is_empty() && self.kustomizations.is_empty()
    }

    pub fn extend(&mut self, more: Roots) {
        let add = |to: &mut Vec<String>, more: Vec<String>| {
            for key in more {
                if !to.contains(&key) {
                    to.push(key);
                }
            }
        };
        add(&mut self.applications, more.applications);
        add(&mut self.sources, more.sources);
        add(&mut self.kustomizations, more.kustomizations);
    }
}

/// Everything that both engines say at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    pub applications: Vec<argocd::Application>,
    pub flux: Vec<flux::Object>,
}

/// Of the trees below the roots.
#[derive(Debug, Default)]
pub struct Picture {
    pub rows: Vec<AppState>,
    /// Of what is waited for.
    pub troubles: Vec<Trouble>,
    /// Of what is waited for, as they are shown.
    pub names: Vec<String>,
}

/// One of a tree, before it is known what holds it up.
pub(super) struct Leaf {
    pub name: String,
    pub key: String,
    pub depth: u16,
    pub state: String,
    pub revision: String,
    pub trouble: Option<Trouble>,
}

impl Leaf {
    /// Something that is named by others, and not there.
    pub fn missing(name: &str, key: &str, depth: u16) -> Self {
        Self {
            name: name.into(),
            key: key.into(),
            depth,
            state: "missing".into(),
            revision: String::new(),
            trouble: Some(Trouble::missing(name, key)),
        }
    }
}

/// Whether one is meant: by its name, or with its namespace.
fn is_named(key: &str, wanted: &[String]) -> bool {
    let name = key.rsplit('/').next().unwrap_or(key);
    wanted.is_empty() || wanted.iter().any(|w| w == key || w == name)
}

impl Seen {
    /// All of it in short, whoever made it.
    pub fn facts(&self) -> Vec<facts::Application> {
        let applications = self.applications.iter().map(|app| facts::Application {
            name: app.name.clone(),
            synced: app.sync == "Synced",
            healthy: app.health == "Healthy",
            revision: app.revision(),
        });
        let brought = self.flux.iter().filter(|o| o.kind != flux::Kind::GitRepository);
        let brought = brought.map(|object| facts::Application {
            name: object.name.clone(),
            synced: object.observed && !object.revision.is_empty(),
            healthy: object.is_ready(),
            revision: object.revision.clone(),
        });
        applications.chain(brought).collect()
    }

    /// The commits that have to be the resolved one or to come after it.
    pub fn revisions(&self, roots: &Roots, follow: &Follow<'_>) -> BTreeSet<String> {
        let family = argocd::family(&self.applications, &roots.applications);
        let mut revisions = follow.revisions(&family);
        revisions.extend(flux::revisions(&self.flux, roots, follow));
        revisions
    }

    /// `wanted` are those whose health ends the wait; none means all.
    pub fn picture(
        &self,
        roots: &Roots,
        follow: &Follow<'_>,
        descents: &Descents,
        wanted: &[String],
    ) -> Picture {
        let family = argocd::family(&self.applications, &roots.applications);
        let mut leaves = follow.leaves(&family, descents);
        leaves.extend(flux::leaves(&self.flux, roots, follow, descents));
        let mut picture = Picture::default();
        for leaf in leaves {
            let awaited = is_named(&leaf.key, wanted);
            picture.rows.push(AppState {
                name: leaf.name.clone(),
                depth: leaf.depth,
                state: leaf.state,
                revision: leaf.revision,
                waits: leaf.trouble.as_ref().map(Trouble::said),
                awaited,
            });
            if awaited {
                picture.names.push(leaf.name);
                picture.troubles.extend(leaf.trouble);
            }
        }
        for name in wanted {
            let one = std::slice::from_ref(name);
            let known = family.members.iter().any(|a| is_named(&a.key(), one))
                || self.flux.iter().any(|o| is_named(&o.key(), one));
            let named = picture.troubles.iter().any(|t| is_named(&t.key, one));
            if !known && !named {
                picture.troubles.push(Trouble::missing(name, name));
            }
        }
        picture
    }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
