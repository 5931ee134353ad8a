//! One picture of both engines.

use super::*;
use argocd::Application;

const COMMIT: &str = "1111111111111111111111111111111111111111";

fn picture(seen: &Seen, roots: &Roots, wanted: &[&str]) -> Picture {
    let ours = |_: &str| true;
    let follow = Follow { ours: &ours, revision: "main", commit: COMMIT };
    let wanted: Vec<String> = wanted.iter().map(|w| w.to_string()).collect();
    seen.picture(roots, &follow, &Descents::default(), &wanted)
}

fn both() -> (Seen, Roots) {
    let applications = vec![
        Application::simple("root", None, true, COMMIT),
        Application::simple("shop", Some("root"), false, COMMIT),
    ];
    let flux = vec![
        flux::Object::simple("platform", None, true, COMMIT),
        flux::Object::simple("storage", Some("platform"), false, COMMIT),
    ];
    let roots = Roots {
        applications: vec!["argocd/root".into()],
        kustomizations: vec!["flux-system/platform".into()],
        sources: Vec::new(),
    };
    (Seen { applications, flux }, roots)
}

fn said(picture: &Picture) -> Vec<String> {
    picture.troubles.iter().map(|t| format!("{} {}", t.application, t.what)).collect()
}

#[test]
fn both_engines_are_waited_for() {
    let (seen, roots) = both();
    let picture = picture(&seen, &roots, &[]);
    assert_eq!(
        said(&picture),
        ["shop is OutOfSync", "Kustomization flux-system/storage is reconciling"]
    );
    let rows: Vec<String> =
        picture.rows.iter().map(|r| format!("{} {}", r.depth, r.name)).collect();
    assert_eq!(
        rows,
        [
            "0 root",
            "1 shop",
            "0 Kustomization flux-system/platform",
            "1 Kustomization flux-system/storage"
        ]
    );
}

#[test]
fn only_what_was_named_holds_up_the_end() {
    let (seen, roots) = both();
    let named = picture(&seen, &roots, &["root", "flux-system/platform"]);
    assert!(named.troubles.is_empty());
    assert_eq!(named.names, ["root", "Kustomization flux-system/platform"]);
    assert_eq!(named.rows.len(), 4, "the others are shown");
    assert!(!named.rows[1].awaited && named.rows[1].waits.is_some());
    assert_eq!(said(&picture(&seen, &roots, &["shop"])), ["shop is OutOfSync"]);
    assert_eq!(said(&picture(&seen, &roots, &["later"])), ["later is not there yet"]);
}
