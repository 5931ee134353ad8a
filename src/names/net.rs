//! Networks.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

use super::{BadName, string_newtype};

/// An IPv4 network, written with its base address: `192.168.1.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(ipnet::Ipv4Net);

impl Cidr {
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        self.0.contains(&address)
    }

    pub fn overlaps(&self, other: &Cidr) -> bool {
        self.0.contains(&other.0.network()) || other.0.contains(&self.0.network())
    }

    pub fn prefix_len(&self) -> u8 {
        self.0.prefix_len()
    }

    pub fn network(&self) -> Ipv4Addr {
        self.0.network()
    }

    pub fn broadcast(&self) -> Ipv4Addr {
        self.0.broadcast()
    }

    /// The `n`th network of this prefix in it.
    pub fn part(&self, prefix: u8, n: u32) -> Option<Cidr> {
        let bits = prefix.checked_sub(self.prefix_len())?;
        if u64::from(n) >= 1u64.checked_shl(u32::from(bits))? {
            return None;
        }
        let base =
            u32::from(self.network()) | n.checked_shl(32u32.checked_sub(u32::from(prefix))?)?;
        ipnet::Ipv4Net::new(base.into(), prefix).ok().map(Cidr)
    }

    /// The place of an address, counted from the base.
    pub fn place(&self, address: Ipv4Addr) -> Option<u32> {
        self.contains(address).then(|| u32::from(address) - u32::from(self.network()))
    }

    /// The `n`th address, counted from the base: the DNS service is the tenth.
    pub fn nth(&self, n: u32) -> Option<Ipv4Addr> {
        let address = Ipv4Addr::from(u32::from(self.0.network()).checked_add(n)?);
        self.contains(address).then_some(address)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Cidr {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let Ok(net) = text.parse::<ipnet::IpNet>() else {
            return Err(BadName(match text.parse::<IpAddr>() {
                Ok(_) => format!("is an address, not a network; did you mean `{text}/24`?"),
                Err(_) => "is not a network like `192.168.1.0/24`".into(),
            }));
        };
        let ipnet::IpNet::V4(net) = net else {
            return Err(BadName("is IPv6; Slipway lays out IPv4 networks only, for now".into()));
        };
        if net.addr() != net.network() {
            return Err(BadName(format!("has host bits set; did you mean `{}`?", net.trunc())));
        }
        Ok(Self(net))
    }
}

string_newtype!(Cidr, "Cidr", r"^\d{1,3}(\.\d{1,3}){3}/\d{1,2}$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_symmetric() {
        let net = |s: &str| s.parse::<Cidr>().unwrap();
        assert!(net("10.0.0.0/8").overlaps(&net("10.10.10.0/24")));
        assert!(net("10.10.10.0/24").overlaps(&net("10.0.0.0/8")));
        assert!(!net("10.42.0.0/16").overlaps(&net("10.43.0.0/16")));
    }

    #[test]
    fn parts_and_places() {
        let net: Cidr = "10.42.0.0/16".parse().unwrap();
        assert_eq!(net.part(24, 11).unwrap().to_string(), "10.42.11.0/24");
        assert_eq!(net.part(24, 256), None);
        assert_eq!(net.part(8, 0), None);
        let lan: Cidr = "192.168.1.0/24".parse().unwrap();
        assert_eq!(lan.place("192.168.1.11".parse().unwrap()), Some(11));
        assert_eq!(lan.place("192.168.2.11".parse().unwrap()), None);
    }

    #[test]
    fn host_bits_get_the_network_suggested() {
        let why = "192.168.1.5/24".parse::<Cidr>().unwrap_err().to_string();
        assert!(why.contains("`192.168.1.0/24`"), "{why}");
        let why = "192.168.1.5".parse::<Cidr>().unwrap_err().to_string();
        assert!(why.contains("is an address"), "{why}");
    }
}
