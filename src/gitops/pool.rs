//! The addresses that MetalLB may give away: in the LAN, and nobody's yet.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use crate::inventory::Inventory;

/// From the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub first: Ipv4Addr,
    pub last: Ipv4Addr,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for Range {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not FROM-TO, like 192.168.1.220-192.168.1.239");
        let (first, last) = text.split_once('-').ok_or_else(bad)?;
        let address = |part: &str| part.trim().parse::<Ipv4Addr>().map_err(|_| bad());
        let (first, last) = (address(first)?, address(last)?);
        if first > last {
            return Err(format!("`{text}` ends before it begins"));
        }
        Ok(Self { first, last })
    }
}

impl Range {
    fn has(&self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }

    /// Everything that speaks against giving these addresses away.
    pub fn against(&self, inventory: &Inventory) -> Vec<String> {
        let lan = &inventory.network.lan;
        if !lan.cidr.contains(self.first) || !lan.cidr.contains(self.last) {
            return vec![format!("{self} does not lie in the LAN, {}", lan.cidr)];
        }
        let mut taken = vec![
            (lan.cidr.network(), "the LAN's own address".to_string()),
            (lan.cidr.broadcast(), "the LAN's broadcast address".into()),
            (lan.gateway, "the gateway".into()),
        ];
        taken.extend(lan.dns.iter().map(|dns| (*dns, "a name server".into())));
        let endpoint = &inventory.cluster.endpoint;
        taken.extend(endpoint.vip.map(|vip| (vip, "the API endpoint's VIP".into())));
        taken.extend(endpoint.host.parse().ok().map(|ip| (ip, "the API endpoint".into())));
        for node in &inventory.nodes {
            taken.push((node.lan.address, format!("node {}", node.name)));
            let today = node.ssh.host.as_ref().and_then(|h| h.parse().ok());
            taken.extend(today.map(|ip| (ip, format!("where node {} is today", node.name))));
        }
        let mut said: Vec<Ipv4Addr> = Vec::new();
        let mut found = Vec::new();
        for (address, whose) in taken {
            if self.has(address) && !said.contains(&address) {
                said.push(address);
                found.push(format!("{address} in {self} is {whose}"));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{SIM, parse};

    #[test]
    fn what_is_taken_is_not_given_away() {
        let inventory = parse("sim", SIM).unwrap().inventory;
        let against = |text: &str| text.parse::<Range>().unwrap().against(&inventory);
        assert!(against("192.168.1.220-192.168.1.239").is_empty());
        for (range, why) in [
            ("192.168.2.1-192.168.2.9", "does not lie in the LAN"),
            ("192.168.1.250-192.168.2.9", "does not lie in the LAN"),
            ("192.168.1.200-192.168.1.215", "192.168.1.210 in"),
            ("192.168.1.12-192.168.1.12", "node node-b"),
            ("192.168.1.0-192.168.1.1", "the gateway"),
            ("192.168.1.240-192.168.1.255", "broadcast"),
        ] {
            let said = against(range).join("\n");
            assert!(said.contains(why), "{range}: {said}");
        }
        for bad in ["192.168.1.5", "a-b", "192.168.1.9-192.168.1.5", "1.2.3.4-", "192.168.1.0/28"] {
            assert!(bad.parse::<Range>().is_err(), "{bad}");
        }
    }
}
