//! Manifests in, objects out.

use serde_json::json;

use super::*;

#[test]
fn objects_come_in_an_order_that_can_be_applied() {
    let text = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: { name: root, namespace: argocd }\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  labels:\n    a: b\n  name: web\n  namespace: x\nspec:\n  text: |\n    ---\n    no: [object\n---\n# nothing\n---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: x\n---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: apps.x\n";
    let objects = read(text).unwrap();
    let shown: Vec<String> = objects.iter().map(Object::shown).collect();
    assert_eq!(
        shown,
        [
            "Namespace x",
            "CustomResourceDefinition apps.x",
            "Deployment x/web",
            "Application argocd/root"
        ]
    );
    assert!(objects[2].text.contains("no: [object"), "the text is as it was");
}

#[test]
fn what_is_no_object_is_told_with_its_line() {
    let text = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: x\n---\nkind: Pod\nmetadata:\n  name: y\n";
    assert_eq!(read(text).unwrap_err(), "line 6: it has no `apiVersion`");
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: [y\n";
    assert!(read(text).unwrap_err().starts_with("line "));
    assert_eq!(read("").unwrap(), []);
}

#[test]
fn an_object_lies_where_the_api_server_says() {
    let object = |api: &str, kind: &str, namespace: Option<&str>| Object {
        api_version: api.into(),
        kind: kind.into(),
        namespace: namespace.map(str::to_string),
        name: "x".into(),
        text: String::new(),
    };
    let v1 = json!({ "resources": [
        { "name": "pods/status", "kind": "Pod", "namespaced": true },
        { "name": "pods", "kind": "Pod", "namespaced": true },
        { "name": "namespaces", "kind": "Namespace", "namespaced": false },
    ] });
    let at = |o: Object| path(&o, &v1);
    assert_eq!(at(object("v1", "Pod", Some("n"))).unwrap(), "/api/v1/namespaces/n/pods/x");
    assert_eq!(at(object("v1", "Pod", None)).unwrap(), "/api/v1/namespaces/default/pods/x");
    assert_eq!(at(object("v1", "Namespace", Some("n"))).unwrap(), "/api/v1/namespaces/x");
    assert_eq!(at(object("v1", "Strange", None)), None);
    assert_eq!(root("apps/v1"), "/apis/apps/v1");
}

#[test]
fn a_workload_is_ready_when_all_of_it_runs() {
    let of = |updated: u64, available: u64| {
        json!({ "metadata": { "generation": 2 }, "spec": { "replicas": 2 },
            "status": { "observedGeneration": 2, "updatedReplicas": updated, "availableReplicas": available, "readyReplicas": available } })
    };
    assert_eq!(unready("Deployment", &of(2, 2)), None);
    assert_eq!(unready("Deployment", &of(1, 2)).unwrap(), "1 of 2 pods are of the new version");
    assert_eq!(unready("StatefulSet", &of(2, 1)).unwrap(), "1 of 2 pods run");
    let mut old = of(2, 2);
    old["status"]["observedGeneration"] = json!(1);
    assert!(unready("Deployment", &old).is_some());
    let set = json!({ "metadata": { "generation": 1 }, "status": { "observedGeneration": 1, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3 } });
    assert_eq!(unready("DaemonSet", &set), None);
}

#[test]
fn a_pod_says_what_it_waits_for() {
    let pod = json!({ "status": { "containerStatuses": [
        { "name": "a", "state": { "running": {} } },
        { "name": "b", "state": { "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } } },
    ] } });
    assert_eq!(waits(&pod).unwrap(), "b: ImagePullBackOff: no such image");
    let pod = json!({ "status": { "conditions": [{ "type": "PodScheduled", "status": "False", "message": "0/1 nodes are available" }] } });
    assert_eq!(waits(&pod).unwrap(), "0/1 nodes are available");
    assert_eq!(waits(&json!({})), None);
}

#[test]
fn kustomize_is_quoted_with_file_and_line() {
    let said = "error: accumulating resources: accumulation err='accumulating resources from 'app.yaml': MalformedYAMLError: yaml: line 3: mapping values are not allowed in this context in File: app.yaml': must build at directory: '/t/cluster/app.yaml': file is not directory";
    let told = kustomize_trouble(said, "/t");
    assert!(told.starts_with("app.yaml:3: accumulating"), "{told}");
    assert!(told.contains("'cluster/app.yaml'") && !told.contains("/t/"), "{told}");
    assert_eq!(kustomize_trouble("error: nothing like it\n", "/t"), "nothing like it");
}
