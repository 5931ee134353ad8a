//! What the starter repository installs, beyond the table of what goes with a Kubernetes line.
//!
//! As text, for text is all that becomes of it. You, or a bot of yours, move it in the repository later.

use crate::{
    artifacts::{Row, compat},
    inventory::Inventory,
};

/// Chart and application go by one number.
pub const METALLB: &str = "0.16.2";

/// One line of Rook, and what it comes with.
#[derive(Debug)]
pub struct Rook {
    line: &'static str,
    pub operator: &'static str,
    /// The image that this Rook is released with.
    pub ceph: &'static str,
    /// Since 1.20 the drivers are a chart of their own.
    pub csi_drivers: &'static str,
}

/// Oldest first.
const ROOKS: &[Rook] =
    &[Rook { line: "1.20", operator: "1.20.6", ceph: "20.2.4", csi_drivers: "1.0.4" }];

/// The row of this cluster's Kubernetes; the newest for one that is not known yet.
pub fn row(inventory: &Inventory) -> &'static Row {
    compat().row(&inventory.cluster.kubernetes).unwrap_or_else(|| compat().newest())
}

/// The Rook that goes with this Kubernetes, and whether that is known to be so.
pub fn rook(row: &Row) -> Option<(&'static Rook, bool)> {
    let known = ROOKS.iter().rev().find(|rook| row.rook.iter().any(|line| line == rook.line));
    known.map(|rook| (rook, true)).or_else(|| ROOKS.last().map(|rook| (rook, false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_rook_that_is_in_the_table_has_its_versions() {
        for line in compat().lines() {
            let row = compat().row(&format!("{line}.0").parse().unwrap()).unwrap();
            let (rook, known) = self::rook(row).unwrap();
            assert_eq!(known, row.rook.iter().any(|l| l == rook.line), "Kubernetes {line}");
            assert_eq!(known, !row.rook.is_empty(), "Kubernetes {line}");
            assert!(rook.operator.starts_with(&format!("{}.", rook.line)));
        }
    }
}
