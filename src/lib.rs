//! Slipway takes bare machines to a GitOps-run, highly available Kubernetes cluster.
//!
//! The map, in reading order: a module may use those above it.

pub mod names;
pub mod secret;
pub mod clock;
pub mod events;
pub mod facts;
pub mod state;
pub mod ops;
pub mod agent;
pub mod inventory;
pub mod ui;
