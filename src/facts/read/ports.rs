//! Network ports, from `ip -j -d addr`; listening sockets, from /proc/net/tcp; ARP, from `ip -j neigh`.

use std::net::Ipv4Addr;

use serde::Deserialize;

use crate::{facts::Link, names::Mac};

#[derive(Debug, Deserialize)]
struct Port {
    ifname: String,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    mtu: u32,
    #[serde(default)]
    link_type: String,
    address: Option<String>,
    permaddr: Option<String>,
    linkinfo: Option<LinkInfo>,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Debug, Deserialize)]
struct LinkInfo {
    info_kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Address {
    family: Option<String>,
    local: Option<String>,
    prefixlen: Option<u8>,
}

/// Kinds of links that software makes. A veth is the port of a host in a lab; those of pods carry
/// a name that their CNI gives them.
const MADE_UP: [&str; 14] = [
    "bridge",
    "dummy",
    "ifb",
    "vxlan",
    "geneve",
    "wireguard",
    "tun",
    "bond",
    "vlan",
    "macvlan",
    "ipvlan",
    "ipip",
    "sit",
    "netkit",
];
const OF_PODS: [&str; 7] = ["lxc", "cilium", "veth", "cali", "cni", "docker", "flannel"];

/// Ethernet ports, with their permanent address. Speeds lie elsewhere and are filled in later.
pub fn links(json: &str) -> Result<Vec<Link>, String> {
    let ports: Vec<Port> = serde_json::from_str(json).map_err(|e| format!("ip's output: {e}"))?;
    Ok(ports.into_iter().filter_map(link).collect())
}

fn link(port: Port) -> Option<Link> {
    let kind = port.linkinfo.as_ref().and_then(|l| l.info_kind.as_deref()).unwrap_or_default();
    let of_pods = OF_PODS.iter().any(|p| port.ifname.starts_with(p));
    if port.link_type != "ether" || MADE_UP.contains(&kind) || of_pods {
        return None;
    }
    let mac: Mac = port.permaddr.or(port.address)?.parse().ok()?;
    let addresses = port.addr_info.iter().filter(|a| a.family.as_deref() == Some("inet"));
    Some(Link {
        name: port.ifname,
        mac,
        up: port.flags.iter().any(|f| f == "LOWER_UP"),
        speed_mbps: None,
        mtu: u16::try_from(port.mtu).unwrap_or(u16::MAX),
        addresses: addresses
            .filter_map(|a| Some((a.local.as_deref()?.parse::<Ipv4Addr>().ok()?, a.prefixlen?)))
            .collect(),
    })
}

/// Whether something listens on a port, by the contents of /proc/net/tcp or tcp6.
pub fn listens(proc_net_tcp: &str, port: u16) -> bool {
    const LISTEN: &str = "0A";
    proc_net_tcp.lines().skip(1).any(|line| {
        let mut fields = line.split_ascii_whitespace();
        let local = fields.nth(1).and_then(|l| l.rsplit_once(':'));
        let state = fields.nth(1);
        let here = local.and_then(|(_, p)| u16::from_str_radix(p, 16).ok());
        here == Some(port) && state == Some(LISTEN)
    })
}

#[derive(Debug, Deserialize)]
struct Route {
    #[serde(default)]
    dev: String,
}

/// The port that packets to somewhere leave by, from `ip -j route get`; empty where there is no way.
pub fn leaves_by(json: &str) -> String {
    let routes: Vec<Route> = serde_json::from_str(json).unwrap_or_default();
    routes.into_iter().next().map(|r| r.dev).unwrap_or_default()
}

#[derive(Debug, Deserialize)]
struct Neighbour {
    dst: String,
    dev: Option<String>,
    lladdr: Option<String>,
    #[serde(default)]
    state: Vec<String>,
}

/// What the kernel knows of a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbourhood {
    Answers(Mac),
    Nobody,
    /// It is being asked, or is going to be.
    Asking,
}

pub fn neighbour(json: &str, address: Ipv4Addr) -> Neighbourhood {
    let all: Vec<Neighbour> = serde_json::from_str(json).unwrap_or_default();
    let Some(found) = all.into_iter().find(|n| n.dst.parse() == Ok(address)) else {
        return Neighbourhood::Asking;
    };
    let is = |state: &str| found.state.iter().any(|s| s == state);
    match found.lladdr.as_deref().and_then(|mac| mac.parse().ok()) {
        Some(mac) if is("REACHABLE") || is("PERMANENT") => Neighbourhood::Answers(mac),
        _ if is("FAILED") => Neighbourhood::Nobody,
        _ => Neighbourhood::Asking,
    }
}

/// The port of an entry that the kernel made by itself, and would make again.
pub fn forgettable(json: &str, address: Ipv4Addr) -> Option<String> {
    let all: Vec<Neighbour> = serde_json::from_str(json).unwrap_or_default();
    let found = all.into_iter().find(|n| n.dst.parse() == Ok(address))?;
    let by_hand = found.state.iter().any(|s| s == "PERMANENT" || s == "NOARP");
    found.dev.filter(|_| !by_hand)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two ports, a bond of neither, and what Cilium makes, as iproute2 6.16 prints them.
    const PORTS: &str = include_str!("../../../tests/facts/ip-arch.json");

    #[test]
    fn ports_and_nothing_else() {
        let links = links(PORTS).unwrap();
        let names: Vec<&str> = links.iter().map(|l| l.name.as_str()).collect();
        assert_eq!(names, ["enp1s0", "ceph0"]);
        assert_eq!(links[0].addresses, [("192.168.1.11".parse().unwrap(), 24)]);
        assert_eq!(links[1].mac.to_string(), "58:47:ca:00:00:02", "the permanent one");
        assert!(links[0].up && !links[1].up);
        assert_eq!(links[1].mtu, 9000);
        assert!(super::links("nonsense").is_err());
        assert_eq!(super::links("[]").unwrap(), []);
    }

    #[test]
    fn listening() {
        let proc = "  sl  local_address rem_address   st\n   0: 00000000:0016 00000000:0000 0A 0\n   1: 0100007F:192B 00000000:0000 01 0\nrubbish\n";
        assert!(listens(proc, 22));
        assert!(!listens(proc, 6443), "connected, not listening");
        assert!(!listens(proc, 80));
    }

    #[test]
    fn ways() {
        let json = r#"[{"dst":"10.0.0.9","dev":"ceph0","prefsrc":"10.0.0.1","flags":[],"uid":0,"cache":[]}]"#;
        assert_eq!(leaves_by(json), "ceph0");
        assert_eq!(leaves_by("RTNETLINK answers: Network is unreachable"), "");
        assert_eq!(leaves_by("[]"), "");
    }

    #[test]
    fn neighbours() {
        let json = r#"[{"dst":"10.0.0.9","dev":"lan0","lladdr":"58:47:ca:00:00:09","state":["REACHABLE"]},{"dst":"10.0.0.8","dev":"lan0","state":["FAILED"]},{"dst":"10.0.0.7","dev":"lan0","lladdr":"58:47:ca:00:00:07","state":["STALE"]}]"#;
        let of = |address: &str| neighbour(json, address.parse().unwrap());
        assert!(matches!(of("10.0.0.9"), Neighbourhood::Answers(_)));
        assert_eq!(of("10.0.0.8"), Neighbourhood::Nobody);
        assert_eq!(of("10.0.0.7"), Neighbourhood::Asking, "known from before, not heard of now");
        assert_eq!(neighbour("", "10.0.0.8".parse().unwrap()), Neighbourhood::Asking);
        let port = |address: &str| forgettable(json, address.parse().unwrap());
        assert_eq!(port("10.0.0.7").as_deref(), Some("lan0"));
        let by_hand = json.replace("STALE", "PERMANENT");
        assert_eq!(forgettable(&by_hand, "10.0.0.7".parse().unwrap()), None);
        assert_eq!(port("10.0.0.6"), None);
    }
}
