//! The kernel's side of a host: its name, modules, sysctls, swap, and the one reboot.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Diff, Nature, Observed, OpError, OpResult, Output};
use super::sys::Sys;
use crate::events::Refusal;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hostname {
    pub name: String,
}

#[async_trait]
impl Action for Hostname {
    fn title(&self) -> String {
        format!("hostname {}", self.name)
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let found = sys.hostname().await?;
        Ok(if found == self.name {
            Observed::Holds
        } else {
            Observed::Differs(vec![Diff::say(format!("hostname from {found} to {}", self.name))])
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        sys.set_hostname(&self.name).await?;
        Ok(None)
    }
}

/// Loaded now; a file under modules-load.d loads them at boot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Modules {
    pub names: Vec<String>,
}

impl Modules {
    async fn absent<'a>(&'a self, sys: &dyn Sys) -> OpResult<Vec<&'a String>> {
        let mut absent = Vec::new();
        for name in &self.names {
            if !sys.module_is_loaded(name).await? {
                absent.push(name);
            }
        }
        Ok(absent)
    }
}

#[async_trait]
impl Action for Modules {
    fn title(&self) -> String {
        format!("kernel modules {}", self.names.join(", "))
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let absent = self.absent(sys).await?;
        Ok(if absent.is_empty() {
            Observed::Holds
        } else {
            Observed::Differs(
                absent.into_iter().map(|m| Diff::say(format!("load module {m}"))).collect(),
            )
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        for name in self.absent(sys).await? {
            sys.load_module(name).await?;
        }
        Ok(None)
    }
}

/// Set now; a file under sysctl.d sets them at boot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sysctls {
    pub values: BTreeMap<String, String>,
}

impl Sysctls {
    async fn wrong<'a>(
        &'a self,
        sys: &dyn Sys,
    ) -> OpResult<Vec<(&'a String, &'a String, Option<String>)>> {
        let mut wrong = Vec::new();
        for (key, want) in &self.values {
            let found = sys.sysctl(key).await?;
            if found.as_ref() != Some(want) {
                wrong.push((key, want, found));
            }
        }
        Ok(wrong)
    }
}

#[async_trait]
impl Action for Sysctls {
    fn title(&self) -> String {
        format!("set {} sysctls", self.values.len())
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let wrong = self.wrong(sys).await?;
        if wrong.is_empty() {
            return Ok(Observed::Holds);
        }
        let say = |(key, want, found): (&String, &String, Option<String>)| {
            let found = found.unwrap_or_else(|| "unset".into());
            Diff::say(format!("{key} from {found} to {want}"))
        };
        Ok(Observed::Differs(wrong.into_iter().map(say).collect()))
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        for (key, want, _) in self.wrong(sys).await? {
            sys.set_sysctl(key, want).await?;
        }
        Ok(None)
    }
}

/// No swap now, and none at the next boot: fstab, swap units and zram's generator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoSwap {}

#[async_trait]
impl Action for NoSwap {
    fn title(&self) -> String {
        "no swap".into()
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let swaps = sys.swaps().await?;
        Ok(if swaps.is_empty() {
            Observed::Holds
        } else {
            Observed::Differs(
                swaps.iter().map(|s| Diff::say(format!("turn off swap {s}"))).collect(),
            )
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        sys.swap_off().await?;
        Ok(None)
    }
}

/// In which boot this node was told to come up with which kernel.
const REBOOTED: &str = "/var/lib/slipway/rebooted";

/// Boots the kernel that is installed, where another one runs: its modules can no longer be loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RebootForKernel {}

#[async_trait]
impl Action for RebootForKernel {
    fn title(&self) -> String {
        "reboot if the kernel changed".into()
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: 600, ..Nature::CHANGE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let os = sys.os().await?;
        Ok(match os.kernel_installed {
            Some(installed) if installed != os.kernel_running => {
                Observed::Differs(vec![Diff::say(format!(
                    "reboot from kernel {} into {installed}",
                    os.kernel_running
                ))])
            }
            _ => Observed::Holds,
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        // Asked here, not when it was planned: the node may have joined since.
        if sys.local_kube().await?.etcd_data.is_some() {
            return Err(OpError::refused(
                Refusal::Quorum,
                "reboot into the installed kernel",
                "this node is an etcd member by now; rebooting members is `slipway upgrade --os`'s business",
            )
            .hint("run `slipway upgrade --os`, which takes one member at a time"));
        }
        // Once for a kernel: a boot loader that brings the old one up again would have us do this for
        // ever.
        let os = sys.os().await?;
        let wanted = os.kernel_installed.unwrap_or_default();
        let boot_id = sys.boot_id().await?;
        let before = sys.read(REBOOTED).await?;
        let before = before.map(|f| String::from_utf8_lossy(&f.content).into_owned());
        if let Some((boot, kernel)) = before.as_deref().and_then(|b| b.trim().split_once(' '))
            && boot != boot_id
            && kernel == wanted
        {
            return Err(OpError::new(
                format!("boot kernel {wanted}"),
                format!("the node was rebooted for it, and came up with {}", os.kernel_running),
            )
            .hint("which entry does its boot loader take (`bootctl list`, /boot/grub/grub.cfg)? Was /boot mounted when the kernel was updated? Reinstall it if not: `pacman -S linux`"));
        }
        sys.write(REBOOTED, format!("{boot_id} {wanted}\n").as_bytes(), 0o600).await?;
        sys.reboot().await?;
        Ok(None)
    }
}
