//! The way to a simulated node: an in-memory pipe to the real agent, over a network that may fail.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    events::Failure,
    names::NodeName,
    ops::fake::{Power, WorldCell},
    transport::{ConnectError, Connector, Parcel, Sent, Stream},
};

pub struct SimConnector {
    cell: Arc<WorldCell>,
}

/// Big enough that small frames never wait, small enough that big ones do.
const PIPE_BYTES: usize = 64 << 10;
/// Dialling, the key exchange and starting the agent.
const CONNECT_MS: u64 = 180;
const TIMEOUT_MS: u64 = 10_000;

impl SimConnector {
    pub fn new(cell: Arc<WorldCell>) -> Self {
        Self { cell }
    }
}

fn unreachable(node: &NodeName, why: &str, passing: bool) -> ConnectError {
    let failure = Failure::new("connect", why)
        .on(node)
        .left("nothing on this node was changed")
        .hint("is it powered on, and at the address that the inventory says?");
    ConnectError { failure: Box::new(failure), passing }
}

#[async_trait]
impl Connector for SimConnector {
    /// A simulated node has one address at a time, and answers at no other.
    async fn connect_home(&self, node: &NodeName) -> Result<Box<dyn Stream>, ConnectError> {
        self.connect(node).await
    }

    /// Simulated releases are installed out of nothing.
    async fn bring(&self, _: &NodeName, _: &[Parcel], _: &Sent) -> Result<(), ConnectError> {
        Ok(())
    }

    async fn connect(&self, node: &NodeName) -> Result<Box<dyn Stream>, ConnectError> {
        let power = self.cell.world().machines.get(node).map(|m| m.power);
        match power {
            None => return Err(unreachable(node, "there is no such machine", false)),
            Some(Power::Up) => {}
            Some(Power::Off | Power::Booting { .. }) => {
                self.cell.clock.sleep_ms(TIMEOUT_MS).await;
                return Err(unreachable(node, "no answer within 10 s", true));
            }
        }
        self.cell.clock.sleep_ms(CONNECT_MS).await;
        let agent = self.cell.agent(node).map_err(|error| {
            unreachable(node, &format!("the agent cannot read its journal: {error}"), false)
        })?;
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let served = tokio::spawn(async move {
            let _ = agent.serve(far).await;
        });
        self.cell.adopt_connection(node, served.abort_handle());
        Ok(Box::new(near))
    }
}
