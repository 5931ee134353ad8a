//! Packages of the distribution, behind one trait: pacman first, apt second.

mod apt;
mod bundled;
mod pacman;

use async_trait::async_trait;

use super::{Linux, command::Command};
use crate::ops::{
    packages::{INCOMING, PackageSet},
    sys::{Packages, SysError, SysResult},
};

/// Where packages of a bundle lie while they are installed.
const GUESTS: &str = "/var/cache/slipway-packages";

/// What a package manager has to be able to do.
#[async_trait]
trait Manager: Send + Sync {
    async fn missing(&self, names: &[String]) -> SysResult<Vec<String>>;
    async fn install(&self, names: &[String]) -> SysResult<()>;
    async fn updates(&self) -> SysResult<Vec<String>>;
    async fn update_all(&self) -> SysResult<()>;
    async fn set_iptables(&self, backend: &str) -> SysResult<()>;
}

impl Linux {
    fn manager(&self) -> SysResult<Box<dyn Manager>> {
        // By what it calls itself: a Debian may have pacman installed, and is no Arch for that.
        let release = std::fs::read_to_string(self.path("/etc/os-release")).unwrap_or_default();
        let value = |key| crate::facts::read::release::value(&release, key).unwrap_or_default();
        let is = |name: &str| value("ID") == name || value("ID_LIKE").split(' ').any(|l| l == name);
        if is("arch") {
            Ok(Box::new(pacman::Pacman::here()))
        } else if is("debian") {
            Ok(Box::new(apt::Apt))
        } else {
            Err(SysError::other(
                "this is neither Arch nor Debian, so its packages cannot be managed",
            ))
        }
    }
}

#[async_trait]
impl Packages for Linux {
    async fn missing_packages(&self, names: &[String]) -> SysResult<Vec<String>> {
        if names.is_empty() { Ok(Vec::new()) } else { self.manager()?.missing(names).await }
    }

    async fn install_packages(&self, names: &[String]) -> SysResult<()> {
        if names.is_empty() { Ok(()) } else { self.manager()?.install(names).await }
    }

    async fn install_packages_from(&self, names: &[String], set: &PackageSet) -> SysResult<()> {
        let places = (self.path(INCOMING), self.path(GUESTS));
        pacman::Pacman::here().install_from(names, set, (&places.0, &places.1)).await
    }

    async fn updates(&self) -> SysResult<Vec<String>> {
        self.manager()?.updates().await
    }

    async fn update_all(&self) -> SysResult<()> {
        self.manager()?.update_all().await
    }

    async fn iptables_backend(&self) -> SysResult<Option<String>> {
        // `iptables v1.8.11 (nf_tables)`; one that is not installed has none.
        let Ok(asked) = Command::new("iptables").arg("--version").run().await else {
            return Ok(None);
        };
        Ok(Some(if asked.stdout.contains("nf_tables") { "nft" } else { "legacy" }.into()))
    }

    async fn set_iptables_backend(&self, backend: &str) -> SysResult<()> {
        self.manager()?.set_iptables(backend).await
    }
}
