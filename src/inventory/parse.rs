//! How the inventory's tables are read: every field once, with its default if it may be left out.
//!
//! It must not know what the values mean together; that is `check`'s business. The model's serde
//! attributes say the same for the JSON schema and the wire, and a test holds the two together.

use std::collections::BTreeMap;

use super::{
    Backup, Kubeadm, backup,
    gitops::{defaults as git, *},
    model::{defaults, *},
    secrets::{self, GithubAppAccess, SecretFrom, TierZero},
};
use crate::toml_read::{tables, words};

tables! {
    Inventory {
        cluster,
        ssh = Ssh::default(),
        network,
        cni = Cni::default(),
        cilium = None,
        gitops = None,
        host = Host::default(),
        os_disk = OsDisk::default(),
        artifacts = Artifacts::default(),
        kubeadm = Kubeadm::default(),
        backup = Backup::default(),
        nodes as "node",
        sim = None,
    }
    Cluster {
        name,
        kubernetes,
        pod_cidr = defaults::pod_cidr(),
        service_cidr = defaults::service_cidr(),
        endpoint,
    }
    Endpoint { host, port = defaults::api_port(), kind, vip = None, vrid = None }
    Backup { recipients = Vec::new(), keep = backup::keep(), keep_days = backup::keep_days() }
    Kubeadm { patches = BTreeMap::new() }
    Artifacts { dir = None, download = defaults::yes(), mirror = None, images = Vec::new(), digests = BTreeMap::new() }
    Ssh { user = None, port = None, config = None }
    Networks { lan, ceph = None, confirm_s = defaults::confirm_s() }
    Lan {
        cidr,
        gateway,
        dns = Vec::new(),
        ntp = Vec::new(),
        mtu = defaults::mtu(),
        min_speed_mbps = None,
    }
    CephNet {
        cidr,
        mtu = defaults::mtu(),
        min_speed_mbps = None,
        carries = CephCarries::default(),
    }
    Cni { kind = CniKind::default() }
    Cilium { version, values }
    Gitops {
        engine,
        repo,
        revision = git::revision(),
        bootstrap = None,
        root,
        access = None,
        age_identity = None,
        secrets as "secret" = Vec::new(),
        wait_s = git::hand_off_s(),
        grace_s = git::grace_s(),
        flux = None,
    }
    FluxPaths { bootstrap = None, root }
    GitAccess {
        username = None,
        token = None,
        ssh_key = None,
        github_app = None,
        known_hosts = None,
        ca = None,
    }
    GithubAppAccess { app_id, installation_id, private_key, api = None }
    SecretFrom {
        env = None,
        file = None,
        command = Vec::new(),
        age = None,
        sops = None,
        key = None,
    }
    TierZero {
        namespace,
        name,
        kind as "type" = secrets::opaque(),
        labels = BTreeMap::new(),
        keys,
    }
    TextFrom { text = None, file = None }
    Host {
        packages = Vec::new(),
        sysctls = BTreeMap::new(),
        journal_max = defaults::journal_max(),
        update_os = defaults::yes(),
        iptables = IptablesKind::default(),
        allow_cgroup_v1 = false,
        containerd_restrict_oom = false,
        directories as "directory" = Vec::new(),
        files as "file" = Vec::new(),
        users as "user" = Vec::new(),
    }
    OsDisk { esp = None, root = None, partitions as "partition" = Vec::new() }
    OsPartition {
        mount,
        size,
        filesystem = FilesystemKind::default(),
        options = defaults::mount_options(),
    }
    HostDirectory { path, mode = defaults::directory_mode(), owner = None }
    HostFile { path, text = None, source = None, mode = defaults::file_mode(), owner = None }
    HostUser { name, groups = Vec::new(), keys = Vec::new() }
    Node {
        name,
        os = Os::default(),
        role,
        schedulable = defaults::yes(),
        ssh = NodeSsh::default(),
        lan,
        ceph = None,
        disks,
        labels = BTreeMap::new(),
    }
    NodeSsh { host = None, port = None, user = None, host_key = None }
    Port { mac, address }
    NodeDisks { os, ceph = Vec::new() }
    Sim { seed = 0, speed = defaults::speed(), disks as "disk" = Vec::new(), faults as "fault" = Vec::new() }
    SimDisk { serial, contents, label = None, size_gb = None }
    SimFault {
        node = None,
        step = None,
        kind,
        at = SimFaultAt::default(),
        times = defaults::once(),
        seconds = None,
    }
}

words! {
    EndpointKind { Keepalived: "keepalived", KubeVip: "kube-vip", External: "external" }
    CephCarries { All: "all", Replication: "replication" }
    CniKind { Cilium: "cilium", Bridge: "bridge" }
    GitopsEngine { Argocd: "argocd", Flux: "flux", Both: "both" }
    IptablesKind { Nft: "nft", Legacy: "legacy" }
    FilesystemKind { Ext4: "ext4", Xfs: "xfs" }
    Os { Arch: "arch", Debian: "debian", Talos: "talos" }
    Role { ControlPlane: "control-plane", Worker: "worker" }
    SimFaultKind {
        DropConnection: "drop-connection",
        KillAgent: "kill-agent",
        Reboot: "reboot",
        PowerCut: "power-cut",
        PowerOff: "power-off",
        Slow: "slow",
        Fail: "fail",
        DiskFull: "disk-full",
        ClockSkew: "clock-skew",
        StaleFacts: "stale-facts",
        KillController: "kill-controller",
        NoPodTraffic: "no-pod-traffic",
    }
    SimFaultAt { Before: "before", Middle: "middle", After: "after" }
}
