//! Whom the cluster's snapshots are encrypted for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// age's public keys (`age1...`, as `age-keygen` prints them): who holds the secret key of any of
    /// them can restore the cluster. Without any, one is made in the state directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// How many of the newest snapshots stay, however old they are.
    #[serde(default = "keep")]
    pub keep: u16,
    /// For how many days every snapshot stays.
    #[serde(default = "keep_days")]
    pub keep_days: u16,
}

pub fn keep() -> u16 {
    20
}

pub fn keep_days() -> u16 {
    30
}

impl Default for Backup {
    fn default() -> Self {
        Self { recipients: Vec::new(), keep: keep(), keep_days: keep_days() }
    }
}
