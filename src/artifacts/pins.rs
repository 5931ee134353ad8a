//! Digests that images have to have, from `assets/digests.toml` and from whoever asks.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Digests {
    images: BTreeMap<String, String>,
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
        Self(TABLE.images.clone())
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{ImageName, sha256_of_digest};

    #[test]
    fn the_table_is_valid_and_what_is_asked_for_wins() {
        for (image, digest) in &TABLE.images {
            image.parse::<ImageName>().unwrap();
            assert!(sha256_of_digest(digest).is_some(), "{image}");
        }
        let pins = Pins::default().and(&BTreeMap::from([("r.io/a:1".into(), "sha256:0".into())]));
        assert_eq!(pins.of("r.io/a:1"), Some("sha256:0"));
        assert_eq!(pins.of("r.io/a:2"), None);
    }
}
