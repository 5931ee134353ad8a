//! The simulated machine behind the door: what decisions rest on, and nothing else.
//!
//! It keeps the contracts of [`super::sys`], it can die at every call, and it notes whenever an
//! action of Slipway's breaks a promise (a quorum lowered, a disk touched without approval). It must
//! not know the inventory, nor who drives it.

mod api;
mod cluster;
mod delivery;
mod devices;
mod host;
mod kubeadm;
mod machine;
mod pod_network;
mod secrets;
mod world;

use std::sync::Arc;

use async_trait::async_trait;

pub use cluster::FakeCluster;
pub use machine::{FakeDisk, FakeFile, FakePort, Machine, Power};
pub use world::{Faults, NoFaults, Persist, Place, Point, Strike, World, WorldCell};

use super::sys::{Moment, SysError, SysErrorKind, SysResult, Watch};
use crate::names::{NodeName, StepName};

/// One node's door, as one agent process holds it. When the node or the agent dies, whoever still
/// holds it waits for ever, as a dead process does.
pub struct FakeSys {
    cell: Arc<WorldCell>,
    node: NodeName,
    /// The boot, and the agent process within it, that this belongs to.
    epoch: u64,
}

impl FakeSys {
    pub fn new(cell: Arc<WorldCell>, node: NodeName, epoch: u64) -> Self {
        Self { cell, node, epoch }
    }

    /// Reads the machine.
    async fn look<T>(&self, read: impl FnOnce(&Machine, &World) -> T + Send) -> T {
        self.alive().await;
        let world = self.cell.world();
        // A machine is never taken out of the world while an agent lives on it.
        match world.machines.get(&self.node) {
            Some(machine) => read(machine, &world),
            None => read(&Machine::default(), &world),
        }
    }

    /// Changes the machine, or the cluster through it: a place to crash at, that takes `ms`.
    async fn act<T>(
        &self,
        call: &'static str,
        ms: u64,
        change: impl FnOnce(&mut World, &NodeName, u64) -> SysResult<T> + Send,
    ) -> SysResult<T> {
        self.point(Place::Call(call), ms).await?;
        let now_ms = self.cell.now_ms();
        let mut world = self.cell.world();
        let before = world.quorums(now_ms);
        let result = change(&mut world, &self.node, now_ms);
        world.note_lost_quorum(&before, now_ms, call, &self.node);
        result
    }

    /// A moment at which things can go wrong.
    async fn point(&self, place: Place, ms: u64) -> SysResult<()> {
        self.alive().await;
        let step = self.cell.step_of(&self.node);
        let strikes = self.cell.strike(&self.node, step, place);
        let mut slower_ms = 0;
        let mut failure = None;
        for strike in strikes {
            match strike {
                Strike::Slow { ms } => slower_ms += ms,
                Strike::Fail { message, passing } => {
                    let kind = if passing { SysErrorKind::Passing } else { SysErrorKind::Other };
                    failure = Some(SysError::new(kind, message));
                }
                Strike::DiskFull => {
                    failure = Some(SysError::new(
                        SysErrorKind::NoSpace,
                        "No space left on device (os error 28)",
                    ));
                }
            }
        }
        self.alive().await;
        if ms + slower_ms > 0 {
            self.cell.clock.sleep_ms(ms + slower_ms).await;
            self.alive().await;
        }
        failure.map_or(Ok(()), Err)
    }

    /// Comes back only while this agent process lives.
    async fn alive(&self) {
        if !self.cell.lives(&self.node, self.epoch) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Watch for FakeSys {
    async fn moment(&self, step: &StepName, moment: Moment) -> SysResult<()> {
        self.cell.enter(&self.node, step);
        let result = self.point(Place::Moment(moment), 0).await;
        if moment == Moment::Recorded {
            self.cell.persist(&self.node);
        }
        result
    }
}
