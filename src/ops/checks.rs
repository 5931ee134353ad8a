//! Checks: they hold, or they fail and say why. They change nothing.

use std::net::Ipv4Addr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Nature, Observed, OpError, OpResult};
use super::sys::{EndpointAt, Plane, Sys, SysErrorKind};
use crate::{
    events::Refusal,
    names::{NodeName, Version},
};

/// This is still the machine that the plan was made for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    pub machine_id: String,
}

#[async_trait]
impl Action for Identity {
    fn title(&self) -> String {
        "the machine is the planned one".into()
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: 60, ..Nature::CHECK }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let found = sys.machine_id().await?;
        if found == self.machine_id {
            return Ok(Observed::Holds);
        }
        Err(OpError::refused(
            Refusal::Identity,
            self.title(),
            format!("its machine-id is {found}, the plan was made for {}", self.machine_id),
        )
        .hint("run the same command again: it plans for the machine that is there now"))
    }
}

/// Of the room that a machine has to have when it becomes a member, how much it still has to have as one.
const MEMBER_SHARE: u64 = 10;

/// The host can carry a Kubernetes node at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostFit {
    pub os: String,
    pub min_cpus: u32,
    pub min_memory_mb: u64,
    pub min_var_free_mb: u64,
    pub cgroup: u8,
}

#[async_trait]
impl Action for HostFit {
    fn title(&self) -> String {
        "the host is fit".into()
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: 60, ..Nature::CHECK }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let os = sys.os().await?;
        let (cpus, memory_mb) = sys.cpus_and_memory_mb().await?;
        let free_mb = sys.var_free_mb().await?;
        let mut wrong = Vec::new();
        if os.id != self.os {
            wrong.push(format!("it runs {}, the inventory says {}", os.id, self.os));
        }
        if os.arch != "x86_64" {
            wrong.push(format!("it is {}, x86_64 is wanted", os.arch));
        }
        if os.cgroup < self.cgroup {
            wrong.push(format!("it mounts cgroup v{}, v{} is wanted", os.cgroup, self.cgroup));
        }
        if cpus < self.min_cpus {
            wrong.push(format!("{cpus} CPUs, {} are wanted", self.min_cpus));
        }
        if memory_mb < self.min_memory_mb {
            wrong.push(format!("{memory_mb} MB of memory, {} MB are wanted", self.min_memory_mb));
        }
        // A member has what that room is for; that its disk fills up is told by doctor.
        let share = if sys.local_kube().await?.kubelet_conf { MEMBER_SHARE } else { 1 };
        let wanted_mb = self.min_var_free_mb / share;
        let hint = match wrong.is_empty() {
            true => {
                "free space there (`du -xh /var | sort -h | tail` shows what takes it), or give /var a larger disk"
            }
            false => "mend the host, or take it out of the inventory",
        };
        if free_mb < wanted_mb {
            wrong.push(format!("{free_mb} MB free under /var, {wanted_mb} MB are wanted"));
        }
        if wrong.is_empty() {
            return Ok(Observed::Holds);
        }
        Err(OpError::new(self.title(), wrong.join("; ")).hint(hint))
    }
}

/// The clock is synchronised: certificates and etcd leases live by it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClockFit {
    pub wait_s: u32,
}

#[async_trait]
impl Action for ClockFit {
    fn title(&self) -> String {
        "the clock is synchronised".into()
    }

    fn nature(&self) -> Nature {
        Nature::CHECK
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let deadline = sys.now_ms() + u64::from(self.wait_s) * 1000;
        while !sys.clock_is_synchronised().await? {
            if sys.now_ms() >= deadline {
                return Err(OpError::new(self.title(), format!("not after {} s", self.wait_s))
                    .hint("name a time server the node can reach: network.lan.ntp"));
            }
            sys.sleep_ms(200).await;
        }
        Ok(Observed::Holds)
    }
}

/// Nothing listens where kubeadm's components will, unless it is they.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PortsFree {
    pub ports: Vec<u16>,
}

#[async_trait]
impl Action for PortsFree {
    fn title(&self) -> String {
        "the ports are free".into()
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: 60, ..Nature::CHECK }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let local = sys.local_kube().await?;
        if local.kubelet_conf || !local.manifests.is_empty() {
            return Ok(Observed::Holds);
        }
        let mut taken = Vec::new();
        for port in &self.ports {
            if sys.port_in_use(*port).await? {
                taken.push(port.to_string());
            }
        }
        if taken.is_empty() {
            return Ok(Observed::Holds);
        }
        Err(OpError::new(self.title(), format!("something listens on {}", taken.join(", ")))
            .hint("`ss -ltnp` on the node shows what; stop it, or reset an older cluster"))
    }
}

/// Nodes are Ready at this version, as the API server says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodesReady {
    pub nodes: Vec<NodeName>,
    pub kubelet: Option<Version>,
    pub wait_s: u32,
}

#[async_trait]
impl Action for NodesReady {
    fn title(&self) -> String {
        match self.nodes.as_slice() {
            [one] => format!("{one} is Ready"),
            nodes => format!("{} nodes are Ready", nodes.len()),
        }
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: self.wait_s + 60, ..Nature::CHECK }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let deadline = sys.now_ms() + u64::from(self.wait_s) * 1000;
        loop {
            let waiting = self.waiting(sys).await?;
            if waiting.is_empty() {
                return Ok(Observed::Holds);
            }
            if sys.now_ms() >= deadline {
                return Err(OpError::new(
                    self.title(),
                    format!("after {} s: {}", self.wait_s, waiting.join("; ")),
                )
                .hint("`journalctl -u kubelet` on that node, and `kubectl describe node`"));
            }
            sys.sleep_ms(200).await;
        }
    }
}

impl NodesReady {
    async fn waiting(&self, sys: &dyn Sys) -> OpResult<Vec<String>> {
        let Some(nodes) = sys.nodes().await? else {
            return Ok(vec!["the API server does not answer".into()]);
        };
        let mut waiting = Vec::new();
        for name in &self.nodes {
            match nodes.iter().find(|node| node.name == *name) {
                None => waiting.push(format!("{name} is not in the cluster")),
                Some(node) if !node.ready => waiting.push(format!("{name} is NotReady")),
                Some(node) => {
                    if let Some(want) = &self.kubelet
                        && node.kubelet != *want
                    {
                        waiting.push(format!("{name} runs kubelet {}, not {want}", node.kubelet));
                    }
                }
            }
        }
        Ok(waiting)
    }
}

/// The cluster's endpoint answers from this node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointAnswers {
    pub at: EndpointAt,
    pub wait_s: u32,
}

#[async_trait]
impl Action for EndpointAnswers {
    fn title(&self) -> String {
        match self.at.address {
            Some(address) => format!("the API answers at {address}:{}", self.at.port),
            None => format!("the API answers at {}:{}", self.at.host, self.at.port),
        }
    }

    fn nature(&self) -> Nature {
        Nature::CHECK
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let deadline = sys.now_ms() + u64::from(self.wait_s) * 1000;
        while let Some(why) = sys.endpoint_trouble(&self.at).await? {
            if sys.now_ms() >= deadline {
                return Err(OpError::new(self.title(), format!("after {} s: {why}", self.wait_s)).hint(
                    "on the control planes: `systemctl status keepalived`; else check the load balancer",
                ));
            }
            sys.sleep_ms(500).await;
        }
        Ok(Observed::Holds)
    }
}

/// Every node is in the cluster as it should be: static pods ready, addresses on the LAN, and all
/// API servers read the same encrypted Secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterWhole {
    pub planes: Vec<Plane>,
    pub wait_s: u32,
}

#[async_trait]
impl Action for ClusterWhole {
    fn title(&self) -> String {
        "static pods, addresses and encryption are as they should be".into()
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: self.wait_s + 60, ..Nature::CHECK }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let deadline = sys.now_ms() + u64::from(self.wait_s) * 1000;
        loop {
            let trouble = sys.cluster_trouble(&self.planes).await;
            let why = match trouble {
                Ok(trouble) if trouble.is_empty() => return Ok(Observed::Holds),
                Ok(trouble) => trouble.join("; "),
                Err(error) if error.kind == SysErrorKind::Passing => error.message,
                Err(error) => return Err(error.into()),
            };
            if sys.now_ms() >= deadline {
                return Err(OpError::new(self.title(), format!("after {} s: {why}", self.wait_s))
                    .hint("`kubectl -n kube-system get pods -o wide`, and `crictl ps -a` on that node"));
            }
            sys.sleep_ms(500).await;
        }
    }
}

/// The cluster's own DNS answers, asked from this node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DnsAnswers {
    pub server: Ipv4Addr,
    pub name: String,
    pub wait_s: u32,
}

#[async_trait]
impl Action for DnsAnswers {
    fn title(&self) -> String {
        format!("the cluster's DNS knows {}", self.name)
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: self.wait_s + 60, ..Nature::CHECK }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let deadline = sys.now_ms() + u64::from(self.wait_s) * 1000;
        while let Some(why) = sys.dns_trouble(self.server, &self.name).await? {
            if sys.now_ms() >= deadline {
                return Err(OpError::new(
                    self.title(),
                    format!("{} does not tell after {} s: {why}", self.server, self.wait_s),
                )
                .hint("`kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide`; then the pod network of this node"));
            }
            sys.sleep_ms(300).await;
        }
        Ok(Observed::Holds)
    }
}

/// No control plane's certificate ends soon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertificatesFresh {
    pub min_days: u32,
}

#[async_trait]
impl Action for CertificatesFresh {
    fn title(&self) -> String {
        format!("certificates last {} days", self.min_days)
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: 60, ..Nature::CHECK }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let Some(ends_ms) = sys.certificates_end_ms().await? else {
            return Err(OpError::new(self.title(), "there are none on this node"));
        };
        let left_days = ends_ms.saturating_sub(sys.now_ms()) / 86_400_000;
        if left_days >= u64::from(self.min_days) {
            return Ok(Observed::Holds);
        }
        Err(OpError::new(self.title(), format!("the first one ends in {left_days} days"))
            .hint("an upgrade renews them; or `kubeadm certs renew all` on each control plane"))
    }
}
