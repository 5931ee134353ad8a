//! What the components of a control plane say of themselves, asked on their own node.

use std::net::Ipv4Addr;

use super::{Linux, kube::MANIFESTS};
use crate::https::{Https, Trouble};

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

impl Linux {
    async fn says(&self, component: &str, port: u16) -> Result<(), Trouble> {
        let Some(manifest) = self.text_of(&format!("{MANIFESTS}/{component}.yaml")) else {
            return Err(Trouble::Other("it has no manifest here".into()));
        };
        let (address, port) = place(&manifest, port);
        Https::of_this_node(address, port)?.is_well("/healthz").await
    }

    /// What is wrong with them, each in words.
    pub(super) async fn troubles_of_components(&self) -> Vec<String> {
        let etcd = async {
            let asked = async { self.own_etcd()?.status().await.map_err(Into::into) };
            let status = asked.await.map_err(|e: crate::ops::sys::SysError| e.message)?;
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
        let troubles = Linux::at(dir.path()).troubles_of_components().await;
        assert_eq!(troubles.len(), 4, "{troubles:?}");
        assert!(troubles[2].contains("no manifest"), "{troubles:?}");
    }
}
