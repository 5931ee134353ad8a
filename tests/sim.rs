//! The crash test: a bootstrap, a join and an upgrade are killed at every point there is, and
//! resumed.
//!
//! Points are counted over the fleet: before every op, when its intent is journalled, at every call
//! that changes something and between the parts of those that take several, when its work is done,
//! and when its outcome is journalled but not yet told. The points at which the ledger is written
//! lie between these; that its tail may be lost or torn at each of them is tried by tearing it.
//!
//! `SLIPWAY_SEED=n` repeats a run; `SLIPWAY_POINT=n` tries one point only.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests make files and print"
)]

mod fleet;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use fleet::{Fleet, Left, Typed, inventory, result, simulated};
use slipway::sim::Victim;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse().ok())
}

fn seed() -> u64 {
    number("SLIPWAY_SEED").unwrap_or(7)
}

/// A verb, the fleet as it finds it, and how many nodes that has.
struct Story {
    name: &'static str,
    typed: Typed,
    nodes: usize,
    before: Option<Left>,
}

fn left_after(nodes: usize, verbs: &[Typed]) -> Left {
    simulated(async {
        let mut fleet = Fleet::fresh(inventory(nodes), seed());
        for typed in verbs {
            let came = fleet.type_(typed).await;
            assert_eq!(result(&came), "changed", "{typed:?}");
        }
        fleet.leave()
    })
}

fn stories() -> Vec<Story> {
    let three = left_after(3, &[Typed::new("bootstrap")]);
    let without_c = left_after(
        3,
        &[Typed::new("bootstrap"), Typed { target: Some("node-c"), ..Typed::new("remove-node") }],
    );
    vec![
        Story { name: "bootstrap", typed: Typed::new("bootstrap"), nodes: 3, before: None },
        Story {
            name: "join-node (worker)",
            typed: Typed { target: Some("node-d"), ..Typed::new("join-node") },
            nodes: 4,
            before: Some(three.clone()),
        },
        Story {
            name: "join-node (control plane)",
            typed: Typed { target: Some("node-c"), ..Typed::new("join-node") },
            nodes: 3,
            before: Some(without_c),
        },
        Story {
            name: "upgrade",
            typed: Typed { to: Some("1.37.0"), ..Typed::new("upgrade") },
            nodes: 3,
            before: Some(three),
        },
    ]
}

impl Story {
    fn fleet(&self) -> Fleet {
        match &self.before {
            Some(left) => Fleet::from(inventory(self.nodes), left, seed()),
            None => Fleet::fresh(inventory(self.nodes), seed()),
        }
    }

    /// How many points an undisturbed run has.
    fn points(&self) -> u64 {
        simulated(async {
            let mut fleet = self.fleet();
            let before = fleet.cell.points();
            let came = fleet.type_(&self.typed).await;
            assert_eq!(result(&came), "changed", "{}", self.name);
            fleet.cell.points() - before
        })
    }

    /// Kills at one point, resumes, and says what is wrong afterwards.
    fn crash(&self, point: u64, victim: Victim) -> Result<(), String> {
        simulated(async {
            let mut fleet = self.fleet();
            let identity = |fleet: &Fleet| {
                fleet.cell.world().clusters.iter().map(|(id, c)| (id.clone(), c.ca.clone())).next()
            };
            fleet.crash_at(Some((point, victim)));
            let mut typed = self.typed.clone();
            let mut tries = vec![result(&fleet.type_(&typed).await)];
            let made = identity(&fleet);
            fleet.crash_at(None);
            if tries[0] == "killed" {
                fleet.lose_unsynced();
            }
            if victim == Victim::Both {
                fleet.delete_ledger();
                // The lease on the nodes names an operator that nobody remembers.
                typed.take_lease = true;
            }
            while !matches!(tries.last().map(String::as_str), Some("changed" | "unchanged")) {
                if tries.len() > 4 {
                    return Err(format!("does not converge: {tries:#?}"));
                }
                // What still runs on the nodes comes to its end, and a node that lost power boots.
                fleet.cell.clock.sleep_ms(90_000).await;
                tries.push(result(&fleet.type_(&typed).await));
            }
            self.check(&mut fleet, made, &tries).await
        })
    }

    async fn check(
        &self,
        fleet: &mut Fleet,
        made: Option<(String, String)>,
        tries: &[String],
    ) -> Result<(), String> {
        // A node that lost power at the very last point is booting still.
        fleet.cell.clock.sleep_ms(90_000).await;
        let again = result(&fleet.type_(&self.typed).await);
        if again != "unchanged" {
            let changed: Vec<_> = fleet
                .heard()
                .into_iter()
                .filter(|e| format!("{e:?}").contains("Changed"))
                .collect();
            return Err(format!("a further run came to {again}: {changed:#?}; tries {tries:#?}"));
        }
        let plan = fleet.plan(&self.typed).await;
        if plan.counts().change != 0 {
            return Err(format!("a further plan has {} changes", plan.counts().change));
        }
        let now_ms = fleet.cell.now_ms();
        let world = fleet.cell.world();
        if !world.violations.is_empty() {
            return Err(format!("promises were broken: {:#?}; tries {tries:#?}", world.violations));
        }
        if world.clusters.len() != 1 {
            return Err(format!("{} clusters were made; tries {tries:#?}", world.clusters.len()));
        }
        for (id, cluster) in &world.clusters {
            if made.as_ref().is_some_and(|(was, ca)| was != id || *ca != cluster.ca) {
                return Err(format!("the identity changed from {made:?} to {id}"));
            }
            if !cluster.has_quorum(&world, now_ms) {
                return Err("there is no quorum in the end".into());
            }
            let planes = fleet.inventory.control_planes().count();
            if cluster.members.len() != planes || cluster.voters() != planes {
                return Err(format!("{} members, {planes} wanted", cluster.members.len()));
            }
            if cluster.nodes.len() != self.nodes {
                return Err(format!("{} nodes, {} wanted", cluster.nodes.len(), self.nodes));
            }
            if let Some(node) = cluster.dns_alone_on.as_ref().filter(|_| self.nodes > 1) {
                return Err(format!("all of the cluster's DNS was left on {node}"));
            }
            if let Some(silent) = cluster.nodes.iter().find(|(_, n)| n.noout) {
                return Err(format!("{} was left with noout", silent.0));
            }
            if let Some(cordoned) = cluster.nodes.iter().find(|(_, n)| n.cordoned) {
                return Err(format!("{} was left cordoned", cordoned.0));
            }
        }
        let cleared = world.machines.values().flat_map(|m| &m.disks).find(|d| d.cleared);
        if let Some(disk) = cleared {
            return Err(format!("disk {} was written to", disk.serial));
        }
        Ok(())
    }
}

/// Every point of every story, on all cores; the first few failures are shown.
fn sweep(victim: Victim) {
    println!("seed {}", seed());
    let mut total = 0;
    for story in stories() {
        let points = story.points();
        let next = AtomicU64::new(number("SLIPWAY_POINT").unwrap_or(0));
        let end = number("SLIPWAY_POINT").map_or(points, |p| p + 1);
        let wrong: Mutex<Vec<String>> = Mutex::default();
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
                scope.spawn(|| {
                    loop {
                        let point = next.fetch_add(1, Ordering::Relaxed);
                        if point >= end || wrong.lock().unwrap().len() > 4 {
                            return;
                        }
                        if let Err(why) = story.crash(point, victim) {
                            wrong.lock().unwrap().push(format!(
                                "{} at point {point} of {points}, {victim:?}, seed {}: {why}",
                                story.name,
                                seed()
                            ));
                        }
                    }
                });
            }
        });
        let wrong = wrong.into_inner().unwrap();
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
        println!("{}: {points} crash points, {victim:?} killed at each", story.name);
        total += points;
    }
    let told =
        format!("{victim:?} killed at {total} crash points, seed {}, all survived\n", seed());
    print!("{told}");
    // For `tests/run`, which shows it: a test that passes is silent otherwise.
    let file = format!("{}/crash-points-{victim:?}.txt", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(file, told).unwrap();
}

#[test]
fn the_controller_dies_at_every_point() {
    sweep(Victim::Controller);
}

#[test]
fn a_node_loses_power_at_every_point() {
    sweep(Victim::Node);
}

#[test]
fn both_die_at_every_point_and_the_ledger_is_deleted() {
    sweep(Victim::Both);
}
