//! What is installed, by version: which versions go together.
//!
//! It must not know any inventory or node: it is asked about versions and answers from tables.

mod compat;

pub use compat::{Compat, Row, compat};
