//! What a GitOps engine brings, as it was last seen: the live tree of a hand-off.

use serde::{Deserialize, Serialize};

/// One application, Kustomization, release or source. In the order of the tree: what comes of one
/// follows it, a level deeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppState {
    /// `root`; Flux's with their kind: `Kustomization flux-system/apps`.
    pub name: String,
    /// 0 for a root.
    pub depth: u16,
    /// In its engine's words: `Synced, Healthy`.
    pub state: String,
    /// A commit, or a chart's version; empty before there is one.
    pub revision: String,
    /// What it still lacks; None when all is well with it.
    pub waits: Option<String>,
    /// False for one that is shown, but does not hold up the end.
    pub awaited: bool,
}

impl AppState {
    /// Two letters more than a person needs to tell commits apart.
    pub fn short_revision(&self) -> &str {
        let is_commit =
            self.revision.len() >= 40 && self.revision.bytes().all(|b| b.is_ascii_hexdigit());
        if is_commit { &self.revision[..10] } else { &self.revision }
    }
}
