//! All simulated machines, the clusters they make, and the cell that agents share.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rand::{SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use tokio::task::AbortHandle;

use super::{cluster::FakeCluster, machine::Machine};
use crate::{
    agent::{Agent, Journal},
    clock::Clock,
    names::{NodeName, StepName},
    news,
    ops::sys::Moment,
    state::{MemDisk, Tear},
};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct World {
    pub seed: u64,
    pub machines: BTreeMap<NodeName, Machine>,
    /// By etcd cluster id. More than one means that somebody made a second cluster.
    pub clusters: BTreeMap<String, FakeCluster>,
    /// Promises broken by an action of Slipway's. Stays empty.
    pub violations: Vec<String>,
    /// How many random things were made; the next one is different.
    pub made: u64,
    /// What the inventory last said of each disk.
    pub told: BTreeMap<String, String>,
    /// Who answers as the LAN's gateway, besides the machines.
    #[serde(default)]
    pub router: Option<Ipv4Addr>,
    /// Files of the GitOps repository, by path: those that its starter writes.
    #[serde(default)]
    pub repository: BTreeMap<String, String>,
    /// How often each fault has struck.
    pub struck: BTreeMap<String, u32>,
    /// The operator takes the cluster down: its quorum may go.
    pub teardown: bool,
}

impl World {
    /// Random, and the same for the same seed and history.
    pub fn make(&mut self, what: &str) -> String {
        self.made += 1;
        let n = self.made;
        let half = |salt| super::machine::fnv(&format!("{what}/{n}/{salt}"), self.seed);
        format!("{:016x}{:016x}{:016x}{:016x}", half(1), half(2), half(3), half(4))
    }

    /// All the rest of it.
    pub fn without_machines(&self) -> World {
        World {
            seed: self.seed,
            machines: BTreeMap::new(),
            clusters: self.clusters.clone(),
            violations: self.violations.clone(),
            made: self.made,
            told: self.told.clone(),
            router: self.router,
            repository: self.repository.clone(),
            struck: self.struck.clone(),
            teardown: self.teardown,
        }
    }

    pub fn machine(&mut self, node: &NodeName) -> &mut Machine {
        self.machines.entry(node.clone()).or_default()
    }

    /// Which clusters have a quorum right now.
    pub fn quorums(&self, now_ms: u64) -> Vec<String> {
        let has = |(id, c): (&String, &FakeCluster)| c.has_quorum(self, now_ms).then(|| id.clone());
        self.clusters.iter().filter_map(has).collect()
    }

    pub fn note_lost_quorum(
        &mut self,
        before: &[String],
        now_ms: u64,
        call: &str,
        node: &NodeName,
    ) {
        let after = self.quorums(now_ms);
        let lost: Vec<&String> = before
            .iter()
            .filter(|id| !after.contains(id) && !self.teardown)
            // A single member has no vote to spare: taking it down is what was asked for.
            .filter(|id| self.clusters.get(*id).is_some_and(|c| c.voters() > 1))
            .collect();
        for id in lost {
            self.violations.push(format!("{call} on {node} cost the cluster {id} its quorum"));
        }
    }
}

/// Where in an agent's life something can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Moment(Moment),
    /// A call that changes something, or a part of one.
    Call(&'static str),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Counted over the whole fleet: the same seed and the same faults give the same numbers.
    pub number: u64,
    pub node: NodeName,
    pub step: Option<StepName>,
    pub place: Place,
}

/// What the struck call sees. What kills is done by the faults through the cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Strike {
    Slow { ms: u64 },
    Fail { message: String, passing: bool },
    DiskFull,
}

/// Decides what goes wrong.
pub trait Faults: Send {
    fn at(&mut self, cell: &WorldCell, point: &Point) -> Vec<Strike>;
    /// Facts of a node were just read.
    fn facts_read(&mut self, _cell: &WorldCell, _node: &NodeName) {}
}

pub struct NoFaults;

impl Faults for NoFaults {
    fn at(&mut self, _: &WorldCell, _: &Point) -> Vec<Strike> {
        Vec::new()
    }
}

#[derive(Default)]
struct Live {
    agent: Option<(u64, Arc<Agent>)>,
    tasks: Vec<AbortHandle>,
    connections: Vec<AbortHandle>,
    step: Option<StepName>,
}

/// Called when a node's state should outlive this process.
pub type Persist = Box<dyn Fn(&World, &NodeName, &[u8]) + Send + Sync>;

pub struct WorldCell {
    world: Mutex<World>,
    pub clock: Clock,
    live: Mutex<BTreeMap<NodeName, Live>>,
    journals: Mutex<BTreeMap<NodeName, MemDisk>>,
    faults: Mutex<Box<dyn Faults>>,
    points: AtomicU64,
    controller_killed: news::Sender<bool>,
    persist: Option<Persist>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WorldCell {
    pub fn new(
        world: World,
        journals: BTreeMap<NodeName, MemDisk>,
        clock: Clock,
        faults: Box<dyn Faults>,
        persist: Option<Persist>,
    ) -> Arc<Self> {
        Arc::new(Self {
            world: Mutex::new(world),
            clock,
            live: Mutex::default(),
            journals: Mutex::new(journals),
            faults: Mutex::new(faults),
            points: AtomicU64::new(0),
            controller_killed: news::Sender::new(false),
            persist,
        })
    }

    /// The world, settled: boots and undos that are due have happened.
    pub fn world(&self) -> MutexGuard<'_, World> {
        let mut world = locked(&self.world);
        let now_ms = self.clock.now_ms();
        for machine in world.machines.values_mut() {
            machine.settle(now_ms);
        }
        world
    }

    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    pub fn points(&self) -> u64 {
        self.points.load(Ordering::Relaxed)
    }

    pub fn set_faults(&self, faults: Box<dyn Faults>) {
        *locked(&self.faults) = faults;
    }

    pub fn journals(&self) -> BTreeMap<NodeName, MemDisk> {
        locked(&self.journals).clone()
    }

    pub(super) fn enter(&self, node: &NodeName, step: &StepName) {
        locked(&self.live).entry(node.clone()).or_default().step = Some(step.clone());
    }

    pub(super) fn step_of(&self, node: &NodeName) -> Option<StepName> {
        locked(&self.live).get(node).and_then(|live| live.step.clone())
    }

    pub(super) fn strike(
        &self,
        node: &NodeName,
        step: Option<StepName>,
        place: Place,
    ) -> Vec<Strike> {
        let number = self.points.fetch_add(1, Ordering::Relaxed);
        let point = Point { number, node: node.clone(), step, place };
        locked(&self.faults).at(self, &point)
    }

    pub(super) fn facts_read(&self, node: &NodeName) {
        locked(&self.faults).facts_read(self, node);
    }

    pub(super) fn lives(&self, node: &NodeName, epoch: u64) -> bool {
        let now_ms = self.clock.now_ms();
        locked(&self.world)
            .machines
            .get(node)
            .is_some_and(|m| m.ram.epoch == epoch && m.is_up(now_ms))
    }

    pub(super) fn persist(&self, node: &NodeName) {
        if let Some(persist) = &self.persist {
            let journal = locked(&self.journals).get(node).map(MemDisk::bytes).unwrap_or_default();
            persist(&locked(&self.world), node, &journal);
        }
    }

    // What faults can do.

    /// Counts a strike of a fault, if it may strike once more; 0 is always.
    pub fn strikes_left(&self, fault: &str, times: u32) -> bool {
        let mut world = locked(&self.world);
        let struck = world.struck.entry(fault.into()).or_default();
        if times != 0 && *struck >= times {
            return false;
        }
        *struck += 1;
        true
    }

    pub fn change(&self, node: &NodeName, change: impl FnOnce(&mut Machine)) {
        if let Some(machine) = locked(&self.world).machines.get_mut(node) {
            change(machine);
        }
    }

    pub fn drop_connections(&self, node: &NodeName) {
        if let Some(live) = locked(&self.live).get_mut(node) {
            live.connections.drain(..).for_each(|c| c.abort());
        }
    }

    pub fn kill_agent(&self, node: &NodeName) {
        if let Some(machine) = locked(&self.world).machines.get_mut(node) {
            machine.ram.epoch += 1;
        }
        self.bury(node);
    }

    /// Power goes; what was not synced is lost. It comes back by itself after `back_after_ms`.
    pub fn cut_power(&self, node: &NodeName, back_after_ms: Option<u64>) {
        let now_ms = self.clock.now_ms();
        {
            let mut world = locked(&self.world);
            let seed = world.seed ^ self.points();
            if let Some(machine) = world.machines.get_mut(node) {
                machine.go_down(match back_after_ms {
                    Some(ms) => super::Power::Booting { until_ms: now_ms + ms },
                    None => super::Power::Off,
                });
            }
            if let Some(journal) = locked(&self.journals).get_mut(node) {
                *journal = journal.crash(&mut StdRng::seed_from_u64(seed), Tear::Garbage);
            }
        }
        self.bury(node);
    }

    /// A clean reboot: everything is synced first.
    pub fn reboot(&self, node: &NodeName, back_after_ms: u64) {
        let until_ms = self.clock.now_ms() + back_after_ms;
        if let Some(machine) = locked(&self.world).machines.get_mut(node) {
            machine.go_down(super::Power::Booting { until_ms });
        }
        self.bury(node);
    }

    pub fn expect_teardown(&self, expected: bool) {
        locked(&self.world).teardown = expected;
    }

    pub fn kill_controller(&self) {
        self.controller_killed.set(true);
    }

    pub fn controller_was_killed(&self) -> news::Receiver<bool> {
        self.controller_killed.subscribe()
    }

    pub fn forget_kill(&self) {
        self.controller_killed.set(false);
    }

    fn bury(&self, node: &NodeName) {
        if let Some(live) = locked(&self.live).get_mut(node) {
            live.agent = None;
            live.tasks.drain(..).for_each(|t| t.abort());
            live.connections.drain(..).for_each(|c| c.abort());
        }
    }

    /// Nobody listens any more: all connections end, agents stay.
    pub fn hang_up(&self) {
        for live in locked(&self.live).values_mut() {
            live.connections.drain(..).for_each(|c| c.abort());
        }
    }

    /// Whether any agent still runs a request.
    pub fn agents(&self) -> Vec<Arc<Agent>> {
        locked(&self.live)
            .values()
            .filter_map(|l| l.agent.as_ref().map(|(_, a)| a.clone()))
            .collect()
    }

    /// The agent on a node: the one that lives, or a new process.
    pub fn agent(self: &Arc<Self>, node: &NodeName) -> std::io::Result<Arc<Agent>> {
        let epoch = self.world().machine(node).ram.epoch;
        let mut live = locked(&self.live);
        let live = live.entry(node.clone()).or_default();
        if let Some((born, agent)) = &live.agent
            && *born == epoch
        {
            return Ok(agent.clone());
        }
        let disk = locked(&self.journals).entry(node.clone()).or_default().clone();
        let sys = Arc::new(super::FakeSys::new(self.clone(), node.clone(), epoch));
        let agent = Agent::new(sys, Journal::open(Box::new(disk))?, format!("{node}-{epoch}"));
        live.agent = Some((epoch, agent.clone()));
        Ok(agent)
    }

    /// Ends with the agent process.
    pub fn adopt_task(&self, node: &NodeName, task: AbortHandle) {
        let mut live = locked(&self.live);
        let live = live.entry(node.clone()).or_default();
        live.tasks.retain(|t| !t.is_finished());
        live.tasks.push(task);
    }

    /// Ends with the connection, or the agent process.
    pub fn adopt_connection(&self, node: &NodeName, task: AbortHandle) {
        let mut live = locked(&self.live);
        let live = live.entry(node.clone()).or_default();
        live.connections.retain(|t| !t.is_finished());
        live.connections.push(task);
    }
}
