//! Network files behind a dead-man switch, and proofs that paths are what they should be.

use std::{collections::BTreeMap, net::Ipv4Addr};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Diff, Nature, Observed, OpError, OpResult, Output};
use super::sys::Sys;
use crate::{
    events::Refusal,
    names::{Cidr, Mac},
};

/// All of a node's network files at once. They are armed, written and taken up as one: if no fresh
/// connection confirms in time, the node puts back what was there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Contents by path; None is a file that has to go.
    pub files: BTreeMap<String, Option<String>>,
    pub lan_mac: Mac,
    pub lan_address: Ipv4Addr,
    pub lan: Cidr,
    /// Has to answer before the change counts as one that works.
    pub gateway: Ipv4Addr,
    pub confirm_within_s: u32,
}

/// There while the network has been changed and a fresh connection is waited for.
pub const WAITS: &str = "/run/slipway/network-waits";

/// A connection that was armed and confirmed disarms; this is how often the op looks.
const POLL_MS: u64 = 100;

impl Network {
    /// Files as they are, for the diff and for the undo.
    async fn wrong(&self, sys: &dyn Sys) -> OpResult<BTreeMap<String, Option<String>>> {
        let mut wrong = BTreeMap::new();
        for (path, want) in &self.files {
            let found = sys.read(path).await?;
            let found = found.map(|f| String::from_utf8_lossy(&f.content).into_owned());
            if found != *want {
                wrong.insert(path.clone(), found);
            }
        }
        Ok(wrong)
    }

    async fn has_its_gateway(&self, sys: &dyn Sys) -> OpResult<bool> {
        Ok(self.address_is_up(sys).await? && sys.who_has(self.gateway).await?.is_some())
    }

    async fn address_is_up(&self, sys: &dyn Sys) -> OpResult<bool> {
        let links = sys.links().await?;
        Ok(links.iter().any(|l| l.mac == self.lan_mac && l.has(self.lan_address)))
    }
}

#[async_trait]
impl Action for Network {
    fn title(&self) -> String {
        "network of both ports".into()
    }

    fn nature(&self) -> Nature {
        Nature {
            retry: false,
            wants_confirmation: true,
            timeout_s: self.confirm_within_s + 120,
            ..Nature::CHANGE
        }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let mut differences: Vec<Diff> = self
            .wrong(sys)
            .await?
            .into_iter()
            .map(|(path, old)| {
                let new = self.files.get(&path).cloned().flatten();
                Diff::File { path, old, new }
            })
            .collect();
        if !self.address_is_up(sys).await? {
            differences.push(Diff::say(format!(
                "address {}/{} on the port {}",
                self.lan_address,
                self.lan.prefix_len(),
                self.lan_mac
            )));
        }
        if sys.undo_is_armed().await? {
            differences.push(Diff::say("an earlier change is armed and was never confirmed"));
        }
        Ok(if differences.is_empty() { Observed::Holds } else { Observed::Differs(differences) })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        if !self.address_is_up(sys).await? && sys.local_kube().await?.etcd_data.is_some() {
            return Err(OpError::refused(
                Refusal::Network,
                format!("move this node to {}", self.lan_address),
                "it is an etcd member, and peers and certificates carry its present address",
            )
            .hint("take it out with `slipway remove-node`, then `join-node` at the new address"));
        }
        sys.remove(WAITS).await?;
        // One that is still armed from a cut run knows the older, working files, and keeps them.
        sys.arm_undo(&self.wrong(sys).await?, self.confirm_within_s).await?;
        for (path, want) in &self.files {
            match want {
                Some(text) => sys.write(path, text.as_bytes(), 0o644).await?,
                None => sys.remove(path).await?,
            }
        }
        sys.reload_network().await?;
        let deadline = sys.now_ms() + u64::from(self.confirm_within_s) * 1000;
        let mut routed = false;
        while sys.undo_is_armed().await? && sys.now_ms() <= deadline {
            // A connection from the same LAN would not notice that nothing else can be reached.
            if !routed && self.has_its_gateway(sys).await? {
                routed = true;
                // Only now may anybody confirm.
                sys.write(WAITS, b"", 0o600).await?;
            }
            sys.sleep_ms(POLL_MS).await;
        }
        sys.remove(WAITS).await?;
        // Disarmed and as we wrote it: confirmed. Anything else is the undo's work, done or due.
        if sys.undo_is_armed().await? || !self.wrong(sys).await?.is_empty() {
            let (why, hint) = if routed {
                (
                    format!("no connection to {} came", self.lan_address),
                    "check the address, cabling and the port's MAC; the node is reached as before",
                )
            } else {
                (
                    format!("the gateway {} did not answer", self.gateway),
                    "check `network.lan.gateway` in the inventory, and the cable; the node is reached as before",
                )
            };
            let within = self.confirm_within_s;
            return Err(OpError::new(
                self.title(),
                format!("{why} within {within} s, so the node goes back to its old network"),
            )
            .hint(hint));
        }
        Ok(None)
    }
}

/// What one node must reach, and how well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkProof {
    /// `lan` or `ceph`.
    pub network: String,
    pub port: String,
    pub peers: Vec<Ipv4Addr>,
    pub mtu: u16,
    pub min_mbps: Option<u32>,
}

#[async_trait]
impl Action for LinkProof {
    fn title(&self) -> String {
        format!("{} reaches {} peers", self.network, self.peers.len())
    }

    fn nature(&self) -> Nature {
        Nature::CHECK
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        for peer in &self.peers {
            let proof = sys.prove(*peer, self.mtu, self.min_mbps.is_some()).await?;
            let fail = |cause: String, hint: &str| {
                Err(OpError::new(format!("prove the {} network to {peer}", self.network), cause)
                    .hint(hint)
                    .passing())
            };
            if proof.port != self.port {
                return fail(
                    format!("packets leave by {} instead of {}", proof.port, self.port),
                    "check the addresses and routes of both ports",
                );
            }
            if proof.loss_percent == 100 {
                return fail("no answer".into(), "check the cable and the switch port");
            }
            if proof.loss_percent > 0 {
                return fail(
                    format!("{} % of the packets are lost", proof.loss_percent),
                    "check the cable and the switch port: a wire between neighbours loses nothing",
                );
            }
            if proof.half_duplex {
                return fail(
                    format!("{} has agreed on half duplex with the switch", proof.port),
                    "let both ends negotiate: one of them is set to a fixed speed",
                );
            }
            if let (Some(min), Some(speed)) = (self.min_mbps, proof.speed_mbps)
                && speed < min
            {
                return fail(
                    format!(
                        "{} has agreed on {speed} Mbit/s with the switch, with {min} wanted",
                        proof.port
                    ),
                    "check the cable: a pair that is broken negotiates a lower speed",
                );
            }
            if proof.path_mtu < self.mtu {
                return fail(
                    format!(
                        "packets over {} bytes do not pass, {} are wanted",
                        proof.path_mtu, self.mtu
                    ),
                    "enable jumbo frames on the switch, or lower `mtu` in the inventory",
                );
            }
            // Both neighbours prove at the same time, and share the wire.
            if let (Some(min), Some(mbps)) = (self.min_mbps, proof.mbps)
                && mbps < min / 3
            {
                return fail(
                    format!("{mbps} Mbit/s get through, with {min} wanted"),
                    "check the cable: a pair that is broken negotiates a lower speed",
                );
            }
        }
        Ok(Observed::Holds)
    }
}

/// The cluster's name leads to its address on this node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NameResolves {
    pub host: String,
    pub to: Ipv4Addr,
}

#[async_trait]
impl Action for NameResolves {
    fn title(&self) -> String {
        format!("{} leads to {}", self.host, self.to)
    }

    fn nature(&self) -> Nature {
        Nature::CHECK
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        match sys.resolve(&self.host).await? {
            Some(found) if found == self.to => Ok(Observed::Holds),
            Some(found) => Err(OpError::new(self.title(), format!("it leads to {found}"))
                .hint("correct the record in your DNS")),
            None => Err(OpError::new(self.title(), "the name is not known on this node")
                .hint("add the record to your DNS")),
        }
    }
}

/// Nobody but the fleet itself answers for an address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddressFree {
    pub address: Ipv4Addr,
    pub ours: Vec<Mac>,
}

#[async_trait]
impl Action for AddressFree {
    fn title(&self) -> String {
        format!("nobody else has {}", self.address)
    }

    fn nature(&self) -> Nature {
        Nature::CHECK
    }

    fn begin(&self, sys: &dyn Sys) {
        sys.ask_who_has(self.address);
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        match sys.who_has(self.address).await? {
            Some(mac) if !self.ours.contains(&mac) => {
                Err(OpError::new(self.title(), format!("{mac} answers for it"))
                    .hint("choose another `vip`, outside the router's DHCP range"))
            }
            _ => Ok(Observed::Holds),
        }
    }
}
