//! The ledger's fold, question by question.

use super::*;
use crate::events::{OpRef, OpResult, RunFinished, RunId, RunResult, RunStarted};

/// Events as one run after the other writes them.
#[derive(Default)]
struct Story {
    ledger: Ledger,
    index: u64,
    now: u64,
}

impl Story {
    fn next_stream(&mut self) -> &mut Self {
        self.index = 0;
        self
    }

    fn on(&mut self, event: Event) -> &mut Self {
        self.now += 1000;
        self.ledger.apply(&Stamped { index: self.index, at_ms: self.now, event });
        self.index += 1;
        self
    }

    fn start(&mut self, run: &str, verb: &str, destructive: &[&str]) -> &mut Self {
        self.on(Event::RunStarted(RunStarted {
            run: run.into(),
            verb: verb.into(),
            cluster: name("homelab"),
            slipway: "0.1.0".into(),
            simulated: false,
            nodes: vec![name("a"), name("b")],
            plan_hash: "feed".into(),
            decisions: destructive.iter().map(|s| s.to_string()).collect(),
            destructive: destructive.iter().map(|s| s.to_string()).collect(),
            changes: 2,
            unchanged: 3,
            phases: vec!["os".parse().unwrap()],
            command: "slipway bootstrap".into(),
        }))
    }

    fn finish(&mut self, run: &str, result: RunResult) -> &mut Self {
        self.on(Event::RunFinished(RunFinished {
            run: RunId::from(run),
            result,
            changed: 2,
            unchanged: 3,
            elapsed_ms: 4000,
            failures: vec![],
        }))
    }

    fn phase(&mut self, result: PhaseResult, elapsed_ms: u64) -> &mut Self {
        self.on(Event::PhaseFinished { phase: "os".parse().unwrap(), result, elapsed_ms })
    }

    fn approve(&mut self, node: &str) -> &mut Self {
        let shown = "2 TB, ext4".into();
        self.on(Event::DiskApproved { serial: "S1234".parse().unwrap(), node: name(node), shown })
    }

    fn intent(&mut self, node: &str, request: &str) -> &mut Self {
        self.on(Event::Intent {
            node: name(node),
            phase: "os".parse().unwrap(),
            request: request.into(),
            ops: vec!["h1".into()],
        })
    }
}

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

#[test]
fn a_run_that_was_cut_is_resumed_with_what_was_agreed() {
    let mut story = Story::default();
    let plan = ["wipe".to_string(), "new".to_string()];
    story.start("r1", "bootstrap", &["wipe"]);
    let ledger = &story.ledger;
    assert_eq!(ledger.unfinished("bootstrap").unwrap().id, "r1");
    assert_eq!(ledger.unfinished("upgrade"), None);
    assert_eq!(ledger.new_destructive("bootstrap", &plan), BTreeSet::from(["new"]));
    assert_eq!(ledger.new_destructive("reset", &plan).len(), 2);

    // Another verb in between ends it: what was agreed then is not agreed for ever.
    story.next_stream().start("r2", "reset", &[]).finish("r2", RunResult::Done);
    assert_eq!(story.ledger.unfinished("bootstrap"), None);
    assert_eq!(story.ledger.new_destructive("bootstrap", &plan).len(), 2);

    // Once it is done, nothing is agreed any more.
    story.next_stream().start("r3", "bootstrap", &["wipe"]).finish("r3", RunResult::Done);
    assert_eq!(story.ledger.new_destructive("bootstrap", &plan).len(), 2);
    assert_eq!(story.ledger.last_run().unwrap().finished.unwrap().changed, 2);
}

#[test]
fn approvals_belong_to_their_own_run() {
    let serial = "S1234".parse().unwrap();
    let mut story = Story::default();
    story.start("r1", "bootstrap", &[]);
    // The next run's stream begins with what precedes its plan.
    story.next_stream().approve("a").start("r2", "bootstrap", &[]);
    assert_eq!(story.ledger.runs()[0].approvals, []);
    assert_eq!(story.ledger.approved("bootstrap", &serial).unwrap().shown, "2 TB, ext4");
    story.finish("r2", RunResult::Done);
    assert_eq!(story.ledger.approved("bootstrap", &serial), None);
    // An approval whose run never started is nobody's.
    story.next_stream().approve("a").next_stream().start("r3", "bootstrap", &[]);
    assert_eq!(story.ledger.approved("bootstrap", &serial), None);
}

#[test]
fn a_replaced_node_loses_its_entries() {
    let mut story = Story::default();
    story.on(Event::NodeConnected { node: name("a"), machine_id: "m1".into(), again: false });
    story.on(Event::LeaseTaken { node: name("a"), generation: 4, from: None });
    story.on(Event::LeaseTaken { node: name("b"), generation: 3, from: None });
    story.start("r1", "bootstrap", &[]).approve("a").intent("a", "a-1").intent("b", "b-1");
    assert_eq!(story.ledger.lease_generation(), 4);
    story.on(Event::NodeReplaced { node: name("a"), was: "m1".into(), now: "m2".into() });
    let ledger = &story.ledger;
    assert_eq!(ledger.machine_id(&name("a")), Some("m2"));
    assert_eq!(ledger.lease(&name("a")), None);
    assert_eq!(ledger.lease(&name("b")).unwrap().generation, 3);
    assert_eq!(ledger.last_run().unwrap().approvals, []);
    let open: Vec<_> = ledger.open_requests().map(|request| request.id.as_str()).collect();
    assert_eq!(open, ["b-1"]);
}

#[test]
fn a_done_run_settles_what_was_open_on_its_nodes() {
    let mut story = Story::default();
    story.start("r1", "bootstrap", &[]).intent("a", "a-1").intent("elsewhere", "e-1");
    story.next_stream().start("r2", "bootstrap", &[]).finish("r2", RunResult::Done);
    let open: Vec<_> = story.ledger.open_requests().map(|r| r.id.as_str()).collect();
    assert_eq!(open, ["e-1"]);
    assert_eq!(story.ledger.request("a-1").unwrap().run.as_deref(), Some("r1"));
}

#[test]
fn outcomes_are_found_by_request_and_place() {
    let mut story = Story::default();
    story.start("r1", "bootstrap", &[]).intent("a", "a-1");
    assert_eq!(story.ledger.outcome("a-1", 0), None);
    let op = OpRef {
        phase: "os".parse().unwrap(),
        lane: name("b"),
        node: name("a"),
        step: "sysctls".parse().unwrap(),
        index: 9,
        title: "t".into(),
    };
    story.on(Event::OpFinished { op, result: OpResult::Unchanged, elapsed_ms: 1 });
    assert_eq!(story.ledger.outcome("a-1", 0), Some(&OpResult::Unchanged));
    assert_eq!(story.ledger.outcome("a-1", 1), None);
}

#[test]
fn a_phase_is_expected_to_take_the_median_of_its_last_five() {
    let mut story = Story::default();
    let phase = "os".parse().unwrap();
    assert_eq!(story.ledger.expected_ms("bootstrap", &phase), None);
    story.start("r1", "bootstrap", &[]).phase(PhaseResult::Failed, 7);
    assert_eq!(story.ledger.expected_ms("bootstrap", &phase), None);
    story.phase(PhaseResult::Done, 1_000_000).phase(PhaseResult::Done, 10);
    assert_eq!(story.ledger.expected_ms("bootstrap", &phase), Some(500_005));
    for ms in [30, 20, 50, 40] {
        story.phase(PhaseResult::Done, ms);
    }
    assert_eq!(story.ledger.expected_ms("bootstrap", &phase), Some(30));
    assert_eq!(story.ledger.expected_ms("upgrade", &phase), None);
    assert_eq!(story.ledger.last_run().unwrap().phases_done().count(), 6);
}

#[test]
fn an_identity_is_completed_and_goes_with_its_cluster() {
    let identity = |ca: &str, etcd: Option<&str>| Event::ClusterIdentity {
        ca_fingerprint: ca.into(),
        etcd_cluster_id: etcd.map(Into::into),
    };
    let mut story = Story::default();
    story.on(identity("ca", Some("e1"))).on(identity("ca", None));
    assert_eq!(story.ledger.identity().unwrap().etcd_cluster_id.as_deref(), Some("e1"));
    // A reset by itself proves nothing: it may have left a node out.
    story.next_stream().start("r1", "reset", &[]).finish("r1", RunResult::Done);
    assert!(story.ledger.identity().is_some());
    story.on(Event::ClusterRetired { ca_fingerprint: Some("ca".into()) });
    assert_eq!(story.ledger.identity(), None);
    // The next one is another cluster.
    story.on(identity("new", None));
    assert_eq!(story.ledger.identity().unwrap().etcd_cluster_id, None);
}
