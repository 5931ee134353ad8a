//! Disks and ports of the simulated machine.

use std::{collections::BTreeMap, net::Ipv4Addr};

use async_trait::async_trait;

use super::{
    FakeSys, World,
    machine::{FakePart, Machine, Undo},
};
use crate::{
    facts::{Contents, Disk, Health, Link},
    names::{Mac, NodeName, Serial},
    ops::sys::{ClearPart, Disks, IN_MAKING, Net, OsPart, OsTable, Proof, SysError, SysResult},
};

/// What the OS was installed to.
const ESP: u64 = 1 << 30;
const ROOT: u64 = 256 << 30;

/// The mount units that are active: which UUID, and where.
fn mounts(machine: &Machine) -> impl Iterator<Item = (String, String)> {
    machine.ram.active.keys().filter_map(|unit| {
        let text = machine.text(&format!("/etc/systemd/system/{unit}"))?;
        let value = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).map(String::from);
        let uuid = value("What=/dev/disk/by-uuid/")?;
        Some((uuid, value("Where=")?))
    })
}

fn added<'m>(machine: &'m mut Machine, disk: &Serial) -> SysResult<&'m mut Vec<FakePart>> {
    let found = machine.disks.iter_mut().find(|d| d.serial == *disk && d.is_os);
    found.map(|d| &mut d.added).ok_or_else(|| SysError::other(format!("{disk} is not the OS disk")))
}

#[async_trait]
impl Disks for FakeSys {
    async fn disks(&self) -> SysResult<Vec<Disk>> {
        Ok(self
            .look(|m, _| {
                let disk = |(n, d): (usize, &super::FakeDisk)| Disk {
                    serial: d.serial.clone(),
                    wwn: None,
                    model: d.model.clone(),
                    size_bytes: d.size_bytes,
                    // Numbered by boot, as NVMe is: a name that is worth nothing tomorrow.
                    kernel_name: format!(
                        "nvme{}n1",
                        (n as u64 + m.ram.boots) % m.disks.len() as u64
                    ),
                    mounted: d.mounted.clone(),
                    held_by: d.held_by.clone(),
                    contents: d.contents.clone(),
                    is_os: d.is_os,
                    transport: Some("nvme".into()),
                    health: None,
                };
                m.disks.iter().enumerate().map(disk).collect()
            })
            .await)
    }

    async fn health(&self, _: &Disk) -> SysResult<Option<Health>> {
        self.alive().await;
        Ok(Some(Health {
            used_percent: 3,
            spare_percent: 100,
            spare_least_percent: 10,
            warns: false,
            media_errors: 0,
        }))
    }

    async fn os_table(&self, disk: &Serial) -> SysResult<OsTable> {
        self.look(|m, _| {
            let disk = m.disks.iter().find(|d| d.serial == *disk && d.is_os);
            let Some(disk) = disk else { return Err(SysError::other("that is not the OS disk")) };
            let esp = OsPart { bytes: ESP, is_esp: true, ..OsPart::default() };
            let root = OsPart { bytes: ROOT, mounted: vec!["/".into()], ..OsPart::default() };
            let added = disk.added.iter().map(|part| OsPart {
                name: part.name.clone(),
                uuid: part.uuid.clone(),
                bytes: part.bytes,
                is_esp: false,
                filesystem: part.filesystem.clone(),
                mounted: mounts(m).filter(|(uuid, _)| *uuid == part.uuid).map(|(_, w)| w).collect(),
            });
            let parts: Vec<OsPart> = [esp, root].into_iter().chain(added).collect();
            let taken: u64 = parts.iter().map(|p| p.bytes).sum();
            let gaps = vec![disk.size_bytes.saturating_sub(taken) >> 20 << 20];
            Ok(OsTable { parts, gaps, unfinished: false })
        })
        .await
    }

    async fn add_partition(&self, disk: &Serial, name: &str, bytes: u64) -> SysResult<()> {
        self.act("add-partition", 300, |world, node, _| {
            let uuid = world.make("partition");
            let added = added(world.machine(node), disk)?;
            added.push(FakePart {
                name: format!("{name}{IN_MAKING}"),
                uuid,
                bytes,
                filesystem: None,
            });
            Ok(())
        })
        .await
    }

    async fn make_filesystem(&self, disk: &Serial, name: &str, kind: &str) -> SysResult<()> {
        let in_making = format!("{name}{IN_MAKING}");
        let find = |parts: &mut Vec<FakePart>| parts.iter_mut().position(|p| p.name == in_making);
        let gone = || SysError::other(format!("there is no partition {in_making}"));
        self.act("make-filesystem", 900, |world, node, _| {
            let parts = added(world.machine(node), disk)?;
            let at = find(parts).ok_or_else(gone)?;
            parts[at].filesystem = Some(kind.into());
            Ok(())
        })
        .await?;
        self.act("name-partition", 100, |world, node, _| {
            let parts = added(world.machine(node), disk)?;
            let at = find(parts).ok_or_else(gone)?;
            parts[at].name = name.into();
            Ok(())
        })
        .await
    }

    async fn finish_table(&self, _: &Serial) -> SysResult<()> {
        self.act("finish-table", 100, |_, _, _| Ok(())).await
    }

    async fn mounted_at(&self, directory: &str) -> SysResult<Option<String>> {
        let found = |m: &Machine| mounts(m).find(|(_, place)| place == directory).map(|(u, _)| u);
        Ok(self.look(|m, _| found(m)).await)
    }

    async fn holds_anything(&self, directory: &str) -> SysResult<bool> {
        let below = format!("{directory}/");
        Ok(self
            .look(|m, _| match directory {
                "/var/lib/etcd" => m.kube.etcd_data.is_some(),
                "/var/lib/containerd" => !m.images.is_empty(),
                _ => m.files.keys().any(|path| path.starts_with(&below)),
            })
            .await)
    }

    async fn clear_disk(&self, serial: &Serial, evidence: &str, part: ClearPart) -> SysResult<()> {
        let found = self.disks().await?;
        let now = found.iter().find(|d| d.is_named(serial)).map(Disk::evidence);
        if now.as_deref() != Some(evidence) {
            return Err(SysError::other(format!(
                "{serial} was \"{evidence}\" a moment ago and is \"{}\" now; not touched",
                now.unwrap_or_else(|| "gone".into())
            )));
        }
        // The first write leaves the disk half cleared; only the last one leaves it blank.
        self.act("clear-disk", 800, |world, node, _| {
            let machine = world.machine(node);
            let Some(disk) = machine.disks.iter_mut().find(|d| d.serial == *serial) else {
                return Err(SysError::other(format!("{serial} is gone")));
            };
            if disk.is_os || !disk.mounted.is_empty() {
                let text = format!("{serial} is in use and was written to");
                world.violations.push(text);
                return Ok(());
            }
            disk.cleared = true;
            disk.held_by.clear();
            match part {
                ClearPart::Holders => {
                    if !disk.contents.contains(&Contents::HalfCleared) {
                        disk.contents.push(Contents::HalfCleared);
                    }
                }
                ClearPart::Signatures => {
                    disk.contents.retain(|c| matches!(c, Contents::Osd { at_gib: 1.., .. }));
                    disk.contents.push(Contents::HalfCleared);
                }
                ClearPart::OsdLabels => {
                    disk.contents.clear();
                    disk.contents.push(Contents::HalfCleared);
                }
                ClearPart::Discard => disk.contents.clear(),
            }
            Ok(())
        })
        .await
    }

    async fn osd_lives(&self, fsid: &str) -> SysResult<Option<bool>> {
        let now_ms = self.cell.now_ms();
        Ok(self
            .look(|m, world| {
                let cluster = world.cluster_of(m)?;
                cluster
                    .has_quorum(world, now_ms)
                    .then(|| cluster.ceph_fsid.as_deref() == Some(fsid))
            })
            .await)
    }
}

const ROUTER_MAC: &str = "02:00:00:00:00:01";

fn owner_of(world: &World, address: Ipv4Addr, now_ms: u64) -> Option<&NodeName> {
    world.machines.iter().find(|(_, m)| m.is_up(now_ms) && m.has_address(address)).map(|(n, _)| n)
}

#[async_trait]
impl Net for FakeSys {
    async fn links(&self) -> SysResult<Vec<Link>> {
        Ok(self
            .look(|m, _| {
                let link = |p: &super::FakePort| Link {
                    name: m.ram.port_names.get(&p.mac).cloned().unwrap_or(p.kernel_name.clone()),
                    mac: p.mac,
                    up: true,
                    speed_mbps: Some(p.speed_mbps),
                    mtu: p.mtu,
                    addresses: m.ram.addresses.get(&p.mac).cloned().unwrap_or_default(),
                };
                m.ports.iter().map(link).collect()
            })
            .await)
    }

    async fn reload_network(&self) -> SysResult<()> {
        self.act("reload-network", 600, |world, node, _| {
            let machine = world.machine(node);
            machine.name_ports();
            machine.take_up_network();
            Ok(())
        })
        .await
    }

    async fn arm_undo(
        &self,
        files: &BTreeMap<String, Option<String>>,
        within_s: u32,
    ) -> SysResult<()> {
        self.act("arm-undo", 60, |world, node, now_ms| {
            let until_ms = now_ms + u64::from(within_s) * 1000;
            let undo = &mut world.machine(node).undo;
            let files = undo.take().map_or_else(|| files.clone(), |older| older.files);
            *undo = Some(Undo { files, until_ms });
            Ok(())
        })
        .await
    }

    async fn undo_is_armed(&self) -> SysResult<bool> {
        Ok(self.look(|m, _| m.undo.is_some()).await)
    }

    async fn disarm_undo(&self) -> SysResult<()> {
        self.act("disarm-undo", 20, |world, node, _| {
            world.machine(node).undo = None;
            Ok(())
        })
        .await
    }

    async fn prove(&self, to: Ipv4Addr, mtu: u16, throughput: bool) -> SysResult<Proof> {
        self.cell.clock.sleep_ms(300).await;
        let now_ms = self.cell.now_ms();
        Ok(self
            .look(|m, world| {
                let target = owner_of(world, to, now_ms).and_then(|n| world.machines.get(n));
                // The endpoint's address is carried by whichever control plane serves.
                let served = world
                    .clusters
                    .values()
                    .any(|c| c.endpoint == Some(to) && c.api_answers_anywhere(world, now_ms));
                let via = m.ports.iter().find(|p| {
                    m.ram
                        .addresses
                        .get(&p.mac)
                        .into_iter()
                        .flatten()
                        .any(|(a, prefix)| same_net(*a, to, *prefix))
                });
                let far = target.and_then(|t| {
                    t.ports.iter().find(|p| {
                        t.ram.addresses.get(&p.mac).into_iter().flatten().any(|(a, _)| *a == to)
                    })
                });
                let near_mtu = via.map_or(0, |p| p.mtu);
                Proof {
                    to,
                    loss_percent: if target.is_some() || served { 0 } else { 100 },
                    latency_us: 200,
                    speed_mbps: via.map(|p| p.speed_mbps),
                    half_duplex: false,
                    path_mtu: mtu.min(near_mtu).min(far.map_or(near_mtu, |p| p.mtu)),
                    mbps: throughput.then(|| {
                        via.map_or(0, |p| p.speed_mbps * 94 / 100)
                            .min(far.map_or(u32::MAX, |p| p.speed_mbps))
                    }),
                    port: via
                        .and_then(|p| m.ram.port_names.get(&p.mac).cloned())
                        .unwrap_or_default(),
                }
            })
            .await)
    }

    async fn who_has(&self, address: Ipv4Addr) -> SysResult<Option<Mac>> {
        let now_ms = self.cell.now_ms();
        Ok(self
            .look(|_, world| {
                if world.router == Some(address) {
                    return ROUTER_MAC.parse().ok();
                }
                let owner = owner_of(world, address, now_ms)?;
                world.machines.get(owner)?.ports.first().map(|p| p.mac)
            })
            .await)
    }

    async fn resolve(&self, host: &str) -> SysResult<Option<Ipv4Addr>> {
        Ok(self
            .look(|m, _| {
                let hosts = m.text("/etc/hosts").unwrap_or_default();
                hosts.lines().find_map(|line| {
                    let mut words = line.split_whitespace();
                    let address = words.next()?.parse().ok()?;
                    words.any(|w| w == host).then_some(address)
                })
            })
            .await)
    }

    async fn port_in_use(&self, port: u16) -> SysResult<bool> {
        let now_ms = self.cell.now_ms();
        Ok(self
            .look(|m, _| match port {
                2379 | 2380 => m.runs_static_pod("etcd", now_ms),
                6443 => m.runs_static_pod("kube-apiserver", now_ms),
                10250 => m.kube.kubelet_conf && m.runs_pods(now_ms),
                _ => false,
            })
            .await)
    }
}

fn same_net(a: Ipv4Addr, b: Ipv4Addr, prefix: u8) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    u32::from(a) & mask == u32::from(b) & mask
}
