//! The inventory's JSON schema, for editors that complete and check while one types.

use schemars::generate::SchemaSettings;

use super::Inventory;

/// Draft 2020-12, the same bytes at every call.
pub fn json_schema() -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Inventory>();
    schema.insert("title".into(), "Slipway inventory".into());
    schema.to_value()
}
