//! Slipway takes bare machines to a GitOps-run, highly available Kubernetes cluster.
//!
//! The map, in reading order: a module may use those above it.

// Words.
pub mod names;
pub mod secret;
pub mod clock;
pub mod events;
pub mod facts;
// What people write.
pub mod toml_read;
pub mod artifacts;
pub mod inventory;
// What is done to nodes, and where.
pub mod state;
pub mod ops;
pub mod agent;
// What people see.
pub mod ui;
// What is decided.
pub mod steps;
pub mod playbook;
pub mod plan;
// What carries it out.
pub mod transport;
pub mod engine;
