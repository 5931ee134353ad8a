//! Ports, names and sockets of a node: looked at, and nothing more yet.

use std::{collections::BTreeMap, fs, net::Ipv4Addr};

use async_trait::async_trait;

use super::{Linux, command::Command, not_yet};
use crate::{
    facts::{Link, read::ports},
    names::Mac,
    ops::sys::{Net, Proof, SysError, SysResult},
};

/// There while a change of the network waits for its confirmation.
const UNDO: &str = "/var/lib/slipway/undo";
/// The discard service: nobody listens there, but the question has to be asked by ARP first.
const DISCARD: u16 = 9;
const ARP_STEP_MS: u64 = 100;
const ARP_MS: u64 = 9_000;

#[async_trait]
impl Net for Linux {
    async fn links(&self) -> SysResult<Vec<Link>> {
        let asked = Command::new("ip").args(["-j", "-d", "addr"]).done().await?;
        let mut links = ports::links(&asked.stdout).map_err(SysError::other)?;
        for link in &mut links {
            // A port without a cable has no speed, and says so with an error or with -1.
            let speed = self.path("/sys/class/net").join(&link.name).join("speed");
            link.speed_mbps = fs::read_to_string(speed).ok().and_then(|s| s.trim().parse().ok());
        }
        Ok(links)
    }

    async fn reload_network(&self) -> SysResult<()> {
        not_yet("change the network")
    }

    async fn arm_undo(&self, _: &BTreeMap<String, Option<String>>, _: u32) -> SysResult<()> {
        not_yet("change the network")
    }

    async fn undo_is_armed(&self) -> SysResult<bool> {
        Ok(self.path(UNDO).exists())
    }

    async fn disarm_undo(&self) -> SysResult<()> {
        not_yet("change the network")
    }

    async fn prove(&self, to: Ipv4Addr, _: u16) -> SysResult<Proof> {
        not_yet(&format!("prove the way to {to}"))
    }

    async fn who_has(&self, address: Ipv4Addr) -> SysResult<Option<Mac>> {
        let failed = |e: std::io::Error| SysError::other(format!("ask who has {address}: {e}"));
        let own = Command::new("ip").args(["-j", "-d", "addr"]).done().await?;
        let own = ports::links(&own.stdout).map_err(SysError::other)?;
        if let Some(link) = own.iter().find(|l| l.has(address)) {
            return Ok(Some(link.mac));
        }
        let socket = tokio::net::UdpSocket::bind("0.0.0.0:0").await.map_err(failed)?;
        // Where there is no route there is no neighbour either.
        if socket.send_to(&[0], (address, DISCARD)).await.is_err() {
            return Ok(None);
        }
        // A neighbour that was known before is asked again only after some seconds: until it has
        // answered, or has not, nothing is known of it.
        let mut waited_ms = 0;
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(ARP_STEP_MS)).await;
            waited_ms += ARP_STEP_MS;
            let show = Command::new("ip").args(["-j", "neigh", "show"]).arg(address.to_string());
            match ports::neighbour(&show.done().await?.stdout, address) {
                ports::Neighbourhood::Answers(mac) => return Ok(Some(mac)),
                ports::Neighbourhood::Nobody => return Ok(None),
                ports::Neighbourhood::Asking if waited_ms >= ARP_MS => return Ok(None),
                ports::Neighbourhood::Asking => {}
            }
        }
    }

    async fn resolve(&self, host: &str) -> SysResult<Option<Ipv4Addr>> {
        // A program of the node's own: a static one must not load its name service.
        let asked = Command::new("getent").args(["ahostsv4", "--", host]).run().await?;
        let first = asked.stdout.split_ascii_whitespace().next();
        Ok(first.and_then(|a| a.parse().ok()))
    }

    async fn port_in_use(&self, port: u16) -> SysResult<bool> {
        let listens = |file: &str| {
            let text = fs::read_to_string(self.path(file)).unwrap_or_default();
            ports::listens(&text, port)
        };
        Ok(listens("/proc/net/tcp") || listens("/proc/net/tcp6"))
    }
}
