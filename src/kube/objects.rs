//! Manifests as `kubectl kustomize` prints them: which objects they are, and in which order an API
//! server can take them. Pure; the texts go to the API server as they are.

use serde_json::Value;

use crate::gitops::yaml;

/// One object of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub api_version: String,
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
    pub text: String,
}

impl Object {
    /// `Deployment argocd/argocd-server`.
    pub fn shown(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }

    /// Of its API, without the version; empty for the core's.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    pub fn is_crd(&self) -> bool {
        self.kind == "CustomResourceDefinition"
    }

    /// What has to be there before it.
    fn rank(&self) -> u8 {
        match self.kind.as_str() {
            "Namespace" => 0,
            "CustomResourceDefinition" => 1,
            "ServiceAccount" | "ClusterRole" | "ClusterRoleBinding" | "Role" | "RoleBinding"
            | "PriorityClass" | "StorageClass" => 2,
            "ConfigMap" | "Secret" | "Service" | "PersistentVolumeClaim" | "NetworkPolicy" => 3,
            "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "CronJob" | "Pod" => 4,
            // One that stood before its own server would turn everything else away.
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" | "APIService" => 6,
            // A project goes before the applications that are in it.
            "Application" | "ApplicationSet" => 6,
            _ => 5,
        }
    }
}

/// The documents of a text, each with its first line.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut all = vec![(1, String::new())];
    for (n, line) in text.lines().enumerate() {
        // Inside of a block of text it would be indented.
        if line == "---" || line.starts_with("--- ") {
            all.push((n + 2, String::new()));
        } else if let Some((_, last)) = all.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    all
}

fn is_blank(text: &str) -> bool {
    text.lines().all(|l| l.trim().is_empty() || l.starts_with('#'))
}

/// What of a document says which object it is. Only that is read: CRDs are larger and deeper than
/// anything that people write.
fn header(text: &str) -> String {
    let mut kept = String::new();
    let mut keeps = false;
    for line in text.lines() {
        let top = !line.starts_with([' ', '-', '#']) && !line.is_empty();
        if top {
            keeps = ["apiVersion:", "kind:", "metadata:", "\"", "{"]
                .iter()
                .any(|k| line.starts_with(k));
        }
        if keeps {
            kept.push_str(line);
        }
        kept.push('\n');
    }
    kept
}

/// In the order in which they can be applied. Errors say the line.
pub fn read(text: &str) -> Result<Vec<Object>, String> {
    let mut objects = Vec::new();
    for (first, document) in documents(text) {
        if is_blank(&document) {
            continue;
        }
        let wrong = |line: usize, why: &str| format!("line {}: {why}", first + line - 1);
        let nodes = yaml::read(&header(&document)).map_err(|e| wrong(e.line.max(1), &e.why))?;
        let [node] = nodes.as_slice() else { return Err(wrong(1, "it is no object")) };
        let field = |path: &[&str]| {
            let found = node.at(path).and_then(|e| e.node.text()).filter(|t| !t.is_empty());
            found.map(str::to_string)
        };
        let need = |path: &[&str]| {
            field(path).ok_or_else(|| wrong(1, &format!("it has no `{}`", path.join("."))))
        };
        objects.push(Object {
            api_version: need(&["apiVersion"])?,
            kind: need(&["kind"])?,
            name: need(&["metadata", "name"])?,
            namespace: field(&["metadata", "namespace"]),
            text: document,
        });
    }
    objects.sort_by_key(Object::rank);
    Ok(objects)
}

/// Where objects of an API are asked about: `/api/v1`, `/apis/apps/v1`.
pub fn root(api_version: &str) -> String {
    if api_version.contains('/') {
        format!("/apis/{api_version}")
    } else {
        format!("/api/{api_version}")
    }
}

/// Where an object lies, by what the API server says of its API; None where it does not know the
/// kind.
pub fn path(object: &Object, discovered: &Value) -> Option<String> {
    let resources = discovered["resources"].as_array()?;
    let is_it = |r: &&Value| {
        r["kind"] == object.kind.as_str() && !r["name"].as_str().unwrap_or("/").contains('/')
    };
    let resource = resources.iter().find(is_it)?;
    let (plural, name) = (resource["name"].as_str()?, &object.name);
    let root = root(&object.api_version);
    Some(if resource["namespaced"].as_bool()? {
        let namespace = object.namespace.as_deref().unwrap_or("default");
        format!("{root}/namespaces/{namespace}/{plural}/{name}")
    } else {
        format!("{root}/{plural}/{name}")
    })
}

/// Why a workload does not run as it should yet; None when it does.
pub fn unready(kind: &str, object: &Value) -> Option<String> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let wanted = match kind {
        "DaemonSet" => count(&status["desiredNumberScheduled"]),
        _ => spec["replicas"].as_u64().unwrap_or(1),
    };
    if count(&status["observedGeneration"]) < count(&object["metadata"]["generation"]) {
        return Some("was not looked at yet".into());
    }
    let (updated, available) = match kind {
        "DaemonSet" => (&status["updatedNumberScheduled"], &status["numberAvailable"]),
        "StatefulSet" if spec["updateStrategy"]["type"] == "OnDelete" => {
            (&status["replicas"], &status["readyReplicas"])
        }
        "StatefulSet" => (&status["updatedReplicas"], &status["readyReplicas"]),
        _ => (&status["updatedReplicas"], &status["availableReplicas"]),
    };
    if count(updated) < wanted {
        return Some(format!("{} of {wanted} pods are of the new version", count(updated)));
    }
    (count(available) < wanted).then(|| format!("{} of {wanted} pods run", count(available)))
}

/// What a pod waits for, in its own words: `ImagePullBackOff: ...`.
pub fn waits(pod: &Value) -> Option<String> {
    let status = &pod["status"];
    let lists = ["initContainerStatuses", "containerStatuses"];
    let states = lists.iter().filter_map(|l| status[l].as_array()).flatten();
    let reason = |state: &Value| {
        let why = ["waiting", "terminated"].iter().find_map(|s| {
            let of = &state["state"][s];
            let reason = of["reason"]
                .as_str()
                .filter(|r| !matches!(*r, "Completed" | "PodInitializing" | "ContainerCreating"))?;
            Some(match of["message"].as_str() {
                Some(message) => format!("{reason}: {message}"),
                None => reason.to_string(),
            })
        })?;
        Some(format!("{}: {why}", state["name"].as_str().unwrap_or_default()))
    };
    let scheduled = || {
        let conditions = status["conditions"].as_array()?;
        let no =
            conditions.iter().find(|c| c["type"] == "PodScheduled" && c["status"] == "False")?;
        no["message"].as_str().map(str::to_string)
    };
    states.filter_map(reason).next().or_else(scheduled)
}

/// kustomize's own words with the file and line in front, where it gives them. Paths are of the
/// checkout at `tree`.
pub fn kustomize_trouble(said: &str, tree: &str) -> String {
    let said = said.replace(&format!("{}/", tree.trim_end_matches('/')), "");
    let said = said.trim().trim_start_matches("error: ");
    let after = |mark: &str| {
        let rest = said.rsplit_once(mark)?.1;
        let end =
            rest.find(|c: char| c.is_whitespace() || "'\",;".contains(c)).unwrap_or(rest.len());
        let word = rest[..end].trim_end_matches(':');
        (!word.is_empty()).then(|| word.to_string())
    };
    let file = after("in File: ")
        .or_else(|| after("resources from '"))
        .or_else(|| after("failed to load '"));
    let line = after("yaml: line ");
    let place = match (file, line) {
        (Some(file), Some(line)) => format!("{file}:{line}: "),
        (Some(file), None) => format!("{file}: "),
        _ => String::new(),
    };
    format!("{place}{said}")
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
