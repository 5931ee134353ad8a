//! Where release files are published, from `assets/releases.toml`.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

use super::store;
use crate::names::Version;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sources {
    release: Vec<Source>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    name: String,
    url: String,
    /// Empty where the project publishes none.
    #[serde(default)]
    sums: String,
    /// By version, where the project publishes none: as they were read off its releases.
    #[serde(default)]
    pinned: BTreeMap<String, String>,
}

/// One release file's address, and that of its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub url: String,
    pub sums: String,
    /// The checksum itself, where it is known beforehand.
    pub sum: Option<String>,
}

static TABLE: LazyLock<Sources> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "embedded at build, covered by a test")]
    toml::from_str(include_str!("../../assets/releases.toml"))
        .expect("assets/releases.toml is valid")
});

/// None for what no project publishes: such a file has to be put in place by hand.
pub fn address(name: &str, version: &Version, mirror: Option<&str>) -> Option<Address> {
    let source = TABLE.release.iter().find(|s| s.name == name)?;
    let version = version.to_string();
    let url = source.url.replace("{version}", &version);
    let sums = source.sums.replace("{url}", &url).replace("{version}", &version);
    let at = |url: String| match mirror {
        Some(mirror) => {
            format!("{}/{}", mirror.trim_end_matches('/'), url.trim_start_matches("https://"))
        }
        None => url,
    };
    let sum = source.pinned.get(&version).cloned();
    Some(Address { url: at(url), sums: if sums.is_empty() { sums } else { at(sums) }, sum })
}

impl Address {
    /// The name that the file goes by in lists of checksums.
    pub fn file(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }

    /// What a stored file's name ends with.
    pub fn ending(&self) -> &'static str {
        store::ending(&self.url)
    }

    pub fn host(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }

    /// The sum of this file, in a list of one or several.
    pub fn sum_in(&self, list: &str) -> Option<String> {
        let line = |line: &str| {
            let mut words = line.split_whitespace();
            let sum = words.next().filter(|w| store::is_sum(w))?.to_lowercase();
            Some((sum, words.next().map(|w| w.trim_start_matches(['*', '.', '/']).to_string())))
        };
        let all: Vec<(String, Option<String>)> = list.lines().filter_map(line).collect();
        let named = all.iter().find(|(_, name)| name.as_deref() == Some(self.file()));
        match (named, all.as_slice()) {
            (Some((sum, _)), _) => Some(sum.clone()),
            // A sum and nothing else: it can only be this file's.
            (None, [(sum, None)]) => Some(sum.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, mirror: Option<&str>) -> Address {
        address(name, &"1.4.3".parse().unwrap(), mirror).unwrap()
    }

    #[test]
    fn addresses_and_mirrors() {
        let runc = of("runc", None);
        assert_eq!(runc.host(), "github.com");
        assert_eq!((runc.file(), runc.ending()), ("runc.amd64", ""));
        assert!(runc.sums.ends_with("/v1.4.3/runc.sha256sum"));
        let kubelet = of("kubelet", Some("http://nas.lan:8080/mirror/"));
        assert_eq!(
            kubelet.url,
            "http://nas.lan:8080/mirror/dl.k8s.io/release/v1.4.3/bin/linux/amd64/kubelet"
        );
        assert_eq!(kubelet.sums, format!("{}.sha256", kubelet.url));
        assert_eq!(kubelet.host(), "nas.lan:8080");
        assert_eq!(of("cni-plugins", None).ending(), ".tgz");
        assert_eq!(address("nonsense", &"1.0.0".parse().unwrap(), None), None);
    }

    #[test]
    fn every_argo_cd_of_the_table_is_pinned() {
        for line in crate::artifacts::compat().lines() {
            let row = crate::artifacts::compat().row(&format!("{line}.0").parse().unwrap());
            let version = row.unwrap().argocd.clone();
            let of = address("argocd-install", &version, None).unwrap();
            assert!(store::is_sum(&of.sum.unwrap()), "{version}");
        }
        for source in &TABLE.release {
            assert_eq!(source.sums.is_empty(), !source.pinned.is_empty(), "{}", source.name);
        }
    }

    #[test]
    fn sums_are_found_by_name() {
        let (runc, a, b) = (of("runc", None), "a".repeat(64), "B".repeat(64));
        let list = format!("{a}  runc.arm64\n{b} *runc.amd64\n{a}  libseccomp.tar.gz\n");
        assert_eq!(runc.sum_in(&list), Some("b".repeat(64)));
        assert_eq!(runc.sum_in(&a), Some(a.clone()));
        assert_eq!(runc.sum_in(&format!("{a}  ./runc.amd64\n")), Some(a.clone()));
        assert_eq!(runc.sum_in(&format!("{a}  runc.arm64\n")), None, "another file's");
        assert_eq!(runc.sum_in("<html>404</html>"), None);
        assert_eq!(runc.sum_in(""), None);
    }
}
