//! kubeadm's init and join, whole or finished after a cut, and its reset.
//!
//! What to do about a half-made node is decided by [`decide_init`] and [`decide_join`], which do
//! no IO: a cluster has one identity, and a node's etcd data is never thrown away while it votes.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Diff, Nature, Observed, OpError, OpResult, Output, Touch};
use super::sys::{InitPhase, JoinMaterial, LocalKube, Sys};
use crate::{events::Refusal, names::NodeName, secret::Sealed};

/// The first control plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Init {
    /// The kubeadm documents; no secrets in them.
    pub config: String,
    /// The cluster's CA, where the ledger knows that an API server has answered under it.
    pub known_ca: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitDecision {
    Done,
    Fresh,
    /// On the same PKI, phase by phase; each is idempotent.
    Finish,
    /// Half-made keys, and etcd holds no data: nothing can be lost.
    ResetThenFresh,
    Refuse(String),
}

pub fn decide_init(local: &LocalKube, known_ca: Option<&str>) -> InitDecision {
    use InitDecision::{Done, Finish, Fresh, Refuse, ResetThenFresh};
    match (known_ca, local.ca_fingerprint.as_deref()) {
        (Some(known), Some(found)) if known != found => {
            return Refuse(format!(
                "this node carries the CA {}, but the cluster was made with {}",
                short(found),
                short(known)
            ));
        }
        (Some(known), None) => {
            return Refuse(format!(
                "the cluster with the CA {} was made already, and this node does not carry it",
                short(known)
            ));
        }
        _ => {}
    }
    let has_data = local.etcd_data.is_some();
    match &local.ca_fingerprint {
        Some(_) if local.finished && local.api_answers => Done,
        Some(_) => Finish,
        None if has_data => {
            Refuse("etcd holds data here, but the CA that it was made with is gone".into())
        }
        None if local.pki_is_partial || local.kubelet_conf || !local.manifests.is_empty() => {
            ResetThenFresh
        }
        None => Fresh,
    }
}

fn short(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}

#[async_trait]
impl Action for Init {
    fn title(&self) -> String {
        "kubeadm init".into()
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: 900, ..Nature::ONCE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let local = sys.local_kube().await?;
        let text = match decide_init(&local, self.known_ca.as_deref()) {
            InitDecision::Done => return Ok(Observed::Holds),
            InitDecision::Fresh => "make the cluster: its CA, etcd and first API server",
            InitDecision::Finish => "finish the init that was cut off, on the same PKI",
            InitDecision::ResetThenFresh => {
                "clear away half-made keys (etcd holds no data), then init"
            }
            InitDecision::Refuse(why) => {
                return Err(OpError::refused(Refusal::Identity, self.title(), why).hint(
                    "if that cluster is gone for good, run `slipway reset` first; it asks before it forgets",
                ));
            }
        };
        Ok(Observed::Differs(vec![Diff::say(text)]))
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        let local = sys.local_kube().await?;
        match decide_init(&local, self.known_ca.as_deref()) {
            InitDecision::Done => {}
            InitDecision::Fresh => sys.kubeadm_init(&self.config).await?,
            InitDecision::ResetThenFresh => {
                sys.kubeadm_reset().await?;
                sys.kubeadm_init(&self.config).await?;
            }
            InitDecision::Finish => {
                for phase in InitPhase::ALL {
                    sys.kubeadm_init_phase(&self.config, phase).await?;
                }
            }
            InitDecision::Refuse(why) => {
                return Err(OpError::refused(Refusal::Identity, self.title(), why));
            }
        }
        self.recall(sys).await
    }

    async fn recall(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        let local = sys.local_kube().await?;
        Ok(match (local.ca_fingerprint, local.etcd_data) {
            (Some(ca_fingerprint), Some(data)) => {
                Some(Output::Identity { ca_fingerprint, etcd_cluster_id: data.cluster_id })
            }
            _ => None,
        })
    }
}

/// On a control plane, for a node that joins: a token, and for a control plane the uploaded
/// certificates' key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MintJoin {
    pub control_plane: bool,
}

#[async_trait]
impl Action for MintJoin {
    fn title(&self) -> String {
        "mint a join token".into()
    }

    fn nature(&self) -> Nature {
        Nature::SERVES
    }

    async fn observe(&self, _sys: &dyn Sys) -> OpResult<Observed> {
        Ok(Observed::Differs(vec![Diff::say("make a join token")]))
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        Ok(Some(Output::Join(sys.mint_join(self.control_plane).await?)))
    }
}

/// A node joins the cluster, as a control plane or a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Join {
    pub node: NodeName,
    pub control_plane: bool,
    /// The kubeadm document, with `{token}` and `{certificate_key}` still to be filled in.
    pub config: String,
    /// None in the plan: `<from mint-join>`.
    pub material: Option<JoinMaterial>,
    /// The cluster's members were asked: the etcd data on this node belongs to none of them.
    pub data_is_orphaned: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinDecision {
    Done,
    Fresh,
    /// The member votes: only the marks of a finished join are missing.
    Finish,
    ResetThenFresh,
    Wait(String),
    Refuse(String),
}

pub fn decide_join(local: &LocalKube, control_plane: bool, data_is_orphaned: bool) -> JoinDecision {
    use JoinDecision::{Done, Finish, Fresh, Refuse, ResetThenFresh, Wait};
    if local.finished && (!control_plane || local.api_answers) && local.kubelet_conf {
        return Done;
    }
    if local.etcd_data.is_some() && !data_is_orphaned {
        return match local.etcd_votes {
            Some(true) => Finish,
            Some(false) => Wait("its etcd member is still a learner".into()),
            None if local.manifests.iter().any(|m| m == "etcd") => {
                Wait("its etcd has data but does not answer".into())
            }
            None => Refuse(
                "it holds etcd data, and whether that belongs to a member cannot be learned".into(),
            ),
        };
    }
    let touched = local.ca_fingerprint.is_some()
        || local.pki_is_partial
        || local.kubelet_conf
        || !local.manifests.is_empty()
        || local.etcd_data.is_some();
    if touched { ResetThenFresh } else { Fresh }
}

/// How long a join waits for the node's own etcd to come back after a cut.
const SETTLE_S: u64 = 90;

impl Join {
    fn decide(&self, local: &LocalKube) -> JoinDecision {
        decide_join(local, self.control_plane, self.data_is_orphaned)
    }

    fn filled(&self) -> OpResult<Sealed> {
        let Some(material) = &self.material else {
            return Err(OpError::new(self.title(), "the join token has not arrived")
                .hint("the cluster changed since the plan was made; run the same command again"));
        };
        let key = material.certificate_key.as_ref().map_or("", Sealed::reveal);
        Ok(Sealed::new(
            self.config
                .replace("{token}", material.token.reveal())
                .replace("{certificate_key}", key)
                .replace("{ca_hash}", &material.ca_fingerprint),
        ))
    }
}

#[async_trait]
impl Action for Join {
    fn title(&self) -> String {
        "kubeadm join".into()
    }

    fn nature(&self) -> Nature {
        let touch = if self.control_plane { Touch::AddsMember } else { Touch::Nothing };
        Nature { touch, timeout_s: 900, ..Nature::ONCE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let local = sys.local_kube().await?;
        let text = match self.decide(&local) {
            JoinDecision::Done => return Ok(Observed::Holds),
            JoinDecision::Fresh if self.control_plane => "join as a control plane".to_string(),
            JoinDecision::Fresh => "join as a worker".to_string(),
            JoinDecision::Finish => "finish the join that was cut off".into(),
            JoinDecision::ResetThenFresh if local.etcd_data.is_some() => {
                let what = "etcd data on this node that belongs to no member";
                return Ok(Observed::Differs(vec![Diff::Destroy(what.into())]));
            }
            JoinDecision::ResetThenFresh => "clear away a half-made join, then join".into(),
            JoinDecision::Wait(why) => format!("finish the join that was cut off ({why})"),
            JoinDecision::Refuse(why) => {
                return Err(OpError::refused(Refusal::Quorum, self.title(), why)
                    .hint("look at `slipway status`; when no member is this node, `slipway reset --on` it"));
            }
        };
        Ok(Observed::Differs(vec![Diff::say(text)]))
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        let deadline = sys.now_ms() + SETTLE_S * 1000;
        loop {
            match self.decide(&sys.local_kube().await?) {
                JoinDecision::Done => break,
                JoinDecision::Fresh => sys.kubeadm_join(&self.filled()?).await?,
                JoinDecision::Finish => sys.finish_join(&self.filled()?).await?,
                JoinDecision::ResetThenFresh => {
                    sys.kubeadm_reset().await?;
                    sys.kubeadm_join(&self.filled()?).await?;
                }
                JoinDecision::Wait(why) if sys.now_ms() < deadline => {
                    drop(why);
                    sys.sleep_ms(500).await;
                    continue;
                }
                JoinDecision::Wait(why) => {
                    return Err(OpError::new(self.title(), format!("after {SETTLE_S} s: {why}"))
                        .hint("run the same command again: it looks at the members first"));
                }
                JoinDecision::Refuse(why) => {
                    return Err(OpError::refused(Refusal::Quorum, self.title(), why));
                }
            }
            break;
        }
        Ok(None)
    }
}

pub const ENCRYPTION: &str = "/etc/kubernetes/slipway/encryption.yaml";

/// The key that encrypts Secrets at rest: made once, on the first control plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EncryptionConfig {
    /// Hand it over for a control plane that joins.
    pub serve: bool,
}

#[async_trait]
impl Action for EncryptionConfig {
    fn title(&self) -> String {
        if self.serve { "fetch the encryption key" } else { "encryption of secrets at rest" }.into()
    }

    fn nature(&self) -> Nature {
        if self.serve { Nature::SERVES } else { Nature::CHANGE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let found = sys.read(ENCRYPTION).await?;
        Ok(if found.is_some() && !self.serve {
            Observed::Holds
        } else {
            Observed::Differs(vec![Diff::say(format!("{ENCRYPTION} (contents hidden)"))])
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        if let Some(found) = sys.read(ENCRYPTION).await? {
            let text = String::from_utf8_lossy(&found.content).into_owned();
            return Ok(self.serve.then(|| Output::EncryptionConfig(Sealed::new(text))));
        }
        if sys.local_kube().await?.etcd_data.is_some() {
            return Err(OpError::refused(
                Refusal::Identity,
                self.title(),
                "etcd holds data here, but the key that its Secrets are encrypted with is gone",
            )
            .hint("restore /etc/kubernetes/slipway/encryption.yaml from another control plane or a backup"));
        }
        let key = base64(&sys.random_bytes(32).await?);
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n  - secretbox:\n      keys:\n      - name: slipway-1\n        secret: {key}\n  - identity: {{}}\n"
        );
        sys.write(ENCRYPTION, text.as_bytes(), 0o600).await?;
        Ok(None)
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |w, i| w << 8 | u32::from(chunk.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let index = (word >> (18 - 6 * i)) as usize & 63;
            text.push(if i <= chunk.len() { ALPHABET[index] as char } else { '=' });
        }
    }
    text
}

/// The same key on a control plane that joins; a different one is never overwritten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlaceEncryption {
    /// None in the plan: `<from encryption>`.
    pub config: Option<Sealed>,
}

#[async_trait]
impl Action for PlaceEncryption {
    fn title(&self) -> String {
        "place the encryption key".into()
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let create =
            Observed::Differs(vec![Diff::say(format!("create {ENCRYPTION} (contents hidden)"))]);
        match (sys.read(ENCRYPTION).await?, &self.config) {
            (None, _) => Ok(create),
            (Some(_), None) => Ok(Observed::Holds),
            (Some(found), Some(want)) if found.content == want.reveal().as_bytes() => {
                Ok(Observed::Holds)
            }
            // A node that has not joined yet serves no Secret with it: a leftover may go.
            (Some(_), Some(_)) if sys.local_kube().await?.etcd_data.is_none() => Ok(create),
            (Some(_), Some(_)) => Err(OpError::refused(
                Refusal::Identity,
                self.title(),
                "this control plane carries another encryption key than the first one",
            )
            .hint("compare /etc/kubernetes/slipway/encryption.yaml on both; Secrets written with either need its key")),
        }
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        let Some(config) = &self.config else {
            return Err(OpError::new(
                self.title(),
                "the key has not arrived from the first control plane",
            )
            .hint("run the same command again"));
        };
        sys.write(ENCRYPTION, config.reveal().as_bytes(), 0o600).await?;
        Ok(None)
    }
}

/// Everything of Kubernetes goes from this node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResetNode {
    /// The whole cluster is being taken down, as the operator asked: voters may go too.
    pub teardown: bool,
}

#[async_trait]
impl Action for ResetNode {
    fn title(&self) -> String {
        "kubeadm reset".into()
    }

    fn nature(&self) -> Nature {
        Nature { destructive: true, timeout_s: 300, ..Nature::CHANGE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let local = sys.local_kube().await?;
        let mut differences = Vec::new();
        if local.etcd_data.is_some() {
            differences.push(Diff::Destroy("this node's etcd data".into()));
        }
        if local.ca_fingerprint.is_some()
            || local.pki_is_partial
            || local.kubelet_conf
            || !local.manifests.is_empty()
        {
            differences.push(Diff::say("remove this node's Kubernetes identity and certificates"));
        }
        if self.teardown && sys.read(ENCRYPTION).await?.is_some() {
            differences.push(Diff::Destroy("the key that encrypts Secrets at rest".into()));
        }
        Ok(if differences.is_empty() { Observed::Holds } else { Observed::Differs(differences) })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        let local = sys.local_kube().await?;
        if !self.teardown && local.etcd_votes == Some(true) {
            return Err(OpError::refused(
                Refusal::Quorum,
                self.title(),
                "its etcd member still votes, and resetting it would cost the cluster a vote",
            )
            .hint("run `slipway remove-node`, which takes the member out first"));
        }
        sys.kubeadm_reset().await?;
        // The key goes last: while any etcd data is left, Secrets in it need the key.
        sys.remove(ENCRYPTION).await?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::EtcdData;

    fn data() -> Option<EtcdData> {
        Some(EtcdData { cluster_id: "c".into(), member_id: "m".into() })
    }

    #[test]
    fn a_cut_init_keeps_its_pki() {
        let ca = Some("aa".to_string());
        let cut = LocalKube { ca_fingerprint: ca.clone(), ..Default::default() };
        assert_eq!(decide_init(&cut, None), InitDecision::Finish);
        let with_data = LocalKube { etcd_data: data(), ..cut };
        assert_eq!(decide_init(&with_data, None), InitDecision::Finish);
        let torn = LocalKube { pki_is_partial: true, ..Default::default() };
        assert_eq!(decide_init(&torn, None), InitDecision::ResetThenFresh);
        let torn_with_data =
            LocalKube { pki_is_partial: true, etcd_data: data(), ..Default::default() };
        assert!(matches!(decide_init(&torn_with_data, None), InitDecision::Refuse(_)));
    }

    #[test]
    fn a_known_cluster_is_never_made_again() {
        let blank = LocalKube::default();
        assert_eq!(decide_init(&blank, None), InitDecision::Fresh);
        assert!(matches!(decide_init(&blank, Some("aa")), InitDecision::Refuse(_)));
        let other = LocalKube { ca_fingerprint: Some("bb".into()), ..Default::default() };
        assert!(matches!(decide_init(&other, Some("aa")), InitDecision::Refuse(_)));
    }

    #[test]
    fn data_that_may_vote_is_never_reset() {
        for votes in [None, Some(false), Some(true)] {
            for kubelet_conf in [false, true] {
                let local = LocalKube {
                    etcd_data: data(),
                    etcd_votes: votes,
                    kubelet_conf,
                    ..Default::default()
                };
                let decision = decide_join(&local, true, false);
                assert!(
                    !matches!(decision, JoinDecision::ResetThenFresh | JoinDecision::Fresh),
                    "{votes:?}: {decision:?}"
                );
            }
        }
        let orphan = LocalKube { etcd_data: data(), ..Default::default() };
        assert_eq!(decide_join(&orphan, true, true), JoinDecision::ResetThenFresh);
    }

    #[test]
    fn base64_is_base64() {
        assert_eq!(base64(b"Man"), "TWFu");
        assert_eq!(base64(b"Ma"), "TWE=");
        assert_eq!(base64(b"M"), "TQ==");
        assert_eq!(base64(b""), "");
    }
}
