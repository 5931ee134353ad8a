pub mod artifacts;
pub mod events;
pub mod inventory;
pub mod names;
pub mod toml_read;
