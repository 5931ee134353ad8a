//! Doctor: read-only checks, each with what to do about it.
//!
//! A check is data: what it is called, how bad a finding is, the remedy, and a pure function over
//! what was gathered. A check that cannot know says so; it never passes for want of facts. Must not
//! do IO, change anything, or know how facts are gathered.

mod exam;
mod text;

mod cluster;
mod disks;
mod etcd;
mod hosts;
mod identity;
mod network;

mod render;
mod strays;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub use exam::Exam;
pub use render::{JSON_VERSION, json, render};

pub(crate) use cluster::days_left;
pub(crate) use etcd::Quorum;
pub(crate) use identity::unfinished_runs;
pub(crate) use text::{Ink, clean, paint, wrap};

use crate::names::NodeName;

/// How bad it is when a check finds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Warning,
    Error,
}

#[derive(Clone, Copy)]
pub struct Check {
    /// Stable: scripts know it.
    pub id: &'static str,
    pub family: &'static str,
    pub severity: Severity,
    /// What is so when it passes.
    pub about: &'static str,
    pub remedy: &'static str,
    pub run: fn(&Exam) -> Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// It cannot be known, and why.
    Skipped(String),
    Found(Vec<Finding>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// None where it is about the cluster.
    pub node: Option<NodeName>,
    pub text: String,
}

impl Finding {
    pub(crate) fn on(node: &NodeName, text: impl Into<String>) -> Self {
        Self { node: Some(node.clone()), text: text.into() }
    }

    pub(crate) fn general(text: impl Into<String>) -> Self {
        Self { node: None, text: text.into() }
    }
}

impl Verdict {
    pub(crate) fn of(found: Vec<Finding>) -> Self {
        if found.is_empty() { Self::Passed } else { Self::Found(found) }
    }
}

/// Every check there is, from the metal up; a family's checks stand together.
pub static CHECKS: &[Check] = &[
    hosts::REACHABLE,
    hosts::OS,
    hosts::CGROUP,
    hosts::KERNEL,
    hosts::SIZE,
    hosts::CEPH_MEMORY,
    hosts::VAR_FREE,
    hosts::HOSTNAME,
    hosts::CLOCK_SYNCHRONISED,
    hosts::CLOCK_TO_COME,
    hosts::CLOCK_SKEW,
    disks::OS_DISK,
    disks::HEALTH,
    disks::CEPH_PRESENT,
    disks::CEPH_BLANK,
    disks::CEPH_SIZES,
    network::PORTS_PRESENT,
    network::PORTS_UP,
    network::PORTS_TO_COME_UP,
    network::SPEED,
    network::MTU,
    network::ADDRESSES,
    network::ADDRESSES_TO_COME,
    network::NAMES,
    identity::MACHINE_IDS,
    identity::CA,
    identity::ETCD,
    identity::REINSTALLED,
    identity::UNFINISHED,
    cluster::API_ANSWERS,
    cluster::READY,
    cluster::HALF_MADE,
    cluster::KUBELET_SKEW,
    cluster::VERSIONS_EQUAL,
    cluster::VERSION_WANTED,
    cluster::CERTIFICATES_ENDED,
    cluster::CERTIFICATES_ENDING,
    cluster::SHUT_OUT,
    cluster::CORDONED,
    cluster::DRIFT,
    strays::GHOSTS,
    etcd::STARTED,
    etcd::LEARNERS,
    etcd::MATCH,
    etcd::LEADER,
    etcd::ALARMS,
    etcd::HASHES,
    etcd::MARGIN,
];

/// A check and what came of it.
pub struct Outcome {
    pub check: &'static Check,
    pub verdict: Verdict,
}

impl Outcome {
    pub fn findings(&self) -> &[Finding] {
        match &self.verdict {
            Verdict::Found(found) => found,
            Verdict::Passed | Verdict::Skipped(_) => &[],
        }
    }
}

pub struct Report {
    pub cluster: NodeName,
    pub simulated: bool,
    pub at_ms: u64,
    pub answered: Vec<NodeName>,
    pub unreachable: Vec<NodeName>,
    /// Left out by the caller: nothing is said about them.
    pub not_asked: Vec<NodeName>,
    pub outcomes: Vec<Outcome>,
}

/// Makes every check.
pub fn examine(exam: &Exam) -> Report {
    let names = || exam.inventory.nodes.iter().map(|node| &node.name);
    let answers = |node: &&NodeName| exam.facts.contains_key(*node);
    let fails = |node: &&NodeName| !answers(node) && exam.unreachable.contains_key(*node);
    Report {
        cluster: exam.inventory.cluster.name.clone(),
        simulated: exam.inventory.simulated(),
        at_ms: exam.now_ms,
        answered: names().filter(answers).cloned().collect(),
        unreachable: names().filter(fails).cloned().collect(),
        not_asked: names().filter(|node| !answers(node) && !fails(node)).cloned().collect(),
        outcomes: CHECKS
            .iter()
            .map(|check| Outcome { check, verdict: (check.run)(exam) })
            .collect(),
    }
}

impl Report {
    /// Whether at least one check failed; warnings are not failures.
    pub fn failed(&self) -> bool {
        self.found(Severity::Error).next().is_some()
    }

    /// The checks of that severity that found something.
    pub fn found(&self, severity: Severity) -> impl Iterator<Item = &Outcome> {
        self.outcomes
            .iter()
            .filter(move |o| o.check.severity == severity && !o.findings().is_empty())
    }
}
