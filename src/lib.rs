pub mod events;
pub mod inventory;
pub mod names;
pub mod ui;
