//! The distribution's packages for machines without internet: found in a mirror's databases with
//! everything that they need, fetched, and put into a repository of their own.
//!
//! Must not know an inventory: names are handed in.

mod closure;
mod database;
mod fetch;
mod version;

pub use closure::Asked;
pub use fetch::{Fetched, Mirror, REPOSITORY, Tell, fetch, perhaps};

#[cfg(test)]
mod tests;
