//! The cluster as one control plane sees it: its own API server and etcd are asked, and through them
//! changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use async_trait::async_trait;
use futures::future::join_all;
use serde_json::{Value, json};

use super::{Linux, delivery, git::Git, kube::PKI, not_yet};
use crate::{
    etcd::{
        EtcdMember, Status,
        report::{EtcdReport, MemberReport, MemberSays, comparable},
    },
    facts::{ApiFacts, KubeNode, Member},
    https::{Https, Trouble},
    kube::{SYSTEM, SYSTEM_PODS, certificate, delivery::Seen, overlap::Scope, read},
    names::NodeName,
    ops::{
        repository::{Kustomization, Repository},
        scopes::Scopes,
        secrets::{ClusterSecret, SecretFound},
        sys::{
            Cluster, EngineLogin, Installed, Managed, Plane, SnapshotInfo, SysError, SysErrorKind,
            SysResult, Time, UserCertificate,
        },
    },
};

/// Where the versions of what was installed are noted down.
const ADDONS: &str = "slipway-addons";
pub(super) const FIELD_MANAGER: &str = "slipway";
/// A Secret that every API server has to read alike.
const PROBE: &str = "slipway-encryption-probe";
/// How a Secret begins in etcd that was encrypted as `encryption.yaml` says.
const ENCRYPTED: &[u8] = b"k8s:enc:secretbox:v1:";
const HOSTS: &str = "/etc/hosts";
/// How often hashes are asked for until all members have compacted alike and agree, and how long between.
const HASH_TRIES: u32 = 5;
const HASH_MS: u64 = 300;

/// Nobody answers, or nobody is allowed to ask yet: there is nothing to know.
fn silence<T>(answer: Result<T, Trouble>) -> SysResult<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(trouble) if trouble.passes() => Ok(None),
        Err(Trouble::Said { code: 401 | 403 | 404, .. }) => Ok(None),
        Err(trouble) => Err(trouble.into()),
    }
}

pub(super) fn node_path(node: &NodeName) -> String {
    format!("/api/v1/nodes/{node}")
}

fn secret_path(name: &str) -> String {
    format!("/api/v1/namespaces/{SYSTEM}/secrets/{name}")
}

impl Linux {
    /// Of this node's own control plane certificates, the first to end.
    fn first_certificate_ends_ms(&self) -> u64 {
        let in_dir = |dir: String| {
            let names = self.names_in(&dir).into_iter();
            names
                .filter(|n| {
                    n.ends_with(".crt") && !matches!(n.as_str(), "ca.crt" | "front-proxy-ca.crt")
                })
                .filter_map(move |n| certificate::read(&self.text_of(&format!("{dir}/{n}"))?))
        };
        let all = in_dir(PKI.to_string()).chain(in_dir(format!("{PKI}/etcd")));
        all.map(|certificate| certificate.ends_ms).min().unwrap_or(0)
    }

    /// Names of nodes by their addresses, from the block that Slipway keeps in the hosts file: for a
    /// member that has no name yet.
    fn names_by_address(&self) -> BTreeMap<String, NodeName> {
        let text = self.text_of(HOSTS).unwrap_or_default();
        let entry = |line: &str| {
            let mut words = line.split('#').next()?.split_whitespace();
            let address = words.next()?.to_string();
            Some((address, words.next()?.parse().ok()?))
        };
        text.lines().filter_map(entry).collect()
    }

    /// The status of every member that answers.
    async fn statuses(&self, members: &[EtcdMember]) -> BTreeMap<String, Status> {
        let one = async |member: &EtcdMember| {
            let etcd = self.etcd_at(member.clients.first()?)?.ok()?;
            Some((member.id.clone(), etcd.status().await.ok()?))
        };
        join_all(members.iter().map(one)).await.into_iter().flatten().collect()
    }

    /// Whether the voters that answer have the same at one revision. Learners do not say.
    async fn hashes_equal(
        &self,
        members: &[EtcdMember],
        statuses: &BTreeMap<String, Status>,
    ) -> bool {
        let voters = members.iter().filter(|m| !m.learner && statuses.contains_key(&m.id));
        let voters: Vec<&EtcdMember> = voters.collect();
        let Some(revision) = voters.iter().map(|m| statuses[&m.id].revision).min() else {
            return true;
        };
        let hashes = self.hashes(members, statuses, revision).await;
        let hashes: Vec<&u64> = hashes.values().collect();
        hashes.windows(2).all(|pair| pair[0] == pair[1])
    }

    /// Of all keys up to a revision, by member.
    async fn hashes(
        &self,
        members: &[EtcdMember],
        statuses: &BTreeMap<String, Status>,
        revision: u64,
    ) -> BTreeMap<String, u64> {
        let voters = members.iter().filter(|m| !m.learner && statuses.contains_key(&m.id));
        let voters: Vec<&EtcdMember> = voters.collect();
        let one = async |member: &EtcdMember| {
            let etcd = self.etcd_at(member.clients.first()?)?.ok()?;
            Some((member.id.clone(), etcd.hash(revision).await.ok()?))
        };
        let mut tries = HASH_TRIES;
        loop {
            let all = join_all(voters.iter().copied().map(one)).await;
            let all = all.into_iter().flatten().collect();
            let compared = comparable(&all);
            tries -= 1;
            // While etcd throws old revisions away, members that agree differ for a moment.
            let agree = compared.len() == all.len()
                && compared.values().collect::<BTreeSet<_>>().len() <= 1;
            if agree || tries == 0 {
                return compared;
            }
            self.sleep_ms(HASH_MS).await;
        }
    }

    async fn gathered(&self, api: &Https) -> SysResult<Option<ApiFacts>> {
        let config = format!("/api/v1/namespaces/{SYSTEM}/configmaps/kubeadm-config");
        let noted = format!("/api/v1/namespaces/{SYSTEM}/configmaps/{ADDONS}");
        let etcd = self.own_etcd()?;
        let (config, nodes, pods, noted, seen, status, members, alarms) = tokio::join!(
            api.get(&config),
            api.get("/api/v1/nodes"),
            api.get("/api/v1/pods"),
            api.find(&noted),
            delivery::look(api),
            etcd.status(),
            etcd.members(),
            etcd.alarms(),
        );
        // Before kubeadm has noted down what the cluster is, there is none.
        let (Some(config), Some(nodes), Some(pods)) =
            (silence(config)?, silence(nodes)?, silence(pods)?)
        else {
            return Ok(None);
        };
        let (Ok(status), Ok(members), Ok(alarms)) = (status, members, alarms) else {
            return Ok(None);
        };
        let stored = config["data"]["ClusterConfiguration"].as_str().unwrap_or_default();
        let Some(version) =
            crate::kube::value(stored, "kubernetesVersion").and_then(|v| v.parse().ok())
        else {
            return Ok(None);
        };
        let statuses = self.statuses(&members).await;
        let hashes_equal = self.hashes_equal(&members, &statuses).await;
        let mut names = self.names_by_address();
        for node in read::items(&nodes) {
            let name = node["metadata"]["name"].as_str().and_then(|n| n.parse().ok());
            if let (Some(address), Some(name)) = (read::internal_ip(node), name) {
                names.insert(address.to_string(), name);
            }
        }
        Ok(Some(ApiFacts {
            version,
            nodes: read::nodes(&nodes, &pods),
            members: members.iter().filter_map(|m| member(m, &names, &statuses)).collect(),
            etcd_cluster_id: status.cluster.clone(),
            etcd_revision: status.revision,
            leader: status.leader.clone(),
            alarms: told(alarms),
            hashes_equal,
            certificates_end_ms: self.first_certificate_ends_ms(),
            addons: silence(noted)?.flatten().map(|n| read::addons(&n)).unwrap_or_default(),
            applications: silence(seen)?.map(|seen| seen.facts()).unwrap_or_default(),
        }))
    }

    async fn patch_node(&self, node: &NodeName, patch: &Value) -> SysResult<()> {
        let api = self.own_api()?;
        api.patch(&node_path(node), "merge-patch+json", patch).await?;
        Ok(())
    }

    async fn pods_to_move(&self, api: &Https, node: &NodeName) -> SysResult<Vec<(String, String)>> {
        let path = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}");
        let pods = api.get(&path).await?;
        let movable = read::items(&pods).filter(|pod| read::is_movable(pod));
        let name = |pod: &Value| {
            let of = &pod["metadata"];
            Some((of["namespace"].as_str()?.to_string(), of["name"].as_str()?.to_string()))
        };
        Ok(movable.filter_map(name).collect())
    }

    /// The probe's value, written the first time that somebody looks for it.
    async fn probe(&self, api: &Https) -> SysResult<String> {
        let object = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": PROBE, "namespace": SYSTEM },
            "stringData": { "probe": "every API server reads this alike" },
        });
        let collection = format!("/api/v1/namespaces/{SYSTEM}/secrets");
        if api.find(&secret_path(PROBE)).await?.is_none() {
            match api.post(&collection, &object).await {
                // Another one was faster.
                Ok(_) | Err(Trouble::Said { code: 409, .. }) => {}
                Err(trouble) => return Err(trouble.into()),
            }
        }
        let found = api.get(&secret_path(PROBE)).await?;
        Ok(found["data"]["probe"].as_str().unwrap_or_default().to_string())
    }

    /// What is wrong with one control plane, as far as the others can tell.
    async fn trouble_with(
        &self,
        plane: &Plane,
        pods: &Value,
        nodes: &Value,
        probe: &str,
    ) -> Vec<String> {
        let mut troubles = Vec::new();
        let name = plane.node.as_str();
        let node = read::items(nodes).find(|n| n["metadata"]["name"] == name);
        match node.and_then(read::internal_ip) {
            Some(address) if address == plane.address => {}
            Some(other) => {
                troubles.push(format!("{name}'s kubelet gives {other}, not {}", plane.address))
            }
            None => troubles.push(format!("{name} has no address in the cluster")),
        }
        if !plane.control_plane {
            return troubles;
        }
        for of in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
            let pod = format!("{of}-{name}");
            let found = read::items(pods).find(|p| p["metadata"]["name"] == pod.as_str());
            // Its probes look only every ten seconds at first; each node asks its own components.
            if !found.is_some_and(read::runs) {
                troubles.push(format!("the static pod {pod} does not run"));
            }
        }
        let read_there = match self.api_at(plane.address) {
            Some(Ok(api)) => api.get(&secret_path(PROBE)).await.map_err(|t| t.to_string()),
            Some(Err(error)) => Err(error.message),
            None => Err("there is no admin.conf here".into()),
        };
        match read_there {
            Ok(secret) if secret["data"]["probe"].as_str() == Some(probe) => {}
            Ok(_) => {
                troubles.push(format!("{name}'s API server reads another Secret than this one"))
            }
            Err(why) => troubles.push(format!("{name}'s API server does not read Secrets: {why}")),
        }
        troubles
    }
}

/// Alarms in words.
fn told(alarms: Vec<(String, String)>) -> Vec<String> {
    alarms.into_iter().map(|(of, alarm)| format!("{alarm} of member {of}")).collect()
}

fn member(
    member: &EtcdMember,
    names: &BTreeMap<String, NodeName>,
    statuses: &BTreeMap<String, Status>,
) -> Option<Member> {
    // kubeadm names a member after its node, once it has started.
    let by_name = member.name.parse().ok();
    let by_address = member.peers.iter().find_map(|peer| names.get(peer)).cloned();
    let nobody = || format!("member-{}", member.id).parse().ok();
    Some(Member {
        id: member.id.clone(),
        name: member.name.clone(),
        node: by_name.or(by_address).or_else(nobody)?,
        learner: member.learner,
        started: !member.name.is_empty() && statuses.contains_key(&member.id),
    })
}

#[async_trait]
impl Cluster for Linux {
    async fn api(&self) -> SysResult<Option<ApiFacts>> {
        let Some(api) = self.api_at(Ipv4Addr::LOCALHOST) else { return Ok(None) };
        if self.etcd_at("127.0.0.1").is_none() {
            return Ok(None);
        }
        self.gathered(&api?).await
    }

    async fn nodes(&self) -> SysResult<Option<Vec<KubeNode>>> {
        let Some(api) = self.api_at(Ipv4Addr::LOCALHOST) else { return Ok(None) };
        let api = api?;
        let (nodes, pods) = tokio::join!(api.get("/api/v1/nodes"), api.get("/api/v1/pods"));
        let (Some(nodes), Some(pods)) = (silence(nodes)?, silence(pods)?) else { return Ok(None) };
        Ok(Some(read::nodes(&nodes, &pods)))
    }

    async fn certificates_end_ms(&self) -> SysResult<Option<u64>> {
        Ok(Some(self.first_certificate_ends_ms()).filter(|ends_ms| *ends_ms > 0))
    }

    async fn cordon(&self, node: &NodeName, cordoned: bool) -> SysResult<()> {
        let mark = if cordoned { json!("true") } else { Value::Null };
        self.patch_node(
            node,
            &json!({
                "metadata": { "annotations": { (read::CORDONED): mark } },
                "spec": { "unschedulable": cordoned },
            }),
        )
        .await
    }

    async fn drain(&self, node: &NodeName, timeout_s: u32) -> SysResult<()> {
        let api = self.own_api()?;
        let deadline = self.now_ms() + u64::from(timeout_s) * 1000;
        let mut in_the_way = BTreeMap::new();
        loop {
            let pods = match self.pods_to_move(&api, node).await {
                Ok(pods) => pods,
                // A new kubelet starts static pods anew, this node's API server among them.
                Err(error) if error.kind == SysErrorKind::Passing && self.now_ms() < deadline => {
                    self.sleep_ms(500).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if pods.is_empty() {
                return Ok(());
            }
            in_the_way.retain(|pod, _| pods.contains(pod));
            for (namespace, name) in &pods {
                let eviction = json!({
                    "apiVersion": "policy/v1", "kind": "Eviction",
                    "metadata": { "name": name, "namespace": namespace },
                });
                let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
                let said = match api.post(&path, &eviction).await {
                    Ok(_) => "it is still ending".to_string(),
                    Err(trouble) if trouble.is_not_found() => continue,
                    // A disruption budget says no for now.
                    Err(trouble) => trouble.to_string(),
                };
                in_the_way.insert((namespace.clone(), name.clone()), said);
            }
            if self.now_ms() >= deadline {
                let pods = in_the_way.iter().map(|((ns, name), why)| format!("{ns}/{name}: {why}"));
                let mut error = SysError::other(format!(
                    "after {timeout_s} s {} pods are still on {node}",
                    in_the_way.len()
                ));
                error.output = pods.collect();
                return Err(error.hint(
                    "`kubectl get pdb -A` shows who forbids it; the node stays cordoned until the next run",
                ));
            }
            self.sleep_ms(2000).await;
        }
    }

    async fn label_node(
        &self,
        node: &NodeName,
        schedulable: bool,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
    ) -> SysResult<()> {
        self.labelled(node, schedulable, labels, annotations).await
    }

    async fn delete_node(&self, node: &NodeName) -> SysResult<()> {
        Ok(self.own_api()?.delete(&node_path(node)).await?)
    }

    async fn remove_member(&self, id: &str) -> SysResult<()> {
        Ok(self.own_etcd()?.remove(id).await?)
    }

    async fn promote_member(&self, id: &str) -> SysResult<()> {
        match self.own_etcd()?.promote(id).await {
            // It has to catch up first; whoever wants it promoted looks again.
            Err(Trouble::Said { message, .. }) if message.contains("in sync with leader") => {
                self.sleep_ms(1000).await;
                Ok(())
            }
            done => Ok(done?),
        }
    }

    async fn etcd(&self) -> SysResult<EtcdReport> {
        let etcd = self.own_etcd()?;
        let (mine, members) = (etcd.status().await?, etcd.members_here().await?);
        let statuses = self.statuses(&members).await;
        let revision = statuses.values().map(|s| s.revision).min().unwrap_or(mine.revision);
        let hashes = self.hashes(&members, &statuses, revision).await;
        // The list of alarms is asked of the quorum.
        let (alarms, unknown) = match etcd.alarms().await {
            Ok(alarms) => (alarms, Vec::new()),
            Err(_) => (Vec::new(), vec!["alarms".to_string()]),
        };
        let report = |member: &EtcdMember| MemberReport {
            id: member.id.clone(),
            name: member.name.clone(),
            address: member.peers.first().cloned().unwrap_or_default(),
            learner: member.learner,
            says: statuses.get(&member.id).map(|s| MemberSays {
                version: s.version.clone(),
                db_bytes: s.db_bytes,
                used_bytes: s.used_bytes,
                revision: s.revision,
                leader: s.leader.clone(),
                hash: hashes.get(&member.id).copied(),
                errors: s.errors.clone(),
            }),
        };
        Ok(EtcdReport {
            cluster_id: mine.cluster,
            members: members.iter().map(report).collect(),
            revision,
            alarms: told(alarms),
            unknown,
        })
    }

    async fn sign_user(&self, request: &str, valid_s: u32) -> SysResult<UserCertificate> {
        self.signed(request, valid_s).await
    }

    async fn snapshot(&self) -> SysResult<SnapshotInfo> {
        self.take_snapshot().await
    }

    async fn install_addon(&self, name: &str, version: &str, _: &str) -> SysResult<()> {
        // The bridge is files on the nodes; that they are to be there is all that is noted.
        if name != "bridge" {
            return not_yet(&format!("install {name}"));
        }
        self.note_addon(name, version).await
    }

    async fn commit_of(&self, repository: &Repository, paths: &[String]) -> SysResult<String> {
        let git = Git::new(self, repository)?;
        let commit = git.fetch().await?;
        for path in paths {
            git.check_kustomization(&commit, path).await?;
        }
        Ok(commit)
    }

    async fn descends(&self, repository: &Repository, from: &str, commit: &str) -> SysResult<bool> {
        Git::new(self, repository)?.descends(from, commit).await
    }

    async fn install_kustomization(
        &self,
        name: &str,
        from: &Kustomization,
        wait_s: u32,
    ) -> SysResult<Installed> {
        self.kustomized(name, from, wait_s).await
    }

    async fn argocd_login(&self) -> SysResult<EngineLogin> {
        self.engine_login().await
    }

    async fn secret(&self, wanted: &ClusterSecret) -> SysResult<SecretFound> {
        self.found_secret(wanted).await
    }

    async fn put_secret(&self, wanted: &ClusterSecret) -> SysResult<()> {
        self.given_secret(wanted).await
    }

    async fn install_manifest(&self, name: &str, file: &str, wait_s: u32) -> SysResult<()> {
        self.release_applied(name, file, wait_s).await
    }

    async fn scopes(&self, roots: &[Kustomization]) -> SysResult<Scopes> {
        self.all_scopes(roots).await
    }

    async fn built(&self, from: &Kustomization) -> SysResult<Scope> {
        self.scope_of(from).await
    }

    async fn gitops_seen(&self) -> SysResult<Seen> {
        self.seen().await
    }

    async fn managed(&self) -> SysResult<Vec<Managed>> {
        self.all_managed().await
    }

    async fn note_addon(&self, name: &str, version: &str) -> SysResult<()> {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": ADDONS, "namespace": SYSTEM },
            "data": { (name): version },
        });
        let path = format!(
            "/api/v1/namespaces/{SYSTEM}/configmaps/{ADDONS}?fieldManager={FIELD_MANAGER}-{name}"
        );
        self.own_api()?.patch(&path, "apply-patch+yaml", &object).await?;
        Ok(())
    }

    async fn cluster_trouble(&self, planes: &[Plane]) -> SysResult<Vec<String>> {
        let api = self.own_api()?;
        let probe = self.probe(&api).await?;
        let (pods, nodes) = (api.get(SYSTEM_PODS).await?, api.get("/api/v1/nodes").await?);
        let looked = planes.iter().map(|plane| self.trouble_with(plane, &pods, &nodes, &probe));
        let mut troubles: Vec<String> = join_all(looked).await.into_iter().flatten().collect();
        let stored = self.own_etcd()?.value(&format!("/registry/secrets/{SYSTEM}/{PROBE}")).await?;
        if !stored.is_some_and(|bytes| bytes.starts_with(ENCRYPTED)) {
            troubles.push("Secrets are not encrypted in etcd".into());
        }
        Ok(troubles)
    }

    async fn dns_trouble(&self, server: Ipv4Addr, name: &str) -> SysResult<Option<String>> {
        Ok(crate::kube::dns::ask(server, name).await.err())
    }

    async fn ceph_noout(&self, _: &NodeName, _: bool) -> SysResult<()> {
        not_yet("set Ceph's noout")
    }

    async fn ceph_has_noout(&self, _: &NodeName) -> SysResult<Option<bool>> {
        Ok(None)
    }

    async fn ceph_is_clean(&self) -> SysResult<Option<bool>> {
        Ok(None)
    }
}
