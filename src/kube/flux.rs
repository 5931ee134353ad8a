//! What Flux says of its sources, Kustomizations and Helm releases, and what of it stands between a
//! cluster and its hand-off.
//!
//! Pure: objects in, leaves of a tree out. It knows neither how they were read nor how long is waited.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    delivery::{Descents, Follow, Leaf, Roots, Trouble},
    read::{condition, items},
};

/// A child names the Kustomization that applied it in these.
const OWNER: &str = "kustomize.toolkit.fluxcd.io/name";
const OWNER_NAMESPACE: &str = "kustomize.toolkit.fluxcd.io/namespace";

/// What Go's network says of a host that is not there for now.
const AWAY: [&str; 9] = [
    "connection refused",
    "connection reset",
    "i/o timeout",
    "no such host",
    "no route to host",
    "network is unreachable",
    "TLS handshake timeout",
    "context deadline exceeded",
    "unexpected EOF",
];

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    GitRepository,
    #[default]
    Kustomization,
    HelmRelease,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::GitRepository, Kind::Kustomization, Kind::HelmRelease];

    pub fn word(self) -> &'static str {
        match self {
            Kind::GitRepository => "GitRepository",
            Kind::Kustomization => "Kustomization",
            Kind::HelmRelease => "HelmRelease",
        }
    }

    /// Where all of them are listed.
    pub fn path(self) -> &'static str {
        match self {
            Kind::GitRepository => "/apis/source.toolkit.fluxcd.io/v1/gitrepositories",
            Kind::Kustomization => "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations",
            Kind::HelmRelease => "/apis/helm.toolkit.fluxcd.io/v2/helmreleases",
        }
    }

    fn of(group: &str, word: &str) -> Option<Self> {
        let kind = Kind::ALL.into_iter().find(|k| k.word() == word)?;
        (kind.path().split('/').nth(2) == Some(group)).then_some(kind)
    }
}

/// One of them, as it stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object {
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
    pub suspended: bool,
    /// The controller has seen what is asked for now.
    pub observed: bool,
    /// `True`, `False`, `Unknown`, or nothing yet.
    pub ready: String,
    pub reason: String,
    pub message: String,
    /// It is not tried again by itself: why.
    pub stalled: Option<String>,
    /// What goes on right now.
    pub reconciling: Option<String>,
    /// A source's artifact, a Kustomization's last applied one, a release's chart.
    pub revision: String,
    /// A source's address; a release's chart version, where it is an exact one.
    pub target: String,
    /// What a source follows: `branch main`; empty for Flux's own default.
    pub follows: String,
    /// The source of a Kustomization, where that is a Git repository.
    pub source: Option<String>,
    /// Which Kustomization applied it.
    pub owner: Option<String>,
    /// What a Kustomization applied, of the kinds that are known here.
    pub applied: Vec<(Kind, String)>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

/// The commit of `main@sha1:...`, `sha1:...` or, of old, `main/...`; what is none stays as it is.
fn commit(revision: &str) -> &str {
    let hash = revision.rsplit_once("sha1:").map(|(_, hash)| hash);
    hash.or_else(|| revision.rsplit_once('/').map(|(_, hash)| hash)).unwrap_or(revision)
}

fn said<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

/// `NAMESPACE_NAME_GROUP_KIND`; what else has underscores is none of these kinds.
fn entry(id: &str) -> Option<(Kind, String)> {
    let mut parts = id.split('_');
    let (namespace, name) = (parts.next()?, parts.next()?);
    let kind = Kind::of(parts.next()?, parts.next()?)?;
    Some((kind, format!("{namespace}/{name}")))
}

fn object(kind: Kind, value: &Value) -> Option<Object> {
    let (meta, spec, status) = (&value["metadata"], &value["spec"], &value["status"]);
    let namespace = text(&meta["namespace"]);
    let labels = &meta["labels"];
    let message = |of: &str| {
        let condition = said(value, of).filter(|c| c["status"] == "True")?;
        Some(text(&condition["message"]))
    };
    let generation = |v: &Value| v.as_i64().unwrap_or(0);
    let ready = said(value, "Ready").cloned().unwrap_or_default();
    let reference = &spec["ref"];
    let follows = ["commit", "name", "semver", "tag", "branch"]
        .into_iter()
        .find_map(|k| Some(format!("{k} {}", reference[k].as_str().filter(|r| !r.is_empty())?)));
    let from = &spec["sourceRef"];
    let source = (kind == Kind::Kustomization && from["kind"] == "GitRepository").then(|| {
        let place = from["namespace"].as_str().unwrap_or(&namespace);
        format!("{place}/{}", text(&from["name"]))
    });
    let (revision, target) = match kind {
        Kind::GitRepository => (text(&status["artifact"]["revision"]), text(&spec["url"])),
        Kind::Kustomization => (text(&status["lastAppliedRevision"]), String::new()),
        Kind::HelmRelease => {
            let last = &status["history"][0]["chartVersion"];
            let last = if last.is_string() { last } else { &status["lastAttemptedRevision"] };
            (text(last), text(&spec["chart"]["spec"]["version"]))
        }
    };
    let applied = status["inventory"]["entries"].as_array().into_iter().flatten();
    Some(Object {
        kind,
        name: meta["name"].as_str()?.to_string(),
        suspended: spec["suspend"] == true,
        observed: generation(&status["observedGeneration"]) >= generation(&meta["generation"]),
        ready: condition(value, "Ready").unwrap_or_default().to_string(),
        reason: text(&ready["reason"]),
        message: text(&ready["message"]),
        stalled: message("Stalled"),
        reconciling: message("Reconciling"),
        revision: match kind {
            Kind::HelmRelease => revision,
            Kind::GitRepository | Kind::Kustomization => commit(&revision).to_string(),
        },
        target,
        follows: follows.unwrap_or_default(),
        source,
        owner: labels[OWNER]
            .as_str()
            .map(|name| format!("{}/{name}", labels[OWNER_NAMESPACE].as_str().unwrap_or_default())),
        applied: applied.filter_map(|e| entry(e["id"].as_str()?)).collect(),
        namespace,
    })
}

/// Of a list of one kind.
pub fn objects(kind: Kind, list: &Value) -> Vec<Object> {
    items(list).filter_map(|value| object(kind, value)).collect()
}

impl Object {
    /// A Kustomization of the simulated fleet.
    pub fn simple(name: &str, parent: Option<&str>, well: bool, revision: &str) -> Self {
        let owner = parent.map(|parent| format!("flux-system/{parent}"));
        Self {
            namespace: "flux-system".into(),
            name: name.into(),
            observed: true,
            ready: if well { "True" } else { "Unknown" }.into(),
            message: if well { "" } else { "Reconciliation in progress" }.into(),
            revision: revision.into(),
            owner,
            ..Self::default()
        }
    }

    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub fn is_ready(&self) -> bool {
        self.observed && self.ready == "True" && !self.suspended
    }

    fn shown(&self) -> String {
        format!("{} {}", self.kind.word(), self.key())
    }

    fn state(&self) -> String {
        match () {
            () if self.suspended => "Suspended".into(),
            () if self.stalled.is_some() => "Stalled".into(),
            () if !self.observed || self.ready.is_empty() => "New".into(),
            () if self.ready == "True" => "Ready".into(),
            () if self.ready == "False" => format!("Not ready, {}", self.reason),
            () => "Reconciling".into(),
        }
    }

    fn trouble(&self, what: impl Into<String>, details: Vec<String>) -> Trouble {
        let (application, key) = (self.shown(), self.key());
        Trouble { application, key, what: what.into(), details, grave: false }
    }

    /// What keeps it from being Ready.
    fn unready(&self) -> Option<Trouble> {
        let details = |text: &str| match text.trim() {
            "" => Vec::new(),
            text => vec![text.to_string()],
        };
        if self.suspended {
            let how = format!(
                "`flux resume {} -n {} {}` lets it go on",
                self.kind.word().to_lowercase(),
                self.namespace,
                self.name
            );
            return Some(self.trouble("is suspended", vec![how]).grave());
        }
        if let Some(why) = &self.stalled {
            let why = if why.is_empty() { &self.message } else { why };
            return Some(self.trouble("is stalled", details(why)).grave());
        }
        if !self.observed {
            return Some(self.trouble("was not looked at yet", Vec::new()));
        }
        match self.ready.as_str() {
            "True" => None,
            "False" => {
                let what = format!("is not Ready ({})", self.reason);
                let trouble = self.trouble(what, details(&self.message));
                // Others are what holds it up, and say so themselves.
                let soft = ["DependencyNotReady", "Progressing", "ProgressingWithRetry"];
                // A host that was reached before is tried again, and may be back before the time is up.
                let away = self.kind == Kind::GitRepository
                    && !self.revision.is_empty()
                    && AWAY.iter().any(|words| self.message.contains(words));
                let soft = away || soft.contains(&self.reason.as_str());
                Some(if soft { trouble } else { trouble.grave() })
            }
            "" => Some(self.trouble("was not looked at yet", Vec::new())),
            _ => {
                let doing = self.reconciling.as_deref().filter(|text| !text.is_empty());
                Some(self.trouble("is reconciling", details(doing.unwrap_or(&self.message))))
            }
        }
    }
}

/// Whether a source is the repository, at the revision that was handed off.
fn follows(source: &Object, follow: &Follow<'_>) -> bool {
    let at = follow.revision.trim_start_matches("refs/heads/");
    let same = match source.follows.split_once(' ') {
        Some(("branch" | "tag", name)) => name == at,
        Some(("name", name)) => {
            let name = name.trim_start_matches("refs/heads/").trim_start_matches("refs/tags/");
            name == at || name == follow.revision
        }
        Some(("commit", commit)) => commit == follow.commit || commit == follow.revision,
        // Without a word it is `master`.
        None => at == "master",
        Some(_) => false,
    };
    same && (follow.ours)(&source.target)
}

/// One of the tree: how deep, and which; None for one that is named and not there.
struct Place<'a> {
    kind: Kind,
    key: String,
    depth: u16,
    found: Option<&'a Object>,
}

/// The roots and all that came of them, in the order of the tree.
fn family<'a>(all: &'a [Object], roots: &Roots) -> Vec<Place<'a>> {
    let mut places = Vec::new();
    let mut seen = BTreeSet::new();
    let begin = |kind: Kind, keys: &[String]| {
        keys.iter().map(|key| (kind, key.clone(), 0u16)).collect::<Vec<_>>()
    };
    let mut stack = begin(Kind::GitRepository, &roots.sources);
    stack.extend(begin(Kind::Kustomization, &roots.kustomizations));
    stack.reverse();
    while let Some((kind, key, depth)) = stack.pop() {
        if !seen.insert((kind, key.clone())) {
            continue;
        }
        let found = all.iter().find(|o| o.kind == kind && o.key() == key);
        if let Some(object) = found.filter(|o| o.kind == Kind::Kustomization) {
            let mut next = object.applied.clone();
            let owned = all.iter().filter(|o| o.owner.as_ref() == Some(&key));
            next.extend(owned.map(|o| (o.kind, o.key())));
            // Sources first, whoever brought them.
            next.extend(object.source.iter().map(|key| (Kind::GitRepository, key.clone())));
            next.sort();
            stack.extend(
                next.into_iter().rev().map(|(kind, key)| (kind, key, depth.saturating_add(1))),
            );
        }
        places.push(Place { kind, key, depth, found });
    }
    places
}

/// The sources among a family that are the repository, at its revision.
fn ours<'a>(places: &[Place<'a>], follow: &Follow<'_>) -> Vec<&'a Object> {
    let found = places.iter().filter_map(|p| p.found);
    found.filter(|o| o.kind == Kind::GitRepository && follows(o, follow)).collect()
}

/// Whether it has to be at the resolved commit.
fn is_bound(object: &Object, ours: &[&Object]) -> bool {
    match object.kind {
        Kind::GitRepository => ours.iter().any(|o| o.key() == object.key()),
        Kind::Kustomization => {
            object.source.as_ref().is_some_and(|s| ours.iter().any(|o| &o.key() == s))
        }
        Kind::HelmRelease => false,
    }
}

/// The commits that have to be the resolved one or to come after it.
pub fn revisions(all: &[Object], roots: &Roots, follow: &Follow<'_>) -> BTreeSet<String> {
    let places = family(all, roots);
    let ours = ours(&places, follow);
    let bound = places.iter().filter_map(|p| p.found).filter(|o| is_bound(o, &ours));
    bound.map(|o| o.revision.clone()).filter(|r| !r.is_empty()).collect()
}

pub(super) fn leaves(
    all: &[Object],
    roots: &Roots,
    follow: &Follow<'_>,
    descents: &Descents,
) -> Vec<Leaf> {
    let places = family(all, roots);
    let ours = ours(&places, follow);
    let leaf = |place: &Place<'_>| {
        let Some(object) = place.found else {
            let name = format!("{} {}", place.kind.word(), place.key);
            return Leaf::missing(&name, &place.key, place.depth);
        };
        let astray = || {
            if is_bound(object, &ours) {
                let (what, details) = follow.astray(&object.revision, descents)?;
                return Some(object.trouble(what, details));
            }
            let Object { kind, revision, target, .. } = object;
            let plain = |version: &str| version.trim_start_matches('v').to_string();
            let exact = plain(target).parse::<crate::names::Version>().is_ok();
            // What stands behind a plus was added by the controller.
            let at = plain(revision.split('+').next().unwrap_or_default());
            let other = *kind == Kind::HelmRelease && exact && at != plain(target);
            let at = if at.is_empty() { "no version" } else { revision };
            other.then(|| object.trouble(format!("is at {at}, not at {target}"), Vec::new()))
        };
        Leaf {
            name: object.shown(),
            key: object.key(),
            depth: place.depth,
            state: object.state(),
            revision: object.revision.clone(),
            trouble: object.unready().or_else(astray),
        }
    };
    places.iter().map(leaf).collect()
}

#[cfg(test)]
#[path = "flux_tests.rs"]
mod tests;
