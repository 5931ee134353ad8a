//! Slipway takes bare machines to a GitOps-run, highly available Kubernetes cluster.
//!
//! The map, in reading order: a module may use those above it.
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make files of their own"))]

// Words.
pub mod names;
pub mod secret;
pub mod redact;
pub mod age;
pub mod clock;
pub mod held;
pub mod news;
pub mod text_diff;
pub mod events;
pub mod facts;
// What people write.
pub mod toml_read;
pub mod artifacts;
pub mod inventory;
pub mod playbook;
pub mod gitops;
pub mod sops;
// What is remembered, and what people see.
pub mod private;
pub mod state;
pub mod ui;
// What is done on nodes, and how they are reached.
pub mod https;
pub mod github;
pub mod kube;
pub mod etcd;
pub mod ops;
pub mod agent;
pub mod transport;
// What is decided, and what carries it out.
pub mod steps;
pub mod plan;
pub mod supply;
pub mod engine;
pub mod backup;
pub mod conduct;
// What is looked at.
pub mod doctor;
pub mod status;
// Where it begins.
pub mod sim;
pub mod cli;
