//! Ops: one idempotent action on one node each.
//!
//! An op carries everything it needs (it is sent to the node), rechecks what it was decided from,
//! and works through [`sys::Sys`] only. Must not know the inventory, the plan, or who asked.

pub mod access;
pub mod accounts;
pub mod action;
pub mod checks;
pub mod cilium;
pub mod cluster;
pub mod components;
pub mod disks;
pub mod dns_spread;
pub mod engine_access;
pub mod endpoint;
pub mod etcd;
pub mod files;
pub mod gather;
pub mod host;
pub mod kubeadm;
pub mod network;
pub mod os_layout;
pub mod packages;
pub mod hand_off;
pub mod pacman;
pub mod pod_network;
pub mod repository;
pub mod scopes;
pub mod secrets;
pub mod sys;
pub mod traffic;
pub mod units;
pub mod upgrade;

pub mod fake;
pub mod linux;

use serde::{Deserialize, Serialize};

use crate::secret::Sourced;

pub use action::{Action, Diff, Done, Nature, Observed, OpError, OpResult, Output, Telling, Touch};

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident($ty:ty),)+) => {
        /// Every kind of op there is.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Op { $($(#[$doc])* $name($ty),)+ }

        impl Op {
            pub fn action(&self) -> &dyn Action {
                match self { $(Op::$name(action) => action,)+ }
            }
        }

        $(impl From<$ty> for Op {
            fn from(action: $ty) -> Op { Op::$name(action) }
        })+
    };
}

ops! {
    File(files::File),
    Directory(files::Directory),
    Absent(files::Absent),
    HostsBlock(files::HostsBlock),
    User(accounts::User),
    Hostname(host::Hostname),
    Modules(host::Modules),
    Sysctls(host::Sysctls),
    NoSwap(host::NoSwap),
    Reboot(host::RebootForKernel),
    Packages(packages::Packages),
    UpdateOs(packages::UpdateOs),
    PacmanIgnores(pacman::PacmanIgnores),
    Iptables(pacman::Iptables),
    Artifact(packages::Artifact),
    Images(packages::Images),
    Unit(units::Unit),
    UnitOff(units::UnitOff),
    BlankDisk(disks::BlankDisk),
    OsDisk(disks::OsDisk),
    OsLayout(os_layout::OsLayout),
    Network(network::Network),
    LinkProof(network::LinkProof),
    NameResolves(network::NameResolves),
    AddressFree(network::AddressFree),
    Identity(checks::Identity),
    HostFit(checks::HostFit),
    ClockFit(checks::ClockFit),
    PortsFree(checks::PortsFree),
    EncryptionConfig(kubeadm::EncryptionConfig),
    PlaceEncryption(kubeadm::PlaceEncryption),
    Init(kubeadm::Init),
    MintJoin(kubeadm::MintJoin),
    Join(kubeadm::Join),
    ResetNode(kubeadm::ResetNode),
    StaticPods(upgrade::StaticPods),
    UpgradeApply(upgrade::UpgradeApply),
    UpgradeNode(upgrade::UpgradeNode),
    SwapKubelet(upgrade::SwapKubelet),
    EtcdGate(etcd::EtcdGate),
    Snapshot(etcd::Snapshot),
    HealMember(etcd::HealMember),
    RemoveMember(etcd::RemoveMember),
    NodeLabels(cluster::NodeLabels),
    Cordon(cluster::Cordon),
    Drain(cluster::Drain),
    DeleteNode(cluster::DeleteNode),
    CephNoout(cluster::CephNoout),
    CephGate(cluster::CephGate),
    Addon(cluster::Addon),
    CiliumValues(cilium::CiliumValues),
    Cilium(cilium::Cilium),
    RepositoryReached(repository::RepositoryReached),
    ClusterSecret(secrets::ClusterSecret),
    HandOff(hand_off::HandOff),
    ScopesApart(scopes::ScopesApart),
    NodesReady(checks::NodesReady),
    EndpointAnswers(checks::EndpointAnswers),
    CertificatesFresh(checks::CertificatesFresh),
    ClusterWhole(checks::ClusterWhole),
    DnsAnswers(checks::DnsAnswers),
    DnsSpread(dns_spread::DnsSpread),
    Traffic(traffic::Traffic),
    EndpointFit(endpoint::EndpointFit),
    ComponentsWell(components::ComponentsWell),
    MintUser(access::MintUser),
    FirstLogin(access::FirstLogin),
    EtcdStatus(etcd::EtcdStatus),
}

impl Op {
    pub fn title(&self) -> String {
        self.action().title()
    }

    pub fn nature(&self) -> Nature {
        self.action().nature()
    }

    /// The operator's own secrets that it is sent with.
    pub fn sourced(&mut self) -> Vec<&mut Sourced> {
        match self {
            Op::RepositoryReached(op) => op.repository.secrets().collect(),
            Op::ClusterSecret(op) => op.data.values_mut().collect(),
            Op::HandOff(op) => op.roots.iter_mut().flat_map(|k| k.repository.secrets()).collect(),
            Op::ScopesApart(op) => {
                let all = op.roots.iter_mut().chain(&mut op.bootstraps);
                all.flat_map(|k| k.repository.secrets()).collect()
            }
            Op::Addon(op) => op.from.iter_mut().flat_map(|k| k.repository.secrets()).collect(),
            Op::CiliumValues(op) => op.repository.secrets().collect(),
            Op::Cilium(op) => op.values.repository.secrets().collect(),
            _ => Vec::new(),
        }
    }
}
