//! The way to a node: a stream with an agent at its far end.
//!
//! Whoever implements [`Connector`] knows how to reach nodes and how to get the agent there. Nobody
//! above it does.

mod auth;
mod config;
mod dial;
mod exec;
mod host_keys;
mod known_hosts;
mod launch;
mod replay;
mod ssh;

pub use auth::Ask;
pub use dial::{Options, USER, Way};
pub use ssh::SshConnector;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{events::Failure, names::NodeName};

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Why a node could not be reached.
#[derive(Debug, Clone)]
pub struct ConnectError {
    pub failure: Box<Failure>,
    /// A node that boots, or a cable that is being moved: worth another try.
    pub passing: bool,
}

#[async_trait]
pub trait Connector: Send + Sync {
    /// A new connection to the node's agent, which is started if it does not run.
    async fn connect(&self, node: &NodeName) -> Result<Box<dyn Stream>, ConnectError>;
}
