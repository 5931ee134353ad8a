//! What the simulated API server and etcd can be asked to do.

use std::{collections::BTreeMap, net::Ipv4Addr};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::{
    FakeCluster, FakeSys, Machine,
    cluster::{FakeAddon, FakeMember},
};
use crate::{
    etcd::report::{EtcdReport, MemberReport, MemberSays},
    facts::ApiFacts,
    kube::{
        delivery::{Roots, Seen},
        overlap::Scope,
    },
    names::{NodeName, hex},
    ops::{
        cluster::{CONTROL_PLANE_TAINT, EXCLUDE_LABEL},
        etcd::OUTGOING,
        kubeadm::ENCRYPTION,
        repository::{Kustomization, Repository},
        scopes::Scopes,
        secrets::{ClusterSecret, SecretFound},
        sys::{
            Access, Cluster, EngineLogin, Installed, KeyFile, Managed, Plane, SnapshotInfo,
            SysError, SysResult, UserCertificate,
        },
    },
    secret::Sealed,
};

const ROOT: &str = "root-application";

fn commit(repository: &Repository) -> String {
    format!("{:016x}", super::machine::fnv(&repository.revision, 1))
}

/// How long an add-on takes to become ready, and an application to become healthy.
const READY_MS: u64 = 12_000;

/// PEM that says what it is, to whoever decodes it.
fn simulated(label: &str, says: &str) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(says))
}

fn no_node(node: &NodeName) -> SysError {
    SysError::other(format!("nodes \"{node}\" not found"))
}

#[async_trait]
impl Cluster for FakeSys {
    async fn api(&self) -> SysResult<Option<ApiFacts>> {
        let now_ms = self.cell.now_ms();
        Ok(self
            .look(|m, world| {
                let cluster = world.cluster_of(m)?;
                cluster
                    .api_answers(&self.node, world, now_ms)
                    .then(|| cluster.facts(world, now_ms))?
            })
            .await)
    }

    async fn cordon(&self, node: &NodeName, cordoned: bool) -> SysResult<()> {
        self.cluster_act("cordon", 200, |cluster, _| {
            let found = cluster.nodes.get_mut(node).ok_or_else(|| no_node(node))?;
            found.cordoned = cordoned;
            found.cordoned_by_us = cordoned;
            Ok(())
        })
        .await
    }

    async fn drain(&self, node: &NodeName, _timeout_s: u32) -> SysResult<()> {
        self.cluster_act("drain", 8_000, |cluster, _| {
            let pods =
                cluster.nodes.get_mut(node).map(|n| std::mem::take(&mut n.pods)).unwrap_or(0);
            let others: Vec<_> =
                cluster.nodes.iter_mut().filter(|(n, x)| *n != node && !x.cordoned).collect();
            if let Some((_, other)) = others.into_iter().next() {
                other.pods += pods;
                cluster.dns_alone_on.take_if(|alone| alone == node);
            }
            Ok(())
        })
        .await
    }

    async fn label_node(
        &self,
        node: &NodeName,
        schedulable: bool,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
    ) -> SysResult<()> {
        self.cluster_act("label-node", 200, |cluster, _| {
            let found = cluster.nodes.get_mut(node).ok_or_else(|| no_node(node))?;
            if schedulable {
                found.taints.remove(CONTROL_PLANE_TAINT);
                found.labels.remove(EXCLUDE_LABEL);
                found.pods = found.pods.max(4);
            } else if found.control_plane {
                found.taints.insert(CONTROL_PLANE_TAINT.into());
            }
            found.labels.extend(labels.clone());
            found.annotations.extend(annotations.clone());
            Ok(())
        })
        .await
    }

    async fn delete_node(&self, node: &NodeName) -> SysResult<()> {
        self.cluster_act("delete-node", 200, |cluster, _| {
            cluster.nodes.remove(node);
            cluster.dns_alone_on.take_if(|alone| alone == node);
            Ok(())
        })
        .await
    }

    async fn remove_member(&self, id: &str) -> SysResult<()> {
        self.cluster_act("remove-member", 500, |cluster, _| {
            cluster.members.retain(|m| m.id != id);
            Ok(())
        })
        .await
    }

    async fn promote_member(&self, id: &str) -> SysResult<()> {
        self.cluster_act("promote-member", 500, |cluster, _| {
            cluster.members.iter_mut().filter(|m| m.id == id).for_each(|m| m.learner = false);
            Ok(())
        })
        .await
    }

    async fn etcd(&self) -> SysResult<EtcdReport> {
        let now_ms = self.cell.now_ms();
        let report = self.look(|m, world| {
            let cluster = world.cluster_of(m)?;
            let runs = |member: &FakeMember| cluster.member_runs(member, world, now_ms);
            // Who does not run itself cannot be asked.
            cluster.members.iter().find(|m| m.node == self.node).filter(|m| runs(m))?;
            let quorum = cluster.has_quorum(world, now_ms);
            let leader = cluster.members.iter().find(|m| quorum && !m.learner && runs(m));
            let address = |m: &Machine| {
                let first = m.ram.addresses.values().flatten().next();
                first.map(|(address, _)| address.to_string()).unwrap_or_default()
            };
            let report = |member: &FakeMember| MemberReport {
                id: member.id.clone(),
                name: member.node.to_string(),
                address: world.machines.get(&member.node).map(address).unwrap_or_default(),
                learner: member.learner,
                says: runs(member).then(|| MemberSays {
                    version: "3.6.8".into(),
                    db_bytes: 20 << 20,
                    used_bytes: 12 << 20,
                    revision: cluster.revision,
                    leader: leader.map(|l| l.id.clone()),
                    hash: (!member.learner).then_some(cluster.revision),
                    errors: Vec::new(),
                }),
            };
            Some(EtcdReport {
                cluster_id: cluster.id.clone(),
                members: cluster.members.iter().map(report).collect(),
                revision: cluster.revision,
                alarms: Vec::new(),
                unknown: if quorum { Vec::new() } else { vec!["alarms".into()] },
            })
        });
        report.await.ok_or_else(|| SysError::passing("etcd does not answer here"))
    }

    async fn sign_user(&self, request: &str, valid_s: u32) -> SysResult<UserCertificate> {
        let ends_ms = self.cell.now_ms() + u64::from(valid_s) * 1000;
        let ca = self.cluster_act("sign-user", 400, |cluster, _| Ok(cluster.ca.clone())).await?;
        let asked = hex(&Sha256::digest(request));
        Ok(UserCertificate {
            certificate: simulated("CERTIFICATE", &format!("SIMULATED: what {asked} asked for")),
            ca: simulated("CERTIFICATE", &format!("SIMULATED: the CA {ca}")),
            ends_ms,
        })
    }

    async fn snapshot(&self) -> SysResult<SnapshotInfo> {
        self.act("snapshot", 1_500, |world, node, now_ms| {
            let cluster = world.answering(node, now_ms);
            let cluster = cluster.ok_or_else(|| SysError::passing("etcd does not answer here"))?;
            let (revision, ca) = (cluster.revision, cluster.ca.clone());
            cluster.acknowledge();
            let mut bytes = format!("SIMULATED: etcd at revision {revision}\n").into_bytes();
            bytes.resize(512, b'\n');
            bytes.extend(Sha256::digest(&bytes));
            let file = format!("etcd-r{revision}.db");
            let machine = world.machine(node);
            let path = format!("{OUTGOING}/{file}");
            machine.write(&path, &bytes, &Access::mode(0o600), now_ms);
            let key = |name: &str, text: String| KeyFile {
                name: name.into(),
                content: Sealed::new(STANDARD.encode(text)),
            };
            let says = format!("SIMULATED: the CA {ca}");
            let mut keys = vec![
                key("pki/ca.crt", simulated("CERTIFICATE", &says)),
                key("pki/ca.key", simulated("PRIVATE KEY", &says)),
            ];
            keys.extend(machine.text(ENCRYPTION).map(|text| key("encryption.yaml", text)));
            let sha256 = hex(&Sha256::digest(&bytes));
            Ok(SnapshotInfo { revision, sha256, bytes: bytes.len() as u64, file, keys })
        })
        .await
    }

    async fn install_addon(&self, name: &str, version: &str, _manifest: &str) -> SysResult<()> {
        let now_ms = self.cell.now_ms();
        self.cluster_act("install-addon", 1_500, |cluster, _| {
            let addon = FakeAddon { version: version.into(), ready_at_ms: now_ms + READY_MS };
            cluster.addons.insert(name.into(), addon);
            Ok(())
        })
        .await
    }

    async fn note_addon(&self, name: &str, version: &str) -> SysResult<()> {
        let now_ms = self.cell.now_ms();
        self.cluster_act("note-addon", 200, |cluster, _| {
            let ready_at_ms = if name == ROOT { now_ms } else { now_ms + READY_MS };
            let addon = FakeAddon { version: version.into(), ready_at_ms };
            cluster.addons.insert(name.into(), addon);
            Ok(())
        })
        .await
    }

    async fn commit_of(&self, repository: &Repository, _: &[String]) -> SysResult<String> {
        Ok(self.look(|_, _| commit(repository)).await)
    }

    async fn descends(&self, _: &Repository, _: &str, _: &str) -> SysResult<bool> {
        Ok(true)
    }

    async fn install_kustomization(
        &self,
        name: &str,
        from: &Kustomization,
        _: u32,
    ) -> SysResult<Installed> {
        let now_ms = self.cell.now_ms();
        let commit = commit(&from.repository);
        self.cluster_act("install-addon", 1_500, |cluster, _| {
            if name != ROOT {
                return Ok(Installed { commit, roots: Roots::default() });
            }
            // The platform brings Rook along: from here on there is a Ceph to be careful with.
            let fsid = format!("{:032x}", u128::from(super::machine::fnv(&cluster.id, 2)));
            cluster.ceph_fsid.get_or_insert(fsid);
            let apps = [("root", 1), ("platform", 2), ("storage", 3)];
            for (app, n) in apps {
                let healthy_at_ms = now_ms + n * READY_MS;
                cluster.applications.entry(app.into()).or_insert((commit.clone(), healthy_at_ms));
            }
            Ok(Installed { commit, roots: cluster.roots() })
        })
        .await
    }

    async fn argocd_login(&self) -> SysResult<EngineLogin> {
        Ok(self
            .look(|m, world| {
                let cluster = world.cluster_of(m);
                let installed = cluster.is_some_and(|c| c.addons.contains_key("argocd"));
                let password = installed.then(|| Sealed::new("a-simulated-password"));
                EngineLogin { installed, password, addresses: Vec::new() }
            })
            .await)
    }

    async fn secret(&self, wanted: &ClusterSecret) -> SysResult<SecretFound> {
        let now_ms = self.cell.now_ms();
        Ok(self
            .look(|m, world| {
                let cluster = world.cluster_of(m);
                let answers = |c: &&FakeCluster| c.api_answers(&self.node, world, now_ms);
                cluster
                    .filter(answers)
                    .map_or(SecretFound::NoCluster, |cluster| cluster.secret_beside(wanted))
            })
            .await)
    }

    async fn put_secret(&self, wanted: &ClusterSecret) -> SysResult<()> {
        self.cluster_act("put-secret", 300, |cluster, _| {
            cluster.take_secret(wanted);
            Ok(())
        })
        .await
    }

    async fn install_manifest(&self, _: &str, _: &str, _: u32) -> SysResult<()> {
        self.cluster_act("install-addon", 1_500, |_, _| Ok(())).await
    }

    async fn scopes(&self, _: &[Kustomization]) -> SysResult<Scopes> {
        Ok(Scopes::default())
    }

    async fn built(&self, from: &Kustomization) -> SysResult<Scope> {
        Ok(Scope { path: from.path.clone(), ..Scope::default() })
    }

    async fn gitops_seen(&self) -> SysResult<Seen> {
        let now_ms = self.cell.now_ms();
        let seen = self.look(|m, world| Some(world.cluster_of(m)?.seen(now_ms))).await;
        Ok(seen.unwrap_or_default())
    }

    async fn managed(&self) -> SysResult<Vec<Managed>> {
        Ok(self
            .look(|m, world| {
                let addons = world.cluster_of(m).map(|c| &c.addons).into_iter().flatten();
                let engines = addons.filter(|(name, _)| matches!(name.as_str(), "argocd" | "flux"));
                let one = |(name, _): (&String, &FakeAddon)| Managed {
                    object: format!("Deployment {name}"),
                    by: vec![format!("{name}-controller")],
                };
                engines.map(one).collect()
            })
            .await)
    }

    async fn cluster_trouble(&self, planes: &[Plane]) -> SysResult<Vec<String>> {
        let now_ms = self.cell.now_ms();
        Ok(self
            .look(|m, world| {
                let Some(cluster) = world.cluster_of(m) else { return vec!["no cluster".into()] };
                let wrong = planes.iter().filter(|plane| {
                    plane.control_plane && !cluster.api_answers(&plane.node, world, now_ms)
                });
                wrong.map(|plane| format!("{}'s API server does not answer", plane.node)).collect()
            })
            .await)
    }

    async fn dns_trouble(&self, _: Ipv4Addr, name: &str) -> SysResult<Option<String>> {
        let now_ms = self.cell.now_ms();
        Ok(self
            .look(|m, world| {
                let cluster = world.cluster_of(m)?;
                let serves = cluster.addons.values().any(|addon| now_ms >= addon.ready_at_ms);
                (!serves).then(|| format!("no answer about {name}"))
            })
            .await)
    }

    async fn ceph_noout(&self, node: &NodeName, set: bool) -> SysResult<()> {
        self.cluster_act("ceph-noout", 200, |cluster, _| {
            if let Some(found) = cluster.nodes.get_mut(node) {
                found.noout = set;
            }
            Ok(())
        })
        .await
    }

    async fn ceph_has_noout(&self, node: &NodeName) -> SysResult<Option<bool>> {
        Ok(self
            .look(|m, world| {
                let cluster = world.cluster_of(m)?;
                cluster.ceph_fsid.as_ref()?;
                Some(cluster.nodes.get(node).is_some_and(|n| n.noout))
            })
            .await)
    }

    async fn ceph_is_clean(&self) -> SysResult<Option<bool>> {
        Ok(self
            .look(|m, world| world.cluster_of(m).and_then(|c| c.ceph_fsid.as_ref().map(|_| true)))
            .await)
    }
}
