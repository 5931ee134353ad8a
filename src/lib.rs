//! Slipway takes bare machines to a GitOps-run, highly available Kubernetes cluster.
//!
//! The map, in reading order: a module may use those above it.

// Words.
pub mod clock;
pub mod events;
pub mod facts;
pub mod names;
pub mod secret;
// What people write.
pub mod artifacts;
pub mod inventory;
pub mod toml_read;
// What is done to nodes, and where.
pub mod agent;
pub mod ops;
pub mod state;
// What people see.
pub mod ui;
// What is decided.
pub mod doctor;
pub mod plan;
pub mod playbook;
pub mod status;
pub mod steps;
// What carries it out.
pub mod cli;
pub mod conduct;
pub mod engine;
pub mod sim;
pub mod transport;
