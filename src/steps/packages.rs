//! packages: what the distribution has to provide. Everything with a version that matters comes as
//! an artifact instead.

use crate::{
    inventory::{EndpointKind, FilesystemKind, Node, Os, OsPartition},
    ops::{packages::Packages, pacman::Iptables},
};

use super::{Decision, Draft, Scene, is_control_plane};

/// Its name on Arch, its name on Debian (empty: part of the base system), and who asks for it.
const EVERYWHERE: &[(&str, &str, &str)] = &[
    ("iproute2", "iproute2", "kubeadm's preflight wants `ip` and `tc`"),
    // Not `iptables-nft`: it conflicts with the package that may be there, and either provides this.
    (
        "iptables",
        "iptables",
        "kubeadm's preflight; kube-proxy and portmap, where there is no Cilium",
    ),
    ("ethtool", "ethtool", "kubeadm's preflight, and doctor when a link is slow"),
    ("conntrack-tools", "conntrack", "kubeadm's preflight; kube-proxy clears stale flows with it"),
    ("socat", "socat", "kubeadm's preflight; `kubectl port-forward` through older runtimes"),
    ("nvme-cli", "nvme-cli", "asks disks how worn they are"),
    ("nfs-utils", "nfs-common", "the kubelet mounts volumes of a NAS with `mount.nfs`"),
    ("", "systemd-resolved", "Debian splits it off; the network step relies on it"),
    ("", "systemd-timesyncd", "Debian splits it off; the time-sync step relies on it"),
];

const CEPH: &[(&str, &str, &str)] =
    &[("lvm2", "lvm2", "clears LVM off a disk; Rook wants it for encrypted OSDs")];

const XFS: &[(&str, &str, &str)] =
    &[("xfsprogs", "xfsprogs", "partitions of the OS disk with XFS")];

const KEEPALIVED: &[(&str, &str, &str)] = &[
    ("keepalived", "keepalived", "carries the cluster's address"),
    ("curl", "curl", "its health check asks the API server"),
];

const GIT: &[(&str, &str, &str)] =
    &[("git", "git", "a control plane reads the GitOps repository with it")];

/// Arch's mkinitcpio packs it into the image of the kernel, with its hook `microcode`. Debian has it
/// in a section that may not be enabled: `host.packages` is where it goes there.
fn microcode(scene: &Scene, node: &Node) -> Option<String> {
    let vendor = scene.facts_of(&node.name)?.os.microcode.as_ref()?;
    (node.os == Os::Arch).then(|| format!("{vendor}-ucode"))
}

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let mut wanted: Vec<_> = EVERYWHERE.iter().collect();
    if !node.disks.ceph.is_empty() {
        wanted.extend(CEPH);
    }
    let wants_xfs = |p: &OsPartition| p.filesystem == FilesystemKind::Xfs;
    if scene.inventory.os_disk.partitions.iter().any(wants_xfs) {
        wanted.extend(XFS);
    }
    let kind = scene.inventory.cluster.endpoint.kind;
    if kind == EndpointKind::Keepalived && is_control_plane(node) {
        wanted.extend(KEEPALIVED);
    }
    if scene.inventory.gitops.is_some() && is_control_plane(node) {
        wanted.extend(GIT);
    }
    let name = |(arch, debian, _): &&(&'static str, &'static str, &str)| match node.os {
        Os::Debian => *debian,
        Os::Arch | Os::Talos => *arch,
    };
    let mut names: Vec<String> =
        wanted.iter().map(name).filter(|n| !n.is_empty()).map(String::from).collect();
    names.extend(microcode(scene, node));
    for further in &scene.inventory.host.packages {
        if !names.contains(further) {
            names.push(further.clone());
        }
    }
    // A repository of Arch's is no use to another distribution.
    let from = scene.wish.packages.clone().filter(|_| node.os == Os::Arch);
    let backend = scene.inventory.host.iptables.as_str().to_string();
    Ok(vec![
        Draft::new(&node.name, Packages { names, from }),
        Draft::new(&node.name, Iptables { backend }),
    ])
}
