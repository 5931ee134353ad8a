//! What a chart was rendered to: whether twice the same came of it, and what it could be rendered for.

use serde_json::Value;

use super::objects::Object;

/// Objects that two renderings of the same chart with the same values do not agree on, each with the
/// first field that differs. No values: they may be keys.
pub fn unstable(first: &[Object], second: &[Object]) -> Vec<String> {
    let same =
        |a: &Object, b: &Object| a.kind == b.kind && a.namespace == b.namespace && a.name == b.name;
    let mut found = Vec::new();
    for object in first {
        match second.iter().find(|other| same(object, other)) {
            None => found.push(format!("{}: it is there only sometimes", object.shown())),
            Some(other) if other.text != object.text => {
                let pairs = object.text.lines().zip(other.text.lines());
                let line = pairs.into_iter().find(|(a, b)| a != b).map_or("", |(a, _)| a);
                let field =
                    line.split(':').next().unwrap_or_default().trim().trim_start_matches("- ");
                found.push(format!("{}: `{field}`", object.shown()));
            }
            Some(_) => {}
        }
    }
    let new = second.iter().filter(|object| !first.iter().any(|other| same(object, other)));
    found.extend(new.map(|object| format!("{}: it is there only sometimes", object.shown())));
    found
}

/// One list of resources, in the words of helm's `--api-versions`: `apps/v1` and `apps/v1/Deployment`.
pub fn api_versions(list: &Value) -> Vec<String> {
    let Some(version) = list["groupVersion"].as_str() else { return Vec::new() };
    let resources = list["resources"].as_array().into_iter().flatten();
    // A subresource is nobody's own kind.
    let whole = resources.filter(|r| r["name"].as_str().is_some_and(|name| !name.contains('/')));
    let kinds = whole.filter_map(|r| Some(format!("{version}/{}", r["kind"].as_str()?)));
    let mut all = vec![version.to_string()];
    all.extend(kinds);
    all
}

/// The groups and versions that an API server serves, as paths to their lists of resources.
pub fn groups(list: &Value) -> Vec<String> {
    let groups = list["groups"].as_array().into_iter().flatten();
    let versions = groups.flat_map(|g| g["versions"].as_array().into_iter().flatten());
    let paths = versions.filter_map(|v| Some(format!("/apis/{}", v["groupVersion"].as_str()?)));
    std::iter::once("/api/v1".to_string()).chain(paths).collect()
}

/// helm's own words, without what is the same in all of them.
pub fn helm_trouble(said: &str) -> String {
    let lines = said.lines().map(str::trim_end).filter(|line| {
        !line.trim().is_empty() && !line.starts_with("Use --debug") && !line.starts_with("WARNING")
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    text.trim_start_matches("Error: ").to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::objects::read, *};

    #[test]
    fn what_differs_is_named_and_not_shown() {
        let secret = |value: &str| {
            read(&format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: ca\n  namespace: kube-system\ndata:\n  ca.key: {value}\n")).unwrap()
        };
        assert!(unstable(&secret("a"), &secret("a")).is_empty());
        assert_eq!(unstable(&secret("hush"), &secret("b")), ["Secret kube-system/ca: `ca.key`"]);
        assert_eq!(
            unstable(&secret("a"), &[]),
            ["Secret kube-system/ca: it is there only sometimes"]
        );
        assert_eq!(unstable(&[], &secret("a")).len(), 1);
    }

    #[test]
    fn apis_in_helms_words() {
        let list = json!({ "groupVersion": "apps/v1", "resources": [
            { "name": "deployments", "kind": "Deployment" }, { "name": "deployments/scale", "kind": "Scale" },
        ] });
        assert_eq!(api_versions(&list), ["apps/v1", "apps/v1/Deployment"]);
        let all = json!({ "groups": [{ "versions": [{ "groupVersion": "apps/v1" }] }] });
        assert_eq!(groups(&all), ["/api/v1", "/apis/apps/v1"]);
    }

    #[test]
    fn helms_words() {
        let said = "Error: execution error at (cilium/templates/validate.yaml:12:5): no\n\nUse --debug flag to render out invalid YAML\n";
        assert_eq!(
            helm_trouble(said),
            "execution error at (cilium/templates/validate.yaml:12:5): no"
        );
    }
}
