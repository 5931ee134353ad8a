//! What a run does when a node's API server does not answer for some seconds, just where it is needed.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test makes files, prints, and ends by panicking"
)]

mod fleet;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use fleet::{Fleet, Typed, inventory, result, simulated};
use slipway::ops::{
    fake::{Faults, Place, Point, Strike, WorldCell},
    sys::Moment,
};

const AWAY_MS: u64 = 3000;
/// Those that move workloads.
const STEPS: [&str; 2] = ["node-away", "node-back"];

/// Before the op of this number in these steps begins, its node's static pods go away for a while.
struct Away {
    at: u32,
    begun: Arc<AtomicU32>,
}

impl Faults for Away {
    fn at(&mut self, cell: &WorldCell, point: &Point) -> Vec<Strike> {
        let here = point.step.as_ref().is_some_and(|s| STEPS.contains(&s.as_str()));
        if here
            && point.place == Place::Moment(Moment::Begun)
            && self.begun.fetch_add(1, Ordering::Relaxed) == self.at
        {
            let now_ms = cell.now_ms();
            cell.change(&point.node, |m| {
                m.ram.static_pods_away_ms = now_ms..now_ms + AWAY_MS;
            });
        }
        Vec::new()
    }
}

#[test]
fn an_op_that_has_only_looked_looks_again() {
    let mut at = 0;
    loop {
        let begun = Arc::new(AtomicU32::new(0));
        simulated(async {
            let mut fleet = Fleet::fresh(inventory(3), 1);
            assert_eq!(result(&fleet.type_(&Typed::new("bootstrap")).await), "changed");
            fleet.cell.set_faults(Box::new(Away { at, begun: begun.clone() }));
            let upgrade = Typed { to: Some("1.37.0"), ..Typed::new("upgrade") };
            let came = result(&fleet.type_(&upgrade).await);
            assert_eq!(came, "changed", "away before op {at} of those that move workloads");
        });
        at += 1;
        if at >= begun.load(Ordering::Relaxed) {
            break;
        }
    }
    assert!(at > 20, "{at} ops move workloads in an upgrade of three nodes");
}
