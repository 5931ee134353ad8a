//! Files on their way: from their projects to here, and from here to a node.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How far something is that is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Download {
    /// `kubelet 1.36.4`, or an image's name.
    pub what: String,
    pub bytes: u64,
    /// None where the server does not say.
    pub total: Option<u64>,
    /// Of what came in this go, once that can be told.
    pub per_s: Option<u64>,
    pub done: bool,
}

/// `84.4 MB`.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

impl fmt::Display for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, bytes, total, per_s, done } = self;
        match (done, total) {
            (true, _) => write!(f, "fetched {what}: {}", megabytes(*bytes))?,
            (false, Some(total)) => {
                let percent = bytes.saturating_mul(100) / total.max(&1);
                let (have, all) = (*bytes as f64 / 1e6, megabytes(*total));
                write!(f, "fetching {what}: {have:.1} of {all}, {percent} %")?;
            }
            (false, None) => write!(f, "fetching {what}: {}", megabytes(*bytes))?,
        }
        match per_s {
            Some(rate) => write!(f, ", {}/s", megabytes(*rate)),
            None => Ok(()),
        }
    }
}
