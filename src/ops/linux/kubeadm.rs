//! kubeadm, run with documents that lie on the node for as long as it runs.

use std::{fs, pin::pin};

use async_trait::async_trait;
use serde_json::json;

use super::{
    Linux,
    command::{Command, Finished},
    kube::{BACKUPS, ETCD_MEMBER, MADE, MANIFESTS, PKI},
};
use crate::{
    https::{Credentials, Https},
    kube::{SYSTEM, certificate, value},
    names::{Version, hex},
    ops::{
        endpoint::Seen,
        sys::{
            EndpointAt, Files, InitPhase, JoinMaterial, Kernel, Kubeadm, LocalKube, Net, SysError,
            SysResult, Time,
        },
    },
    secret::Sealed,
};

const KUBEADM: &str = "/usr/local/bin/kubeadm";
const KUBE_VIP: &str = "/etc/kubernetes/manifests/kube-vip.yaml";
/// A join that is ordered now happens within minutes; kubeadm's own day is generous.
const TOKEN_S: u64 = 2 * 3600;
/// As long as kubeadm's documents give a control plane.
const API_WAIT_S: u64 = 360;
const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
/// How long it is looked for.
const SIGNED_MS: u64 = 15_000;
/// The letters of a bootstrap token.
const LETTERS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// What a kubeadm document holds that nobody may see.
const SECRETS: [&str; 2] = ["token", "certificateKey"];

fn arguments(phase: InitPhase, kube_proxy: bool) -> Vec<&'static [&'static str]> {
    match phase {
        InitPhase::Certs => vec![&["certs", "all"]],
        InitPhase::Kubeconfig => vec![&["kubeconfig", "all"]],
        InitPhase::Etcd => vec![&["etcd", "local"]],
        InitPhase::ControlPlane => vec![&["control-plane", "all"]],
        InitPhase::KubeletStart => vec![&["kubelet-start"]],
        // kubeadm's own takes no document, and so does not know where to ask.
        InitPhase::WaitControlPlane => vec![],
        InitPhase::UploadConfig => vec![&["upload-config", "all"]],
        InitPhase::MarkControlPlane => vec![&["mark-control-plane"]],
        InitPhase::BootstrapToken => vec![&["bootstrap-token"], &["kubelet-finalize", "all"]],
        InitPhase::Addons if kube_proxy => vec![&["addon", "all"]],
        InitPhase::Addons => vec![&["addon", "coredns"]],
    }
}

/// Documents that skip the kube-proxy add-on do so in phases too, which do not read that list.
fn wants_kube_proxy(config: &str) -> bool {
    !config.lines().any(|l| l.starts_with("skipPhases:") && l.contains("addon/kube-proxy"))
}

impl Linux {
    /// Runs kubeadm with a document, which is gone afterwards. What it prints is kept only when it
    /// fails, and without what is secret in the document.
    async fn kubeadm(&self, args: &[&str], config: &str) -> SysResult<Finished> {
        let id = hex(&self.random_bytes(8).await?);
        let file = format!("/run/slipway/kubeadm-{id}.yaml");
        self.write(&file, config.as_bytes(), 0o600).await?;
        let path = self.path(&file);
        let command = Command::new(KUBEADM).args(args.iter().copied());
        let done = command.arg("--config").arg(path.to_string_lossy()).done().await;
        self.remove(&file).await?;
        match done {
            Ok(done) => Ok(done),
            Err(error) if matches!(args.first(), Some(&("init" | "join" | "upgrade"))) => {
                Err(self.with_kubelet(told(error, config)).await)
            }
            Err(error) => Err(told(error, config)),
        }
    }

    /// What kubeadm wrote is on the disk: it does not see to that itself, and a PKI that a power cut
    /// tears while etcd's data lasts would be the end of the cluster.
    async fn settle(&self) -> SysResult<()> {
        let dirs = ["/etc/kubernetes", "/var/lib/kubelet"].map(|dir| self.path(dir));
        let dirs = dirs.iter().filter(|dir| dir.exists()).map(|dir| dir.to_string_lossy());
        Command::new("sync").arg("-f").args(dirs).done().await.map(drop)
    }

    async fn mark_made(&self) -> SysResult<()> {
        self.settle().await?;
        let ca = self.ca().ok_or_else(|| {
            SysError::other("kubeadm succeeded, but the cluster's CA cannot be read here")
        })?;
        self.write(MADE, format!("{}\n", ca.fingerprint).as_bytes(), 0o600).await
    }

    /// A key is written before its certificate. What a cut left of a pair is taken for damage by
    /// kubeadm; a leaf is simply made again.
    async fn drop_half_pairs(&self) -> SysResult<()> {
        for dir in [PKI.to_string(), format!("{PKI}/etcd")] {
            let names = self.names_in(&dir);
            let stems = names.iter().filter_map(|n| n.rsplit_once('.').map(|(stem, _)| stem));
            for stem in stems {
                if matches!(stem, "ca" | "front-proxy-ca" | "sa") && self.has(ETCD_MEMBER) {
                    continue;
                }
                let (public, key) = match stem {
                    "sa" => ("pub", "key"),
                    _ => ("crt", "key"),
                };
                let reads = |ending: &str| {
                    let text = self.text_of(&format!("{dir}/{stem}.{ending}"));
                    text.is_some_and(|t| t.contains("-----END"))
                };
                let sound = match public {
                    "crt" => {
                        let text = self.text_of(&format!("{dir}/{stem}.crt"));
                        text.is_some_and(|t| certificate::read(&t).is_some())
                    }
                    _ => reads(public),
                };
                if !(sound && reads(key)) {
                    self.remove(&format!("{dir}/{stem}.{public}")).await?;
                    self.remove(&format!("{dir}/{stem}.{key}")).await?;
                }
            }
        }
        Ok(())
    }

    async fn phase(&self, config: &str, phase: InitPhase) -> SysResult<()> {
        if phase == InitPhase::Certs {
            self.drop_half_pairs().await?;
        }
        for arguments in arguments(phase, wants_kube_proxy(config)) {
            let mut line = vec!["init", "phase"];
            line.extend_from_slice(arguments);
            self.kubeadm(&line, config).await?;
        }
        match phase {
            InitPhase::Kubeconfig => self.settle().await,
            InitPhase::WaitControlPlane => self.wait_for_api().await,
            InitPhase::Addons => self.mark_made().await,
            _ => Ok(()),
        }
    }

    /// Until the cluster vouches for a new token: in its first seconds it does not, and kubeadm looks again
    /// only after five. Whether it ever does, and whether it is this cluster, kubeadm says.
    async fn wait_for_signature(&self, config: &str) {
        let asked = value(config, "apiServerEndpoint").zip(value(config, "token"));
        let Some((endpoint, token)) = asked else { return };
        let Some((host, port)) = endpoint.rsplit_once(':') else { return };
        let (Ok(Some(address)), Ok(port)) = (self.resolve(host).await, port.parse::<u16>()) else {
            return;
        };
        let Ok(api) = Https::unverified(address, port, None) else { return };
        let key = format!("jws-kubeconfig-{}", token.split('.').next().unwrap_or_default());
        let signed = async {
            while !api.get(CLUSTER_INFO).await.is_ok_and(|info| info["data"][&key].is_string()) {
                self.sleep_ms(100).await;
            }
        };
        tokio::select! {
            () = signed => {}
            () = self.sleep_ms(SIGNED_MS) => {}
        }
    }

    /// Until the API server of this node is ready.
    async fn wait_for_api(&self) -> SysResult<()> {
        let deadline = self.now_ms() + API_WAIT_S * 1000;
        while !self.api_answers().await {
            if self.now_ms() >= deadline {
                let why = format!("the API server of this node is not ready after {API_WAIT_S} s");
                return Err(self.with_kubelet(SysError::other(why)).await);
            }
            self.sleep_ms(300).await;
        }
        Ok(())
    }

    async fn random_word(&self, letters: usize) -> SysResult<String> {
        let mut word = String::new();
        while word.len() < letters {
            let bytes = self.random_bytes(letters * 2).await?;
            // Those that would favour the first letters are left out.
            let fair = bytes.into_iter().filter(|b| usize::from(*b) < 7 * LETTERS.len());
            word.extend(fair.map(|b| LETTERS[usize::from(b) % LETTERS.len()] as char));
        }
        word.truncate(letters);
        Ok(word)
    }

    async fn token(&self) -> SysResult<Sealed> {
        let (id, secret) = (self.random_word(6).await?, self.random_word(16).await?);
        let ends_ms = self.now_ms() + TOKEN_S * 1000;
        let object = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "bootstrap.kubernetes.io/token",
            "metadata": { "name": format!("bootstrap-token-{id}"), "namespace": SYSTEM },
            "stringData": {
                "token-id": id,
                "token-secret": secret,
                "expiration": rfc3339(ends_ms),
                "usage-bootstrap-authentication": "true",
                "usage-bootstrap-signing": "true",
                "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
            },
        });
        self.own_api()?.post(&format!("/api/v1/namespaces/{SYSTEM}/secrets"), &object).await?;
        Ok(Sealed::new(format!("{id}.{secret}")))
    }

    /// The certificates that control planes share, under a fresh key.
    async fn upload_certificates(&self) -> SysResult<Sealed> {
        let key = hex(&self.random_bytes(32).await?);
        let path = format!("/api/v1/namespaces/{SYSTEM}/configmaps/kubeadm-config");
        let stored = self.own_api()?.get(&path).await?;
        let cluster = stored["data"]["ClusterConfiguration"].as_str().ok_or_else(|| {
            SysError::other("the ConfigMap kubeadm-config holds no ClusterConfiguration")
        })?;
        let config = format!(
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\ncertificateKey: {key}\n---\n{cluster}"
        );
        self.kubeadm(&["init", "phase", "upload-certs", "--upload-certs"], &config).await?;
        Ok(Sealed::new(key))
    }
}

fn rfc3339(ms: u64) -> String {
    crate::state::utc(ms).replacen(' ', "T", 1).replace(" UTC", "Z")
}

/// An error without the secrets of the document that it is about.
fn told(mut error: SysError, config: &str) -> SysError {
    for secret in SECRETS.iter().filter_map(|key| value(config, key)) {
        let hide = |text: &mut String| *text = text.replace(secret, crate::secret::HIDDEN);
        hide(&mut error.message);
        error.output.iter_mut().for_each(hide);
    }
    // Its name is chance's, and would make equal failures look different.
    if let Some((before, _)) = error.message.split_once(" --config ") {
        error.message = format!("{before}` failed");
    }
    error
}

#[async_trait]
impl Kubeadm for Linux {
    async fn local_kube(&self) -> SysResult<LocalKube> {
        let mut local = self.look_at_kube().await;
        if local.api_answers {
            let said = self.own_api()?.get("/version").await?;
            local.api_version = crate::kube::read::version(&said["gitVersion"]);
        }
        Ok(local)
    }

    async fn kubeadm_init(&self, config: &str) -> SysResult<()> {
        // Before etcd's first byte the keys are on the disk.
        self.phase(config, InitPhase::Certs).await?;
        self.phase(config, InitPhase::Kubeconfig).await?;
        let mut skip = vec!["certs", "kubeconfig", "show-join-command"];
        if !wants_kube_proxy(config) {
            skip.push("addon/kube-proxy");
        }
        let skip = format!("--skip-phases={}", skip.join(","));
        self.kubeadm(&["init", &skip], config).await?;
        self.mark_made().await
    }

    async fn kubeadm_init_phase(&self, config: &str, phase: InitPhase) -> SysResult<()> {
        self.phase(config, phase).await
    }

    async fn kubeadm_join(&self, config: &Sealed) -> SysResult<()> {
        let config = config.reveal();
        self.wait_for_signature(config).await;
        if value(config, "certificateKey").is_some() {
            self.kubeadm(&["join", "phase", "preflight"], config).await?;
            self.kubeadm(&["join", "phase", "control-plane-prepare", "all"], config).await?;
            self.settle().await?;
            let args = ["join", "--skip-phases=preflight,control-plane-prepare"];
            let (mut join, hurry) = (pin!(self.kubeadm(&args, config)), self.hurry_kubelet());
            let woken = tokio::select! {
                done = &mut join => done.map(|_| false)?,
                hurried = hurry => {
                    join.await?;
                    hurried.is_ok()
                }
            };
            self.mark_made().await?;
            if woken { Ok(()) } else { self.wake_kubelet().await }
        } else {
            self.kubeadm(&["join"], config).await?;
            self.mark_made().await
        }
    }

    async fn finish_join(&self, config: &Sealed) -> SysResult<()> {
        let config = config.reveal();
        self.kubeadm(&["join", "phase", "kubelet-wait-bootstrap"], config).await?;
        self.kubeadm(&["join", "phase", "control-plane-join", "mark-control-plane"], config)
            .await?;
        self.wait_for_api().await?;
        self.mark_made().await?;
        self.wake_kubelet().await
    }

    async fn restore_manifests(&self) -> SysResult<()> {
        let here = self.manifests_in(MANIFESTS);
        let mut backups = self.names_in(BACKUPS);
        backups.retain(|n| n.starts_with("kubeadm-backup-manifests"));
        // The newest first: kubeadm ends their names with the time.
        for dir in backups.iter().rev().map(|n| format!("{BACKUPS}/{n}")) {
            for name in self.manifests_in(&dir).iter().filter(|n| !here.contains(n)) {
                let target = format!("{MANIFESTS}/{name}.yaml");
                if let (false, Some(text)) =
                    (self.has(&target), self.text_of(&format!("{dir}/{name}.yaml")))
                {
                    self.write(&target, text.as_bytes(), 0o600).await?;
                }
            }
        }
        Ok(())
    }

    async fn kubeadm_reset(&self) -> SysResult<()> {
        let kube_vip = self.text_of(KUBE_VIP);
        // The member goes by an op of its own, behind the gate, or has never been one.
        let config = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ResetConfiguration\nforce: true\n\
                      criSocket: unix:///run/containerd/containerd.sock\nskipPhases: [remove-etcd-member]\n";
        self.kubeadm(&["reset"], config).await?;
        for path in [MADE, ETCD_MEMBER, BACKUPS, PKI, "/var/lib/cni"] {
            self.remove(path).await?;
        }
        // The bridge still has the address of the node's old range of pods.
        if fs::exists(self.path("/sys/class/net/cni0")).unwrap_or(false) {
            Command::new("ip").args(["link", "delete", "cni0"]).done().await?;
        }
        // It is written before kubeadm comes, and not by it.
        if let Some(text) = kube_vip {
            self.write(KUBE_VIP, text.as_bytes(), 0o600).await?;
        }
        self.settle().await
    }

    async fn upgrade_apply(&self, config: &str, version: &Version) -> SysResult<()> {
        let version = format!("v{version}");
        self.kubeadm(&["upgrade", "apply", &version, "--yes"], config).await.map(drop)
    }

    async fn upgrade_node(&self, config: &str) -> SysResult<()> {
        self.kubeadm(&["upgrade", "node"], config).await.map(drop)
    }

    async fn mint_join(&self, control_plane: bool) -> SysResult<JoinMaterial> {
        let ca =
            self.ca().ok_or_else(|| SysError::other("the cluster's CA cannot be read here"))?;
        let certificate_key =
            if control_plane { Some(self.upload_certificates().await?) } else { None };
        Ok(JoinMaterial {
            token: self.token().await?,
            certificate_key,
            ca_fingerprint: ca.key_hash,
        })
    }

    async fn component_troubles(&self, shown: bool) -> SysResult<Vec<String>> {
        Ok(self.troubles_of_components(shown).await)
    }

    async fn look_at_endpoint(&self, at: &EndpointAt) -> SysResult<Seen> {
        self.seen_at(at).await
    }

    async fn endpoint_trouble(&self, at: &EndpointAt) -> SysResult<Option<String>> {
        let Some(ca) = fs::read(self.path(&format!("{PKI}/ca.crt"))).ok() else {
            return Ok(Some("this node has no CA to know the API server by".into()));
        };
        let Some(address) = self.endpoint_address(at).await? else {
            return Ok(Some(format!("the name {} is not known on this node", at.host)));
        };
        let credentials = Credentials { ca, client: None };
        let base = format!("https://{}:{}", at.host, at.port);
        let found = (at.host.as_str(), (address, at.port).into());
        let https = Https::at(base, &credentials, Some(found))?;
        Ok(https.is_well("/readyz").await.err().map(|trouble| trouble.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_leave_with_an_error() {
        let config = "discovery:\n  bootstrapToken:\n    token: \"abcdef.0123456789abcdef\"\ncontrolPlane:\n  certificateKey: \"c0ffee\"\n";
        let mut error =
            SysError::other("`kubeadm join --config /run/slipway/kubeadm-1.yaml` failed: exit 1");
        error.output = vec!["token abcdef.0123456789abcdef is bad".into(), "key c0ffee".into()];
        let told = told(error, config);
        assert_eq!(told.output, ["token [hidden] is bad", "key [hidden]"]);
        assert_eq!(told.message, "`kubeadm join` failed");
    }

    #[test]
    fn kube_proxy_is_left_out_where_the_document_says_so() {
        assert!(wants_kube_proxy("skipPhases: [show-join-command]\n"));
        assert!(!wants_kube_proxy("skipPhases: [show-join-command, addon/kube-proxy]\n"));
        assert_eq!(arguments(InitPhase::Addons, false), [&["addon", "coredns"][..]]);
    }

    #[tokio::test]
    async fn what_a_cut_left_of_a_pair_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::at(dir.path());
        let pem = include_str!("../../../tests/facts/certificate.pem");
        let put = async |name: &str, text: &str| {
            linux.write(&format!("{PKI}/{name}"), text.as_bytes(), 0o600).await.unwrap();
        };
        let key = "-----BEGIN K-----\n-----END K-----\n";
        put("whole.crt", pem).await;
        put("whole.key", key).await;
        put("torn.crt", &pem[..100]).await;
        put("torn.key", key).await;
        put("alone.key", key).await;
        put("ca.key", key).await;
        linux.drop_half_pairs().await.unwrap();
        assert_eq!(linux.names_in(PKI), ["whole.crt", "whole.key"]);
        put("ca.key", key).await;
        linux.write(&format!("{ETCD_MEMBER}/x"), b"", 0o600).await.unwrap();
        linux.drop_half_pairs().await.unwrap();
        assert!(linux.has(&format!("{PKI}/ca.key")), "with data, a CA is never made again");
    }

    #[tokio::test]
    async fn words_of_tokens() {
        let dir = tempfile::tempdir().unwrap();
        let word = Linux::at(dir.path()).random_word(16).await.unwrap();
        assert_eq!(word.len(), 16);
        assert!(word.bytes().all(|b| LETTERS.contains(&b)), "{word}");
    }
}
