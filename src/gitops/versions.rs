//! What the starter repository installs, from `assets/gitops/versions.toml` and the table of what goes
//! with a Kubernetes line.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::{
    artifacts::{Row, compat},
    inventory::Inventory,
    names::Version,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    pub metallb: Version,
    pub flux: Version,
    rook: Vec<Rook>,
}

/// One line of Rook, and what it comes with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rook {
    line: String,
    pub operator: Version,
    pub ceph: Version,
    pub csi_drivers: Version,
}

static TABLE: LazyLock<Versions> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "embedded at build, covered by a test")]
    toml::from_str(include_str!("../../assets/gitops/versions.toml"))
        .expect("assets/gitops/versions.toml is valid")
});

pub fn versions() -> &'static Versions {
    &TABLE
}

/// The row of this cluster's Kubernetes; the newest for one that is not known yet.
pub fn row(inventory: &Inventory) -> &'static Row {
    compat().row(&inventory.cluster.kubernetes).unwrap_or_else(|| compat().newest())
}

impl Versions {
    /// The Rook that goes with this Kubernetes, and whether that is known to be so.
    pub fn rook(&self, row: &Row) -> Option<(&Rook, bool)> {
        let known =
            row.rook.iter().rev().find_map(|line| self.rook.iter().find(|r| r.line == *line));
        known.map(|rook| (rook, true)).or_else(|| self.rook.last().map(|rook| (rook, false)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_rook_that_is_in_the_table_has_its_versions() {
        for line in compat().lines() {
            let row = compat().row(&format!("{line}.0").parse().unwrap()).unwrap();
            let (rook, known) = versions().rook(row).unwrap();
            assert_eq!(known, row.rook.contains(&rook.line), "Kubernetes {line}");
            assert_eq!(known, !row.rook.is_empty(), "Kubernetes {line}");
            assert_eq!(rook.operator.line(), rook.line);
        }
    }
}
