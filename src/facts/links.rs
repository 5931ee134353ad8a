//! Network ports.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::names::Mac;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Today's name; `lan0` and `ceph0` once the `.link` files have been through a boot or a trigger.
    pub name: String,
    /// The permanent address.
    pub mac: Mac,
    pub up: bool,
    pub speed_mbps: Option<u32>,
    pub mtu: u16,
    /// Addresses with their prefix lengths.
    pub addresses: Vec<(Ipv4Addr, u8)>,
}

impl Link {
    pub fn has(&self, address: Ipv4Addr) -> bool {
        self.addresses.iter().any(|(a, _)| *a == address)
    }
}
