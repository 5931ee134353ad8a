//! The cluster as a whole: its endpoint, its versions, its CNI and the hand-off.

use std::net::Ipv4Addr;

use super::{Finding, Findings, text};
use crate::{
    artifacts,
    inventory::{Cilium, CniKind, EndpointKind, Inventory},
};

pub fn check(inventory: &Inventory, f: &mut Findings<'_>) {
    endpoint(inventory, f);
    versions(inventory, f);
    cni(inventory, f);
}

fn endpoint(inventory: &Inventory, f: &mut Findings<'_>) {
    let endpoint = &inventory.cluster.endpoint;
    let kind_at = "cluster.endpoint.kind";
    let kind = match endpoint.kind {
        EndpointKind::Keepalived => "keepalived",
        EndpointKind::KubeVip => "kube-vip",
        EndpointKind::External => "external",
    };
    let of_the_nodes = endpoint.kind != EndpointKind::External;
    if let Err(why) = text::host(&endpoint.host) {
        let host = &endpoint.host;
        f.add(Finding::error(
            "cluster.endpoint.host",
            format!("the endpoint's host, `{host}`, {why}"),
        ));
    } else if let Ok(host) = endpoint.host.parse::<Ipv4Addr>() {
        endpoint_address(inventory, host, f);
    }
    match endpoint.vip {
        None if of_the_nodes => f.add(
            Finding::error(
                "cluster.endpoint.vip",
                format!("an endpoint of the kind `{kind}` needs a `vip`"),
            )
            .other(kind_at, "because of this")
            .hint("a free address of the LAN, outside the router's DHCP range"),
        ),
        Some(_) if !of_the_nodes => f.add(
            Finding::error(
                "cluster.endpoint.vip",
                "an external endpoint has no `vip`: the nodes carry none",
            )
            .on_key()
            .other(kind_at, "because of this")
            .hint("take `vip` out, or choose `keepalived` or `kube-vip`"),
        ),
        _ => {}
    }
    match (endpoint.kind, endpoint.vrid) {
        (EndpointKind::Keepalived, None) => f.add(
            Finding::error(
                "cluster.endpoint.vrid",
                "an endpoint of the kind `keepalived` needs a `vrid`",
            )
            .other(kind_at, "because of this")
            .hint("a number from 1 to 255 that no router on the LAN uses for VRRP or CARP"),
        ),
        (EndpointKind::Keepalived, Some(0)) => {
            f.add(Finding::error("cluster.endpoint.vrid", "a `vrid` is a number from 1 to 255"));
        }
        (EndpointKind::KubeVip | EndpointKind::External, Some(_)) => f.add(
            Finding::error(
                "cluster.endpoint.vrid",
                format!("an endpoint of the kind `{kind}` has no `vrid`: it speaks no VRRP"),
            )
            .on_key()
            .other(kind_at, "because of this")
            .hint("take `vrid` out"),
        ),
        _ => {}
    }
    port(endpoint.port, of_the_nodes, f);
}

fn port(port: u16, of_the_nodes: bool, f: &mut Findings<'_>) {
    let path = "cluster.endpoint.port";
    let taken = match port {
        22 => "SSH",
        2379 | 2380 => "etcd",
        10250 => "the kubelet",
        10257 => "the controller manager",
        10259 => "the scheduler",
        _ => "",
    };
    if port == 0 {
        f.add(
            Finding::error(path, "0 is not a port that clients can connect to")
                .hint("6443 is usual"),
        );
    } else if of_the_nodes && !taken.is_empty() {
        f.add(
            Finding::error(path, format!("port {port} is that of {taken} on the same nodes"))
                .label("with this kind of endpoint it is the API server's own port")
                .given("cluster.endpoint.kind")
                .hint("6443 is usual"),
        );
    }
}

/// The endpoint is an address rather than a name.
fn endpoint_address(inventory: &Inventory, host: Ipv4Addr, f: &mut Findings<'_>) {
    let path = "cluster.endpoint.host";
    if let Some(vip) = inventory.cluster.endpoint.vip.filter(|vip| *vip != host) {
        f.add(
            Finding::error(
                path,
                format!("clients would go to {host}, but the nodes carry the VIP {vip}"),
            )
            .other("cluster.endpoint.vip", "the VIP")
            .hint("a DNS name, or the VIP itself, belongs here"),
        );
    } else if let Some(i) = inventory.nodes.iter().position(|n| n.lan.address == host) {
        let message = format!(
            "the endpoint is the address of {}: without that node nobody reaches the cluster",
            f.who(i)
        );
        f.add(Finding::warning(path, message).other(&super::at(i, "lan.address"), "the node"));
    }
}

fn versions(inventory: &Inventory, f: &mut Findings<'_>) {
    let version = &inventory.cluster.kubernetes;
    let path = "cluster.kubernetes";
    let compat = artifacts::compat();
    let known = compat.lines().join(", ");
    if compat.row(version).is_none() {
        let finding = if compat.is_too_old(version) {
            Finding::error(
                path,
                format!("Kubernetes {} is older than what Slipway can install", version.line()),
            )
        } else {
            let why = format!(
                "Kubernetes {} is not among the versions that are known to work together",
                version.line()
            );
            Finding::warning(path, why)
        };
        f.add(finding.hint(format!("the ones that are: {known}")));
    }
    if version.to_string().contains('-') {
        f.add(Finding::warning(
            path,
            format!(
                "Kubernetes {version} is a pre-release: it cannot be upgraded to a release reliably"
            ),
        ));
    }
    let (Some(row), Some(cilium)) = (compat.row(version), &inventory.cilium) else { return };
    if !row.cilium.contains(&cilium.version.line()) {
        let message = format!(
            "Cilium {} is not known to work with Kubernetes {}",
            cilium.version.line(),
            row.kubernetes
        );
        f.add(
            Finding::warning("cilium.version", message)
                .other(path, format!("known to work: Cilium {}", row.cilium.join(", "))),
        );
    }
}

fn cni(inventory: &Inventory, f: &mut Findings<'_>) {
    match (inventory.cni.kind, &inventory.cilium) {
        (CniKind::Cilium, None) => f.add(
            Finding::error("cilium", "the table [cilium] is missing")
                .given("cni")
                .hint("it names Cilium's `version` and `values`; a small lab may do with [cni] kind = \"bridge\""),
        ),
        (CniKind::Bridge, Some(_)) => f.add(
            Finding::error("cilium", "there is a [cilium] table, but the CNI is `bridge`")
                .other("cni.kind", "because of this")
                .hint("take one of the two out"),
        ),
        (CniKind::Cilium, Some(Cilium { values, .. })) => {
            if let Err(why) = text::relative_path(values) {
                f.add(Finding::error("cilium.values", format!("the path `{values}` {why}")));
            }
            if inventory.gitops.is_none() {
                f.add(
                    Finding::error("cilium.values", "Cilium's values come from the GitOps repository and from nowhere else, but there is no [gitops]")
                        .hint("name the repository in [gitops], and its `engine`; a small lab may do with [cni] kind = \"bridge\""),
                );
            }
        }
        (CniKind::Bridge, None) => {}
    }
}
