//! Where release files are published, from `assets/releases.toml` and `assets/addons.toml`.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

use super::store;
use crate::names::Version;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sources {
    release: Vec<Source>,
    #[serde(default)]
    programs: BTreeMap<String, Version>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    name: String,
    url: String,
    /// None where the project publishes no sums.
    sums: Option<String>,
}

/// One release file's address, and that of its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub url: String,
    /// None where the project publishes no sums: the file's digest has to be laid down.
    pub sums: Option<String>,
}

static TABLES: LazyLock<[Sources; 2]> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "embedded at build, covered by a test")]
    [include_str!("../../assets/releases.toml"), include_str!("../../assets/addons.toml")]
        .map(|text| toml::from_str(text).expect("the tables of assets are valid"))
});

/// Which version of a program renders what is installed.
pub fn program(name: &str) -> Option<&'static Version> {
    TABLES.iter().find_map(|table| table.programs.get(name))
}

fn source(name: &str) -> Option<&'static Source> {
    TABLES.iter().flat_map(|table| &table.release).find(|s| s.name == name)
}

/// Whether `NAME:VERSION` names a release file, as an image's name names an image.
pub fn is_release(name: &str) -> bool {
    let parts = name.split_once(':');
    parts
        .is_some_and(|(name, version)| source(name).is_some() && version.parse::<Version>().is_ok())
}

/// How digests name a release file.
pub fn pinned_as(name: &str, version: &Version) -> String {
    format!("{name}:{version}")
}

/// None for what no project publishes: such a file has to be put in place by hand.
pub fn address(name: &str, version: &Version, mirror: Option<&str>) -> Option<Address> {
    let source = source(name)?;
    let version = version.to_string();
    let url = source.url.replace("{version}", &version);
    let sums = source.sums.as_ref();
    let sums = sums.map(|sums| sums.replace("{url}", &url).replace("{version}", &version));
    let at = |url: String| match mirror {
        Some(mirror) => {
            format!("{}/{}", mirror.trim_end_matches('/'), url.trim_start_matches("https://"))
        }
        None => url,
    };
    Some(Address { url: at(url), sums: sums.map(at) })
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

    /// The sum of this file, in a list of one or several, or in a Helm repository's index.
    pub fn sum_in(&self, list: &str) -> Option<String> {
        if self.sums.as_ref().is_some_and(|sums| sums.ends_with("/index.yaml")) {
            return self.digest_in(list);
        }
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

    /// The digest of this chart in an index as `helm repo index` writes it: one item a chart and
    /// version, which names the digest and the files.
    fn digest_in(&self, index: &str) -> Option<String> {
        let item = |line: &str| line.starts_with("- ") || line.starts_with("  - ");
        let lines: Vec<&str> = index.lines().collect();
        lines.chunk_by(|_, next| !item(next)).find_map(|entry| {
            let names = |line: &&str| {
                let url = line.trim().strip_prefix("- ").map(|u| u.trim_matches(['"', '\'']));
                url.is_some_and(|u| u.rsplit('/').next() == Some(self.file()))
            };
            entry.iter().find(|line| names(line))?;
            let digest = entry.iter().find_map(|line| line.trim().strip_prefix("digest:"))?;
            let digest = digest.trim().trim_matches(['"', '\'']).trim_start_matches("sha256:");
            store::is_sum(digest).then(|| digest.to_lowercase())
        })
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
        assert!(runc.sums.unwrap().ends_with("/v1.4.3/runc.sha256sum"));
        let kubelet = of("kubelet", Some("http://nas.lan:8080/mirror/"));
        assert_eq!(
            kubelet.url,
            "http://nas.lan:8080/mirror/dl.k8s.io/release/v1.4.3/bin/linux/amd64/kubelet"
        );
        assert_eq!(kubelet.sums, Some(format!("{}.sha256", kubelet.url)));
        assert_eq!(kubelet.host(), "nas.lan:8080");
        assert_eq!(of("cni-plugins", None).ending(), ".tgz");
        assert_eq!(address("nonsense", &"1.0.0".parse().unwrap(), None), None);
        assert!(program("helm").is_some(), "the agent renders with it");
        let gateway = of("gateway-api", Some("http://nas.lan"));
        assert_eq!((gateway.file(), &gateway.sums), ("standard-install.yaml", &None));
        assert!(is_release("gateway-api:1.6.1") && !is_release("r.io/a:1.0.0"));
        assert!(!is_release("gateway-api") && !is_release("gateway-api:latest"));
    }

    #[test]
    fn a_charts_digest_is_in_its_repositorys_index() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let index = format!(
            "apiVersion: v1\nentries:\n  cilium:\n  - annotations:\n      x: |\n        - kind: Y\n    digest: {a}\n    urls:\n    - cilium-1.4.4.tgz\n    version: 1.4.4\n  - apiVersion: v2\n    digest: \"{b}\"\n    name: cilium\n    urls:\n    - https://helm.cilium.io/cilium-1.4.3.tgz\n    version: 1.4.3\ngenerated: x\n"
        );
        let chart = of("cilium", None);
        assert_eq!(chart.sum_in(&index), Some(b.clone()));
        assert_eq!(chart.sum_in(&index.replace(&b, "short")), None);
        assert_eq!(chart.sum_in(&index.replace("1.4.3.tgz", "1.4.2.tgz")), None);
        assert_eq!(chart.sum_in(&b), None, "a list of sums is no index");
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
