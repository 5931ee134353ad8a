//! Linux behind the door: the only place that changes a node.
//!
//! One file a trait. Everything below a root directory, so that what touches files alone is tested
//! in a directory of its own. Must not know what the ops want, nor who asked.
#![allow(
    clippy::disallowed_methods,
    reason = "this is where files are written and processes started on a node"
)]

pub mod command;

use std::path::PathBuf;

/// This machine, or what lies below a directory of it.
#[derive(Debug, Clone)]
pub struct Linux {
    root: PathBuf,
}

impl Linux {
    pub fn here() -> Self {
        Self::at("/")
    }

    /// For tests: paths are below `root`. Commands are the machine's own all the same.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where an absolute path of the node lies.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}
