//! Words that must not be mixed up: a node's name is not a disk's serial is not a version.
//!
//! Each newtype can only be made by parsing, so whoever holds one holds a valid one. Must not know
//! what any of them is used for; every other module may use these.

mod hardware;
mod image;
mod net;
mod node;
mod version;

pub use hardware::{HostKey, Mac, Serial};
pub use image::{ImageName, image_file, sha256_of_digest};
pub use net::Cidr;
pub use node::{NodeName, PhaseName, StepName};
pub use version::Version;

/// Why a word was refused, in words that fit after "node name `X`: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadName(pub String);

/// Bytes as checksums and fingerprints are written.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Serde, Display and JSON schema for a newtype that is written as one string.
macro_rules! string_newtype {
    ($name:ty, $schema_name:expr, $pattern:literal) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $schema_name.into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}
pub(crate) use string_newtype;
