//! The engine: runs a plan, and nothing but the plan.
//!
//! [`scheduler`] decides what is next and does no IO; the driver carries it out over sessions with
//! agents and writes down everything that happens before it goes on. Must not know how nodes are
//! reached, what a terminal is, or what the ops are about.

mod ahead;
mod dismiss;
pub mod drive;
pub mod keep;
pub mod outputs;
pub mod prepare;
pub mod recorder;
pub mod scheduler;
mod served;
pub mod session;
pub mod sources;

pub use dismiss::dismiss;
pub use drive::{Job, Run, run};
pub use prepare::{Prepared, Purpose, observe, prepare};
pub use recorder::Recorder;
pub use served::served;
