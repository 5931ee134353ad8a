//! The way to a node: a stream with an agent at its far end.
//!
//! Whoever implements [`Connector`] knows how to reach nodes and how to get the agent there. Nobody
//! above it does.

mod auth;
mod config;
pub mod deploy_key;
mod dial;
mod exec;
mod host_keys;
mod known_hosts;
mod launch;
mod push;
mod replay;
mod shell;
mod ssh;

pub use auth::Ask;
pub use dial::{Options, USER, Way};
pub use ssh::SshConnector;

use std::path::PathBuf;

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

/// A release file, or an image, on its way to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// What it is called there, among what was brought.
    pub name: String,
    /// Where it lies here.
    pub file: PathBuf,
    pub sha256: String,
    pub bytes: u64,
    /// A file on the node that says that it is installed already, where one does.
    pub installed: Option<String>,
}

/// Hears of each file that went over.
pub type Sent = dyn for<'a> Fn(&'a Parcel) + Send + Sync;

#[async_trait]
pub trait Connector: Send + Sync {
    /// A new connection to the node's agent, which is started if it does not run.
    async fn connect(&self, node: &NodeName) -> Result<Box<dyn Stream>, ConnectError>;

    /// The same, at the address that the node is to have in the end, and at no other.
    async fn connect_home(&self, node: &NodeName) -> Result<Box<dyn Stream>, ConnectError>;

    /// Brings what the node does not have yet, on a connection of its own: bulk would stall the
    /// agent's. `sent` hears of each file that went over.
    async fn bring(
        &self,
        node: &NodeName,
        parcels: &[Parcel],
        sent: &Sent,
    ) -> Result<(), ConnectError>;
}
