//! kubeadm's documents (v1beta4). No secrets in them: what is secret is a `{placeholder}` that the
//! op fills in on the node.
//!
//! Written as text rather than serialised: every value is a checked word of the inventory, the
//! comments travel along to the node, and a person compares them with kubeadm's documentation.

use std::net::Ipv4Addr;

use crate::{
    inventory::{CniKind, EndpointKind, Node},
    names::Version,
};

use super::{Scene, control_plane_files::AUDIT_POLICY, is_control_plane, known, kubeadm_patches};

const ENCRYPTION: &str = "/etc/kubernetes/slipway/encryption.yaml";
const AUDIT_LOGS: &str = "/var/log/kubernetes/audit";

/// Init, cluster and kubelet, in one file.
pub fn init(scene: &Scene, node: &Node) -> String {
    let mut documents = vec![
        init_configuration(scene, node),
        cluster_configuration(scene),
        kubelet_configuration(scene),
    ];
    if scene.inventory.cni.kind == CniKind::Bridge {
        documents.push(kube_proxy_configuration(scene));
    }
    documents.join("---\n")
}

fn init_configuration(scene: &Scene, node: &Node) -> String {
    let vip = scene.endpoint_address().map_or(String::new(), |vip| format!("# vip: {vip}\n"));
    // The join command that kubeadm prints at the end holds a token: output is logged.
    let mut skipped = vec!["show-join-command"];
    if scene.inventory.cni.kind == CniKind::Cilium {
        skipped.push("addon/kube-proxy");
    }
    format!(
        "\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
{vip}localAPIEndpoint:
  advertiseAddress: {address}
  bindPort: {port}
skipPhases: [{skipped}]
timeouts:
  controlPlaneComponentHealthCheck: 6m0s
{registration}",
        address = node.lan.address,
        port = known::api_port(scene),
        skipped = skipped.join(", "),
        registration = registration(scene, node),
    )
}

/// How this node presents itself; the same at init and at join.
fn registration(scene: &Scene, node: &Node) -> String {
    // An explicit empty list: kubeadm taints control planes otherwise.
    let taints = if is_control_plane(node) && !node.schedulable {
        "\n  - key: node-role.kubernetes.io/control-plane\n    effect: NoSchedule"
    } else {
        " []"
    };
    let mut ignores = upgrade_ignores(scene);
    // kube-vip's manifest lies there before kubeadm comes.
    if scene.inventory.cluster.endpoint.kind == EndpointKind::KubeVip {
        ignores.push("DirAvailable--etc-kubernetes-manifests");
    }
    let ignored = ignored(&ignores);
    format!(
        "\
nodeRegistration:
  name: {name}
  criSocket: unix:///run/containerd/containerd.sock
  imagePullPolicy: IfNotPresent
{ignored}  taints:{taints}
  kubeletExtraArgs:
  # Two ports: without it the kubelet may choose the Ceph port's address.
  - name: node-ip
    value: \"{address}\"
{patches}",
        name = node.name,
        address = node.lan.address,
        patches = kubeadm_patches::field(scene, ""),
    )
}

/// The preflight errors of kubeadm that stay when a node is a member.
fn upgrade_ignores(scene: &Scene) -> Vec<&'static str> {
    // It stands for control groups too; the inventory accepts old ones.
    if scene.inventory.host.allow_cgroup_v1 { vec!["SystemVerification"] } else { Vec::new() }
}

fn ignored(names: &[&str]) -> String {
    if names.is_empty() {
        String::new()
    } else {
        format!("  ignorePreflightErrors: [{}]\n", names.join(", "))
    }
}

/// What carries Services where no CNI does. The kernel's own limits are the host's business. Changes are
/// applied at once: gathering them for a second, as it does by itself, is for thousands of Services.
fn kube_proxy_configuration(scene: &Scene) -> String {
    format!(
        "\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clusterCIDR: {pods}
metricsBindAddress: 0.0.0.0:10249
conntrack:
  maxPerCore: 0
  min: 0
iptables:
  minSyncPeriod: 100ms
nftables:
  minSyncPeriod: 100ms
",
        pods = scene.inventory.cluster.pod_cidr,
    )
}

fn cluster_configuration(scene: &Scene) -> String {
    let cluster = &scene.inventory.cluster;
    let proxy = match scene.inventory.cni.kind {
        CniKind::Cilium => "proxy:\n  disabled: true\n",
        CniKind::Bridge => "",
    };
    // The bridge's ranges follow from the inventory; a second list of them would only disagree.
    let ranges = match scene.inventory.cni.kind {
        CniKind::Cilium => "",
        CniKind::Bridge => "  - name: allocate-node-cidrs\n    value: \"false\"\n",
    };
    format!(
        "\
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
clusterName: {name}
kubernetesVersion: v{version}
controlPlaneEndpoint: \"{host}:{port}\"
networking:
  podSubnet: {pods}
  serviceSubnet: {services}
  dnsDomain: cluster.local
# Leaf certificates are renewed by every upgrade; `slipway doctor` warns before they end.
certificateValidityPeriod: 8760h0m0s
caCertificateValidityPeriod: 87600h0m0s
{proxy}apiServer:
  certSANs:
{sans}  extraArgs:
  - name: encryption-provider-config
    value: {ENCRYPTION}
  - name: audit-policy-file
    value: {AUDIT_POLICY}
  - name: audit-log-path
    value: {AUDIT_LOGS}/audit.log
  - name: audit-log-maxage
    value: \"14\"
  - name: audit-log-maxbackup
    value: \"5\"
  - name: audit-log-maxsize
    value: \"100\"
  extraVolumes:
  - name: slipway-encryption
    hostPath: {ENCRYPTION}
    mountPath: {ENCRYPTION}
    pathType: File
    readOnly: true
  - name: slipway-audit-policy
    hostPath: {AUDIT_POLICY}
    mountPath: {AUDIT_POLICY}
    pathType: File
    readOnly: true
  - name: slipway-audit-logs
    hostPath: {AUDIT_LOGS}
    mountPath: {AUDIT_LOGS}
    pathType: DirectoryOrCreate
# Metrics are scraped from outside the node; these ask for a client's token or certificate.
controllerManager:
  extraArgs:
  - name: bind-address
    value: 0.0.0.0
{ranges}scheduler:
  extraArgs:
  - name: bind-address
    value: 0.0.0.0
etcd:
  local:
    dataDir: /var/lib/etcd
    extraArgs:
    # Metrics and health only, no data.
    - name: listen-metrics-urls
      value: http://0.0.0.0:2381
    # The default of 2 GiB ends in an alarm that stops all writes; GitOps writes a lot.
    - name: quota-backend-bytes
      value: \"8589934592\"
    # The disk is the OS's and the images' too: a write that waits behind an image of some gigabytes
    # takes longer than the default of a second, and must not cost the leader its office. A leader
    # that is really gone is replaced within five seconds instead of two.
    - name: heartbeat-interval
      value: \"250\"
    - name: election-timeout
      value: \"2500\"
    # etcd 3.6's own; 3.5 keeps ten times as much in memory and in its log, which all has to be read
    # again at every start.
    - name: snapshot-count
      value: \"10000\"
    # No auto-compaction: the API server compacts every five minutes, and two would only compete.
",
        name = cluster.name,
        version = scene.kubernetes(),
        host = cluster.endpoint.host,
        port = cluster.endpoint.port,
        pods = cluster.pod_cidr,
        services = cluster.service_cidr,
        sans = sans(scene),
    )
}

/// Every name and address that somebody may reach an API server by. The loopback address is for
/// tunnels through a bastion.
fn sans(scene: &Scene) -> String {
    let endpoint = &scene.inventory.cluster.endpoint;
    let mut sans = vec![endpoint.host.clone()];
    sans.extend(endpoint.vip.map(|vip| vip.to_string()));
    for plane in scene.inventory.control_planes() {
        sans.extend([plane.name.to_string(), plane.lan.address.to_string()]);
    }
    sans.push(Ipv4Addr::LOCALHOST.to_string());
    let mut seen = std::collections::BTreeSet::new();
    sans.retain(|san| seen.insert(san.clone()));
    sans.iter().map(|san| format!("  - \"{san}\"\n")).collect()
}

fn kubelet_configuration(scene: &Scene) -> String {
    let dns = scene.dns_service().map_or(String::new(), |dns| format!("clusterDNS: [\"{dns}\"]\n"));
    let cgroups = if scene.inventory.host.allow_cgroup_v1 { "failCgroupV1: false\n" } else { "" };
    format!(
        "\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
{dns}clusterDomain: cluster.local
# Not the stub on 127.0.0.53, which is nobody inside a pod.
resolvConf: /run/systemd/resolve/resolv.conf
rotateCertificates: true
{cgroups}# Serving certificates would wait for somebody to sign them.
serverTLSBootstrap: false
failSwapOn: true
# A /24 of pod addresses a node holds them.
maxPods: 200
serializeImagePulls: false
maxParallelImagePulls: 4
imageGCHighThresholdPercent: 80
imageGCLowThresholdPercent: 70
containerLogMaxSize: 20Mi
containerLogMaxFiles: 5
# What a node keeps for itself: a pod that takes all memory must not take sshd or etcd's page cache.
systemReserved:
  cpu: 250m
  memory: 512Mi
  ephemeral-storage: 2Gi
kubeReserved:
  cpu: 250m
  memory: 512Mi
# A node that is shut down lets its pods end first; the critical ones last.
shutdownGracePeriod: 60s
shutdownGracePeriodCriticalPods: 20s
"
    )
}

pub fn join(scene: &Scene, node: &Node) -> String {
    let endpoint = &scene.inventory.cluster.endpoint;
    let control_plane = if is_control_plane(node) {
        format!(
            "controlPlane:\n  localAPIEndpoint:\n    advertiseAddress: {}\n    bindPort: {}\n  \
             certificateKey: \"{{certificate_key}}\"\n",
            node.lan.address,
            known::api_port(scene)
        )
    } else {
        String::new()
    };
    format!(
        "\
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken:
    apiServerEndpoint: \"{host}:{port}\"
    token: \"{{token}}\"
    caCertHashes: [\"sha256:{{ca_hash}}\"]
{control_plane}timeouts:
  controlPlaneComponentHealthCheck: 6m0s
{registration}",
        host = endpoint.host,
        port = endpoint.port,
        registration = registration(scene, node),
    )
}

/// For `kubeadm upgrade apply` on the first control plane and `upgrade node` on the others.
pub fn upgrade(scene: &Scene, to: &Version) -> String {
    // etcd and certificates go along: a release is tested with its own etcd, and renewal at each
    // upgrade is what keeps the year from ending unnoticed. kubeadm keeps no patches: a document that
    // does not name them takes them away.
    let common = format!(
        "  certificateRenewal: true
  etcdUpgrade: true
  imagePullPolicy: IfNotPresent
{ignored}{patches}",
        ignored = ignored(&upgrade_ignores(scene)),
        patches = kubeadm_patches::field(scene, "  "),
    );
    format!(
        "\
apiVersion: kubeadm.k8s.io/v1beta4
kind: UpgradeConfiguration
apply:
  kubernetesVersion: v{to}
  forceUpgrade: false
{common}node:
{common}"
    )
}
