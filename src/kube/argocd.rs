//! What Argo CD says of its applications, and what of it stands between a cluster and its hand-off.
//!
//! Pure: objects in, troubles out. It knows neither how they were read nor how long is waited.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    delivery::{Descents, Follow, Leaf, Trouble},
    read::items,
};

const GROUP: &str = "argoproj.io";
/// A child names its parent in one of these, by how the engine is told to track.
const TRACKING: &str = "argocd.argoproj.io/tracking-id";
const INSTANCE: &str = "app.kubernetes.io/instance";

/// Where an application comes from, one of several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    pub url: String,
    /// Of a Helm repository; empty for a Git one.
    pub chart: String,
    /// What it is to be at; empty for HEAD.
    pub target: String,
    /// What it was compared with last.
    pub revision: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub sync: String,
    pub health: String,
    pub message: String,
    pub is_application: bool,
    pub is_set: bool,
}

impl Resource {
    fn shown(&self) -> String {
        match self.namespace.as_str() {
            "" => format!("{} {}", self.kind, self.name),
            namespace => format!("{} {namespace}/{}", self.kind, self.name),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Application {
    pub namespace: String,
    pub name: String,
    pub sync: String,
    pub health: String,
    pub health_message: String,
    /// Of the last operation: Running, Succeeded, Failed, Error.
    pub phase: String,
    pub phase_message: String,
    /// What the last operation could not do, resource by resource.
    pub failed: Vec<(String, String)>,
    /// Errors about the application as such.
    pub conditions: Vec<String>,
    pub sources: Vec<Source>,
    pub resources: Vec<Resource>,
    /// Parents by name: the application that tracks it, or the set that made it.
    pub parents: Vec<String>,
}

impl Application {
    /// One of the simulated fleet.
    pub fn simple(name: &str, parent: Option<&str>, well: bool, revision: &str) -> Self {
        let word = |yes: &str, no: &str| if well { yes.to_string() } else { no.to_string() };
        Self {
            namespace: "argocd".into(),
            name: name.into(),
            sync: word("Synced", "OutOfSync"),
            health: word("Healthy", "Progressing"),
            sources: vec![Source { revision: revision.into(), ..Source::default() }],
            parents: parent.map(str::to_string).into_iter().collect(),
            ..Self::default()
        }
    }

    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn state(&self) -> String {
        let said = |text: &str| if text.is_empty() { "Unknown".into() } else { text.to_string() };
        let running = if self.phase == "Running" { ", syncing" } else { "" };
        format!("{}, {}{running}", said(&self.sync), said(&self.health))
    }

    /// Of the first source that says one.
    pub(super) fn revision(&self) -> String {
        let mut said = self.sources.iter().map(|s| s.revision.as_str());
        said.find(|r| !r.is_empty()).unwrap_or_default().into()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

fn source(spec: &Value, revision: &Value) -> Source {
    Source {
        url: text(&spec["repoURL"]),
        chart: text(&spec["chart"]),
        target: text(&spec["targetRevision"]),
        revision: text(revision),
    }
}

fn resource(value: &Value) -> Resource {
    let kind = text(&value["kind"]);
    let ours = value["group"] == GROUP;
    Resource {
        is_application: ours && kind == "Application",
        is_set: ours && kind == "ApplicationSet",
        kind,
        namespace: text(&value["namespace"]),
        name: text(&value["name"]),
        sync: text(&value["status"]),
        health: text(&value["health"]["status"]),
        message: text(&value["health"]["message"]),
    }
}

fn application(object: &Value) -> Option<Application> {
    let (meta, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (sync, operation) = (&status["sync"], &status["operationState"]);
    let sources = match spec["sources"].as_array() {
        Some(several) => {
            let revisions = list(&sync["revisions"]);
            let nothing = Value::Null;
            let at = |n: usize| revisions.get(n).unwrap_or(&nothing);
            several.iter().enumerate().map(|(n, s)| source(s, at(n))).collect()
        }
        None => vec![source(&spec["source"], &sync["revision"])],
    };
    let failed = list(&operation["syncResult"]["resources"]);
    let failed = failed.iter().filter(|r| {
        r["status"] == "SyncFailed" || matches!(r["hookPhase"].as_str(), Some("Failed" | "Error"))
    });
    let conditions = list(&status["conditions"]);
    let conditions =
        conditions.iter().filter(|c| c["type"].as_str().is_some_and(|t| t.ends_with("Error")));
    let owners = list(&meta["ownerReferences"]);
    let owners = owners.iter().filter(|o| o["kind"] == "ApplicationSet").map(|o| text(&o["name"]));
    let tracked = meta["annotations"][TRACKING].as_str().and_then(|id| id.split_once(':'));
    let mut parents: Vec<String> = owners.collect();
    // `NAMESPACE_NAME` where applications may lie in any namespace.
    parents.extend(tracked.map(|(app, _)| app.rsplit('_').next().unwrap_or(app).to_string()));
    parents.extend(meta["labels"][INSTANCE].as_str().map(str::to_string));
    Some(Application {
        namespace: text(&meta["namespace"]),
        name: meta["name"].as_str()?.to_string(),
        sync: text(&sync["status"]),
        health: text(&status["health"]["status"]),
        health_message: text(&status["health"]["message"]),
        phase: text(&operation["phase"]),
        phase_message: text(&operation["message"]),
        failed: failed.map(|r| (resource(r).shown(), text(&r["message"]))).collect(),
        conditions: conditions.map(|c| text(&c["message"])).collect(),
        sources,
        resources: list(&status["resources"]).iter().map(resource).collect(),
        parents,
    })
}

pub fn applications(list: &Value) -> Vec<Application> {
    items(list).filter_map(application).collect()
}

/// The root applications and all that came of them.
#[derive(Debug, Default)]
pub struct Family<'a> {
    /// In the order of the tree: what came of one follows it.
    pub members: Vec<&'a Application>,
    /// How deep each lies.
    depths: Vec<u16>,
    /// Named by a member, or as a root, and not there: `NAMESPACE/NAME`, how deep, and behind which
    /// member.
    pub missing: Vec<(String, u16, usize)>,
}

pub fn family<'a>(all: &'a [Application], roots: &[String]) -> Family<'a> {
    let mut family = Family::default();
    let mut seen = BTreeSet::new();
    let mut stack: Vec<(String, u16)> = roots.iter().rev().map(|key| (key.clone(), 0)).collect();
    while let Some((key, depth)) = stack.pop() {
        if !seen.insert(key.clone()) {
            continue;
        }
        let Some(app) = all.iter().find(|a| a.key() == key) else {
            family.missing.push((key, depth, family.members.len()));
            continue;
        };
        family.members.push(app);
        family.depths.push(depth);
        let named = |r: &&Resource| r.is_application;
        let mut next: Vec<String> = Vec::new();
        next.extend(
            app.resources.iter().filter(named).map(|r| format!("{}/{}", r.namespace, r.name)),
        );
        let sets = app.resources.iter().filter(|r| r.is_set).map(|r| r.name.as_str());
        let parents: BTreeSet<&str> = sets.chain([app.name.as_str()]).collect();
        let children =
            all.iter().filter(|a| a.parents.iter().any(|p| parents.contains(p.as_str())));
        next.extend(children.map(Application::key));
        stack.extend(next.into_iter().rev().map(|key| (key, depth.saturating_add(1))));
    }
    family
}

fn trouble(app: &Application, what: impl Into<String>, details: Vec<String>) -> Trouble {
    Trouble {
        application: app.name.clone(),
        key: app.key(),
        what: what.into(),
        details,
        grave: false,
    }
}

fn with(subject: String, message: &str) -> String {
    match message.trim() {
        "" => subject,
        message => format!("{subject}: {message}"),
    }
}

impl Follow<'_> {
    /// Of the repository and its revision: others of it are at a target of their own.
    fn follows(&self, source: &Source) -> bool {
        source.chart.is_empty()
            && (self.ours)(&source.url)
            && (matches!(source.target.as_str(), "" | "HEAD")
                || source.target.trim_start_matches("refs/heads/") == self.revision)
    }

    /// The commits that have to be the resolved one or to come after it.
    pub fn revisions(&self, family: &Family<'_>) -> BTreeSet<String> {
        let sources = family.members.iter().flat_map(|a| &a.sources);
        let revisions = sources.filter(|s| self.follows(s)).map(|s| s.revision.clone());
        revisions.filter(|r| !r.is_empty()).collect()
    }

    pub(super) fn leaves(&self, family: &Family<'_>, descents: &Descents) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        for (n, app) in family.members.iter().enumerate() {
            leaves.extend(missing(family, n));
            leaves.push(Leaf {
                name: app.name.clone(),
                key: app.key(),
                depth: family.depths[n],
                state: app.state(),
                revision: app.revision(),
                trouble: self.trouble(app, descents),
            });
        }
        leaves.extend(missing(family, family.members.len()));
        leaves
    }

    fn trouble(&self, app: &Application, descents: &Descents) -> Option<Trouble> {
        let broken = matches!(app.phase.as_str(), "Failed" | "Error");
        if app.sync != "Synced" {
            if broken || !app.conditions.is_empty() {
                let failed = app.failed.iter().map(|(what, why)| with(what.clone(), why));
                let mut details: Vec<String> =
                    failed.chain(app.conditions.iter().cloned()).collect();
                if details.is_empty() && !app.phase_message.is_empty() {
                    details.push(app.phase_message.clone());
                }
                return Some(trouble(app, "did not sync", details).grave());
            }
            let state = if app.sync.is_empty() { "Unknown" } else { &app.sync };
            let out = app.resources.iter().filter(|r| r.sync == "OutOfSync");
            let details = out.map(|r| with(r.shown(), &r.message)).collect();
            return Some(trouble(app, format!("is {state}"), details));
        }
        if app.health != "Healthy" {
            let state = if app.health.is_empty() { "Unknown" } else { &app.health };
            let well = |r: &&Resource| !matches!(r.health.as_str(), "" | "Healthy");
            let ill = app.resources.iter().filter(well);
            let mut details: Vec<String> =
                ill.map(|r| with(format!("{} is {}", r.shown(), r.health), &r.message)).collect();
            if details.is_empty() && !app.health_message.is_empty() {
                details.push(app.health_message.clone());
            }
            let trouble = trouble(app, format!("is {state}"), details);
            return Some(if state == "Degraded" { trouble.grave() } else { trouble });
        }
        app.sources.iter().find_map(|s| self.place(app, s, descents))
    }

    /// Whether a source is where it is to be.
    fn place(&self, app: &Application, source: &Source, descents: &Descents) -> Option<Trouble> {
        let Source { revision, target, .. } = source;
        if !self.follows(source) {
            // Synced means its own target, but for one that says it itself.
            let exact = if source.chart.is_empty() {
                target.len() == 40 && target.bytes().all(|b| b.is_ascii_hexdigit())
            } else {
                target.trim_start_matches('v').parse::<crate::names::Version>().is_ok()
            };
            let same = revision.trim_start_matches('v') == target.trim_start_matches('v');
            let other = exact && !revision.is_empty() && !same;
            return other
                .then(|| trouble(app, format!("is at {revision}, not at {target}"), Vec::new()));
        }
        let (what, details) = self.astray(revision, descents)?;
        Some(trouble(app, what, details))
    }
}

/// Those that are missed just before a member.
fn missing<'f>(family: &'f Family<'_>, before: usize) -> impl Iterator<Item = Leaf> + 'f {
    let here = family.missing.iter().filter(move |(_, _, at)| *at == before);
    here.map(|(key, depth, _)| Leaf::missing(key.rsplit('/').next().unwrap_or(key), key, *depth))
}

#[cfg(test)]
#[path = "argocd_tests.rs"]
mod tests;
