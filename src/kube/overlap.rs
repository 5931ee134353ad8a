//! Whether two GitOps engines would have the same of one repository: directories inside of one another,
//! or one object that both bring. Pure.

use std::collections::BTreeMap;

use super::objects::Object;

/// A part of the repository, the engine's own object that names it, and what it is built to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scope {
    /// `Application argocd/applications`.
    pub by: String,
    pub path: String,
    pub objects: Vec<Object>,
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).collect()
}

/// The same directory, or one inside of the other.
pub fn nested(a: &str, b: &str) -> bool {
    let (a, b) = (parts(a), parts(b));
    a.starts_with(&b) || b.starts_with(&a)
}

/// Group, kind, namespace and name: the version may differ.
fn identity(object: &Object) -> (String, String, String, String) {
    let namespace = object.namespace.clone().unwrap_or_default();
    (object.group().into(), object.kind.clone(), namespace, object.name.clone())
}

/// Everything that both engines would have, a line each.
pub fn overlaps(flux: &[Scope], argocd: &[Scope]) -> Vec<String> {
    let mut found = Vec::new();
    for one in flux {
        for other in argocd {
            if nested(&one.path, &other.path) {
                let shown = |path: &str| match parts(path).join("/") {
                    path if path.is_empty() => "the whole repository".into(),
                    path => format!("`{path}`"),
                };
                found.push(format!(
                    "{} brings {} and {} brings {}",
                    one.by,
                    shown(&one.path),
                    other.by,
                    shown(&other.path)
                ));
            }
        }
    }
    let all = |scopes: &[Scope]| -> BTreeMap<_, (String, String)> {
        let each = scopes.iter().flat_map(|s| s.objects.iter().map(move |o| (s, o)));
        each.map(|(s, o)| (identity(o), (s.by.clone(), o.shown()))).collect()
    };
    let (flux, argocd) = (all(flux), all(argocd));
    for (identity, (by, shown)) in &flux {
        if let Some((other, _)) = argocd.get(identity) {
            found.push(format!("{shown} is brought by {by} and by {other}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::objects;

    fn scope(by: &str, path: &str, text: &str) -> Scope {
        Scope { by: by.into(), path: path.into(), objects: objects::read(text).unwrap() }
    }

    const WEB: &str =
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web, namespace: shop }\n";

    #[test]
    fn directories() {
        assert!(nested("a/b", "./a/b/"));
        assert!(nested("a", "a/b"));
        assert!(nested("", "a/b"), "the whole repository");
        assert!(!nested("a/bc", "a/b"));
        assert!(!nested("a/b", "a/c"));
    }

    #[test]
    fn apart_is_fine() {
        let flux = [scope("Kustomization flux-system/platform", "./infra", WEB)];
        let other = WEB.replace("name: web", "name: other");
        assert!(overlaps(&flux, &[scope("Application argocd/apps", "apps", &other)]).is_empty());
    }

    #[test]
    fn the_same_object_is_named_whatever_its_version() {
        let flux = [scope("Kustomization flux-system/platform", "infra", WEB)];
        let newer = WEB.replace("apps/v1", "apps/v2");
        let found = overlaps(&flux, &[scope("Application argocd/apps", "apps", &newer)]);
        assert_eq!(
            found,
            [
                "Deployment shop/web is brought by Kustomization flux-system/platform and by Application argocd/apps"
            ]
        );
        let elsewhere = WEB.replace("namespace: shop", "namespace: b");
        assert!(
            overlaps(&flux, &[scope("Application argocd/apps", "apps", &elsewhere)]).is_empty()
        );
    }

    #[test]
    fn one_directory_inside_of_the_other_is_named() {
        let flux = [scope("Kustomization flux-system/platform", "./cluster", "")];
        let found = overlaps(&flux, &[scope("Application argocd/apps", "cluster/apps", "")]);
        assert_eq!(
            found,
            [
                "Kustomization flux-system/platform brings `cluster` and Application argocd/apps brings `cluster/apps`"
            ]
        );
        let found = overlaps(&flux, &[scope("Application argocd/apps", ".", "")]);
        assert!(found[0].ends_with("brings the whole repository"));
    }
}
