//! The kernel's side of a node, by /proc and /sys: no command where a file can be read.

use std::{collections::BTreeSet, fs, path::PathBuf};

use async_trait::async_trait;

use super::{
    Linux,
    command::Command,
    files::{blocking, failed},
};
use crate::{
    facts::{
        OsFacts,
        read::{kernels, release, swaps},
    },
    ops::sys::{Access, Files, Kernel, SysError, SysErrorKind, SysResult},
};

/// zram comes back at boot while one of these is there.
const ZRAM: [&str; 2] =
    ["/etc/systemd/zram-generator.conf", "/usr/lib/systemd/zram-generator.conf"];
const UNITS: &str = "/etc/systemd/system";
const HOSTNAME: &str = "/etc/hostname";

impl Linux {
    /// A file that is there on every Linux.
    fn text(&self, path: &str) -> SysResult<String> {
        let real = self.path(path);
        fs::read_to_string(&real).map_err(|e| failed("read", &real, &e))
    }

    /// A file that may not be there.
    fn text_or_nothing(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    fn running_kernel(&self) -> SysResult<String> {
        Ok(self.text("/proc/sys/kernel/osrelease")?.trim().to_string())
    }

    fn modules_dir(&self) -> PathBuf {
        let usr = self.path("/usr/lib/modules");
        if usr.is_dir() { usr } else { self.path("/lib/modules") }
    }

    fn kernels(&self) -> Vec<kernels::Modules> {
        let Ok(entries) = fs::read_dir(self.modules_dir()) else { return Vec::new() };
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let package = fs::read_to_string(entry.path().join("pkgbase")).ok();
            // What an upgrade leaves of an old kernel (out-of-tree modules) is no kernel.
            let whole = package.is_some() || entry.path().join("modules.dep").exists();
            if let (Ok(release), true) = (entry.file_name().into_string(), whole) {
                found.push(kernels::Modules { release, package: package.map(|p| p.trim().into()) });
            }
        }
        found
    }

    /// Units under /etc that make swap at boot; a masked one makes none.
    fn swap_units(&self) -> Vec<String> {
        let mut found = BTreeSet::new();
        let mut dirs = vec![self.path(UNITS)];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let masked = fs::read_link(entry.path()).is_ok_and(|t| t == *"/dev/null");
                if name.ends_with(".swap") && !masked {
                    found.insert(name);
                } else if name.ends_with(".wants") || name.ends_with(".requires") {
                    dirs.push(entry.path());
                }
            }
        }
        found.retain(|unit| {
            let mask = self.path(UNITS).join(unit);
            !fs::read_link(mask).is_ok_and(|t| t == *"/dev/null")
        });
        found.into_iter().collect()
    }

    fn sysctl_path(&self, key: &str) -> PathBuf {
        // Whichever separator comes first is the one that separates.
        let slashed = key.find('/').unwrap_or(usize::MAX) < key.find('.').unwrap_or(usize::MAX);
        let key: String = if slashed {
            key.into()
        } else {
            let swap = |c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            };
            key.chars().map(swap).collect()
        };
        self.path("/proc/sys").join(key.trim_start_matches('/'))
    }
}

/// The kernel pads lists with tabs.
fn squeezed(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

#[async_trait]
impl Kernel for Linux {
    async fn machine_id(&self) -> SysResult<String> {
        let id = self.text("/etc/machine-id")?;
        let id = id.trim();
        if id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(id.into());
        }
        let shown = if id.is_empty() { "empty" } else { id };
        Err(SysError::other(format!(
            "/etc/machine-id is {shown}: run `systemd-machine-id-setup` on the node"
        )))
    }

    async fn boot_id(&self) -> SysResult<String> {
        Ok(self.text("/proc/sys/kernel/random/boot_id")?.trim().to_string())
    }

    async fn os(&self) -> SysResult<OsFacts> {
        let mut text = self.text_or_nothing("/etc/os-release");
        if text.is_empty() {
            text = self.text("/usr/lib/os-release")?;
        }
        let kernel_running = self.running_kernel()?;
        let found = self.kernels();
        Ok(OsFacts {
            id: release::id(&text),
            arch: nix::sys::utsname::uname()
                .map(|u| u.machine().to_string_lossy().into_owned())
                .map_err(|e| SysError::other(format!("ask for the architecture: {e}")))?,
            kernel_installed: kernels::installed(&found, &kernel_running).map(str::to_string),
            kernel_running,
            microcode: release::microcode_vendor(&self.text_or_nothing("/proc/cpuinfo")),
            cgroup: if self.path("/sys/fs/cgroup/cgroup.controllers").exists() { 2 } else { 1 },
        })
    }

    async fn cpus_and_memory_mb(&self) -> SysResult<(u32, u64)> {
        let cpus =
            std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        let mut system = sysinfo::System::new()
            .map_err(|e| SysError::other(format!("ask for the memory: {e}")))?;
        system.refresh_memory();
        Ok((cpus, system.total_memory() / 1_000_000))
    }

    async fn var_free_mb(&self) -> SysResult<u64> {
        let path = self.path("/var");
        let stat = nix::sys::statvfs::statvfs(&path)
            .map_err(|e| failed("look at the free space of", &path, &e.into()))?;
        Ok(stat.blocks_available() * stat.fragment_size() / 1_000_000)
    }

    async fn hostname(&self) -> SysResult<String> {
        let live = self.text("/proc/sys/kernel/hostname")?.trim().to_string();
        // The name of the next boot counts as much as today's.
        let kept = self.text_or_nothing(HOSTNAME);
        let kept = kept.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#'));
        Ok(match kept {
            Some(kept) if kept == live => live,
            Some(kept) => format!("{live} (and {kept} at the next boot)"),
            None => format!("{live} (and none in {HOSTNAME})"),
        })
    }

    async fn set_hostname(&self, name: &str) -> SysResult<()> {
        self.write_as(HOSTNAME, format!("{name}\n").as_bytes(), &Access::mode(0o644)).await?;
        nix::unistd::sethostname(name)
            .map_err(|e| SysError::other(format!("set the hostname to {name}: {e}")))
    }

    async fn module_is_loaded(&self, name: &str) -> SysResult<bool> {
        let name = name.replace('-', "_");
        if self.path("/sys/module").join(&name).is_dir() {
            return Ok(true);
        }
        // One that is built in and has no parameters shows only here.
        let builtin = self.modules_dir().join(self.running_kernel()?).join("modules.builtin");
        let builtin = fs::read_to_string(builtin).unwrap_or_default();
        Ok(builtin.lines().any(|line| {
            let file = line.rsplit('/').next().unwrap_or_default();
            file.split('.').next().unwrap_or_default().replace('-', "_") == name
        }))
    }

    async fn load_module(&self, name: &str) -> SysResult<()> {
        let done = Command::new("modprobe").arg("--").arg(name).done().await;
        let Err(mut error) = done else { return Ok(()) };
        let running = self.running_kernel()?;
        if !self.modules_dir().join(&running).is_dir() {
            error.message = format!(
                "cannot load {name}: the modules of the running kernel {running} are gone; it was upgraded and not booted since (or its modules are not installed): reboot the node"
            );
        }
        Err(error)
    }

    async fn sysctl(&self, key: &str) -> SysResult<Option<String>> {
        let path = self.sysctl_path(key);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(squeezed(&text))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, &error)),
        }
    }

    async fn set_sysctl(&self, key: &str, value: &str) -> SysResult<()> {
        let path = self.sysctl_path(key);
        fs::write(&path, value).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => SysError::other(format!(
                "there is no sysctl {key} on this kernel; a module that brings it may not be loaded"
            )),
            std::io::ErrorKind::InvalidInput => {
                SysError::other(format!("the kernel does not take `{value}` for {key}"))
            }
            _ => failed("write", &path, &error),
        })
    }

    async fn swaps(&self) -> SysResult<Vec<String>> {
        let mut found = swaps::active(&self.text_or_nothing("/proc/swaps"));
        found.extend(
            swaps::in_fstab(&self.text_or_nothing("/etc/fstab"))
                .iter()
                .map(|s| format!("{s} in /etc/fstab")),
        );
        found.extend(self.swap_units());
        // An empty file under /etc turns the vendor's off.
        let set = |path: &&&str| !self.text_or_nothing(path).trim().is_empty();
        let overridden = self.path(ZRAM[0]).exists();
        found.extend(
            ZRAM.iter()
                .take(if overridden { 1 } else { 2 })
                .filter(set)
                .map(|p| format!("zram by {p}")),
        );
        Ok(found)
    }

    async fn swap_off(&self) -> SysResult<()> {
        for device in swaps::active(&self.text_or_nothing("/proc/swaps")) {
            let done = Command::new("swapoff").arg("--").arg(&device).done().await;
            done.map_err(|mut error| {
                if error.output.iter().any(|l| l.contains("Cannot allocate memory")) {
                    error.message = format!("what is on swap {device} does not fit into memory: stop something on the node first");
                    error.kind = SysErrorKind::Other;
                }
                error
            })?;
        }
        if let Some(text) = swaps::without(&self.text_or_nothing("/etc/fstab")) {
            self.write_as("/etc/fstab", text.as_bytes(), &Access::mode(0o644)).await?;
        }
        for unit in self.swap_units() {
            // A unit file of /etc itself cannot be masked, only moved out of the way.
            let path = format!("{UNITS}/{unit}");
            let real = self.path(&path);
            if fs::symlink_metadata(&real).is_ok_and(|m| m.is_file()) {
                let aside = self.path(&format!("{path}.slipway-off"));
                blocking(move || {
                    fs::rename(&real, aside).map_err(|e| failed("set aside", &real, &e))
                })
                .await?;
            }
            self.link(&path, "/dev/null").await?;
        }
        for path in ZRAM.iter().filter(|p| self.path(p).exists()) {
            // One of the vendor's is turned off by an empty one of the same name under /etc.
            if path.starts_with("/etc/") {
                self.remove(path).await?;
            }
        }
        if self.path(ZRAM[1]).exists() {
            self.write_as(ZRAM[0], b"", &Access::mode(0o644)).await?;
        }
        Ok(())
    }

    async fn random_bytes(&self, count: usize) -> SysResult<Vec<u8>> {
        let mut bytes = vec![0; count];
        let read = fs::File::open("/dev/urandom")
            .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes));
        read.map_err(|e| SysError::other(format!("read /dev/urandom: {e}")))?;
        Ok(bytes)
    }

    async fn reboot(&self) -> SysResult<()> {
        let _ = tokio::task::spawn_blocking(nix::unistd::sync).await;
        // Not waited for: the answer may be that this very process is ended, or systemctl itself before it
        // has said that all is well.
        let asked = Command::new("systemctl").args(["--no-block", "reboot"]).run().await?;
        match asked.code {
            None | Some(0) => std::future::pending().await,
            Some(code) => {
                let failed = SysError::other(format!("`systemctl reboot` failed: exit {code}"));
                Err(SysError { output: asked.tail(), ..failed })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(files: &[(&str, &str)]) -> (tempfile::TempDir, Linux) {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::at(dir.path());
        for (path, text) in files {
            linux.write_now(path, text.as_bytes(), &Access::mode(0o644)).unwrap();
        }
        (dir, linux)
    }

    #[tokio::test]
    async fn a_kernel_that_was_upgraded_and_not_booted() {
        let (_dir, linux) = here(&[
            ("/etc/os-release", "ID=arch\n"),
            ("/proc/sys/kernel/osrelease", "6.17.1-arch1-1\n"),
            ("/usr/lib/modules/6.17.3-arch1-1/pkgbase", "linux\n"),
            ("/usr/lib/modules/6.17.1-arch1-1/extramodules/left", ""),
        ]);
        let os = linux.os().await.unwrap();
        assert_eq!(os.kernel_installed.as_deref(), Some("6.17.3-arch1-1"));
        assert_eq!((os.id.as_str(), os.cgroup), ("arch", 1));
    }

    #[tokio::test]
    async fn built_in_modules_are_loaded() {
        let (_dir, linux) = here(&[
            ("/proc/sys/kernel/osrelease", "6.1\n"),
            (
                "/usr/lib/modules/6.1/modules.builtin",
                "kernel/net/bridge/br_netfilter.ko\nkernel/fs/x-y.ko.zst\n",
            ),
            ("/sys/module/nf_conntrack/parameters/x", "1"),
        ]);
        for (name, there) in
            [("br_netfilter", true), ("nf-conntrack", true), ("x_y", true), ("rbd", false)]
        {
            assert_eq!(linux.module_is_loaded(name).await.unwrap(), there, "{name}");
        }
    }

    #[tokio::test]
    async fn swap_is_found_wherever_it_comes_from() {
        let (_dir, linux) = here(&[
            ("/etc/fstab", "UUID=1 / ext4 rw 0 1\n/swapfile none swap sw 0 0\n"),
            ("/etc/systemd/system/dev-sda2.swap", "[Swap]\n"),
            ("/etc/systemd/zram-generator.conf", "[zram0]\n"),
        ]);
        assert_eq!(linux.swaps().await.unwrap().len(), 3);
        linux.swap_off().await.unwrap();
        assert_eq!(linux.swaps().await.unwrap(), Vec::<String>::new());
        let fstab = linux.read("/etc/fstab").await.unwrap().unwrap();
        assert!(fstab.content.starts_with(b"UUID=1 / ext4 rw 0 1\n# slipway"));
    }

    #[tokio::test]
    async fn names_of_today_and_of_the_next_boot() {
        let (_dir, linux) = here(&[("/proc/sys/kernel/hostname", "a\n"), ("/etc/hostname", "b\n")]);
        assert_eq!(linux.hostname().await.unwrap(), "a (and b at the next boot)");
    }

    #[tokio::test]
    async fn sysctls_by_dots_or_slashes() {
        let (_dir, linux) = here(&[
            ("/proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
            ("/proc/sys/net/ipv4/conf/eth0.10/rp_filter", "2\n"),
        ]);
        let get = async |key: &str| linux.sysctl(key).await.unwrap();
        assert_eq!(get("net.ipv4.tcp_rmem").await.as_deref(), Some("4096 131072 6291456"));
        assert_eq!(get("net.ipv4.conf.eth0/10.rp_filter").await.as_deref(), Some("2"));
        assert_eq!(get("net/ipv4/conf/eth0.10/rp_filter").await.as_deref(), Some("2"));
        assert_eq!(get("net.ipv4.nothing").await, None);
    }

    #[tokio::test]
    async fn a_machine_id_has_to_be_one() {
        let (_dir, linux) = here(&[("/etc/machine-id", "uninitialized\n")]);
        let error = linux.machine_id().await.unwrap_err();
        assert!(error.message.contains("systemd-machine-id-setup"), "{error}");
    }
}
