//! The network's files: Cilium's values, the Gateway API's CRDs, MetalLB and its addresses.

use super::{
    layout::{self, join},
    scaffold::{Manifest, Scene},
    template::{fill, kustomization, list, quoted},
    values::LAN_PORT,
};

/// Pairs of path and text.
pub fn files(scene: &Scene) -> Vec<(String, String)> {
    let mut files = Vec::new();
    if let Some(values) = &scene.layout.values {
        files.push((values.clone(), cilium(scene)));
        let crds = scene.manifest(Manifest::GatewayApi, layout::GATEWAY_API, &mut files);
        let text = kustomization(&[crds], "");
        files.push((join(layout::GATEWAY_API, "kustomization.yaml"), text));
    }
    if scene.metallb() {
        let values = include_str!("../../assets/gitops/metallb-values.yaml");
        files.push((join(layout::METALLB, "values.yaml"), values.into()));
        let pool = kustomization(&["pool.yaml".into()], "");
        files.push((join(layout::METALLB_POOL, "kustomization.yaml"), pool));
        let addresses = list(scene.pool.iter().map(|range| quoted(range)));
        let text = fill(
            include_str!("../../assets/gitops/metallb-pool.yaml"),
            &[("addresses", &addresses), ("lan_port", LAN_PORT)],
        );
        files.push((layout::POOL_FILE.into(), text));
    }
    files
}

fn cilium(scene: &Scene) -> String {
    let cluster = &scene.inventory.cluster;
    let networks = &scene.inventory.network;
    // The second would stay Pending on a single node.
    let operators = scene.inventory.nodes.len().clamp(1, 2);
    let ceph = include_str!("../../assets/gitops/cilium-ceph.yaml");
    fill(
        include_str!("../../assets/gitops/cilium-values.yaml"),
        &[
            ("host", &quoted(&cluster.endpoint.host)),
            ("port", &cluster.endpoint.port.to_string()),
            ("pod_cidr", &cluster.pod_cidr.to_string()),
            ("lan_port", LAN_PORT),
            ("mtu", &networks.lan.mtu.to_string()),
            ("ceph", if networks.ceph.is_some() { ceph } else { "" }),
            ("operators", &operators.to_string()),
        ],
    )
}
