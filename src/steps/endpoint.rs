//! endpoint: who carries the cluster's address, and that its name leads there.

use std::net::Ipv4Addr;

use crate::{
    inventory::{EndpointKind, Node},
    ops::{
        endpoint::EndpointFit, files::File, network::NameResolves, sys::EndpointAt, units::Unit,
    },
};

use super::{Decision, Draft, Scene, is_control_plane, known, network::LAN_PORT};

pub const KEEPALIVED: &str = "/etc/keepalived/keepalived.conf";
pub const CHECK: &str = "/etc/keepalived/check-apiserver.sh";
pub const KUBE_VIP_POD: &str = "/etc/kubernetes/manifests/kube-vip.yaml";
pub const KUBE_VIP: &str = "1.2.3";

const CHECK_TEXT: &str = include_str!("../../assets/host/check-apiserver.sh");
const KUBE_VIP_TEXT: &str = include_str!("../../assets/kubernetes/kube-vip.yaml");

/// VRRP's highest that is not the address owner's; each control plane after the first has one less.
const FIRST_PRIORITY: usize = 200;

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let endpoint = &scene.inventory.cluster.endpoint;
    let mut drafts = Vec::new();
    if endpoint.kind == EndpointKind::External {
        let at = EndpointAt {
            host: endpoint.host.clone(),
            address: scene.endpoint_address(),
            port: endpoint.port,
        };
        // The others may look when the first has made it already.
        let alone = node.name == scene.initialiser();
        drafts.push(Draft::new(&node.name, EndpointFit { at, alone }));
    }
    let Some(vip) = endpoint.vip else { return Ok(drafts) };
    if is_control_plane(node) {
        match endpoint.kind {
            EndpointKind::Keepalived => drafts.extend(keepalived(scene, node, vip)),
            EndpointKind::KubeVip => {
                drafts.push(Draft::new(&node.name, kube_vip(scene, vip, kubeconfig(scene, node))))
            }
            EndpointKind::External => {}
        }
    }
    if endpoint.host.parse::<Ipv4Addr>().is_err() {
        drafts.push(Draft::new(&node.name, NameResolves { host: endpoint.host.clone(), to: vip }));
    }
    Ok(drafts)
}

fn keepalived(scene: &Scene, node: &Node, vip: Ipv4Addr) -> Vec<Draft> {
    let check = CHECK_TEXT.replace("{port}", &known::api_port(scene).to_string());
    // The script first: keepalived refuses a configuration that names none.
    vec![
        Draft::new(&node.name, File::new(CHECK, check).mode(0o755)),
        Draft::new(&node.name, File::new(KEEPALIVED, keepalived_conf(scene, node, vip))),
        Draft::new(
            &node.name,
            Unit {
                name: "keepalived.service".into(),
                running: true,
                config: vec![KEEPALIVED.into(), CHECK.into()],
            },
        ),
    ]
}

fn keepalived_conf(scene: &Scene, node: &Node, vip: Ipv4Addr) -> String {
    let planes: Vec<&Node> = scene.inventory.control_planes().collect();
    let place = planes.iter().position(|n| n.name == node.name).unwrap_or(planes.len());
    let priority = FIRST_PRIORITY.saturating_sub(place).max(1);
    // The inventory refuses keepalived without one.
    let vrid = scene.inventory.cluster.endpoint.vrid.unwrap_or(1);
    let peers: String = planes
        .iter()
        .filter(|n| n.name != node.name)
        .map(|n| format!("        {}\n", n.lan.address))
        .collect();
    // An empty list of peers would be an error; alone, the node speaks to the multicast group.
    let unicast = if peers.is_empty() {
        String::new()
    } else {
        format!("    unicast_src_ip {}\n    unicast_peer {{\n{peers}    }}\n", node.lan.address)
    };
    format!(
        "\
# Written by Slipway. The cluster's address, carried by a control plane whose API server answers.
global_defs {{
    router_id {name}
    enable_script_security
    script_user root
}}

# Without a weight: a node whose API server does not answer is no candidate at all. Before the
# cluster is made none is, and nobody carries the address.
vrrp_script apiserver {{
    script \"{CHECK}\"
    interval 2
    timeout 4
    fall 3
    rise 1
}}

vrrp_instance kubernetes {{
    # All start as backups and do not take the address from each other: it moves only when it must.
    state BACKUP
    nopreempt
    interface {LAN_PORT}
    virtual_router_id {vrid}
    priority {priority}
    advert_int 1
{unicast}    virtual_ipaddress {{
        {vip}/32 dev {LAN_PORT}
    }}
    track_script {{
        apiserver
    }}
}}
",
        name = node.name,
    )
}

/// Until init is done only super-admin.conf has any rights, and only the first node has it; after
/// that, the ordinary one. `kubeadm-init` puts it in place.
fn kubeconfig(scene: &Scene, node: &Node) -> &'static str {
    let made = scene.api().is_some() || scene.memory.ca_fingerprint.is_some();
    if !made && node.name == scene.initialiser() { "super-admin.conf" } else { "admin.conf" }
}

/// kube-vip's static pod, with the rights of this kubeconfig.
pub fn kube_vip(scene: &Scene, vip: Ipv4Addr, kubeconfig: &str) -> File {
    let text = KUBE_VIP_TEXT
        .replace("{version}", KUBE_VIP)
        .replace("{vip}", &vip.to_string())
        .replace("{port}", &known::api_port(scene).to_string())
        .replace("{kubeconfig}", kubeconfig);
    File::new(KUBE_VIP_POD, text).mode(0o600)
}
