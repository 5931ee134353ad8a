//! The inventory: which machines exist and what they should be, read from a TOML file, strictly.
//!
//! It knows nothing of what a cluster is like at the moment, and contacts nothing: whatever can be
//! said against an inventory without touching a machine is said here, all at once.

pub mod backup;
mod check;
pub mod git_hosts;
mod gitops;
pub mod kubeadm;
mod load;
pub mod model;
#[cfg(test)]
mod parity;
mod parse;
mod schema;
pub mod secrets;

pub use backup::Backup;
pub use check::{Checked, check_for_bootstrap};
pub use gitops::{GitAccess, Gitops, GitopsEngine, TextFrom};
pub use kubeadm::Kubeadm;
pub use load::{LoadError, Loaded, MAX_BYTES, SIM, discover, load, parse};
pub use model::*;
pub use schema::json_schema;
pub use secrets::{GithubAppAccess, SecretFrom, TierZero};
