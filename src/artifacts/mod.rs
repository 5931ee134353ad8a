//! What is installed, by version: which versions go together, and where their release files lie.
//!
//! It must not know any inventory or node: it is asked about versions and answers from tables, from a
//! directory, and from the places where projects publish.

pub mod bundle;
mod compat;
mod hashed;
mod pins;
mod sources;
mod store;
pub mod tar;
// Over the network.
mod web;
#[cfg(test)]
mod web_fixture;
mod fetch;
mod manifest;
mod registry;
mod oci;
pub mod pacman;

pub use compat::{Compat, Row, compat};
pub use fetch::{Fetcher, Progress, Tell};
pub use oci::has_digest;
pub use pins::Pins;
pub use sources::{is_release, program};
pub use store::{Release, Store, digest};
pub use web::{chain, tls};
