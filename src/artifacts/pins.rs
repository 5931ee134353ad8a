//! Digests that images and release files have to have, from `assets/digests.toml` and from whoever asks.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

use super::sources::pinned_as;
use crate::names::{Version, sha256_of_digest};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Digests {
    images: BTreeMap<String, String>,
    /// Release files, as `NAME:VERSION`.
    files: BTreeMap<String, String>,
}

static TABLE: LazyLock<Digests> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "embedded at build, covered by a test")]
    toml::from_str(include_str!("../../assets/digests.toml")).expect("assets/digests.toml is valid")
});

/// Which digest an image has to have, where that is laid down.
#[derive(Debug, Clone)]
pub struct Pins(BTreeMap<String, String>);

impl Default for Pins {
    fn default() -> Self {
        let both = TABLE.images.iter().chain(&TABLE.files);
        Self(both.map(|(what, digest)| (what.clone(), digest.clone())).collect())
    }
}

impl Pins {
    /// With these too; they win.
    pub fn and(mut self, more: &BTreeMap<String, String>) -> Self {
        self.0.extend(more.iter().map(|(image, digest)| (image.clone(), digest.clone())));
        self
    }

    pub fn of(&self, image: &str) -> Option<&str> {
        self.0.get(image).map(String::as_str)
    }

    /// A release file's sum, without what says its kind.
    pub fn of_release(&self, name: &str, version: &Version) -> Option<&str> {
        sha256_of_digest(self.of(&pinned_as(name, version))?)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sources::is_release, *};
    use crate::names::ImageName;

    #[test]
    fn the_table_is_valid_and_what_is_asked_for_wins() {
        for (image, digest) in &TABLE.images {
            image.parse::<ImageName>().unwrap();
            assert!(sha256_of_digest(digest).is_some(), "{image}");
        }
        for (file, digest) in &TABLE.files {
            assert!(is_release(file) && sha256_of_digest(digest).is_some(), "{file}");
        }
        let sum = "a".repeat(64);
        let pins = BTreeMap::from([("cilium:1.20.1".into(), format!("sha256:{sum}"))]);
        let pins = Pins::default().and(&pins);
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert_eq!(pins.of_release("cilium", &version("1.20.1")), Some(sum.as_str()));
        assert_eq!(pins.of_release("cilium", &version("1.20.2")), None);
        let pins = Pins::default().and(&BTreeMap::from([("r.io/a:1".into(), "sha256:0".into())]));
        assert_eq!(pins.of("r.io/a:1"), Some("sha256:0"));
        assert_eq!(pins.of("r.io/a:2"), None);
    }

    #[test]
    fn what_nobody_publishes_a_sum_of_is_pinned_for_every_row_of_the_table() {
        let compat = super::super::compat();
        for line in compat.lines() {
            let row = compat.row(&format!("{line}.0").parse().unwrap()).unwrap();
            for (name, version) in
                [("argocd-install", &row.argocd), ("gateway-api", &row.gateway_api)]
            {
                assert!(Pins::default().of_release(name, version).is_some(), "{name} {version}");
            }
        }
    }
}
