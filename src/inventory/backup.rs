//! Whom the cluster's snapshots are encrypted for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// age's public keys (`age1...`, as `age-keygen` prints them): who holds the secret key of any of
    /// them can restore the cluster. Without any, one is made in the state directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
}
