//! What is installed, by version: which versions go together, and where their release files lie.
//!
//! It must not know any inventory or node: it is asked about versions and answers from tables and
//! from a directory.

mod compat;
mod store;

pub use compat::{Compat, Row, compat};
pub use store::{Release, Store};
