//! Files, kernel, time, packages, units and artifacts of the simulated machine.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::{
    FakeSys,
    machine::{Machine, owner_or_root},
};
use crate::{
    facts::OsFacts,
    names::Version,
    ops::sys::{
        Access, Artifacts, DirState, FileState, Files, Kernel, Packages, SysError, SysResult, Time,
        UnitChange, UnitState, Units, UserState, Users,
    },
};

const REBOOT_MS: u64 = 35_000;

#[async_trait]
impl Files for FakeSys {
    async fn read(&self, path: &str) -> SysResult<Option<FileState>> {
        Ok(self
            .look(|m, _| {
                m.files.get(path).map(|f| FileState {
                    content: f.content.clone(),
                    mode: f.mode,
                    owner: f.owner.clone(),
                    changed_ms: f.changed_ms,
                })
            })
            .await)
    }

    async fn read_part(&self, path: &str, from: u64, most: usize) -> SysResult<Option<Vec<u8>>> {
        let part = |content: &Vec<u8>| {
            let from = usize::try_from(from).unwrap_or(usize::MAX);
            content.iter().skip(from).take(most).copied().collect()
        };
        Ok(self.look(|m, _| m.files.get(path).map(|f| part(&f.content))).await)
    }

    async fn write_as(&self, path: &str, content: &[u8], access: &Access) -> SysResult<()> {
        self.act("write", 20, |world, node, now_ms| {
            world.machine(node).write(path, content, access, now_ms);
            Ok(())
        })
        .await
    }

    async fn directory(&self, path: &str) -> SysResult<Option<DirState>> {
        let state = |m: &Machine| {
            m.directories
                .get(path)
                .map(|a| DirState { mode: a.mode, owner: owner_or_root(a.owner.as_ref()) })
        };
        Ok(self.look(|m, _| state(m)).await)
    }

    async fn make_directory(&self, path: &str, access: &Access) -> SysResult<()> {
        self.act("make-directory", 10, |world, node, _| {
            world.machine(node).directories.insert(path.into(), access.clone());
            Ok(())
        })
        .await
    }

    async fn remove(&self, path: &str) -> SysResult<()> {
        self.act("remove", 20, |world, node, _| {
            let machine = world.machine(node);
            let below = format!("{path}/");
            machine.files.retain(|p, _| p != path && !p.starts_with(&below));
            machine.links.retain(|p, _| p != path && !p.starts_with(&below));
            machine.directories.retain(|p, _| p != path && !p.starts_with(&below));
            Ok(())
        })
        .await
    }

    async fn link_target(&self, path: &str) -> SysResult<Option<String>> {
        Ok(self.look(|m, _| m.links.get(path).cloned()).await)
    }

    async fn link(&self, path: &str, target: &str) -> SysResult<()> {
        self.act("link", 10, |world, node, _| {
            world.machine(node).links.insert(path.into(), target.into());
            Ok(())
        })
        .await
    }

    async fn list(&self, dir: &str) -> SysResult<Vec<String>> {
        let below = format!("{}/", dir.trim_end_matches('/'));
        Ok(self
            .look(|m, _| m.files.keys().filter(|p| p.starts_with(&below)).cloned().collect())
            .await)
    }
}

#[async_trait]
impl Kernel for FakeSys {
    async fn machine_id(&self) -> SysResult<String> {
        Ok(self.look(|m, _| m.machine_id.clone()).await)
    }

    async fn boot_id(&self) -> SysResult<String> {
        Ok(self.look(|m, _| m.boot_id()).await)
    }

    async fn os(&self) -> SysResult<OsFacts> {
        Ok(self.look(|m, _| m.os_facts()).await)
    }

    async fn cpus_and_memory_mb(&self) -> SysResult<(u32, u64)> {
        Ok(self.look(|m, _| (m.cpus, m.memory_mb)).await)
    }

    async fn var_free_mb(&self) -> SysResult<u64> {
        Ok(self.look(|m, _| m.var_free_mb).await)
    }

    async fn facts_were_read(&self) {
        self.alive().await;
        self.cell.facts_read(&self.node);
    }

    async fn hostname(&self) -> SysResult<String> {
        Ok(self.look(|m, _| m.hostname.clone()).await)
    }

    async fn set_hostname(&self, name: &str) -> SysResult<()> {
        self.act("set-hostname", 50, |world, node, _| {
            world.machine(node).hostname = name.into();
            Ok(())
        })
        .await
    }

    async fn module_is_loaded(&self, name: &str) -> SysResult<bool> {
        Ok(self.look(|m, _| m.ram.modules.contains(name)).await)
    }

    async fn load_module(&self, name: &str) -> SysResult<()> {
        self.act("load-module", 80, |world, node, _| {
            let machine = world.machine(node);
            if machine.ram.kernel_running != machine.kernel_installed {
                return Err(SysError::other(format!(
                    "modprobe: module {name} not found in /lib/modules/{}",
                    machine.ram.kernel_running
                )));
            }
            machine.ram.modules.insert(name.into());
            Ok(())
        })
        .await
    }

    async fn sysctl(&self, key: &str) -> SysResult<Option<String>> {
        Ok(self.look(|m, _| m.ram.sysctls.get(key).cloned()).await)
    }

    async fn set_sysctl(&self, key: &str, value: &str) -> SysResult<()> {
        self.act("set-sysctl", 5, |world, node, _| {
            world.machine(node).ram.sysctls.insert(key.into(), value.into());
            Ok(())
        })
        .await
    }

    async fn swaps(&self) -> SysResult<Vec<String>> {
        Ok(self
            .look(|m, _| {
                let mut swaps = m.ram.swaps.clone();
                swaps.extend(m.swap_at_boot.iter().filter(|s| !m.ram.swaps.contains(s)).cloned());
                swaps
            })
            .await)
    }

    async fn swap_off(&self) -> SysResult<()> {
        // First what brings it back, then what runs: cut in between, the next try finds it still on.
        self.act("swap-at-boot", 100, |world, node, _| {
            world.machine(node).swap_at_boot.clear();
            Ok(())
        })
        .await?;
        self.act("swapoff", 400, |world, node, _| {
            world.machine(node).ram.swaps.clear();
            Ok(())
        })
        .await
    }

    async fn random_bytes(&self, count: usize) -> SysResult<Vec<u8>> {
        self.alive().await;
        let text = self.cell.world().make("random");
        Ok(text.into_bytes().into_iter().cycle().take(count).collect())
    }

    async fn reboot(&self) -> SysResult<()> {
        self.act("reboot", 1_000, |_, _, _| Ok(())).await?;
        let now_ms = self.cell.now_ms();
        {
            let mut world = self.cell.world();
            let before = world.quorums(now_ms);
            world
                .machine(&self.node)
                .go_down(super::Power::Booting { until_ms: now_ms + REBOOT_MS });
            world.note_lost_quorum(&before, now_ms, "reboot", &self.node);
        }
        self.cell.reboot(&self.node, REBOOT_MS);
        self.alive().await;
        Ok(())
    }
}

#[async_trait]
impl Time for FakeSys {
    fn now_ms(&self) -> u64 {
        let now_ms = self.cell.now_ms();
        let skew = self.cell.world().machines.get(&self.node).map_or(0, |m| m.skew_ms);
        now_ms.saturating_add_signed(skew)
    }

    fn uptime_ms(&self) -> u64 {
        let booted_ms = self.cell.world().machines.get(&self.node).map_or(0, |m| m.ram.booted_ms);
        self.cell.now_ms().saturating_sub(booted_ms)
    }

    async fn sleep_ms(&self, ms: u64) {
        self.cell.clock.sleep_ms(ms).await;
        self.alive().await;
    }

    async fn clock_is_synchronised(&self) -> SysResult<bool> {
        let timesyncd = "systemd-timesyncd.service";
        Ok(self.look(|m, _| m.skew_ms == 0 && m.ram.active.contains_key(timesyncd)).await)
    }
}

#[async_trait]
impl Packages for FakeSys {
    async fn missing_packages(&self, names: &[String]) -> SysResult<Vec<String>> {
        Ok(self
            .look(|m, _| names.iter().filter(|n| !m.packages.contains(*n)).cloned().collect())
            .await)
    }

    async fn install_packages(&self, names: &[String]) -> SysResult<()> {
        self.act("download-packages", 2_000 + 300 * names.len() as u64, |_, _, _| Ok(())).await?;
        self.act("install-packages", 1_500, |world, node, _| {
            let machine = world.machine(node);
            machine.packages.extend(names.iter().cloned());
            if names.iter().any(|n| n == "iptables") {
                machine.iptables.get_or_insert_with(|| "nft".into());
            }
            Ok(())
        })
        .await
    }

    async fn install_packages_from(
        &self,
        names: &[String],
        _: &crate::ops::packages::PackageSet,
    ) -> SysResult<()> {
        self.install_packages(names).await
    }

    async fn updates(&self) -> SysResult<Vec<String>> {
        Ok(self
            .look(|m, _| m.updates.iter().map(|(n, a, b)| format!("{n} {a} -> {b}")).collect())
            .await)
    }

    async fn update_all(&self) -> SysResult<()> {
        self.act("download-updates", 8_000, |_, _, _| Ok(())).await?;
        self.act("install-updates", 6_000, |world, node, _| {
            let machine = world.machine(node);
            for (name, _, version) in std::mem::take(&mut machine.updates) {
                if name == "linux" {
                    machine.kernel_installed = version;
                }
            }
            Ok(())
        })
        .await
    }

    async fn iptables_backend(&self) -> SysResult<Option<String>> {
        Ok(self.look(|m, _| m.iptables.clone()).await)
    }

    async fn set_iptables_backend(&self, backend: &str) -> SysResult<()> {
        self.act("set-iptables", 200, |world, node, _| {
            world.machine(node).iptables = Some(backend.into());
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Users for FakeSys {
    async fn user(&self, name: &str) -> SysResult<Option<UserState>> {
        let state = |groups: &BTreeSet<String>| UserState {
            home: format!("/home/{name}"),
            group: name.into(),
            groups: groups.iter().cloned().collect(),
        };
        Ok(self.look(|m, _| m.users.get(name).map(state)).await)
    }

    async fn add_user(&self, name: &str) -> SysResult<()> {
        self.act("add-user", 60, |world, node, _| {
            world.machine(node).users.entry(name.into()).or_default();
            Ok(())
        })
        .await
    }

    async fn add_to_groups(&self, name: &str, groups: &[String]) -> SysResult<()> {
        self.act("add-to-groups", 40, |world, node, _| {
            let user = world.machine(node).users.entry(name.into()).or_default();
            user.extend(groups.iter().cloned());
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Units for FakeSys {
    async fn unit(&self, name: &str) -> SysResult<UnitState> {
        Ok(self
            .look(|m, _| UnitState {
                exists: m.enabled.contains(name)
                    || m.ram.active.contains_key(name)
                    || m.files.contains_key(&format!("/etc/systemd/system/{name}")),
                enabled: m.enabled.contains(name),
                active: m.ram.active.contains_key(name),
                active_since_ms: m.ram.active.get(name).map_or(0, |since| m.wall_ms(*since)),
            })
            .await)
    }

    async fn change_unit(&self, name: &str, change: UnitChange) -> SysResult<()> {
        let ms = if change == UnitChange::Restart { 700 } else { 100 };
        self.act("change-unit", ms, |world, node, now_ms| {
            let machine = world.machine(node);
            match change {
                UnitChange::Enable => drop(machine.enabled.insert(name.into())),
                UnitChange::Restart => drop(machine.ram.active.insert(name.into(), now_ms)),
                UnitChange::Disable => {
                    machine.enabled.remove(name);
                    machine.ram.active.remove(name);
                }
            }
            if name == "kubelet.service" {
                machine.note_kubelet(now_ms);
            }
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Artifacts for FakeSys {
    async fn artifact_versions(&self, name: &str) -> SysResult<Vec<Version>> {
        Ok(self.look(|m, _| m.artifacts.get(name).into_iter().flatten().cloned().collect()).await)
    }

    async fn install_artifact(&self, name: &str, version: &Version) -> SysResult<()> {
        self.act("place-artifact", 1_200, |world, node, _| {
            let versions = world.machine(node).artifacts.entry(name.into()).or_default();
            versions.insert(version.clone());
            Ok(())
        })
        .await
    }

    async fn has_image(&self, image: &str) -> SysResult<bool> {
        Ok(self.look(|m, _| m.images.contains(image)).await)
    }

    async fn import_image(&self, image: &str) -> SysResult<()> {
        self.act("pull-image", 2_500, |world, node, _| {
            let machine = world.machine(node);
            if !machine.ram.active.contains_key("containerd.service") {
                return Err(SysError::passing("containerd does not answer"));
            }
            machine.images.insert(image.into());
            Ok(())
        })
        .await
    }
}
