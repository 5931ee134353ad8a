//! Ports, paths, names and sockets of a node: looked at and proven.

use std::{collections::BTreeMap, fs, net::Ipv4Addr};

use async_trait::async_trait;

use super::{Linux, command::Command, echo::Echo};
use crate::{
    facts::{Link, read::ports},
    names::Mac,
    ops::sys::{Net, Proof, SysError, SysResult},
};

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
        self.take_up().await
    }

    async fn arm_undo(
        &self,
        files: &BTreeMap<String, Option<String>>,
        within_s: u32,
    ) -> SysResult<()> {
        self.arm(files, within_s).await
    }

    async fn undo_is_armed(&self) -> SysResult<bool> {
        Ok(self.is_armed())
    }

    async fn disarm_undo(&self) -> SysResult<()> {
        self.disarm().await
    }

    async fn prove(&self, to: Ipv4Addr, mtu: u16, throughput: bool) -> SysResult<Proof> {
        let route = Command::new("ip").args(["-j", "route", "get"]).arg(to.to_string());
        let route = route.run().await?;
        let port = ports::leaves_by(&route.stdout);
        let about = |what: &str| {
            let path = self.path("/sys/class/net").join(&port).join(what);
            fs::read_to_string(path).ok().map(|text| text.trim().to_string())
        };
        let speed_mbps = about("speed").and_then(|s| s.parse().ok());
        let half_duplex = about("duplex").as_deref() == Some("half");
        let number = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
        // Answers to other probes of this moment are not taken for ours.
        let id = u16::from_str_radix(number.get(..4).unwrap_or("0"), 16).unwrap_or(0);
        let measured = tokio::task::spawn_blocking(move || {
            let mut echo = Echo::new(to, id)?;
            let answers = echo.small()?;
            if answers.heard == 0 {
                return Ok((answers, 0, None));
            }
            let path_mtu = echo.path_mtu(mtu)?;
            let mbps = if throughput { Some(echo.throughput()?) } else { None };
            Ok((answers, path_mtu, mbps))
        });
        let failed = |e: std::io::Error| SysError::passing(format!("send echoes to {to}: {e}"));
        let measured = measured.await.map_err(|e| SysError::other(e.to_string()))?;
        let (answers, path_mtu, mbps) = measured.map_err(failed)?;
        let lost = u32::from(answers.sent - answers.heard) * 100 / u32::from(answers.sent);
        Ok(Proof {
            to,
            port,
            speed_mbps,
            half_duplex,
            loss_percent: u8::try_from(lost).unwrap_or(100),
            latency_us: answers.latency_us,
            path_mtu,
            mbps,
        })
    }

    fn ask_who_has(&self, address: Ipv4Addr) {
        self.put_question(address);
    }

    async fn who_has(&self, address: Ipv4Addr) -> SysResult<Option<Mac>> {
        self.answer(address).await
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
