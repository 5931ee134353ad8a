//! Statuses as Flux sets them, and what is made of them.

use serde_json::json;

use super::*;
use crate::kube::delivery::{Picture, Seen};

const COMMIT: &str = "1111111111111111111111111111111111111111";
const LATER: &str = "2222222222222222222222222222222222222222";
const OURS: &str = "https://git.lab/home.git";

fn ready(status: &str, reason: &str, message: &str) -> Value {
    json!([{ "type": "Ready", "status": status, "reason": reason, "message": message }])
}

fn source(revision: &str) -> Value {
    json!({
        "metadata": { "name": "platform", "namespace": "flux-system", "generation": 1 },
        "spec": { "url": OURS, "ref": { "branch": "main" } },
        "status": {
            "observedGeneration": 1,
            "artifact": { "revision": format!("main@sha1:{revision}") },
            "conditions": ready("True", "Succeeded", ""),
        },
    })
}

fn kustomization(name: &str, revision: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "flux-system", "generation": 2 },
        "spec": { "sourceRef": { "kind": "GitRepository", "name": "platform" }, "path": "./x" },
        "status": {
            "observedGeneration": 2,
            "lastAppliedRevision": format!("main@sha1:{revision}"),
            "conditions": ready("True", "ReconciliationSucceeded", "Applied"),
        },
    })
}

fn owned(mut object: Value, by: &str) -> Value {
    object["metadata"]["labels"] = json!({ OWNER: by, OWNER_NAMESPACE: "flux-system" });
    object
}

fn release(chart: &str, at: &str) -> Value {
    json!({
        "metadata": { "name": "metallb", "namespace": "metallb-system", "generation": 1 },
        "spec": { "chart": { "spec": { "version": chart } } },
        "status": {
            "observedGeneration": 1,
            "history": [{ "chartVersion": at }],
            "conditions": ready("True", "InstallSucceeded", ""),
        },
    })
}

fn judged(sources: &[Value], kustomizations: &[Value], releases: &[Value]) -> Picture {
    let mut flux = objects(Kind::GitRepository, &json!({ "items": sources }));
    flux.extend(objects(Kind::Kustomization, &json!({ "items": kustomizations })));
    flux.extend(objects(Kind::HelmRelease, &json!({ "items": releases })));
    let roots = Roots {
        sources: vec!["flux-system/platform".into()],
        kustomizations: vec!["flux-system/platform".into()],
        ..Roots::default()
    };
    let ours = |url: &str| url == OURS;
    let follow = Follow { ours: &ours, revision: "main", commit: COMMIT };
    let descents = Descents { known: [(LATER.into(), true)].into(), ..Descents::default() };
    let seen = Seen { flux, ..Seen::default() };
    seen.picture(&roots, &follow, &descents, &[])
}

fn said(picture: &Picture) -> String {
    picture.troubles.iter().flat_map(Trouble::lines).collect::<Vec<_>>().join("\n")
}

#[test]
fn all_is_well_and_stands_in_the_order_of_the_tree() {
    let apps = owned(kustomization("apps", LATER), "platform");
    let metallb = owned(release("0.16.2", "0.16.2"), "apps");
    // Somebody else's is nobody's child.
    let other = kustomization("other", "3333");
    let picture =
        judged(&[source(LATER)], &[other, apps, kustomization("platform", COMMIT)], &[metallb]);
    assert_eq!(said(&picture), "");
    let rows: Vec<String> =
        picture.rows.iter().map(|r| format!("{} {}", r.depth, r.name)).collect();
    assert_eq!(
        rows,
        [
            "0 GitRepository flux-system/platform",
            "0 Kustomization flux-system/platform",
            "1 Kustomization flux-system/apps",
            "2 HelmRelease metallb-system/metallb",
        ]
    );
}

#[test]
fn what_is_not_there_yet_is_waited_for() {
    assert_eq!(
        said(&judged(&[], &[], &[])),
        "GitRepository flux-system/platform is not there yet\n\
         Kustomization flux-system/platform is not there yet"
    );
    let mut root = kustomization("platform", COMMIT);
    root["status"]["inventory"]["entries"] = json!([
        { "id": "flux-system_late_kustomize.toolkit.fluxcd.io_Kustomization", "v": "v1" },
        { "id": "web_shop_apps_Deployment", "v": "v1" },
        { "id": "_web__Namespace", "v": "v1" },
    ]);
    let picture = judged(&[source(COMMIT)], &[root], &[]);
    assert_eq!(said(&picture), "Kustomization flux-system/late is not there yet");
    assert!(!picture.troubles[0].grave);
}

#[test]
fn failures_show_object_and_message_and_are_grave() {
    let mut wrong = source(COMMIT);
    wrong["status"]["conditions"] = ready("False", "GitOperationFailed", "authentication required");
    let picture = judged(&[wrong], &[kustomization("platform", COMMIT)], &[]);
    assert_eq!(
        said(&picture),
        "GitRepository flux-system/platform is not Ready (GitOperationFailed): authentication required"
    );
    assert!(picture.troubles[0].grave);
    // A host that was reached before may be back in a moment; one that never was is a wrong address.
    let refused = "unable to clone: dial tcp 10.0.0.9:443: connect: connection refused";
    for (commit, grave) in [(COMMIT, false), ("", true)] {
        let mut away = source(commit);
        away["status"]["conditions"] = ready("False", "GitOperationFailed", refused);
        let picture = judged(&[away], &[kustomization("platform", COMMIT)], &[]);
        let trouble = picture.troubles.iter().find(|t| t.what.contains("GitOperation")).unwrap();
        assert_eq!(trouble.grave, grave);
    }

    let mut root = kustomization("platform", COMMIT);
    root["status"]["conditions"] = json!([
        { "type": "Ready", "status": "False", "reason": "HealthCheckFailed", "message": "Deployment/web/shop status: 'Failed'" },
        { "type": "Reconciling", "status": "True", "reason": "ProgressingWithRetry", "message": "again" },
    ]);
    let picture = judged(&[source(COMMIT)], &[root.clone()], &[]);
    assert!(said(&picture).ends_with("(HealthCheckFailed): Deployment/web/shop status: 'Failed'"));
    assert!(picture.troubles[0].grave);
    root["status"]["conditions"] =
        ready("False", "DependencyNotReady", "dependency 'a' is not ready");
    assert!(!judged(&[source(COMMIT)], &[root.clone()], &[]).troubles[0].grave);

    let stalled = json!({ "type": "Stalled", "status": "True", "reason": "RetriesExceeded", "message": "no more tries" });
    root["status"]["conditions"] = json!([stalled]);
    let picture = judged(&[source(COMMIT)], &[root.clone()], &[]);
    assert_eq!(said(&picture), "Kustomization flux-system/platform is stalled: no more tries");
    root["spec"]["suspend"] = json!(true);
    let picture = judged(&[source(COMMIT)], &[root], &[]);
    assert!(
        said(&picture).starts_with("Kustomization flux-system/platform is suspended: `flux resume")
    );
    assert_eq!(picture.rows[1].state, "Suspended");
}

#[test]
fn what_was_not_observed_says_nothing() {
    let mut root = kustomization("platform", COMMIT);
    root["metadata"]["generation"] = json!(3);
    let picture = judged(&[source(COMMIT)], &[root.clone()], &[]);
    assert_eq!(said(&picture), "Kustomization flux-system/platform was not looked at yet");
    root["status"] = json!({ "observedGeneration": 3, "conditions": [
        { "type": "Ready", "status": "Unknown", "reason": "Progressing", "message": "x" },
        { "type": "Reconciling", "status": "True", "message": "Running health checks" },
    ] });
    let picture = judged(&[source(COMMIT)], &[root], &[]);
    assert_eq!(
        said(&picture),
        "Kustomization flux-system/platform is reconciling: Running health checks"
    );
}

#[test]
fn another_commit_is_no_proof() {
    let picture = judged(&[source(COMMIT)], &[kustomization("platform", "3333333333333")], &[]);
    assert_eq!(
        said(&picture),
        "Kustomization flux-system/platform is at 3333333333, which is neither 1111111111 nor comes after it"
    );
    // One of another source is at its own target.
    let mut other = owned(kustomization("other", "3333"), "platform");
    other["spec"]["sourceRef"]["name"] = json!("elsewhere");
    let mut elsewhere = source("3333");
    elsewhere["metadata"]["name"] = json!("elsewhere");
    elsewhere["spec"]["url"] = json!("https://git.lab/other.git");
    let all = [kustomization("platform", COMMIT), other];
    assert_eq!(said(&judged(&[source(COMMIT), elsewhere], &all, &[])), "");
}

#[test]
fn releases_are_at_their_own_target() {
    let root = kustomization("platform", COMMIT);
    let at = |chart: &str, at: &str| {
        said(&judged(
            &[source(COMMIT)],
            std::slice::from_ref(&root),
            &[owned(release(chart, at), "platform")],
        ))
    };
    assert_eq!(at("0.16.2", "v0.16.2"), "");
    assert_eq!(at("0.16.2", "0.16.2+1a2b3c"), "");
    assert_eq!(at(">=0.16.0", "0.16.9"), "");
    assert_eq!(
        at("0.16.2", "0.15.0"),
        "HelmRelease metallb-system/metallb is at 0.15.0, not at 0.16.2"
    );
}

#[test]
fn revisions_of_old_and_of_new() {
    assert_eq!(commit("main@sha1:abc"), "abc");
    assert_eq!(commit("sha1:abc"), "abc");
    assert_eq!(commit("feature/x/abc"), "abc");
    assert_eq!(commit("refs/heads/main@sha1:abc"), "abc");
}
