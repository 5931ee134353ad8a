//! reset-host: what Slipway wrote on the host for Kubernetes goes.
//!
//! Network, names, sysctls, modules, time and packages stay: they make a good host of a machine
//! without any cluster, and taking the network back could cut it off. What lies under /opt/slipway
//! stays too: nothing leads to it any more, and the next cluster is made faster with it.

use crate::{
    inventory::{CniKind, EndpointKind, Node},
    ops::{files::Absent, units::UnitOff},
};

use super::{
    Decision, Draft, Scene, control_plane_files, endpoint, is_control_plane, kubelet, pod_network,
    runtime,
};

/// Left by the CNI: with it, the next cluster's node would call itself Ready before it has one.
const CNI: [&str; 2] = ["/etc/cni/net.d/05-cilium.conflist", pod_network::CONFIG];

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let mut units = vec!["kubelet.service"];
    let mut files = vec![kubelet::DROP_IN, kubelet::UNIT];
    if is_control_plane(node) {
        if scene.inventory.cluster.endpoint.kind == EndpointKind::Keepalived {
            units.push("keepalived.service");
            files.extend([endpoint::KEEPALIVED, endpoint::CHECK]);
        }
        files.extend([endpoint::KUBE_VIP_POD, control_plane_files::AUDIT_POLICY]);
    }
    if scene.inventory.cni.kind == CniKind::Bridge {
        units.push(pod_network::UNIT);
        files.extend([pod_network::UNIT_FILE, pod_network::SCRIPT]);
    }
    // Last: the kubelet is not to find it gone and start it anew.
    units.push("containerd.service");
    files.extend([runtime::UNIT, runtime::CONFIG, runtime::CRICTL]);
    files.extend(CNI);
    let off = units.into_iter().map(|name| Draft::new(&node.name, UnitOff { name: name.into() }));
    let gone = files.into_iter().map(|path| Draft::new(&node.name, Absent { path: path.into() }));
    Ok(off.chain(gone).collect())
}
