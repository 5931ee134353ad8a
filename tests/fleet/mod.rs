//! A simulated fleet for tests: all in memory, everything repeatable from a seed.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends by panicking")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use rand::{RngCore, SeedableRng, rngs::StdRng};
use slipway::{
    clock::Clock,
    conduct::{self, Means, Order, Outcome},
    engine::{
        Recorder,
        keep::{Keeper, Keeping, Kept},
        sources::{Desk, Reach},
    },
    etcd::sum::Sum,
    events::{Event, Failure, RunResult, Stamped},
    inventory::{self, Inventory},
    names::NodeName,
    ops::{
        fake::{World, WorldCell},
        sys::SnapshotInfo,
    },
    plan::{Plan, Scope},
    playbook::{self, Playbooks},
    secret::Sealed,
    sim::{BEGINNING_MS, CrashAt, CrashFaults, SimConnector, Victim, machine, repository},
    state::{Ledger, MemDisk, Opened, Opening, Tear, Writer, load},
    steps::{STEPS, Wish},
};
use tokio::sync::mpsc;

/// A verb as somebody would type it.
#[derive(Debug, Clone, Default)]
pub struct Typed {
    pub verb: &'static str,
    pub target: Option<&'static str>,
    pub to: Option<&'static str>,
    pub wipe: Vec<&'static str>,
    pub on: Vec<&'static str>,
    pub destroy_osd: Vec<(&'static str, &'static str)>,
    /// A playbook's text, in the built-in one's place.
    pub playbook: Option<&'static str>,
    pub take_lease: bool,
    pub expect_plan: Option<String>,
}

impl Typed {
    pub fn new(verb: &'static str) -> Self {
        Self { verb, ..Self::default() }
    }

    fn wish(&self) -> Wish {
        Wish {
            verb: self.verb.into(),
            target: self.target.map(|t| t.parse().unwrap()),
            to: self.to.map(|t| t.parse().unwrap()),
            only: self.on.iter().map(|n| n.parse().unwrap()).collect(),
            wipe: self.wipe.iter().map(|s| s.parse().unwrap()).collect(),
            destroy_osd: self
                .destroy_osd
                .iter()
                .map(|(serial, fsid)| (serial.parse().unwrap(), (*fsid).to_string()))
                .collect(),
            packages: None,
            wait_for: Vec::new(),
        }
    }
}

/// Everything that outlives a controller: the machines, their journals, the ledger's disk.
#[derive(Clone)]
pub struct Left {
    pub world: World,
    pub journals: BTreeMap<NodeName, Vec<u8>>,
    pub ledger: Vec<u8>,
    pub now_ms: u64,
}

pub struct Fleet {
    pub inventory: Inventory,
    pub cell: Arc<WorldCell>,
    pub ledger: MemDisk,
    pub events: Arc<Mutex<Vec<Stamped>>>,
    /// What every secret of the operator's is, or why it cannot be read.
    pub secret: Result<String, String>,
    rng: StdRng,
    runs: u32,
}

/// Takes snapshots as they come, if they are whole.
struct Shelf;

struct Taken {
    sum: Sum,
    promised: String,
}

impl Keeper for Shelf {
    fn begin(&self, _: &NodeName, snapshot: &SnapshotInfo) -> Result<Box<dyn Keeping>, Failure> {
        assert!(!snapshot.keys.is_empty(), "a snapshot is nothing without its keys");
        Ok(Box::new(Taken { sum: Sum::default(), promised: snapshot.sha256.clone() }))
    }
}

impl Keeping for Taken {
    fn part(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.sum.update(bytes);
        Ok(())
    }

    fn done(self: Box<Self>) -> Result<Kept, Failure> {
        assert_eq!(self.sum.finish().unwrap(), self.promised);
        Ok(Kept { file: "snapshot".into(), note: None })
    }
}

/// What a verb came to; None when its controller was killed.
pub type Came = Option<Outcome>;

impl Fleet {
    pub fn fresh(inventory: Inventory, seed: u64) -> Self {
        let mut world =
            World { seed, router: Some(inventory.network.lan.gateway), ..World::default() };
        for (n, node) in inventory.nodes.iter().enumerate() {
            world.machines.insert(node.name.clone(), machine(&inventory, node, n, seed));
        }
        let left =
            Left { world, journals: BTreeMap::new(), ledger: Vec::new(), now_ms: BEGINNING_MS };
        Self::from(inventory, &left, seed)
    }

    pub fn from(inventory: Inventory, left: &Left, seed: u64) -> Self {
        let mut world = left.world.clone();
        world.seed = seed;
        world.repository = repository(&inventory);
        for (n, node) in inventory.nodes.iter().enumerate() {
            world
                .machines
                .entry(node.name.clone())
                .or_insert_with(|| machine(&inventory, node, n, seed));
        }
        let journals =
            left.journals.iter().map(|(n, b)| (n.clone(), MemDisk::holding(b.clone()))).collect();
        let clock = Clock::simulated(left.now_ms + 60_000, 1);
        let faults = Box::new(CrashFaults(None));
        Self {
            inventory,
            cell: WorldCell::new(world, journals, clock, faults, None),
            ledger: MemDisk::holding(left.ledger.clone()),
            events: Arc::default(),
            secret: Ok("secret".into()),
            rng: StdRng::seed_from_u64(seed),
            runs: 0,
        }
    }

    pub fn leave(&self) -> Left {
        Left {
            world: self.cell.world().clone(),
            journals: self.cell.journals().iter().map(|(n, d)| (n.clone(), d.bytes())).collect(),
            ledger: self.ledger.bytes(),
            now_ms: self.cell.now_ms(),
        }
    }

    /// The next crash; points are counted from here.
    pub fn crash_at(&mut self, crash: Option<(u64, Victim)>) {
        let base = self.cell.points();
        let crash = crash.map(|(point, victim)| CrashAt { point: base + point, victim });
        self.cell.set_faults(Box::new(CrashFaults(crash)));
    }

    /// The controller's side of a crash: what was not synced may be lost.
    pub fn lose_unsynced(&mut self) {
        self.cell.hang_up();
        let tear = Tear::ALL[(self.rng.next_u32() % 5) as usize];
        self.ledger = self.ledger.crash(&mut self.rng, tear);
        self.cell.forget_kill();
    }

    pub fn delete_ledger(&mut self) {
        self.ledger = MemDisk::new();
    }

    pub fn ledger(&self) -> Ledger {
        Ledger::fold(&load(&self.ledger.bytes(), std::path::Path::new("ledger")).unwrap())
    }

    pub async fn type_(&mut self, typed: &Typed) -> Came {
        let (_keep, interrupts) = mpsc::channel(1);
        self.type_with(typed, interrupts).await
    }

    pub async fn type_with(&mut self, typed: &Typed, interrupts: mpsc::Receiver<()>) -> Came {
        self.runs += 1;
        let steps: Vec<&str> = STEPS.iter().map(|s| s.name).collect();
        let playbook = match typed.playbook {
            Some(text) => playbook::parse("edited", text, &steps).unwrap(),
            None => Playbooks::default().load(typed.verb, &steps).unwrap(),
        };
        let clock = self.cell.clock;
        let cluster = self.inventory.cluster.name.clone();
        let opening = Opening::new(&cluster, typed.verb, clock.now_ms(), &mut self.rng);
        let Opened { ledger, writer, .. } =
            Writer::over(Box::new(self.ledger.clone()), &opening).unwrap();
        let events = self.events.clone();
        events.lock().unwrap().clear();
        let recorder = Recorder::new(
            clock,
            writer,
            cleaner(),
            vec![Box::new(move |stamped| events.lock().unwrap().push(stamped.clone()))],
        );
        let wish = typed.wish();
        let scope = Scope { only: wish.only.clone(), until: None };
        let order = Order {
            inventory: &self.inventory,
            playbook: &playbook,
            wish,
            scope,
            force_lease: typed.take_lease,
            expect_plan: typed.expect_plan.clone(),
            parallel: 10,
            command: "slipway".into(),
            run: format!("run{}-{}", self.runs, clock.now_ms()),
        };
        let means = Means {
            supply: None,
            connector: Arc::new(SimConnector::new(self.cell.clone())),
            clock,
            ledger,
            recorder,
            keeper: Arc::new(Shelf),
            desk: self.desk(),
            interrupts,
        };
        let killed = self.cell.controller_was_killed();
        tokio::select! {
            biased;
            _ = killed.wait_for(|k| k.then_some(())) => None,
            outcome = conduct::conduct(&order, means, |_| true) => Some(outcome),
        }
    }

    /// Every secret is the same, unless the story says otherwise.
    fn desk(&self) -> Desk {
        let secret = self.secret.clone();
        Desk {
            read_secret: Arc::new(move |source| {
                let answer = match &secret {
                    Ok(text) => Ok(Sealed::new(text.as_str()).into()),
                    Err(why) => Err(Failure::new(format!("read a secret from {source}"), why)),
                };
                Box::pin(async { answer })
            }),
            hide: Arc::new(|_| {}),
            try_repository: Arc::new(|_| Box::pin(async { Ok(Reach::Fine) })),
        }
    }

    pub async fn plan(&mut self, typed: &Typed) -> Plan {
        let steps: Vec<&str> = STEPS.iter().map(|s| s.name).collect();
        let playbook = Playbooks::default().load(typed.verb, &steps).unwrap();
        let wish = typed.wish();
        let scope = Scope { only: wish.only.clone(), until: None };
        let order = Order {
            inventory: &self.inventory,
            playbook: &playbook,
            wish,
            scope,
            force_lease: false,
            expect_plan: None,
            parallel: 10,
            command: String::new(),
            run: String::new(),
        };
        let connector = Arc::new(SimConnector::new(self.cell.clone()));
        conduct::plan_only(&order, connector, self.cell.clock, &self.ledger(), &None, &self.desk())
            .await
            .unwrap()
    }

    pub fn heard(&self) -> Vec<Event> {
        self.events.lock().unwrap().iter().map(|s| s.event.clone()).collect()
    }
}

/// As the command line has it, with no secret registered.
pub fn cleaner() -> slipway::engine::recorder::Clean {
    let mut cleaner = slipway::ui::Cleaner::new(slipway::ui::Redactor::default());
    Box::new(move |stamped| cleaner.event(&stamped))
}

/// The run's result, or what stood in its way.
pub fn result(came: &Came) -> String {
    match came {
        None => "killed".into(),
        Some(Outcome::Ran(_, run)) if run.result == RunResult::Done => {
            if run.changed == 0 {
                "unchanged".into()
            } else {
                "changed".into()
            }
        }
        Some(Outcome::Ran(_, run)) => {
            let failures: Vec<String> = run.failures.iter().map(ToString::to_string).collect();
            format!("{:?}: {}", run.result, failures.join(" | "))
        }
        Some(Outcome::Stopped(failures)) => {
            let failures: Vec<String> = failures.iter().map(ToString::to_string).collect();
            format!("stopped: {}", failures.join(" | "))
        }
        Some(Outcome::Declined) => "declined".into(),
    }
}

/// The built-in simulated fleet, with as many nodes as wanted, the first three control planes.
pub fn inventory(nodes: usize) -> Inventory {
    let mut inventory = inventory::parse("sim", inventory::SIM).unwrap().inventory;
    let like = inventory.nodes[0].clone();
    inventory.nodes.truncate(nodes);
    for n in inventory.nodes.len()..nodes {
        let mut node = like.clone();
        node.name = format!("node-{}", (b'a' + n as u8) as char).parse().unwrap();
        node.role = inventory::Role::Worker;
        node.lan.mac = format!("58:47:ca:00:{n:02x}:01").parse().unwrap();
        node.lan.address = std::net::Ipv4Addr::new(192, 168, 1, 11 + n as u8);
        if let Some(ceph) = &mut node.ceph {
            ceph.mac = format!("58:47:ca:00:{n:02x}:02").parse().unwrap();
            ceph.address = std::net::Ipv4Addr::new(10, 10, 10, 11 + n as u8);
        }
        node.disks.os = format!("SIM0W1{:05}", n + 1).parse().unwrap();
        node.disks.ceph = vec![
            format!("SIM0W3{:05}", 2 * n).parse().unwrap(),
            format!("SIM0W3{:05}", 2 * n + 1).parse().unwrap(),
        ];
        inventory.nodes.push(node);
    }
    inventory
}

/// A runtime whose clock jumps ahead whenever nothing else is left to do.
pub fn simulated<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}
