//! Statuses as Argo CD sets them, and what is made of them.

use serde_json::{Value, json};

use super::*;

const COMMIT: &str = "1111111111111111111111111111111111111111";
const LATER: &str = "2222222222222222222222222222222222222222";
const OURS: &str = "https://git.lab/home.git";

fn app(name: &str, sync: &str, health: &str, revision: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "argocd" },
        "spec": { "source": { "repoURL": OURS, "targetRevision": "main", "path": "x" } },
        "status": {
            "sync": { "status": sync, "revision": revision },
            "health": { "status": health },
        },
    })
}

fn child(mut parent: Value, name: &str) -> Value {
    let entry = json!({ "group": "argoproj.io", "kind": "Application", "namespace": "argocd", "name": name, "status": "Synced" });
    match parent["status"]["resources"].as_array_mut() {
        Some(list) => list.push(entry),
        None => parent["status"]["resources"] = json!([entry]),
    }
    parent
}

fn judged(apps: &[Value], descends: &[(&str, bool)]) -> Vec<Trouble> {
    let all = applications(&json!({ "items": apps }));
    let family = family(&all, &["argocd/root".into()]);
    let ours = |url: &str| url == OURS;
    let follow = Follow { ours: &ours, revision: "main", commit: COMMIT };
    let known = descends.iter().map(|(c, d)| (c.to_string(), *d)).collect();
    let descents = Descents { known, ..Descents::default() };
    follow.leaves(&family, &descents).into_iter().filter_map(|leaf| leaf.trouble).collect()
}

fn said(troubles: &[Trouble]) -> String {
    troubles.iter().flat_map(Trouble::lines).collect::<Vec<_>>().join("\n")
}

#[test]
fn all_is_well() {
    let root = child(app("root", "Synced", "Healthy", COMMIT), "a");
    let apps = [root, app("a", "Synced", "Healthy", LATER), app("other", "OutOfSync", "", "")];
    // Somebody else's application is nobody's child.
    assert_eq!(judged(&apps, &[(LATER, true)]), []);
}

#[test]
fn a_child_that_is_late_is_waited_for() {
    let root = child(app("root", "Synced", "Healthy", COMMIT), "late");
    let troubles = judged(&[root], &[]);
    assert_eq!(said(&troubles), "late is not there yet");
    assert!(!troubles[0].grave);
    assert_eq!(said(&judged(&[], &[])), "root is not there yet");
}

#[test]
fn children_are_found_by_their_parents_too() {
    let root = app("root", "Synced", "Healthy", COMMIT);
    let mut tracked = app("a", "OutOfSync", "Missing", COMMIT);
    tracked["metadata"]["annotations"][TRACKING] = json!("root:argoproj.io/Application:argocd/a");
    let mut grandchild = app("b", "Synced", "Progressing", COMMIT);
    grandchild["metadata"]["labels"][INSTANCE] = json!("a");
    assert_eq!(
        said(&judged(&[root, tracked, grandchild], &[])),
        "a is OutOfSync\nb is Progressing"
    );
    let mut root = app("root", "Synced", "Healthy", COMMIT);
    root["status"]["resources"] = json!([{ "group": "argoproj.io", "kind": "ApplicationSet", "namespace": "argocd", "name": "set", "status": "Synced" }]);
    let mut made = app("c", "Synced", "Degraded", COMMIT);
    made["metadata"]["ownerReferences"] = json!([{ "kind": "ApplicationSet", "name": "set" }]);
    assert_eq!(said(&judged(&[root, made], &[])), "c is Degraded");
}

#[test]
fn a_sync_that_failed_shows_its_resource_and_message() {
    let mut root = app("root", "OutOfSync", "Missing", COMMIT);
    root["status"]["operationState"] = json!({
        "phase": "Failed", "message": "one or more objects failed to apply",
        "syncResult": { "resources": [
            { "kind": "ConfigMap", "namespace": "a", "name": "fine", "status": "Synced" },
            { "kind": "Deployment", "namespace": "a", "name": "web", "status": "SyncFailed", "message": "spec.replicas: Invalid value" },
        ] },
    });
    let troubles = judged(&[root.clone()], &[]);
    assert_eq!(
        said(&troubles),
        "root did not sync: Deployment a/web: spec.replicas: Invalid value"
    );
    assert!(troubles[0].grave);
    root["status"]["operationState"] = json!({ "phase": "Error", "message": "no such path" });
    assert_eq!(said(&judged(&[root.clone()], &[])), "root did not sync: no such path");
    root["status"]["operationState"] = json!({ "phase": "Running" });
    assert_eq!(said(&judged(&[root.clone()], &[])), "root is OutOfSync");
    root["status"]["conditions"] =
        json!([{ "type": "ComparisonError", "message": "authentication required" }]);
    assert_eq!(said(&judged(&[root], &[])), "root did not sync: authentication required");
}

#[test]
fn what_is_degraded_shows_its_resource_and_message() {
    let mut root = app("root", "Synced", "Degraded", COMMIT);
    root["status"]["resources"] = json!([
        { "kind": "Service", "namespace": "a", "name": "web", "status": "Synced", "health": { "status": "Healthy" } },
        { "kind": "Deployment", "namespace": "a", "name": "web", "status": "Synced", "health": { "status": "Degraded", "message": "exceeded its progress deadline" } },
    ]);
    let troubles = judged(&[root], &[]);
    assert_eq!(
        said(&troubles),
        "root is Degraded: Deployment a/web is Degraded: exceeded its progress deadline"
    );
    assert!(troubles[0].grave);
}

#[test]
fn another_commit_of_the_repository_is_not_enough() {
    let troubles = judged(&[app("root", "Synced", "Healthy", LATER)], &[(LATER, false)]);
    assert_eq!(
        said(&troubles),
        "root is at 2222222222, which is neither 1111111111 nor comes after it"
    );
    let root = app("root", "Synced", "Healthy", "");
    assert!(said(&judged(&[root], &[])).contains("which commit"));
}

#[test]
fn others_are_at_their_own_target() {
    let root = |source: Value, revision: &str| {
        let mut root = app("root", "Synced", "Healthy", revision);
        root["spec"]["source"] = source;
        said(&judged(&[root], &[]))
    };
    let chart =
        json!({ "repoURL": "https://charts", "chart": "rook", "targetRevision": "v1.20.6" });
    assert_eq!(root(chart.clone(), "v1.20.6"), "");
    assert_eq!(root(chart, "1.20.5"), "root is at 1.20.5, not at v1.20.6");
    let range = json!({ "repoURL": "https://charts", "chart": "rook", "targetRevision": "1.*" });
    assert_eq!(root(range, "1.20.5"), "");
    let other = json!({ "repoURL": "https://elsewhere/x.git", "targetRevision": "main" });
    assert_eq!(root(other, LATER), "");
    let branch = json!({ "repoURL": OURS, "targetRevision": "staging" });
    assert_eq!(root(branch, LATER), "");
}

#[test]
fn several_sources_have_a_revision_each() {
    let mut root = app("root", "Synced", "Healthy", "");
    root["spec"] = json!({ "sources": [
        { "repoURL": "https://charts", "chart": "rook", "targetRevision": "1.20.6" },
        { "repoURL": OURS, "targetRevision": "main", "ref": "values" },
    ] });
    root["status"]["sync"] = json!({ "status": "Synced", "revisions": ["1.20.6", COMMIT] });
    assert_eq!(said(&judged(&[root.clone()], &[])), "");
    root["status"]["sync"]["revisions"][1] = json!(LATER);
    assert!(said(&judged(&[root], &[(LATER, false)])).contains("neither"));
}
