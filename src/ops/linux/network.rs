//! Changing the network behind a dead-man switch: what was there is kept on the disk, and comes back
//! by itself unless the change is confirmed: by a timer of systemd's, or before the network of the
//! next boot. Neither needs the agent, nor anybody else.

use std::{collections::BTreeMap, fs, net::Ipv4Addr, path::Path};

use super::{Linux, command::Command};
use crate::{
    names::Mac,
    ops::sys::{Files, Net, SysError, SysResult, Units},
};

const DIR: &str = "/var/lib/slipway/undo";
const ARMED: &str = "/var/lib/slipway/undo/armed";
const UNIT: &str = "/etc/systemd/system/slipway-undo.service";
const WANTED: &str = "/etc/systemd/system/sysinit.target.wants/slipway-undo.service";
const TIMER: &str = "slipway-undo-timer";
const NETWORKD: &str = "systemd-networkd.service";
/// Where ports get their names from.
const LINKS: &str = "/etc/systemd/network";

const SCRIPT_TEXT: &str = include_str!("../../../assets/host/undo.sh");
const UNIT_TEXT: &str = include_str!("../../../assets/host/undo.service");

/// The list that the script reads: which kept file, and where it belongs; `-` is one to be removed.
fn list(files: &BTreeMap<String, Option<String>>) -> String {
    files
        .iter()
        .enumerate()
        .map(|(n, (path, old))| match old {
            Some(_) => format!("{n} {path}\n"),
            None => format!("- {path}\n"),
        })
        .collect()
}

impl Linux {
    pub(super) fn is_armed(&self) -> bool {
        self.path(ARMED).exists()
    }

    /// One that is armed already, by a run that was cut off, knows the older, working files: it
    /// keeps them, and gets its time anew.
    pub(super) async fn arm(
        &self,
        files: &BTreeMap<String, Option<String>>,
        within_s: u32,
    ) -> SysResult<()> {
        if !self.is_armed() {
            self.remove(DIR).await?;
            for (n, old) in files.values().enumerate() {
                if let Some(old) = old {
                    self.write(&format!("{DIR}/saved/{n}"), old.as_bytes(), 0o644).await?;
                }
            }
            self.write(&format!("{DIR}/files"), list(files).as_bytes(), 0o600).await?;
            let links = self.links().await?;
            let names: String = links.iter().map(|l| format!("{} {}\n", l.mac, l.name)).collect();
            self.write(&format!("{DIR}/names"), names.as_bytes(), 0o600).await?;
            let addresses = links.iter().flat_map(|link| {
                link.addresses.iter().map(|(a, prefix)| format!("{} {a}/{prefix}\n", link.mac))
            });
            let addresses: String = addresses.collect();
            self.write(&format!("{DIR}/addresses"), addresses.as_bytes(), 0o600).await?;
            if !self.unit(NETWORKD).await?.active {
                self.write(&format!("{DIR}/networkd-was-off"), b"", 0o600).await?;
            }
            self.write(&format!("{DIR}/undo.sh"), SCRIPT_TEXT.as_bytes(), 0o700).await?;
            self.write(UNIT, UNIT_TEXT.as_bytes(), 0o644).await?;
            // systemd reads both when it starts, and that is when they are for.
            self.link(WANTED, UNIT).await?;
            // From here on it strikes at the next boot.
            self.write(ARMED, b"", 0o600).await?;
        }
        // One that is there, of an earlier try, is in the way.
        if start_timer(within_s).await.is_err() {
            stop_timer().await;
            start_timer(within_s).await?;
        }
        Ok(())
    }

    pub(super) async fn disarm(&self) -> SysResult<()> {
        // First what everything else hangs on; a cut right behind it leaves files and no effect.
        self.remove(ARMED).await?;
        stop_timer().await;
        self.remove(WANTED).await?;
        self.remove(UNIT).await?;
        self.remove(DIR).await
    }

    /// Ports get their names at once, and networkd reads its files anew.
    pub(super) async fn take_up(&self) -> SysResult<()> {
        // Where there is no udev, nobody would rename the ports either.
        let _ = Command::new("udevadm").args(["control", "--reload"]).run().await;
        let wanted = wanted_names(&self.path(LINKS));
        for (mac, name) in &wanted {
            self.name_port(mac, name).await?;
        }
        self.drop_former_addresses().await?;
        if !self.unit(NETWORKD).await?.active {
            Command::new("systemctl").args(["start", NETWORKD]).done().await?;
        }
        Command::new("networkctl").arg("reload").done().await?;
        let there = self.links().await?;
        for link in there.iter().filter(|l| wanted.contains_key(&l.mac)) {
            Command::new("networkctl").arg("reconfigure").arg(&link.name).done().await?;
        }
        Ok(())
    }

    /// A port whose files keep what others added to it (a VIP) would keep its own former address as
    /// well. Those look like its new one: they have the prefix of the network, and a VIP has not.
    async fn drop_former_addresses(&self) -> SysResult<()> {
        let dir = self.path(LINKS);
        let ours = our_files(&dir, ".network").filter_map(|text| addressed(&text));
        let wanted: BTreeMap<Mac, (Ipv4Addr, u8)> = ours.collect();
        for link in self.links().await? {
            let Some((own, prefix)) = wanted.get(&link.mac) else { continue };
            for (address, of) in link.addresses.iter().filter(|(a, p)| a != own && p == prefix) {
                let former = format!("{address}/{of}");
                let drop = ["addr", "del", &former, "dev", &link.name];
                let _ = Command::new("ip").args(drop).run().await;
            }
        }
        Ok(())
    }

    async fn name_port(&self, mac: &Mac, name: &str) -> SysResult<()> {
        let links = self.links().await?;
        let Some(port) = links.iter().find(|l| l.mac == *mac && l.name != name) else {
            return Ok(());
        };
        if let Some(other) = links.iter().find(|l| l.name == name) {
            return Err(SysError::other(format!(
                "the port {} cannot be called {name}: {} is called that",
                port.name, other.mac
            ))
            .hint("rename the other one, or reboot the node: udev sorts it out"));
        }
        let set = |args: &[&str]| {
            Command::new("ip").args(["link", "set", "dev"]).args(args.iter().copied())
        };
        let old = port.name.as_str();
        set(&[old, "down"]).done().await?;
        // It must come up again under whichever name it has then.
        let named = set(&[old, "name", name]).done().await;
        let now = if named.is_ok() { name } else { old };
        set(&[now, "up"]).done().await?;
        named?;
        // What knew the port by its old name, such as a firewall's rules, still does until a boot.
        let alias = ["link", "property", "add", "dev", name, "altname", old];
        let _ = Command::new("ip").args(alias).run().await;
        Ok(())
    }
}

async fn start_timer(within_s: u32) -> SysResult<()> {
    let timer = Command::new("systemd-run")
        .args(["--quiet", "--collect", "--timer-property=AccuracySec=100ms"])
        .arg(format!("--unit={TIMER}"))
        .arg(format!("--on-active={within_s}s"))
        .args(["/bin/sh", "/var/lib/slipway/undo/undo.sh"]);
    timer.done().await.map(drop)
}

async fn stop_timer() {
    let units = ["timer", "service"].map(|kind| format!("{TIMER}.{kind}"));
    for verb in ["stop", "reset-failed"] {
        // One of them is not there, mostly.
        let _ = Command::new("systemctl").args([verb, "--quiet"]).args(&units).run().await;
    }
}

/// The texts of our own files of one kind.
fn our_files(dir: &Path, kind: &'static str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let ours = entries.filter(move |e| {
        let name = e.file_name();
        let name = name.to_string_lossy();
        name.starts_with("05-slipway-") && name.ends_with(kind)
    });
    ours.filter_map(|e| fs::read_to_string(e.path()).ok())
}

/// Names that our own files give to ports, by permanent address.
fn wanted_names(dir: &Path) -> BTreeMap<Mac, String> {
    our_files(dir, ".link").filter_map(|text| named(&text)).collect()
}

fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|l| l.trim().strip_prefix(key))
}

fn named(text: &str) -> Option<(Mac, String)> {
    Some((value(text, "PermanentMACAddress=")?.parse().ok()?, value(text, "Name=")?.to_string()))
}

fn addressed(text: &str) -> Option<(Mac, (Ipv4Addr, u8))> {
    let (address, prefix) = value(text, "Address=")?.split_once('/')?;
    let mac = value(text, "MACAddress=")?.parse().ok()?;
    Some((mac, (address.parse().ok()?, prefix.parse().ok()?)))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests make files")]
mod tests {
    use super::*;

    #[test]
    fn what_the_script_reads() {
        let files = BTreeMap::from([
            ("/etc/a".to_string(), Some("old".to_string())),
            ("/etc/b".to_string(), None),
            ("/etc/c".to_string(), Some(String::new())),
        ]);
        assert_eq!(list(&files), "0 /etc/a\n- /etc/b\n2 /etc/c\n");
    }

    #[test]
    fn names_come_from_our_own_files_only() {
        let dir = tempfile::tempdir().unwrap();
        let text = |mac: &str, name: &str| {
            format!("[Match]\nPermanentMACAddress={mac}\n\n[Link]\nName={name}\n")
        };
        let put = |file: &str, text: &str| fs::write(dir.path().join(file), text).unwrap();
        put("05-slipway-lan0.link", &text("58:47:ca:00:00:01", "lan0"));
        put("05-slipway-broken.link", "Name=lan1\n");
        put("10-other.link", &text("58:47:ca:00:00:02", "wan0"));
        let wanted = wanted_names(dir.path());
        assert_eq!(wanted.len(), 1);
        assert_eq!(wanted[&"58:47:ca:00:00:01".parse().unwrap()], "lan0");
        let network = "[Match]\nMACAddress=58:47:ca:00:00:01\n\n[Network]\nAddress=10.0.0.1/24\n";
        let found = addressed(network).unwrap();
        assert_eq!(found.1, ("10.0.0.1".parse().unwrap(), 24));
        assert_eq!(addressed("[Match]\nName=cni0\n"), None);
        assert!(wanted_names(Path::new("/nowhere")).is_empty());
    }
}
