//! What goes wrong in the fleet: as an inventory lists it, or at one counted point, for the crash
//! test.

use crate::{
    facts::Contents,
    inventory::{SimFault, SimFaultAt, SimFaultKind},
    names::NodeName,
    ops::{
        fake::{Faults, Place, Point, Strike, WorldCell},
        sys::Moment,
    },
};

const REBOOT_MS: u64 = 35_000;
const POWER_CUT_MS: u64 = 45_000;
const SLOW_S: u32 = 30;

/// The faults of an inventory. How often each has struck is part of the world, so that a fault that
/// strikes once strikes once in the whole story, not once a command.
pub struct Listed {
    faults: Vec<SimFault>,
}

impl Listed {
    pub fn new(faults: Vec<SimFault>) -> Self {
        Self { faults }
    }

    fn fits(fault: &SimFault, point: &Point) -> bool {
        let there = match (fault.kind, fault.at) {
            // Nothing fails, or runs full, between calls.
            (SimFaultKind::Fail | SimFaultKind::DiskFull, SimFaultAt::Middle) => {
                matches!(point.place, Place::Call(_))
            }
            (SimFaultKind::DiskFull, _) => matches!(point.place, Place::Call(_)),
            (_, SimFaultAt::Before) => point.place == Place::Moment(Moment::Begun),
            (_, SimFaultAt::Middle) => matches!(point.place, Place::Call(_)),
            (_, SimFaultAt::After) => point.place == Place::Moment(Moment::Recorded),
        };
        there
            && fault.node.as_ref().is_none_or(|n| *n == point.node)
            && match (&fault.step, &point.step) {
                (None, _) => true,
                (Some(wanted), Some(step)) => wanted == step.as_str(),
                (Some(_), None) => false,
            }
    }
}

impl Faults for Listed {
    fn at(&mut self, cell: &WorldCell, point: &Point) -> Vec<Strike> {
        let mut strikes = Vec::new();
        for (n, fault) in self.faults.iter().enumerate() {
            let stale = fault.kind == SimFaultKind::StaleFacts;
            if !stale && Self::fits(fault, point) && cell.strikes_left(&key(n, fault), fault.times)
            {
                strikes.extend(strike(cell, fault, &point.node));
            }
        }
        strikes
    }

    fn facts_read(&mut self, cell: &WorldCell, node: &NodeName) {
        for (n, fault) in self.faults.iter().enumerate() {
            let fits = fault.kind == SimFaultKind::StaleFacts
                && fault.node.as_ref().is_none_or(|wanted| wanted == node);
            if fits && cell.strikes_left(&key(n, fault), fault.times) {
                cell.change(node, |machine| {
                    if let Some(disk) = machine.disks.iter_mut().find(|d| !d.is_os) {
                        let label = Some("appeared-meanwhile".to_string());
                        disk.contents = vec![Contents::Filesystem { kind: "ext4".into(), label }];
                    }
                });
            }
        }
    }
}

/// The same fault at the same place of the file is the same fault.
fn key(n: usize, fault: &SimFault) -> String {
    format!("{n}:{}", serde_json::to_string(fault).unwrap_or_default())
}

fn strike(cell: &WorldCell, fault: &SimFault, node: &NodeName) -> Option<Strike> {
    let seconds = fault.seconds.unwrap_or(SLOW_S);
    match fault.kind {
        SimFaultKind::DropConnection => cell.drop_connections(node),
        SimFaultKind::KillAgent => cell.kill_agent(node),
        SimFaultKind::Reboot => cell.reboot(node, REBOOT_MS),
        SimFaultKind::PowerCut => cell.cut_power(node, Some(POWER_CUT_MS)),
        SimFaultKind::PowerOff => cell.cut_power(node, None),
        SimFaultKind::KillController => cell.kill_controller(),
        SimFaultKind::ClockSkew => {
            cell.change(node, |machine| machine.skew_ms = i64::from(seconds) * 1000);
        }
        SimFaultKind::NoPodTraffic => cell.change(node, |machine| machine.no_pod_traffic = true),
        SimFaultKind::StaleFacts => {}
        SimFaultKind::Slow => return Some(Strike::Slow { ms: u64::from(seconds) * 1000 }),
        SimFaultKind::Fail => {
            let message = "simulated failure, as the inventory asks for".into();
            return Some(Strike::Fail { message, passing: false });
        }
        SimFaultKind::DiskFull => return Some(Strike::DiskFull),
    }
    None
}

/// Who dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    Controller,
    Node,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashAt {
    pub point: u64,
    pub victim: Victim,
}

/// One crash, at one counted point.
pub struct CrashFaults(pub Option<CrashAt>);

impl Faults for CrashFaults {
    fn at(&mut self, cell: &WorldCell, point: &Point) -> Vec<Strike> {
        if let Some(crash) = self.0
            && crash.point == point.number
        {
            if crash.victim != Victim::Controller {
                cell.cut_power(&point.node, Some(POWER_CUT_MS));
            }
            if crash.victim != Victim::Node {
                cell.kill_controller();
            }
        }
        Vec::new()
    }
}
