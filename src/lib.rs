pub mod inventory;
pub mod names;
