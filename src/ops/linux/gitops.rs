//! A directory of the GitOps repository, built by `kubectl kustomize` and applied to this node's own
//! API server.

use std::{collections::BTreeMap, fs, time::Duration};

use serde_json::{Value, json};

use super::{Linux, cluster::FIELD_MANAGER, command::Command, git::Git};
use crate::{
    https::{Https, Trouble},
    kube::{
        delivery::Roots,
        objects::{self, Object},
        read,
    },
    ops::{
        engine_access,
        repository::{Kustomization, Repository},
        sys::{Installed, SysError, SysErrorKind, SysResult, Time},
    },
};

const KUBECTL: &str = "/usr/local/bin/kubectl";
/// A kustomization may name files elsewhere, which are fetched.
const BUILD: Duration = Duration::from_secs(180);
/// How long a kind may be unknown, or an API server away, before that is a failure.
const KNOWN_MS: u64 = 90_000;
const ARGOCD: &str = "argocd";
const WORKLOADS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

/// Objects on their way into the API server.
pub(super) struct Applier<'a> {
    linux: &'a Linux,
    pub(super) api: Https,
    /// What the API server said of its APIs; an API that it did not know is asked about again.
    known: BTreeMap<String, Value>,
}

impl<'a> Applier<'a> {
    pub(super) fn new(linux: &'a Linux) -> SysResult<Self> {
        Ok(Self { linux, api: linux.own_api()?, known: BTreeMap::new() })
    }

    /// None where the kind is not known, or not yet.
    async fn path(&mut self, object: &Object) -> Result<Option<String>, Trouble> {
        if let Some(path) =
            self.known.get(&object.api_version).and_then(|d| objects::path(object, d))
        {
            return Ok(Some(path));
        }
        let Some(found) = self.api.find(&objects::root(&object.api_version)).await? else {
            return Ok(None);
        };
        let path = objects::path(object, &found);
        self.known.insert(object.api_version.clone(), found);
        Ok(path)
    }

    async fn once(&mut self, object: &Object) -> Result<Option<String>, Trouble> {
        let Some(path) = self.path(object).await? else { return Ok(None) };
        let apply = format!("{path}?fieldManager={FIELD_MANAGER}&force=true");
        self.api.apply(&apply, &object.text).await?;
        Ok(Some(path))
    }

    /// Applies it, and gives its path. A kind that is not known yet, and a server that is busy, are
    /// tried again for a while.
    pub(super) async fn apply(&mut self, object: &Object) -> SysResult<String> {
        let deadline = self.linux.now_ms() + KNOWN_MS;
        loop {
            let late = self.linux.now_ms() >= deadline;
            match self.once(object).await {
                Ok(Some(path)) => return Ok(path),
                Ok(None) if late => {
                    return Err(SysError::other(format!(
                        "{}: the API server knows no {} of {}",
                        object.shown(),
                        object.kind,
                        object.api_version
                    ))
                    .hint("its CustomResourceDefinition belongs into the same kustomization, or before it"));
                }
                Ok(None) => {}
                Err(trouble) if trouble.passes() && !late => {}
                Err(trouble) => {
                    let kind =
                        if trouble.passes() { SysErrorKind::Passing } else { SysErrorKind::Other };
                    return Err(SysError::new(kind, format!("{}: {trouble}", object.shown())));
                }
            }
            self.linux.sleep_ms(2000).await;
        }
    }

    /// Applies what others need to be there first, and waits until the API server knows what is defined.
    /// Gives the paths.
    pub(super) async fn define(&mut self, objects: &[&Object]) -> SysResult<Vec<String>> {
        let (mut waited, mut paths) = (Vec::new(), Vec::new());
        for &object in objects {
            let path = self.apply(object).await?;
            paths.push(path.clone());
            if object.is_crd() {
                waited.push((path, object));
            }
        }
        for (path, object) in &waited {
            self.established(path, object).await?;
        }
        Ok(paths)
    }

    async fn established(&self, path: &str, object: &Object) -> SysResult<()> {
        let deadline = self.linux.now_ms() + KNOWN_MS;
        loop {
            if let Ok(found) = self.api.get(path).await
                && read::condition(&found, "Established") == Some("True")
            {
                return Ok(());
            }
            if self.linux.now_ms() >= deadline {
                return Err(SysError::passing(format!("{} is not established", object.shown())));
            }
            self.linux.sleep_ms(500).await;
        }
    }

    /// Waits until the workloads run; says what of them does not when it is too late.
    async fn rolled_out(&self, workloads: &[(String, &Object)], wait_s: u32) -> SysResult<()> {
        let deadline = self.linux.now_ms() + u64::from(wait_s) * 1000;
        loop {
            let mut waiting = Vec::new();
            for (path, object) in workloads {
                match self.api.get(path).await {
                    Ok(found) => {
                        if let Some(why) = objects::unready(&object.kind, &found) {
                            waiting.push((*object, why, found));
                        }
                    }
                    Err(trouble) if trouble.passes() => {
                        waiting.push((*object, trouble.to_string(), Value::Null))
                    }
                    Err(trouble) => {
                        return Err(SysError::other(format!("{}: {trouble}", object.shown())));
                    }
                }
            }
            if waiting.is_empty() {
                return Ok(());
            }
            if self.linux.now_ms() >= deadline {
                let mut output = Vec::new();
                for (object, why, found) in &waiting {
                    output.push(format!("{}: {why}", object.shown()));
                    output.extend(self.pods(object, found).await);
                }
                let names: Vec<String> =
                    waiting.iter().map(|(o, why, _)| format!("{}: {why}", o.shown())).collect();
                let error = SysError::other(format!("after {wait_s} s: {}", names.join("; ")))
                    .hint("mend what the pods wait for; the same command goes on waiting");
                return Err(SysError { output, ..error });
            }
            self.linux.sleep_ms(2000).await;
        }
    }

    /// What the pods of a workload wait for.
    pub(super) async fn pods(&self, object: &Object, found: &Value) -> Vec<String> {
        let labels =
            found["spec"]["selector"]["matchLabels"].as_object().cloned().unwrap_or_default();
        let selector: Vec<String> = labels
            .iter()
            .filter_map(|(k, v)| Some(format!("{}%3D{}", k.replace('/', "%2F"), v.as_str()?)))
            .collect();
        let namespace = object.namespace.as_deref().unwrap_or("default");
        let path =
            format!("/api/v1/namespaces/{namespace}/pods?labelSelector={}", selector.join("%2C"));
        let Ok(list) = self.api.get(&path).await else { return Vec::new() };
        let said = |pod: &Value| {
            Some(format!("  pod {}: {}", pod["metadata"]["name"].as_str()?, objects::waits(pod)?))
        };
        read::items(&list).filter_map(said).collect()
    }
}

impl Linux {
    /// What `kubectl kustomize` makes of a directory.
    pub(super) async fn made(
        &self,
        git: &Git<'_>,
        commit: &str,
        from: &Kustomization,
    ) -> SysResult<Vec<Object>> {
        let tree = git.check_out(commit).await?;
        let path = from.path.trim_matches('/');
        let manifest = git.aside("manifest.yaml");
        let shown = tree.display().to_string();
        let what = format!(
            "build `{path}` of {} at {}",
            from.repository.url,
            commit.get(..10).unwrap_or(commit)
        );
        let build = Command::new(KUBECTL)
            .args(["kustomize", "--output"])
            .arg(manifest.display().to_string())
            .arg(tree.join(path).display().to_string())
            .env("HOME", &shown);
        let finished = tokio::time::timeout(BUILD, build.run()).await.map_err(|_| {
            SysError::passing(format!("{what}: it took more than {} s", BUILD.as_secs()))
        })??;
        if !finished.ok() {
            let why = objects::kustomize_trouble(&finished.stderr, &shown);
            return Err(SysError::other(format!("{what}: {why}")).hint(
                "mend it in the repository and push; `kubectl kustomize` shows the same at home",
            ));
        }
        let text = fs::read_to_string(&manifest)
            .map_err(|e| SysError::other(format!("{what}: its result cannot be read: {e}")))?;
        let objects =
            objects::read(&text).map_err(|why| SysError::other(format!("{what}: {why}")))?;
        if objects.is_empty() {
            return Err(SysError::other(format!("{what}: there is no object in it")));
        }
        Ok(objects)
    }

    pub(super) async fn kustomized(
        &self,
        name: &str,
        from: &Kustomization,
        wait_s: u32,
    ) -> SysResult<Installed> {
        let git = Git::new(self, &from.repository)?;
        let commit = git.fetch().await?;
        git.check_kustomization(&commit, &from.path).await?;
        let objects = self.made(&git, &commit, from).await?;
        drop(git);
        self.applied(name, &objects, Some(&from.repository), wait_s).await?;
        Ok(Installed { commit, roots: roots(&objects) })
    }

    /// All of a manifest, in its order, and its workloads waited for. An engine gets its credentials
    /// for the repository on the way.
    pub(super) async fn applied(
        &self,
        name: &str,
        objects: &[Object],
        repository: Option<&Repository>,
        wait_s: u32,
    ) -> SysResult<()> {
        let mut applier = Applier::new(self)?;
        let mut workloads = Vec::new();
        let (definitions, rest): (Vec<&Object>, Vec<&Object>) =
            objects.iter().partition(|o| o.is_crd() || o.kind == "Namespace");
        let mut paths = applier.define(&definitions).await?;
        if let Some(repository) = repository {
            self.give_flux_access(&applier.api, repository, objects).await?;
        }
        if let Some(repository) = repository
            && let Some(first) = rest.iter().find(|o| o.kind == "Application")
        {
            let namespace = first.namespace.as_deref().unwrap_or(ARGOCD);
            self.give_access(&applier.api, repository, namespace).await?;
        }
        for object in rest {
            let path = applier.apply(object).await?;
            paths.push(path.clone());
            if WORKLOADS.contains(&object.kind.as_str()) {
                workloads.push((path, object));
            }
        }
        if let Some(repository) = repository.filter(|_| name == ARGOCD) {
            self.give_access(&applier.api, repository, &namespace(objects)).await?;
        }
        self.note_applied(&applier.api, name, &paths).await?;
        applier.rolled_out(&workloads, wait_s).await
    }

    /// The credentials, as Argo CD looks for them; what the Git host is known by beside them.
    async fn give_access(
        &self,
        api: &Https,
        repository: &Repository,
        namespace: &str,
    ) -> SysResult<()> {
        let map = |name: &str| format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
        let put = async |path: String, object: &Value| {
            let path = format!("{path}?fieldManager={FIELD_MANAGER}-repository&force=true");
            api.patch(&path, "apply-patch+yaml", object).await.map(drop)
        };
        if let Some(secret) = repository_secret(repository, namespace) {
            let path = format!("/api/v1/namespaces/{namespace}/secrets/{REPOSITORY}");
            put(path, &secret).await?;
        }
        if let (Some(ca), Some(host)) = (&repository.access.ca, host(&repository.url)) {
            let object = config_map("argocd-tls-certs-cm", namespace, &host, ca);
            put(map("argocd-tls-certs-cm"), &object).await?;
        }
        if let Some(known) = &repository.access.known_hosts {
            let (name, key) = ("argocd-ssh-known-hosts-cm", "ssh_known_hosts");
            let found = api.find(&map(name)).await?.unwrap_or_default();
            let before = found["data"][key].as_str().unwrap_or_default();
            if let Some(text) = with_lines(before, known) {
                put(map(name), &config_map(name, namespace, key, &text)).await?;
            }
        }
        Ok(())
    }
}

const REPOSITORY: &str = "slipway-repository";

/// Where the engines begin.
fn roots(objects: &[Object]) -> Roots {
    let of = |group: &str, kind: &str| -> Vec<String> {
        let is_it = |o: &&Object| o.kind == kind && o.group() == group;
        let key =
            |o: &Object| format!("{}/{}", o.namespace.as_deref().unwrap_or("default"), o.name);
        objects.iter().filter(is_it).map(key).collect()
    };
    Roots {
        applications: of("argoproj.io", "Application"),
        sources: of("source.toolkit.fluxcd.io", "GitRepository"),
        kustomizations: of("kustomize.toolkit.fluxcd.io", "Kustomization"),
    }
}

/// Where Argo CD lies: beside its own configuration.
fn namespace(objects: &[Object]) -> String {
    let own = objects.iter().find(|o| o.kind == "ConfigMap" && o.name == "argocd-cm");
    own.and_then(|o| o.namespace.clone()).unwrap_or_else(|| ARGOCD.into())
}

/// Without the port: that is how Argo CD looks for certificates.
fn host(url: &str) -> Option<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    (!host.is_empty()).then(|| host.to_string())
}

/// Labels make a Secret a repository. None where the repository is open to everybody.
fn repository_secret(repository: &Repository, namespace: &str) -> Option<Value> {
    let data: BTreeMap<&str, String> = engine_access::argocd(repository)?
        .into_iter()
        .map(|(key, value)| (key, value.reveal().to_string()))
        .collect();
    Some(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": REPOSITORY, "namespace": namespace,
            "labels": { "argocd.argoproj.io/secret-type": "repository" },
        },
        "stringData": data,
    }))
}

fn config_map(name: &str, namespace: &str, key: &str, text: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": namespace },
        "data": { (key): text },
    })
}

/// A text with the lines that it lacks; None where it lacks none.
fn with_lines(before: &str, wanted: &str) -> Option<String> {
    let lacks = |line: &&str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#') && !before.lines().any(|b| b.trim() == line)
    };
    let more: Vec<&str> = wanted.lines().filter(lacks).collect();
    if more.is_empty() {
        return None;
    }
    let mut text = before.trim_end().to_string();
    for line in more {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(line.trim());
    }
    text.push('\n');
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ops::repository::Access,
        secret::{Sealed, Source, Sourced},
    };

    fn given(secret: &str) -> Option<Sourced> {
        let value = Some(Sealed::new(secret));
        Some(Sourced { value, ..Sourced::from(Source::Env("X".into())) })
    }

    #[test]
    fn credentials_become_a_repository_of_argo_cds() {
        let mut repository = Repository {
            url: "https://git.lab/home.git".into(),
            revision: "main".into(),
            access: Access { token: given("hush"), ..Access::default() },
        };
        let secret = repository_secret(&repository, "argocd").unwrap();
        assert_eq!(secret["metadata"]["labels"]["argocd.argoproj.io/secret-type"], "repository");
        assert_eq!(secret["stringData"]["password"], "hush");
        assert_eq!(secret["stringData"]["username"], "git");
        repository.access = Access { ssh_key: given("KEY"), ..Access::default() };
        let secret = repository_secret(&repository, "argocd").unwrap();
        assert_eq!(secret["stringData"]["sshPrivateKey"], "KEY\n");
        repository.access = Access::default();
        assert!(repository_secret(&repository, "argocd").is_none());
    }

    #[test]
    fn hosts_and_their_keys() {
        assert_eq!(host("https://git.lab:8443/home.git").as_deref(), Some("git.lab"));
        assert_eq!(host("git@git.lab:me/home.git").as_deref(), Some("git.lab"));
        assert_eq!(with_lines("a 1\nb 2\n", "b 2\n# why\n"), None);
        assert_eq!(with_lines("a 1\n", "b 2\nc 3\n").as_deref(), Some("a 1\nb 2\nc 3\n"));
        assert_eq!(with_lines("", "b 2").as_deref(), Some("b 2\n"));
    }
}
