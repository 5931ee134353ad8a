//! The way to real nodes: a new SSH connection each time, with the agent at its end.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::{
    ConnectError, Connector, Parcel, Sent, Stream,
    auth::Keys,
    config::HostConfig,
    dial::{At, Line, Options, Way, configured, dial},
    launch::launch,
    push::{Image, push_parcel},
    replay::Replay,
    shell::{Shell, Sudo},
};
use crate::{agent::frames::PREAMBLE, events::Failure, names::NodeName};

pub struct SshConnector {
    ways: BTreeMap<NodeName, (Way, OnceCell<HostConfig>)>,
    options: Options,
    keys: Keys,
    sudo: Sudo,
    image: OnceCell<Result<Arc<Image>, String>>,
}

impl SshConnector {
    pub fn new(ways: BTreeMap<NodeName, Way>, options: Options) -> Self {
        let ways = ways.into_iter().map(|(node, way)| (node, (way, OnceCell::new()))).collect();
        Self { ways, options, keys: Keys::default(), sudo: Sudo::default(), image: OnceCell::new() }
    }

    /// Read and hashed once, while the first connections are made.
    async fn image(&self) -> Result<Arc<Image>, ConnectError> {
        let read = async || {
            let path = self.options.program.clone();
            let read = tokio::task::spawn_blocking(move || Image::read(&path)).await;
            match read {
                Ok(Ok(image)) => Ok(Arc::new(image)),
                Ok(Err(error)) => Err(error.to_string()),
                Err(error) => Err(error.to_string()),
            }
        };
        self.image.get_or_init(read).await.clone().map_err(|why| {
            let failure = Failure::new("read this very program, which nodes run too", why);
            ConnectError { failure: Box::new(failure), passing: false }
        })
    }

    async fn dial(&self, node: &NodeName, at: At) -> Result<Line, ConnectError> {
        let Some((way, config)) = self.ways.get(node) else {
            let failure = Failure::new("connect", "the inventory says no way to it");
            return Err(ConnectError { failure: Box::new(failure), passing: false });
        };
        let config = config.get_or_try_init(|| configured(&way.subject, &self.options)).await?;
        dial(way, config, &self.keys, &self.options, at).await
    }

    async fn reach(&self, node: &NodeName, at: At) -> Result<Box<dyn Stream>, ConnectError> {
        // The hash is made while the network is waited for.
        let (line, image) = tokio::join!(self.dial(node, at), self.image());
        let launched = launch(line?, &*image?, &self.sudo, &self.options.ask).await;
        let remote = launched.map_err(broken)?;
        // Whoever greets the agent wants to hear it speak from the beginning.
        Ok(Box::new(Replay::new(PREAMBLE, remote)))
    }
}

/// A node that goes down under us says so in many ways; one that refuses, in few.
fn broken(failure: Failure) -> ConnectError {
    let passing = failure.causes.iter().any(|c| c.contains("connection"));
    ConnectError { failure: Box::new(failure), passing }
}

fn on(node: &NodeName, mut error: ConnectError) -> ConnectError {
    error.failure.node = Some(node.clone());
    error
}

#[async_trait]
impl Connector for SshConnector {
    async fn connect(&self, node: &NodeName) -> Result<Box<dyn Stream>, ConnectError> {
        self.reach(node, At::Either).await.map_err(|error| on(node, error))
    }

    async fn connect_home(&self, node: &NodeName) -> Result<Box<dyn Stream>, ConnectError> {
        self.reach(node, At::Home).await.map_err(|error| on(node, error))
    }

    async fn bring(
        &self,
        node: &NodeName,
        parcels: &[Parcel],
        sent: &Sent,
    ) -> Result<(), ConnectError> {
        let (line, agent) = tokio::join!(self.dial(node, At::Either), self.image());
        let line = line.map_err(|error| on(node, error))?;
        let agent = agent.map_err(|error| on(node, error))?;
        let shell = Shell { line: &line, sudo: &self.sudo, ask: &self.options.ask };
        for parcel in parcels {
            match push_parcel(&shell, &agent, parcel).await {
                Ok(true) => sent(parcel),
                Ok(false) => {}
                Err(failure) => return Err(on(node, broken(failure))),
            }
        }
        Ok(())
    }
}
