//! Packages of the distribution, artifacts of our own choosing, and images.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Diff, Nature, Observed, OpError, OpResult, Output};
use super::sys::Sys;
use crate::{events::Refusal, names::Version};

/// A repository that the controller brings along, for machines without internet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageSet {
    /// `NAME.db`, which is one of the files.
    pub database: String,
    /// Packages, their signatures and the database, by the names under which they are brought.
    pub files: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Packages {
    pub names: Vec<String>,
    /// None for the node's own repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PackageSet>,
}

#[async_trait]
impl Action for Packages {
    fn title(&self) -> String {
        match self.names.as_slice() {
            [one] => format!("package {one}"),
            names => format!("{} packages", names.len()),
        }
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: 900, ..Nature::CHANGE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let missing = sys.missing_packages(&self.names).await?;
        Ok(if missing.is_empty() {
            Observed::Holds
        } else {
            Observed::Differs(vec![Diff::say(format!("install {}", missing.join(", ")))])
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        let missing = sys.missing_packages(&self.names).await?;
        match &self.from {
            Some(set) if !missing.is_empty() => sys.install_packages_from(&missing, set).await?,
            _ => sys.install_packages(&missing).await?,
        }
        Ok(None)
    }
}

/// The whole OS in one transaction, before a node joins. Never a part of it: Arch supports no
/// partial upgrades.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateOs {}

#[async_trait]
impl Action for UpdateOs {
    fn title(&self) -> String {
        "bring the OS up to date".into()
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: 1800, ..Nature::CHANGE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        // On a member this is the rolling upgrade's business, whatever is pending.
        if sys.local_kube().await?.kubelet_conf {
            return Ok(Observed::Holds);
        }
        let updates = sys.updates().await?;
        Ok(if updates.is_empty() {
            Observed::Holds
        } else {
            Observed::Differs(
                updates.into_iter().map(|u| Diff::say(format!("update {u}"))).collect(),
            )
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        if sys.local_kube().await?.kubelet_conf {
            return Err(OpError::refused(
                Refusal::Quorum,
                self.title(),
                "this node is a member of a cluster by now",
            )
            .hint("run `slipway upgrade --os`, which takes one member at a time"));
        }
        sys.update_all().await?;
        Ok(None)
    }
}

/// An upstream release under /opt/slipway/NAME/VERSION, behind symlinks, so that going back is a
/// relink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    pub name: String,
    pub version: Version,
    /// Link and what it points at, below the version's directory. Empty: only staged.
    pub links: Vec<(String, String)>,
}

/// What is brought to nodes, by what it is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    Release(String, Version),
    Image(String),
    /// A file of a bundle's repository of packages.
    Package(String),
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Release(name, version) => write!(f, "{name} {version}"),
            Wanted::Image(image) => write!(f, "{image}"),
            Wanted::Package(file) => write!(f, "{file}"),
        }
    }
}

/// Where the controller puts what it brings.
pub const INCOMING: &str = "/var/lib/slipway/incoming";

/// Where a release is unpacked to.
pub fn release_dir(name: &str, version: &Version) -> String {
    format!("/opt/slipway/{name}/{version}")
}

/// Made last, in a release's directory: what is not whole has none.
pub const COMPLETE: &str = ".complete";

pub fn complete(name: &str, version: &Version) -> String {
    format!("{}/{COMPLETE}", release_dir(name, version))
}

/// What a release is called in [`INCOMING`]: an archive, or a bare program.
pub fn incoming(name: &str, version: &Version, archive: bool) -> String {
    format!("{name}-{version}{}", if archive { ".tar.gz" } else { "" })
}

impl Artifact {
    fn dir(&self) -> String {
        release_dir(&self.name, &self.version)
    }

    async fn wrong_links(&self, sys: &dyn Sys) -> OpResult<Vec<(String, String)>> {
        let mut wrong = Vec::new();
        for (link, inside) in &self.links {
            let target = format!("{}/{inside}", self.dir());
            if sys.link_target(link).await?.as_ref() != Some(&target) {
                wrong.push((link.clone(), target));
            }
        }
        Ok(wrong)
    }
}

#[async_trait]
impl Action for Artifact {
    fn title(&self) -> String {
        let verb = if self.links.is_empty() { "stage" } else { "install" };
        format!("{verb} {} {}", self.name, self.version)
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: 600, ..Nature::CHANGE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let mut differences = Vec::new();
        if !sys.artifact_versions(&self.name).await?.contains(&self.version) {
            differences.push(Diff::say(format!("place {} {}", self.name, self.version)));
        }
        for (link, target) in self.wrong_links(sys).await? {
            differences.push(Diff::say(format!("link {link} to {target}")));
        }
        Ok(if differences.is_empty() { Observed::Holds } else { Observed::Differs(differences) })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        if !sys.artifact_versions(&self.name).await?.contains(&self.version) {
            sys.install_artifact(&self.name, &self.version).await?;
        }
        for (link, target) in self.wrong_links(sys).await? {
            sys.link(&link, &target).await?;
        }
        Ok(None)
    }
}

/// Images that are there before anything asks for them: imported from what the controller brought,
/// so that no node needs the internet, or a registry, for them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Images {
    pub images: Vec<String>,
}

fn import(image: &str) -> Diff {
    Diff::say(format!("import {image}"))
}

impl Images {
    /// Those that are missing, by what [`Action::observe`] told; all, where it could not look.
    pub fn told_missing(&self, found: &[Diff]) -> Vec<String> {
        let missing = |image: &&String| found.contains(&import(image));
        let told: Vec<String> = self.images.iter().filter(missing).cloned().collect();
        if told.is_empty() { self.images.clone() } else { told }
    }

    async fn missing<'a>(&'a self, sys: &dyn Sys) -> OpResult<Vec<&'a String>> {
        let mut missing = Vec::new();
        for image in &self.images {
            if !sys.has_image(image).await? {
                missing.push(image);
            }
        }
        Ok(missing)
    }
}

#[async_trait]
impl Action for Images {
    fn title(&self) -> String {
        format!("{} images", self.images.len())
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: 1800, ..Nature::CHANGE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let missing = self.missing(sys).await?;
        Ok(if missing.is_empty() {
            Observed::Holds
        } else {
            Observed::Differs(missing.into_iter().map(|i| import(i)).collect())
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        for image in self.missing(sys).await? {
            sys.import_image(image).await?;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_by_what_was_found() {
        let images = Images { images: ["r.io/a:1", "r.io/b:1"].map(String::from).into() };
        assert_eq!(images.told_missing(&[import("r.io/b:1")]), ["r.io/b:1"]);
        assert_eq!(images.told_missing(&[Diff::say("2 images")]), images.images);
    }
}
