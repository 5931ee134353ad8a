//! What the components of a control plane say of themselves, asked on their own node.

use std::{fs, net::Ipv4Addr, path::PathBuf};

use serde_json::Value;

use super::{
    Linux,
    kube::{MANIFESTS, PKI},
};
use crate::{
    https::{Https, Trouble},
    kube::{SYSTEM, SYSTEM_PODS, read},
    ops::sys::SysError,
};

const KUBELET_CONFIG: &str = "/var/lib/kubelet/config.yaml";
const KUBELET_PORT: u16 = 10250;

/// Those that tell only whoever asks by a certificate that nobody else can check: they make it
/// themselves. The kubelet's probes do not check it either.
const SELF_SIGNED: [(&str, u16); 2] =
    [("kube-controller-manager", 10257), ("kube-scheduler", 10259)];

/// What a manifest gives a flag.
fn flag<'a>(manifest: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = manifest.lines().map(str::trim);
    lines.find_map(|line| line.strip_prefix("- --")?.strip_prefix(name)?.strip_prefix('='))
}

/// Where a component listens, seen from its own node.
fn place(manifest: &str, port: u16) -> (Ipv4Addr, u16) {
    let address = flag(manifest, "bind-address").and_then(|a| a.parse::<Ipv4Addr>().ok());
    let port = flag(manifest, "secure-port").and_then(|p| p.parse().ok()).unwrap_or(port);
    (address.filter(|a| !a.is_unspecified()).unwrap_or(Ipv4Addr::LOCALHOST), port)
}

/// What the kubelet's configuration gives a key of its first level.
fn field<T: std::str::FromStr>(config: &str, key: &str) -> Option<T> {
    let value = config.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'))?;
    value.trim().trim_matches('"').parse().ok()
}

/// The static pods of a component, in what a kubelet says that it runs: whoever puts a second one there has
/// two of them.
fn static_pods<'a>(pods: &'a Value, name: &str) -> Vec<&'a Value> {
    let of = |pod: &&Value| {
        pod["metadata"]["annotations"]["kubernetes.io/config.source"] == "file"
            && pod["metadata"]["namespace"] == SYSTEM
            && pod["metadata"]["labels"]["component"] == name
    };
    read::items(pods).filter(of).collect()
}

/// Which of the manifests its kubelet does not run yet. A new kubelet may read them otherwise than the one
/// before it did; then it ends what that one had started, and starts everything anew, half a minute long.
fn unstarted(manifests: &[String], pods: &Value) -> Vec<String> {
    let of = |name: &&String| {
        let found = static_pods(pods, name);
        found.is_empty() || !found.iter().all(|pod| read::runs(pod))
    };
    manifests
        .iter()
        .filter(of)
        .map(|n| format!("{n}: its kubelet has not started it yet"))
        .collect()
}

/// Which of them the API server does not show as the kubelet has them.
fn unshown(manifests: &[String], pods: &Value, shown: &Value) -> Vec<String> {
    let is_shown = |own: &&Value| {
        let hash = &own["metadata"]["annotations"]["kubernetes.io/config.hash"];
        read::items(shown).any(|pod| {
            pod["metadata"]["name"] == own["metadata"]["name"]
                && pod["metadata"]["annotations"][read::MIRROR] == *hash
        })
    };
    let of = |name: &&String| !static_pods(pods, name).iter().all(is_shown);
    let told = |name: &String| format!("{name}: the API does not show it as its kubelet has it");
    manifests.iter().filter(of).map(told).collect()
}

/// The static pod that a process belongs to, by its control group. Its id is the hash of its manifest as its
/// kubelet read it, and has no dashes; those of the API's pods have.
fn static_pod(cgroup: &str) -> Option<&str> {
    cgroup.lines().flat_map(|line| line.split(['/', '.', '-'])).find_map(|part| {
        let id = part.strip_prefix("pod")?;
        (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
    })
}

impl Linux {
    /// Which of the components are still run as a kubelet before this one had read them. For some seconds the
    /// old one answers, and has what the new one needs: the new one ends, and is started once more.
    fn outlived(&self, manifests: &[String], pods: &Value) -> Vec<String> {
        let before = |(process, program): (PathBuf, PathBuf)| {
            let name = manifests.iter().find(|n| program.file_name() == Some(n.as_ref()))?;
            let cgroup = fs::read_to_string(process.join("cgroup")).ok()?;
            let of = static_pod(&cgroup)?;
            let known = static_pods(pods, name)
                .iter()
                .any(|pod| pod["metadata"]["annotations"]["kubernetes.io/config.hash"] == of);
            (!known).then(|| format!("{name}: the one before has not ended yet"))
        };
        self.processes().filter_map(before).collect()
    }

    /// What the kubelet of this control plane says that it runs.
    async fn pods_of_kubelet(&self) -> Result<Value, Trouble> {
        let config = self.text_of(KUBELET_CONFIG).unwrap_or_default();
        let address = field::<Ipv4Addr>(&config, "address").filter(|a| !a.is_unspecified());
        let port = field(&config, "port").unwrap_or(KUBELET_PORT);
        let of = |end: &str| {
            let path = self.path(&format!("{PKI}/apiserver-kubelet-client.{end}"));
            fs::read(path).map_err(|e| Trouble::Other(format!("{PKI}: {e}")))
        };
        let client = (of("crt")?, of("key")?);
        let address = address.unwrap_or(Ipv4Addr::LOCALHOST);
        Https::unverified(address, port, Some(&client))?.get("/pods").await
    }

    /// See [`unstarted`], [`Self::outlived`] and [`unshown`].
    async fn troubles_of_static_pods(&self, shown: bool) -> Vec<String> {
        let manifests = self.manifests_in(MANIFESTS);
        let pods = match self.pods_of_kubelet().await {
            Ok(pods) => pods,
            Err(trouble) => return vec![format!("kubelet: {trouble}")],
        };
        let mut troubles = unstarted(&manifests, &pods);
        troubles.extend(self.outlived(&manifests, &pods));
        if shown && troubles.is_empty() {
            let path = format!("{SYSTEM_PODS}?labelSelector=tier%3Dcontrol-plane");
            let asked = async { self.own_api()?.get(&path).await.map_err(SysError::from) };
            troubles = match asked.await {
                Ok(all) => unshown(&manifests, &pods, &all),
                Err(error) => vec![format!("kube-apiserver: {}", error.message)],
            };
        }
        troubles
    }

    async fn says(&self, component: &str, port: u16) -> Result<(), Trouble> {
        let Some(manifest) = self.text_of(&format!("{MANIFESTS}/{component}.yaml")) else {
            return Err(Trouble::Other("it has no manifest here".into()));
        };
        let (address, port) = place(&manifest, port);
        Https::unverified(address, port, None)?.is_well("/healthz").await
    }

    /// What is wrong with them, each in words; and with how the API shows them.
    pub(super) async fn troubles_of_components(&self, shown: bool) -> Vec<String> {
        // First: those that answer may be about to be ended.
        let troubles = self.troubles_of_static_pods(shown).await;
        if !troubles.is_empty() && self.has(&format!("{MANIFESTS}/kube-apiserver.yaml")) {
            return troubles;
        }
        let etcd = async {
            let asked = async { self.own_etcd()?.status().await.map_err(Into::into) };
            let status = asked.await.map_err(|e: SysError| e.message)?;
            match status.learner {
                true => Err("it is still a learner".into()),
                false => Ok(()),
            }
        };
        let api = async {
            match self.api_answers().await {
                true => Ok(()),
                false => Err("it is not ready".to_string()),
            }
        };
        let others = SELF_SIGNED.map(|(name, port)| async move {
            (name, self.says(name, port).await.map_err(|trouble| trouble.to_string()))
        });
        let (etcd, api, others) = tokio::join!(etcd, api, futures::future::join_all(others));
        let all = [("etcd", etcd), ("kube-apiserver", api)].into_iter().chain(others);
        all.filter_map(|(name, said)| Some(format!("{name}: {}", said.err()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn where_a_component_listens() {
        let manifest =
            "    - kube-scheduler\n    - --bind-address=0.0.0.0\n    - --leader-elect=true\n";
        assert_eq!(place(manifest, 10259), (Ipv4Addr::LOCALHOST, 10259));
        let patched = "    - --bind-address=192.168.1.11\n    - --secure-port=11259\n";
        assert_eq!(place(patched, 10259), ("192.168.1.11".parse().unwrap(), 11259));
        assert_eq!(place("    - --bind-addresses=::\n", 1), (Ipv4Addr::LOCALHOST, 1));
    }

    #[tokio::test]
    async fn a_node_without_a_control_plane_has_four_troubles() {
        let dir = tempfile::tempdir().unwrap();
        let troubles = Linux::at(dir.path()).troubles_of_components(true).await;
        assert_eq!(troubles.len(), 4, "{troubles:?}");
        assert!(troubles[2].contains("no manifest"), "{troubles:?}");
    }

    #[test]
    fn a_new_kubelet_starts_its_own_pods_and_shows_them() {
        let manifests = ["etcd", "kube-apiserver"].map(String::from);
        let pod = |name: &str, hash: &str, state: &str| {
            json!({
                "metadata": {
                    "name": format!("{name}-node-a"), "namespace": "kube-system", "labels": { "component": name },
                    "annotations": { "kubernetes.io/config.source": "file", "kubernetes.io/config.hash": hash },
                },
                "status": { "phase": "Running", "containerStatuses": [{ "state": { state: {} } }] },
            })
        };
        let mirror = |name: &str, hash: &str| {
            let annotations = json!({ read::MIRROR: hash, "kubernetes.io/config.source": "file" });
            json!({ "metadata": { "name": format!("{name}-node-a"), "annotations": annotations } })
        };
        let list = |items: &[Value]| json!({ "items": items });
        assert_eq!(unstarted(&manifests, &list(&[])).len(), 2);
        let half = list(&[pod("etcd", "1", "running"), pod("kube-apiserver", "2", "waiting")]);
        assert_eq!(
            unstarted(&manifests, &half),
            ["kube-apiserver: its kubelet has not started it yet"]
        );
        let both = list(&[pod("etcd", "1", "running"), pod("kube-apiserver", "2", "running")]);
        assert!(unstarted(&manifests, &both).is_empty());
        let shown = [mirror("etcd", "1"), mirror("kube-apiserver", "1")];
        assert_eq!(
            unshown(&manifests, &both, &list(&shown)),
            ["kube-apiserver: the API does not show it as its kubelet has it"]
        );
        let shown = [mirror("etcd", "1"), mirror("kube-apiserver", "2")];
        assert!(unshown(&manifests, &both, &list(&shown)).is_empty());
        assert_eq!(unshown(&manifests, &both, &list(&[])).len(), 2);
    }

    #[test]
    fn a_component_of_the_kubelet_before_is_told_while_it_lives() {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::at(dir.path());
        let [old, new] = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"];
        let manifests = ["etcd", "kube-apiserver"].map(String::from);
        let pods = json!({ "items": [{ "metadata": {
            "name": "kube-apiserver-node-a", "namespace": "kube-system", "labels": { "component": "kube-apiserver" },
            "annotations": { "kubernetes.io/config.source": "file", "kubernetes.io/config.hash": new },
        } }] });
        let process = |pid: &str, program: &str, cgroup: &str| {
            let process = dir.path().join("proc").join(pid);
            fs::create_dir_all(&process).unwrap();
            std::os::unix::fs::symlink(program, process.join("exe")).unwrap();
            fs::write(process.join("cgroup"), format!("0::{cgroup}\n")).unwrap();
        };
        assert!(linux.outlived(&manifests, &pods).is_empty());
        let slice = |id: &str| {
            format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{id}.slice/cri-containerd-1.scope"
            )
        };
        process("7", "/usr/local/bin/kube-apiserver", &slice(new));
        // What somebody runs in a pod of the API's, or by hand, is their own.
        process(
            "8",
            "/usr/local/bin/kube-apiserver",
            &slice("0f5d5a0e_1c55_4b5c_8d5e_0123456789ab"),
        );
        process("9", "/usr/bin/etcd", "/system.slice/etcd.service");
        process("10", "/pause", &slice(old));
        assert!(linux.outlived(&manifests, &pods).is_empty());
        process("11", "/usr/local/bin/kube-apiserver", &format!("/kubepods/burstable/pod{old}/1"));
        assert_eq!(
            linux.outlived(&manifests, &pods),
            ["kube-apiserver: the one before has not ended yet"]
        );
    }

    #[test]
    fn where_the_kubelet_listens() {
        let config = "address: 192.168.1.11\nauthentication:\n  port: 1\nport: 11250\n";
        assert_eq!(field::<Ipv4Addr>(config, "address"), Some([192, 168, 1, 11].into()));
        assert_eq!(field::<u16>(config, "port"), Some(11250));
        assert_eq!(field::<u16>("healthzPort: 10248\n", "port"), None);
    }
}
