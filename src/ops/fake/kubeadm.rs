//! kubeadm, as far as decisions rest on it: its phases, what each leaves behind when it is cut off,
//! and what it refuses.

use async_trait::async_trait;

use super::{
    FakeSys, Place, World,
    cluster::{FakeCluster, FakeMember, FakeNode},
};
use crate::{
    facts::EtcdData,
    names::{NodeName, Version},
    ops::{
        cluster::{CONTROL_PLANE_TAINT, EXCLUDE_LABEL},
        endpoint::Seen,
        sys::{EndpointAt, InitPhase, JoinMaterial, Kubeadm, LocalKube, Net, SysError, SysResult},
    },
    secret::Sealed,
};

const YEAR_MS: u64 = 365 * 86_400_000;
const TOKEN_MS: u64 = 24 * 3_600_000;
const CERTIFICATE_KEY_MS: u64 = 2 * 3_600_000;
const STATIC_PODS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// A `key: value` of the documents that ops hand over; a note in a comment counts too.
fn value(config: &str, key: &str) -> Option<String> {
    let prefix = format!("{key}:");
    let line = config
        .lines()
        .map(|l| l.trim().trim_start_matches("- ").trim_start_matches("# "))
        .find(|l| l.starts_with(&prefix))?;
    Some(line[prefix.len()..].trim().trim_matches('"').to_string())
}

fn version_in(config: &str) -> SysResult<Version> {
    value(config, "kubernetesVersion")
        .and_then(|v| v.parse().ok())
        .ok_or_else(|| SysError::other("the kubeadm document names no kubernetesVersion"))
}

fn new_node(control_plane: bool) -> FakeNode {
    let taints = control_plane.then(|| CONTROL_PLANE_TAINT.to_string());
    let labels = control_plane.then(|| (EXCLUDE_LABEL.to_string(), String::new()));
    FakeNode {
        control_plane,
        cordoned: false,
        cordoned_by_us: false,
        taints: taints.into_iter().collect(),
        labels: labels.into_iter().collect(),
        annotations: Default::default(),
        pods: 0,
        noout: false,
    }
}

fn start_kubelet(world: &mut World, node: &NodeName, now_ms: u64) -> SysResult<()> {
    let machine = world.machine(node);
    if machine.linked("/usr/local/bin/kubelet").is_none() {
        return Err(SysError::other("kubelet: command not found"));
    }
    if !machine.ram.active.contains_key("containerd.service") {
        return Err(SysError::other("containerd.sock: connect: no such file or directory"));
    }
    if !machine.ram.swaps.is_empty() {
        return Err(SysError::other("running with swap on is not supported"));
    }
    machine.enabled.insert("kubelet.service".into());
    machine.ram.active.entry("kubelet.service".into()).or_insert(now_ms);
    machine.note_kubelet(now_ms);
    Ok(())
}

fn no_api() -> SysError {
    SysError::passing("the API server does not answer")
}

impl FakeSys {
    async fn init_phase(&self, config: &str, phase: InitPhase) -> SysResult<()> {
        match phase {
            InitPhase::Certs => {
                self.act("init:certs:begin", 300, |world, node, _| {
                    let kube = &mut world.machine(node).kube;
                    kube.pki_is_partial = kube.ca.is_none();
                    Ok(())
                })
                .await?;
                self.act("init:certs", 700, |world, node, now_ms| {
                    let ca = world.make("ca");
                    let kube = &mut world.machine(node).kube;
                    kube.ca.get_or_insert(ca);
                    kube.pki_is_partial = false;
                    kube.certificates_end_ms = now_ms + YEAR_MS;
                    Ok(())
                })
                .await
            }
            InitPhase::Kubeconfig => self.act("init:kubeconfig", 200, |_, _, _| Ok(())).await,
            InitPhase::Etcd => {
                self.act("init:etcd", 200, |world, node, _| {
                    world.machine(node).kube.manifests.insert("etcd".into());
                    Ok(())
                })
                .await
            }
            InitPhase::ControlPlane => {
                self.act("init:control-plane", 200, |world, node, _| {
                    let manifests = STATIC_PODS.map(String::from);
                    world.machine(node).kube.manifests.extend(manifests);
                    Ok(())
                })
                .await
            }
            InitPhase::KubeletStart => {
                self.act("init:kubelet-start", 1_000, |world, node, now_ms| {
                    start_kubelet(world, node, now_ms)?;
                    world.machine(node).kube.kubelet_conf = true;
                    // The first start of etcd with no data makes the cluster's identity.
                    if world.machine(node).kube.etcd_data.is_none() {
                        let (cluster_id, member_id) = (world.make("etcd"), world.make("member"));
                        let ca = world.machine(node).kube.ca.clone().unwrap_or_default();
                        let member = FakeMember {
                            id: member_id.clone(),
                            node: node.clone(),
                            learner: false,
                        };
                        let cluster = FakeCluster {
                            id: cluster_id.clone(),
                            ca,
                            members: vec![member],
                            ..FakeCluster::default()
                        };
                        world.clusters.insert(cluster_id.clone(), cluster);
                        world.machine(node).kube.etcd_data =
                            Some(EtcdData { cluster_id, member_id });
                    }
                    Ok(())
                })
                .await
            }
            InitPhase::WaitControlPlane => {
                self.act("init:wait-control-plane", 9_000, |world, node, now_ms| {
                    let version = version_in(config)?;
                    world.machine(node).kube.api_version = Some(version.clone());
                    let endpoint = value(config, "vip").and_then(|v| v.parse().ok());
                    let Some(cluster) = world.answering(node, now_ms) else {
                        return Err(SysError::other("timed out waiting for the API server"));
                    };
                    cluster.endpoint = endpoint;
                    cluster.acknowledge();
                    Ok(())
                })
                .await
            }
            InitPhase::UploadConfig => {
                self.cluster_act("init:upload-config", 300, |cluster, node| {
                    cluster.version = Some(version_in(config)?);
                    cluster.nodes.entry(node.clone()).or_insert_with(|| new_node(true));
                    Ok(())
                })
                .await
            }
            InitPhase::MarkControlPlane => {
                self.cluster_act("init:mark-control-plane", 200, |cluster, node| {
                    cluster.nodes.entry(node.clone()).or_insert_with(|| new_node(true));
                    Ok(())
                })
                .await
            }
            InitPhase::BootstrapToken => {
                self.cluster_act("init:bootstrap-token", 200, |_, _| Ok(())).await
            }
            InitPhase::Addons => {
                self.cluster_act("init:addons", 500, |cluster, node| {
                    cluster.dns_alone_on = Some(node.clone());
                    Ok(())
                })
                .await?;
                self.act("init:finish", 50, |world, node, _| {
                    world.machine(node).kube.finished = true;
                    Ok(())
                })
                .await
            }
        }
    }

    /// Changes what the API server on this node holds; every change is a write that etcd acknowledges.
    pub(super) async fn cluster_act<T>(
        &self,
        call: &'static str,
        ms: u64,
        change: impl FnOnce(&mut FakeCluster, &NodeName) -> SysResult<T> + Send,
    ) -> SysResult<T> {
        self.act(call, ms, |world, node, now_ms| {
            let cluster = world.answering(node, now_ms).ok_or_else(no_api)?;
            let result = change(cluster, node)?;
            cluster.acknowledge();
            Ok(result)
        })
        .await
    }

    async fn preflight(&self, images: bool) -> SysResult<()> {
        self.look(|m, _| {
            if m.linked("/usr/local/bin/kubeadm").is_none() {
                return Err(SysError::other("kubeadm: command not found"));
            }
            if m.ram.sysctls.get("net.ipv4.ip_forward").map(String::as_str) != Some("1") {
                return Err(SysError::other(
                    "[preflight] /proc/sys/net/ipv4/ip_forward contents are not set to 1",
                ));
            }
            if images && m.images.is_empty() {
                return Err(SysError::other("[preflight] images are missing and cannot be pulled"));
            }
            Ok(())
        })
        .await
    }

    async fn join(&self, config: &str) -> SysResult<()> {
        self.preflight(true).await?;
        let control_plane = config.contains("controlPlane:");
        let token = value(config, "token").unwrap_or_default();
        let key = value(config, "certificateKey").unwrap_or_default();
        let ca = value(config, "caCertHashes").unwrap_or_default();
        let id = self
            .act("join:discover", 1_000, |world, _, now_ms| {
                let found = world.clusters.values().find(|c| ca.contains(c.ca.as_str()));
                let cluster = found.ok_or_else(|| SysError::other("no cluster has this CA"))?;
                if !cluster.api_answers_anywhere(world, now_ms) {
                    return Err(no_api());
                }
                if cluster.tokens.get(&token).is_none_or(|ends| *ends < now_ms) {
                    return Err(SysError::other("the bootstrap token is invalid or has expired"));
                }
                let key_fits = cluster
                    .certificate_key
                    .as_ref()
                    .is_some_and(|(k, ends)| *k == key && *ends >= now_ms);
                if control_plane && !key_fits {
                    return Err(SysError::other("the certificate key is invalid or has expired"));
                }
                Ok(cluster.id.clone())
            })
            .await?;
        if control_plane {
            self.act("join:certs:begin", 300, |world, node, _| {
                world.machine(node).kube.pki_is_partial = true;
                Ok(())
            })
            .await?;
        }
        self.act("join:certs", 500, |world, node, now_ms| {
            let cluster = world.clusters.get(&id).ok_or_else(no_api)?;
            let (ca, version) = (cluster.ca.clone(), cluster.version.clone());
            let kube = &mut world.machine(node).kube;
            kube.ca = Some(ca);
            kube.pki_is_partial = false;
            if control_plane {
                kube.certificates_end_ms = now_ms + YEAR_MS;
                kube.manifests.extend(STATIC_PODS.map(String::from));
                kube.api_version = version;
            }
            Ok(())
        })
        .await?;
        self.act("join:kubelet-start", 2_500, |world, node, now_ms| {
            start_kubelet(world, node, now_ms)?;
            world.machine(node).kube.kubelet_conf = true;
            let cluster = world.clusters.get_mut(&id).ok_or_else(no_api)?;
            cluster.nodes.insert(node.clone(), new_node(control_plane));
            cluster.acknowledge();
            Ok(())
        })
        .await?;
        if control_plane {
            self.join_etcd(&id).await?;
        }
        self.mark_joined(&id).await
    }

    async fn join_etcd(&self, id: &str) -> SysResult<()> {
        self.act("join:etcd-add-learner", 800, |world, node, now_ms| {
            let member_id = world.make("member");
            let quorum = world.clusters.get(id).is_some_and(|c| c.has_quorum(world, now_ms));
            let unstarted = world
                .clusters
                .get(id)
                .is_some_and(|c| c.members.iter().any(|m| !c.member_runs(m, world, now_ms)));
            if !quorum {
                return Err(no_api());
            }
            if unstarted {
                return Err(SysError::other(
                    "etcdserver: unhealthy cluster: a member is not started",
                ));
            }
            let cluster = world.clusters.get_mut(id).ok_or_else(no_api)?;
            if cluster.members.iter().any(|m| m.learner) {
                return Err(SysError::other("etcdserver: too many learner members in cluster"));
            }
            cluster.members.push(FakeMember { id: member_id, node: node.clone(), learner: true });
            cluster.acknowledge();
            Ok(())
        })
        .await?;
        self.act("join:etcd-start", 2_000, |world, node, _| {
            let cluster = world.clusters.get(id).ok_or_else(no_api)?;
            let member = cluster.members.iter().find(|m| &m.node == node);
            let member_id =
                member.map(|m| m.id.clone()).ok_or_else(|| SysError::other("member vanished"))?;
            let kube = &mut world.machine(node).kube;
            kube.manifests.insert("etcd".into());
            kube.etcd_data = Some(EtcdData { cluster_id: id.into(), member_id });
            Ok(())
        })
        .await?;
        self.act("join:etcd-promote", 2_000, |world, node, now_ms| {
            if !world.clusters.get(id).is_some_and(|c| c.has_quorum(world, now_ms)) {
                return Err(no_api());
            }
            let cluster = world.clusters.get_mut(id).ok_or_else(no_api)?;
            for member in cluster.members.iter_mut().filter(|m| &m.node == node) {
                member.learner = false;
            }
            cluster.acknowledge();
            Ok(())
        })
        .await
    }

    async fn mark_joined(&self, id: &str) -> SysResult<()> {
        self.act("join:mark", 500, |world, node, _| {
            let control_plane = world.machine(node).kube.manifests.contains("etcd");
            let cluster = world.clusters.get_mut(id).ok_or_else(no_api)?;
            cluster.nodes.entry(node.clone()).or_insert_with(|| new_node(control_plane));
            cluster.acknowledge();
            world.machine(node).kube.finished = true;
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Kubeadm for FakeSys {
    async fn local_kube(&self) -> SysResult<LocalKube> {
        let (now_ms, node) = (self.cell.now_ms(), self.node.clone());
        Ok(self
            .look(|m, world| {
                let cluster = world.cluster_of(m);
                let member =
                    cluster.and_then(|c| c.members.iter().find(|x| x.node == node).map(|x| (c, x)));
                LocalKube {
                    ca_fingerprint: m.kube.ca.clone(),
                    pki_is_partial: m.kube.pki_is_partial,
                    kubelet_conf: m.kube.kubelet_conf,
                    manifests: m.kube.manifests.iter().cloned().collect(),
                    manifests_in_backup: m
                        .kube
                        .backup
                        .difference(&m.kube.manifests)
                        .cloned()
                        .collect(),
                    etcd_data: m.kube.etcd_data.clone(),
                    etcd_votes: member
                        .and_then(|(c, x)| c.member_runs(x, world, now_ms).then_some(!x.learner)),
                    api_answers: cluster.is_some_and(|c| c.api_answers(&node, world, now_ms)),
                    finished: m.kube.finished,
                    api_version: m.kube.api_version.clone(),
                    kubelet_version: m.ram.kubelet_version.clone(),
                }
            })
            .await)
    }

    async fn kubeadm_init(&self, config: &str) -> SysResult<()> {
        self.preflight(true).await?;
        for phase in InitPhase::ALL {
            self.init_phase(config, phase).await?;
        }
        Ok(())
    }

    async fn kubeadm_init_phase(&self, config: &str, phase: InitPhase) -> SysResult<()> {
        self.init_phase(config, phase).await
    }

    async fn kubeadm_join(&self, config: &Sealed) -> SysResult<()> {
        self.join(config.reveal()).await
    }

    async fn finish_join(&self, _config: &Sealed) -> SysResult<()> {
        let id = self.look(|m, world| world.cluster_of(m).map(|c| c.id.clone())).await;
        self.mark_joined(&id.ok_or_else(no_api)?).await
    }

    async fn restore_manifests(&self) -> SysResult<()> {
        self.act("restore-manifests", 300, |world, node, _| {
            let kube = &mut world.machine(node).kube;
            kube.manifests.append(&mut kube.backup);
            Ok(())
        })
        .await
    }

    async fn kubeadm_reset(&self) -> SysResult<()> {
        self.act("reset:stop", 2_000, |world, node, now_ms| {
            let machine = world.machine(node);
            machine.kube.manifests.clear();
            // It is stopped, and starts again at the next boot: kubeadm leaves it enabled.
            machine.ram.active.remove("kubelet.service");
            machine.note_kubelet(now_ms);
            Ok(())
        })
        .await?;
        self.act("reset:clear", 1_500, |world, node, _| {
            let kube = &mut world.machine(node).kube;
            let images_and_versions_stay = super::machine::FakeKube::default();
            *kube = images_and_versions_stay;
            Ok(())
        })
        .await
    }

    async fn upgrade_apply(&self, _config: &str, version: &Version) -> SysResult<()> {
        let kubeadm = self.look(|m, _| m.linked("/usr/local/bin/kubeadm")).await;
        if kubeadm.as_ref() != Some(version) {
            return Err(SysError::other(format!("this kubeadm is not {version}")));
        }
        self.cluster_act("upgrade:plan", 2_000, |_, _| Ok(())).await?;
        self.roll_static_pods(version).await?;
        self.cluster_act("upgrade:upload-config", 500, |cluster, _| {
            cluster.version = Some(version.clone());
            Ok(())
        })
        .await
    }

    async fn upgrade_node(&self, _config: &str) -> SysResult<()> {
        let (version, control_plane) = self
            .look(|m, world| {
                let version = world.cluster_of(m).and_then(|c| c.version.clone());
                (version, m.kube.manifests.contains("kube-apiserver"))
            })
            .await;
        let version = version.ok_or_else(no_api)?;
        if control_plane {
            self.roll_static_pods(&version).await
        } else {
            self.point(Place::Call("upgrade:kubelet-config"), 500).await
        }
    }

    async fn mint_join(&self, control_plane: bool) -> SysResult<JoinMaterial> {
        let (ca, token, key) = self
            .act("mint-join", 600, |world, node, now_ms| {
                let token = world.make("token");
                let (token, key) =
                    (format!("{}.{}", &token[..6], &token[6..22]), world.make("key"));
                let cluster = world.answering(node, now_ms).ok_or_else(no_api)?;
                cluster.tokens.retain(|_, ends| *ends > now_ms);
                cluster.tokens.insert(token.clone(), now_ms + TOKEN_MS);
                if control_plane {
                    cluster.certificate_key = Some((key.clone(), now_ms + CERTIFICATE_KEY_MS));
                }
                cluster.acknowledge();
                Ok((cluster.ca.clone(), token, key))
            })
            .await?;
        Ok(JoinMaterial {
            token: Sealed::new(token),
            certificate_key: control_plane.then(|| Sealed::new(key)),
            ca_fingerprint: ca,
        })
    }

    async fn component_troubles(&self, _shown: bool) -> SysResult<Vec<String>> {
        let local = self.local_kube().await?;
        let now_ms = self.cell.now_ms();
        if self.look(move |m, _| now_ms < m.ram.static_pods_away_ms.end).await {
            return Ok(vec!["kube-apiserver: its kubelet has not started it yet".into()]);
        }
        let api = (!local.api_answers).then(|| "kube-apiserver: it is not ready".to_string());
        let etcd = (local.etcd_votes != Some(true)).then(|| "etcd: it does not vote".to_string());
        Ok(api.into_iter().chain(etcd).collect())
    }

    async fn look_at_endpoint(&self, _: &EndpointAt) -> SysResult<Seen> {
        // Its balancer knows only this fleet.
        let now_ms = self.cell.now_ms();
        let serves = self.look(move |m, world| {
            let cluster = world.cluster_of(m);
            cluster.is_some_and(|c| c.nodes.keys().any(|node| c.api_answers(node, world, now_ms)))
        });
        Ok(if serves.await { Seen::Ours } else { Seen::NobodyBehind })
    }

    async fn endpoint_trouble(&self, at: &EndpointAt) -> SysResult<Option<String>> {
        // Behind a name there is somebody else's balancer.
        let Some(address) = at.address else {
            let seen = self.look_at_endpoint(at).await?;
            return Ok((seen != Seen::Ours).then(|| "no answer".to_string()));
        };
        let proof = self.prove(address, 576, false).await?;
        Ok((proof.loss_percent == 100).then(|| "no answer".to_string()))
    }
}

impl FakeSys {
    /// New static pods in the old ones' place: etcd and the API server are away for a moment.
    async fn roll_static_pods(&self, version: &Version) -> SysResult<()> {
        self.act("upgrade:stop-etcd", 500, |world, node, _| {
            let kube = &mut world.machine(node).kube;
            kube.manifests.remove("etcd");
            kube.backup.insert("etcd".into());
            Ok(())
        })
        .await?;
        self.act("upgrade:start-etcd", 4_000, |world, node, _| {
            let kube = &mut world.machine(node).kube;
            kube.manifests.insert("etcd".into());
            kube.backup.clear();
            Ok(())
        })
        .await?;
        self.act("upgrade:static-pods", 6_000, |world, node, now_ms| {
            let kube = &mut world.machine(node).kube;
            kube.manifests.insert("etcd".into());
            kube.api_version = Some(version.clone());
            kube.certificates_end_ms = now_ms + YEAR_MS;
            Ok(())
        })
        .await
    }
}
