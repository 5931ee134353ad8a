//! etcd: members, leader, alarms, and how many may be lost.

use super::{Check, Finding, Severity};
use crate::{
    facts::{ApiFacts, Member},
    ui::count,
};

const FAMILY: &str = "etcd";

/// Votes, and what they bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quorum {
    pub voters: usize,
    /// Voters that have started.
    pub started: usize,
}

impl Quorum {
    pub fn of(api: &ApiFacts) -> Self {
        let voters = || api.members.iter().filter(|member| !member.learner);
        Self { voters: voters().count(), started: voters().filter(|m| m.started).count() }
    }

    /// How many of those that run now may go before etcd stops.
    pub fn can_lose(self) -> usize {
        self.started.saturating_sub(self.voters / 2 + 1)
    }
}

fn finding(member: &Member, text: &str) -> Finding {
    Finding::on(&member.node, format!("member {} {text}", member.id))
}

pub(super) const STARTED: Check = Check {
    id: "etcd-members-started",
    family: FAMILY,
    severity: Severity::Error,
    about: "all members of etcd have started",
    remedy: "bring the node back, or look at its etcd (`crictl logs` of the etcd container); a member \
             that never started blocks the next join: run the join again, or `slipway remove-node NODE`",
    run: |exam| {
        exam.with_api(|api| {
            let down = api.members.iter().filter(|member| !member.started);
            down.map(|member| finding(member, "does not run")).collect()
        })
    },
};

pub(super) const LEARNERS: Check = Check {
    id: "etcd-no-learners",
    family: FAMILY,
    severity: Severity::Error,
    about: "no member of etcd is a learner",
    remedy: "run the join again (`slipway bootstrap` or `slipway join-node NODE`): it promotes the \
             learner once it has caught up; until then no other member can join",
    run: |exam| {
        exam.with_api(|api| {
            let learners = api.members.iter().filter(|member| member.learner);
            learners.map(|member| finding(member, "is a learner: it has no vote")).collect()
        })
    },
};

pub(super) const MATCH: Check = Check {
    id: "etcd-members-known",
    family: FAMILY,
    severity: Severity::Error,
    about: "every control plane has one member of etcd, and every member a control plane",
    remedy: "`slipway remove-node NODE` takes a member away whose node is gone; `slipway join-node \
             NODE` finishes a control plane without one",
    run: |exam| {
        exam.with_api(|api| {
            let planes = || api.nodes.iter().filter(|node| node.control_plane);
            let orphans =
                api.members.iter().filter(|member| !planes().any(|n| n.name == member.node));
            let mut found: Vec<_> =
                orphans.map(|member| finding(member, "has no control plane")).collect();
            for plane in planes() {
                match api.members.iter().filter(|member| member.node == plane.name).count() {
                    0 => found.push(Finding::on(&plane.name, "has no member")),
                    1 => {}
                    n => found.push(Finding::on(&plane.name, format!("has {n} members"))),
                }
            }
            found
        })
    },
};

pub(super) const LEADER: Check = Check {
    id: "etcd-leader",
    family: FAMILY,
    severity: Severity::Error,
    about: "etcd has a leader",
    remedy: "wait a few seconds and look again; if it stays so, too few members see each other: check \
             ports 2379 and 2380 between control planes, clocks, and how long the disks take to sync",
    run: |exam| {
        exam.with_api(|api| match &api.leader {
            None => vec![Finding::general("there is no leader")],
            Some(id) if !api.members.iter().any(|member| &member.id == id) => {
                vec![Finding::general(format!("the leader {id} is no member"))]
            }
            Some(_) => Vec::new(),
        })
    },
};

pub(super) const ALARMS: Check = Check {
    id: "etcd-no-alarms",
    family: FAMILY,
    severity: Severity::Error,
    about: "etcd has raised no alarm",
    remedy: "NOSPACE: compact and defragment, then `etcdctl alarm disarm`; CORRUPT: `slipway \
             remove-node` the member that differs, and join it again",
    run: |exam| {
        exam.with_api(|api| {
            let found = api.alarms.iter();
            found.map(|alarm| Finding::general(format!("alarm {alarm}"))).collect()
        })
    },
};

pub(super) const HASHES: Check = Check {
    id: "etcd-hashes-equal",
    family: FAMILY,
    severity: Severity::Error,
    about: "all members of etcd hold the same data",
    remedy: "take a snapshot now (`slipway backup`), change nothing, and find the member that \
             differs (`etcdctl endpoint hashkv --cluster`): it is removed and joined again",
    run: |exam| {
        exam.with_api(|api| {
            let text = format!("members hash differently (about revision {})", api.etcd_revision);
            (!api.hashes_equal).then(|| Finding::general(text)).into_iter().collect()
        })
    },
};

pub(super) const MARGIN: Check = Check {
    id: "etcd-can-lose-one",
    family: FAMILY,
    severity: Severity::Warning,
    about: "etcd can lose a member and go on",
    remedy: "bring back the member that is down, or take in control planes until there are three \
             (`slipway join-node NODE`)",
    run: |exam| {
        exam.with_api(|api| {
            let quorum = Quorum::of(api);
            if quorum.can_lose() >= 1 {
                return Vec::new();
            }
            let members = count(quorum.voters, "member");
            let text = format!("{members}, {} started: none may be lost", quorum.started);
            vec![Finding::general(text)]
        })
    },
};
