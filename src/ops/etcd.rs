//! etcd's gate, snapshots, and members that are healed or leave. Run on a control plane.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Diff, Nature, Observed, OpError, OpResult, Output, Touch};
use super::sys::Sys;
use crate::{
    events::Refusal,
    facts::{ApiFacts, Member},
    names::NodeName,
};

/// Before and after each change to a control plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EtcdGate {
    /// A member that is going, whose health does not count.
    pub ignoring: Option<NodeName>,
    /// The change takes a member down for a while: the others must be a quorum.
    pub must_bear_a_loss: bool,
    pub wait_s: u32,
}

/// What keeps the gate shut, if anything.
pub fn gate(api: &ApiFacts, gate: &EtcdGate) -> Vec<String> {
    let mut shut = Vec::new();
    let counted = |m: &&Member| Some(&m.node) != gate.ignoring.as_ref();
    for member in api.members.iter().filter(counted) {
        if !member.started {
            shut.push(format!("the member of {} is not started", member.node));
        } else if member.learner {
            shut.push(format!("the member of {} is still a learner", member.node));
        }
    }
    if api.leader.is_none() {
        shut.push("there is no leader".into());
    }
    for alarm in &api.alarms {
        shut.push(format!("alarm {alarm}"));
    }
    if !api.hashes_equal {
        shut.push("the members' hashes differ at one revision".into());
    }
    let voters = api.members.iter().filter(|m| !m.learner).count();
    let healthy = api.members.iter().filter(counted).filter(|m| m.started && !m.learner).count();
    let quorum = voters / 2 + 1;
    // Those who stay must be a quorum of what is left. That there is one now, a leader shows.
    if gate.ignoring.is_some() {
        let leaving = api.members.iter().filter(|m| !counted(m) && !m.learner).count();
        let (left, needed) = (voters - leaving, (voters - leaving) / 2 + 1);
        if healthy < needed {
            shut.push(format!(
                "of the {left} members that stay {healthy} are healthy, {needed} are needed"
            ));
        }
    }
    // One member alone cannot bear a loss, and says nothing either way: there is no vote to lose.
    if gate.must_bear_a_loss && voters > 1 && healthy.saturating_sub(1) < quorum {
        shut.push(format!(
            "of {voters} members {healthy} are healthy: taking one down leaves fewer than the {quorum} that are a quorum"
        ));
    }
    shut
}

#[async_trait]
impl Action for EtcdGate {
    fn title(&self) -> String {
        "etcd gate".into()
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: self.wait_s + 60, ..Nature::CHECK }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let deadline = sys.now_ms() + u64::from(self.wait_s) * 1000;
        loop {
            // One answer for both questions: between two, what shut the gate may have passed, and what is
            // left would look like too few members.
            let api = sys.api().await?;
            let shut = match &api {
                Some(api) => gate(api, self),
                None => vec!["the API server and etcd do not answer here".into()],
            };
            if shut.is_empty() {
                return Ok(Observed::Holds);
            }
            if api.is_some_and(|api| self.cannot_ever_open(&api)) {
                return Err(OpError::refused(
                    Refusal::Quorum,
                    "pass the etcd gate",
                    shut.join("; "),
                )
                .hint(
                    "two members cannot spare one: take in a third first, with `slipway join-node`",
                ));
            }
            if sys.now_ms() >= deadline {
                return Err(OpError::refused(
                    Refusal::Quorum,
                    "pass the etcd gate",
                    format!("after {} s: {}", self.wait_s, shut.join("; ")),
                )
                .hint("`slipway status` shows the members; bring them all up, or take one whose machine is gone away with `slipway remove-node NODE`; then run the same command again"));
            }
            sys.sleep_ms(500).await;
        }
    }
}

impl EtcdGate {
    /// All are well, and it is still too few of them: waiting would not help.
    fn cannot_ever_open(&self, api: &ApiFacts) -> bool {
        let easier = EtcdGate { must_bear_a_loss: false, ..self.clone() };
        self.must_bear_a_loss && gate(api, &easier).is_empty()
    }
}

/// Where a snapshot waits to be fetched.
pub const OUTGOING: &str = "/var/lib/slipway/outgoing";

/// A file there, by its name; None for what is no such name.
pub fn outgoing(name: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
    let fits = name.starts_with("etcd-") && name.len() < 100 && name.bytes().all(plain);
    fits.then(|| format!("{OUTGOING}/{name}"))
}

/// A verified snapshot that leaves the node before a change to etcd, or because somebody wants it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {}

#[async_trait]
impl Action for Snapshot {
    fn title(&self) -> String {
        "etcd snapshot".into()
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: 900, ..Nature::ANSWERS }
    }

    async fn observe(&self, _sys: &dyn Sys) -> OpResult<Observed> {
        Ok(Observed::Differs(vec![Diff::say("take a snapshot off the node")]))
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        Ok(Some(Output::Snapshot(sys.snapshot().await?)))
    }
}

/// etcd at a glance, for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EtcdStatus {}

#[async_trait]
impl Action for EtcdStatus {
    fn title(&self) -> String {
        "etcd status".into()
    }

    fn nature(&self) -> Nature {
        Nature::ANSWERS
    }

    async fn observe(&self, _sys: &dyn Sys) -> OpResult<Observed> {
        Ok(Observed::Differs(vec![Diff::say("ask etcd how it is")]))
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        Ok(Some(Output::Etcd(sys.etcd().await?)))
    }
}

/// Before a node joins: what an earlier, cut join of it left among the members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealMember {
    pub node: NodeName,
    /// The member id in that node's etcd data, if it has any: such a member may start yet.
    pub data_of: Option<String>,
}

enum Heal {
    Nothing,
    Promote(String),
    Remove(String),
    Wait,
}

impl HealMember {
    fn decide(&self, api: &ApiFacts) -> Heal {
        let Some(member) = api.member_of(&self.node) else { return Heal::Nothing };
        match (member.started, member.learner) {
            (true, false) => Heal::Nothing,
            (true, true) => Heal::Promote(member.id.clone()),
            (false, _) if self.data_of.as_ref() == Some(&member.id) => Heal::Wait,
            (false, _) => Heal::Remove(member.id.clone()),
        }
    }

    async fn api(&self, sys: &dyn Sys) -> OpResult<ApiFacts> {
        sys.api().await?.ok_or_else(|| {
            OpError::new(self.title(), "etcd does not answer on this control plane").passing()
        })
    }
}

/// How long a member with data may take to start, after its node came back.
const START_S: u64 = 120;

#[async_trait]
impl Action for HealMember {
    fn title(&self) -> String {
        format!("no half-joined member of {}", self.node)
    }

    fn nature(&self) -> Nature {
        // Whatever it finds to do is a change of the members: gates and a snapshot stand around it.
        Nature { touch: Touch::RemovesMember, timeout_s: 300, ..Nature::CHANGE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let Some(api) = sys.api().await? else {
            // Before there is a cluster here, nobody is half joined.
            if !sys.local_kube().await?.finished {
                return Ok(Observed::Holds);
            }
            return Err(
                OpError::new(self.title(), "etcd does not answer on this control plane").passing()
            );
        };
        let text = match self.decide(&api) {
            Heal::Nothing => return Ok(Observed::Holds),
            Heal::Promote(id) => format!("promote the started learner {id} of {}", self.node),
            Heal::Remove(id) => {
                format!("remove the member {id} of {} that never started", self.node)
            }
            Heal::Wait => format!("wait for the member of {} to start", self.node),
        };
        Ok(Observed::Differs(vec![Diff::say(text)]))
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        let deadline = sys.now_ms() + START_S * 1000;
        loop {
            match self.decide(&self.api(sys).await?) {
                Heal::Nothing => return Ok(None),
                Heal::Promote(id) => sys.promote_member(&id).await?,
                Heal::Remove(id) => sys.remove_member(&id).await?,
                Heal::Wait if sys.now_ms() < deadline => sys.sleep_ms(500).await,
                Heal::Wait => {
                    return Err(OpError::new(
                        self.title(),
                        format!("its member has data but did not start within {START_S} s"),
                    )
                    .hint("`journalctl -u kubelet` on that node; or `slipway remove-node` it"));
                }
            }
        }
    }
}

/// A member leaves for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemoveMember {
    pub node: NodeName,
}

#[async_trait]
impl Action for RemoveMember {
    fn title(&self) -> String {
        format!("remove the etcd member of {}", self.node)
    }

    fn nature(&self) -> Nature {
        Nature { touch: Touch::RemovesMember, destructive: true, ..Nature::ONCE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let Some(api) = sys.api().await? else {
            return Err(
                OpError::new(self.title(), "etcd does not answer on this control plane").passing()
            );
        };
        Ok(match api.member_of(&self.node) {
            None => Observed::Holds,
            Some(m) => Observed::Differs(vec![Diff::Destroy(format!(
                "member {} of {} (its copy of the data; {} others remain)",
                m.id,
                self.node,
                api.members.len() - 1
            ))]),
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        let Some(api) = sys.api().await? else {
            return Err(
                OpError::new(self.title(), "etcd does not answer on this control plane").passing()
            );
        };
        let Some(member) = api.member_of(&self.node) else { return Ok(None) };
        // The gate has passed a moment ago; this is the last look before the point of no return.
        let after =
            EtcdGate { ignoring: Some(self.node.clone()), must_bear_a_loss: false, wait_s: 0 };
        let shut = gate(&api, &after);
        let voters_left = api.members.iter().filter(|m| !m.learner && m.node != self.node).count();
        if !shut.is_empty() || voters_left == 0 {
            let why = if voters_left == 0 { "it is the last one".into() } else { shut.join("; ") };
            return Err(OpError::refused(Refusal::Quorum, self.title(), why)
                .hint("the last control plane goes with `slipway reset`"));
        }
        sys.remove_member(&member.id).await?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(members: u8, hashes_equal: bool) -> ApiFacts {
        let member = |n: u8| Member {
            id: n.to_string(),
            name: format!("node-{n}"),
            node: format!("node-{n}").parse().unwrap(),
            learner: false,
            started: true,
        };
        ApiFacts {
            version: "1.36.4".parse().unwrap(),
            nodes: Vec::new(),
            members: (0..members).map(member).collect(),
            etcd_cluster_id: "c".into(),
            etcd_revision: 1,
            leader: Some("0".into()),
            alarms: Vec::new(),
            hashes_equal,
            certificates_end_ms: 0,
            addons: Default::default(),
            applications: Vec::new(),
        }
    }

    #[test]
    fn what_may_pass_is_waited_for_and_what_cannot_is_not() {
        let asked = EtcdGate { ignoring: None, must_bear_a_loss: true, wait_s: 60 };
        assert!(gate(&api(3, true), &asked).is_empty());
        // Two can never spare one.
        assert!(!gate(&api(2, true), &asked).is_empty() && asked.cannot_ever_open(&api(2, true)));
        // Hashes that differ for a moment are no lack of members, whatever their number.
        for members in [2, 3] {
            let apart = api(members, false);
            assert!(!gate(&apart, &asked).is_empty() && !asked.cannot_ever_open(&apart));
        }
    }
}
