//! Steps: pure decisions, one file each. Facts in, ops out.
//!
//! A step says what must be so, not what to do about it: whether anything has to change is found
//! by the op when it looks. So a step gives the same ops on every run, and a plan's hash stays what
//! it was while a run is resumed. Must not do IO, nor ask what time it is.

pub mod scene;
// What several steps share.
mod documents;
mod known;
mod runtime;
// Bootstrap, in its order.
mod ceph_disks;
mod cilium_values;
mod cni;
mod containerd;
mod control_plane_files;
mod encryption;
mod endpoint;
mod gitops_engine;
mod hand_off;
mod host_files;
mod host_fit;
mod hostname;
mod identity;
mod images;
mod journald;
mod kernel_modules;
mod kube_binaries;
mod kubeadm_init;
mod kubeadm_join;
mod kubeadm_patches;
mod kubelet;
mod link_proof;
mod names;
mod network;
mod no_swap;
mod node_labels;
mod os_disk;
mod os_layout;
mod os_update;
mod packages;
mod pod_network;
mod ports_free;
mod reboot;
mod secrets;
mod static_pods;
mod sysctls;
mod time_sync;
mod verify_cluster;
mod verify_node;
mod vip_free;
// Upgrade.
mod kubeadm_upgrade;
mod kubelet_swap;
mod node_away;
mod node_back;
mod stage_binaries;
mod upgrade_gate;
// Leaving, and going back to bare.
mod clear_disks;
mod forget_node;
mod leave_cluster;
mod reset_host;
mod reset_node;

use crate::{
    events::Failure,
    inventory::Node,
    names::{NodeName, StepName},
    ops::Op,
};

pub use scene::{Memory, Scene, Wish, is_control_plane};

/// An op, and the node it runs on: the lane's own, or a control plane that acts for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub on: NodeName,
    pub op: Op,
}

impl Draft {
    pub fn new(on: &NodeName, op: impl Into<Op>) -> Self {
        Self { on: on.clone(), op: op.into() }
    }
}

/// What a step decided for one node, or why it cannot: nothing of the plan is run then.
pub type Decision = Result<Vec<Draft>, Box<Failure>>;

pub struct Step {
    pub name: &'static str,
    /// For `slipway playbook show`.
    pub about: &'static str,
    pub decide: fn(&Scene, &Node) -> Decision,
}

impl Step {
    pub fn find(name: &StepName) -> Option<&'static Step> {
        STEPS.iter().find(|s| s.name == name.as_str())
    }
}

const fn step(
    name: &'static str,
    about: &'static str,
    decide: fn(&Scene, &Node) -> Decision,
) -> Step {
    Step { name, about, decide }
}

/// Every step there is, in the order in which a bootstrap uses them, then those of other verbs.
pub static STEPS: &[Step] = &[
    // Bootstrap, in its order.
    step("identity", "The machine is the one that the plan was made for", identity::decide),
    step("static-pods", "No static pod is left out by a cut upgrade", static_pods::decide),
    step("host-fit", "CPUs, memory, disk space and cgroups are enough", host_fit::decide),
    step("os-disk", "The OS runs from the disk that the inventory says", os_disk::decide),
    step("ports-free", "Nothing else listens where Kubernetes will", ports_free::decide),
    step("vip-free", "Nobody else has the cluster's address", vip_free::decide),
    step("os-update", "The OS is brought up to date before a node joins", os_update::decide),
    step("packages", "Packages of the distribution", packages::decide),
    step("reboot", "Reboot into the installed kernel, if another one runs", reboot::decide),
    step("hostname", "The node's name", hostname::decide),
    step("names", "Names of nodes and endpoint in /etc/hosts", names::decide),
    step("kernel-modules", "Kernel modules, now and at boot", kernel_modules::decide),
    step("sysctls", "Kernel settings, now and at boot", sysctls::decide),
    step("no-swap", "No swap, now and at boot", no_swap::decide),
    step("time-sync", "The clock is synchronised", time_sync::decide),
    step("journald", "Logs that last and do not fill the disk", journald::decide),
    step("host-files", "People, directories and files of the inventory", host_files::decide),
    step(
        "network",
        "Names and addresses of both ports; undone if the node is cut off",
        network::decide,
    ),
    step(
        "link-proof",
        "Nodes reach each other by the right ports, with the right MTU and speed",
        link_proof::decide,
    ),
    step(
        "os-layout",
        "Partitions of their own on the OS disk, in its free space",
        os_layout::decide,
    ),
    step(
        "ceph-disks",
        "Disks for Ceph are blank; nothing is cleared that was not named",
        ceph_disks::decide,
    ),
    step("containerd", "The container runtime", containerd::decide),
    step(
        "kube-binaries",
        "kubeadm, kubelet and kubectl of the cluster's version",
        kube_binaries::decide,
    ),
    step("kubelet", "The kubelet's unit", kubelet::decide),
    step("images", "Images that the node will need", images::decide),
    step("endpoint", "The cluster's address and name", endpoint::decide),
    step(
        "cilium-values",
        "Cilium's values in the repository fit the inventory",
        cilium_values::decide,
    ),
    step(
        "pod-network",
        "Ranges of pods and the routes between them, where no CNI brings its own",
        pod_network::decide,
    ),
    step(
        "kubeadm-patches",
        "Patches of the inventory, where kubeadm looks for them",
        kubeadm_patches::decide,
    ),
    step(
        "control-plane-files",
        "Files that the API server's flags name",
        control_plane_files::decide,
    ),
    step("encryption", "The key that encrypts Secrets at rest", encryption::decide),
    step("kubeadm-init", "The cluster is made, or its making is finished", kubeadm_init::decide),
    step("node-labels", "Labels, and whether workloads run here", node_labels::decide),
    step("cni", "The pod network", cni::decide),
    step("kubeadm-join", "The node joins the cluster", kubeadm_join::decide),
    step(
        "verify-node",
        "The node's part of the control plane, its certificates, and the endpoint from here",
        verify_node::decide,
    ),
    step("verify-cluster", "Nodes, etcd and encryption are well", verify_cluster::decide),
    step(
        "secrets",
        "Secrets that must be there before the cluster gets its others by itself",
        secrets::decide,
    ),
    step("gitops-engine", "Argo CD or Flux, from the repository", gitops_engine::decide),
    step("hand-off", "Git takes over", hand_off::decide),
    // Upgrade.
    step(
        "upgrade-gate",
        "The cluster may go to this version, and is well enough to",
        upgrade_gate::decide,
    ),
    step("stage-binaries", "The new version lies on the node", stage_binaries::decide),
    step("node-away", "Workloads leave the node", node_away::decide),
    step(
        "kubeadm-upgrade",
        "kubeadm upgrades the node's part of the control plane",
        kubeadm_upgrade::decide,
    ),
    step("kubelet-swap", "The new runtime and kubelet take over", kubelet_swap::decide),
    step("node-back", "The node is well and takes workloads again", node_back::decide),
    // Leaving, and going back to bare.
    step("leave-cluster", "The node is drained and leaves etcd", leave_cluster::decide),
    step("reset-node", "Kubernetes and its data go from the node", reset_node::decide),
    step("forget-node", "The cluster forgets the node", forget_node::decide),
    step("reset-host", "What Slipway wrote for Kubernetes goes from the host", reset_host::decide),
    step("clear-disks", "Disks that were named are cleared", clear_disks::decide),
];
