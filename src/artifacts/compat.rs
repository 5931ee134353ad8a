//! The combinations that are known to work, from `assets/compat.toml`.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::names::Version;

/// The table, oldest Kubernetes line first.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compat {
    #[serde(rename = "row")]
    rows: Vec<Row>,
}

/// What goes with one line of Kubernetes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The release line, such as `1.36`.
    pub kubernetes: String,
    pub containerd: Version,
    pub runc: Version,
    pub cni_plugins: Version,
    pub crictl: Version,
    /// The image's tag, such as `3.6.8-0`.
    pub etcd: String,
    /// The image's tag, such as `v1.14.2`.
    pub coredns: String,
    /// The image's tag, such as `3.10.2`.
    pub pause: String,
    /// Release lines.
    pub cilium: Vec<String>,
    pub gateway_api: Version,
    /// Release lines.
    pub rook: Vec<String>,
    pub argocd: Version,
    pub flux: Version,
    /// Release lines.
    pub talos: Vec<String>,
}

static TABLE: LazyLock<Compat> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "embedded at build, covered by a test")]
    toml::from_str(include_str!("../../assets/compat.toml")).expect("assets/compat.toml is valid")
});

pub fn compat() -> &'static Compat {
    &TABLE
}

impl Compat {
    /// What goes with this version of Kubernetes, if its line is known.
    pub fn row(&self, kubernetes: &Version) -> Option<&Row> {
        let line = kubernetes.line();
        self.rows.iter().find(|row| row.kubernetes == line)
    }

    /// What goes with the newest line: the best guess for a version that is not known yet.
    pub fn newest(&self) -> &Row {
        // The test of the table holds that there is a row.
        &self.rows[self.rows.len() - 1]
    }

    /// The known lines of Kubernetes, oldest first.
    pub fn lines(&self) -> Vec<&str> {
        self.rows.iter().map(|row| row.kubernetes.as_str()).collect()
    }

    /// Whether this Kubernetes is older than any that is known.
    pub fn is_too_old(&self, kubernetes: &Version) -> bool {
        let wanted = (kubernetes.major(), kubernetes.minor());
        self.rows.first().and_then(Row::line).is_some_and(|oldest| wanted < oldest)
    }
}

impl Row {
    fn line(&self) -> Option<(u64, u64)> {
        let (major, minor) = self.kubernetes.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole_and_in_order() {
        let rows = &compat().rows;
        assert!(!rows.is_empty());
        for pair in rows.windows(2) {
            let (a, b) = (pair[0].line().unwrap(), pair[1].line().unwrap());
            assert_eq!((a.0, a.1 + 1), b, "one row a minor, in order");
        }
        for row in rows {
            assert_eq!(row.crictl.line(), row.kubernetes);
            assert!(row.containerd.major() >= 2, "kubelets need containerd 2");
            assert!(!row.cilium.is_empty(), "{}", row.kubernetes);
        }
    }

    #[test]
    fn versions_find_their_row() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert_eq!(compat().row(&version("1.36.4")).unwrap().kubernetes, "1.36");
        assert!(compat().row(&version("1.99.0")).is_none());
        assert!(compat().is_too_old(&version("1.9.0")));
        assert!(!compat().is_too_old(&version("1.34.0")));
        assert!(!compat().is_too_old(&version("1.99.0")));
    }
}
