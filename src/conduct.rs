//! One changing verb from beginning to end: reach, plan, ask, run.
//!
//! The order in which the parts work together, and no part of its own: everything it needs is handed
//! in, so that the command line, the fleet's tests and real machines go the same way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::sync::mpsc;

use crate::{
    clock::Clock,
    engine::{
        self, Job, Prepared, Purpose, Recorder, Run,
        keep::Keeper,
        prepare::release,
        sources::{Desk, Known, look_ahead},
    },
    events::{Event, Failure, Level, Pace, Refusal, RunResult, RunStarted},
    facts::NodeFacts,
    inventory::Inventory,
    names::{NodeName, Serial},
    ops::Op,
    plan::{Plan, Scope, Verdict, assemble, draft},
    playbook::{Phase, Playbook, Selector},
    state::Ledger,
    steps::{Memory, Scene, Wish},
    supply::{self, Supply},
    transport::Connector,
};

/// What is to be done.
pub struct Order<'a> {
    pub inventory: &'a Inventory,
    pub playbook: &'a Playbook,
    pub wish: Wish,
    pub scope: Scope,
    pub force_lease: bool,
    /// `--expect-plan`
    pub expect_plan: Option<String>,
    pub parallel: usize,
    /// The command that goes on, for messages.
    pub command: String,
    pub run: String,
}

/// What it is done with.
pub struct Means {
    pub connector: Arc<dyn Connector>,
    pub clock: Clock,
    pub ledger: Ledger,
    pub recorder: Recorder,
    pub keeper: Arc<dyn Keeper>,
    pub desk: Desk,
    pub interrupts: mpsc::Receiver<()>,
    pub supply: Supply,
}

#[derive(Debug)]
pub enum Outcome {
    /// Nothing was run: these stand in the way.
    Stopped(Vec<Failure>),
    /// The operator said no.
    Declined,
    Ran(Box<Plan>, Run),
}

/// Which nodes a verb cannot do without, and which it would like to see.
pub fn contacts(order: &Order) -> (BTreeSet<NodeName>, BTreeSet<NodeName>) {
    let all: BTreeSet<NodeName> = order.inventory.nodes.iter().map(|n| n.name.clone()).collect();
    let needed = match order.wish.verb.as_str() {
        "join-node" => order.wish.target.iter().cloned().collect(),
        "remove-node" => BTreeSet::new(),
        _ if order.scope.only.is_empty() => all.clone(),
        _ => order.scope.only.clone(),
    };
    (needed, all)
}

/// Facts and plan, without a lease and without a ledger: for `--plan`.
pub async fn plan_only(
    order: &Order<'_>,
    connector: Arc<dyn Connector>,
    clock: Clock,
    ledger: &Ledger,
    supply: &Supply,
    desk: &Desk,
) -> Result<Plan, Vec<Failure>> {
    let (needed, all) = contacts(order);
    let nodes: Vec<NodeName> = all.into_iter().collect();
    let prepared =
        engine::prepare(connector, clock, &nodes, &Purpose::Read, order.parallel, None).await;
    let (failures, notes) = missing(&prepared, &needed);
    if !failures.is_empty() {
        return Err(failures);
    }
    let memory = remembered(order, &prepared.facts, ledger).map_err(|f| vec![f])?;
    let (mut plan, _) = planned(order, &prepared, &memory, desk).await?;
    plan.notes.extend(notes);
    plan.notes.extend(supply::note(&plan, supply));
    Ok(plan)
}

/// `ask` is shown the plan and says whether to go on.
pub async fn conduct(order: &Order<'_>, means: Means, ask: impl FnOnce(&Plan) -> bool) -> Outcome {
    let Means { connector, clock, ledger, recorder, keeper, desk, mut interrupts, supply } = means;
    let holder = ledger.holder().unwrap_or("nobody").to_string();
    let purpose = Purpose::Change { holder: holder.clone(), force: order.force_lease };
    let (needed, all) = contacts(order);
    let nodes: Vec<NodeName> = all.into_iter().collect();
    let told = Some((&recorder, &ledger));
    let prepared = tokio::select! {
        biased;
        Some(()) = interrupts.recv() => return Outcome::Declined,
        prepared = engine::prepare(connector, clock, &nodes, &purpose, order.parallel, told) => prepared,
    };
    let stopped = |failures| Outcome::Stopped(failures);
    let (failures, notes) = missing(&prepared, &needed);
    let without;
    let mut left_behind = Vec::new();
    let order = if failures.is_empty() {
        order
    } else if let Some(rest) = rest_of(order, &prepared, &failures) {
        left_behind = failures;
        without = rest;
        &without
    } else {
        release(&prepared.sessions).await;
        let _ = recorder.flush().await;
        return stopped(failures);
    };
    let memory = match remembered(order, &prepared.facts, &ledger) {
        Ok(memory) => memory,
        Err(failure) => {
            release(&prepared.sessions).await;
            return stopped(vec![failure]);
        }
    };
    let planned = tokio::select! {
        biased;
        Some(()) = interrupts.recv() => {
            release(&prepared.sessions).await;
            return Outcome::Declined;
        }
        planned = planned(order, &prepared, &memory, &desk) => planned,
    };
    let (mut plan, known) = match planned {
        Ok(planned) => planned,
        Err(failures) => {
            release(&prepared.sessions).await;
            return stopped(failures);
        }
    };
    plan.notes.extend(notes);
    if let Some(until) = order.scope.until.as_ref().filter(|_| !left_behind.is_empty()) {
        for failure in &left_behind {
            plan.notes.push(format!("{failure}; the other nodes go on up to phase {until}"));
        }
    }
    // Every control plane is another machine now: what the ledger knew of the cluster is void, and
    // stays so if this run is cut off.
    if memory.ca_fingerprint.is_none()
        && let Some(identity) = ledger.identity()
    {
        let ca_fingerprint = Some(identity.ca_fingerprint.clone());
        recorder.emit(Event::ClusterRetired { ca_fingerprint });
    }
    if let Err(failure) = expected(order, &plan, &ledger) {
        plan.refusals.push(failure);
    }
    if !plan.refusals.is_empty() {
        release(&prepared.sessions).await;
        return stopped(plan.refusals);
    }
    let supply::Gathered { mut parcels, missing } = match supply::gather(&plan, &supply).await {
        Ok(gathered) => gathered,
        Err(failures) => {
            release(&prepared.sessions).await;
            return stopped(failures);
        }
    };
    plan.notes.extend(supply::note(&plan, &supply));
    if !ask(&plan) {
        release(&prepared.sessions).await;
        return Outcome::Declined;
    }
    let teller = recorder.clone();
    let tell = move |download| drop(teller.emit(Event::Download(download)));
    let fetched = tokio::select! {
        biased;
        Some(()) = interrupts.recv() => {
            release(&prepared.sessions).await;
            return Outcome::Declined;
        }
        fetched = supply::fetch(missing, &supply, &tell) => fetched,
    };
    match fetched {
        Ok(fetched) => parcels.extend(fetched),
        Err(failures) => {
            release(&prepared.sessions).await;
            let _ = recorder.flush().await;
            return stopped(failures);
        }
    }
    if let Err(failure) = announce(order, &plan, &prepared, &ledger, &recorder).await {
        release(&prepared.sessions).await;
        return stopped(vec![failure]);
    }
    let job = Job {
        run: order.run.clone(),
        holder,
        parallel: order.parallel,
        clock,
        recorder: recorder.clone(),
        sessions: prepared.sessions,
        keeper,
        desk,
        read: known.lasting(),
        left_behind,
        parcels,
    };
    let run = engine::run(plan.clone(), job, interrupts).await;
    let everybody = order
        .inventory
        .nodes
        .iter()
        .all(|n| order.scope.only.is_empty() || order.scope.only.contains(&n.name));
    let whole_reset = order.wish.verb == "reset" && everybody && order.scope.until.is_none();
    if whole_reset && run.result == RunResult::Done {
        let ca_fingerprint = ledger.identity().map(|i| i.ca_fingerprint.clone());
        recorder.emit(Event::ClusterRetired { ca_fingerprint });
    }
    let _ = recorder.flush().await;
    Outcome::Ran(Box::new(plan), run)
}

/// What can be done without the nodes that did not come up: phases in which every node works by
/// itself. Only where the run is on its way anyway, and nobody else has a say in it.
fn rest_of<'a>(order: &Order<'a>, prepared: &Prepared, failures: &[Failure]) -> Option<Order<'a>> {
    let other = |f: &Failure| matches!(f.refusal, Some(Refusal::Lease | Refusal::Identity));
    if order.wish.verb != "bootstrap"
        || order.expect_plan.is_some()
        || prepared.sessions.is_empty()
        || failures.iter().any(other)
    {
        return None;
    }
    let alone = |phase: &&Phase| phase.nodes == Selector::All && phase.run == Pace::Parallel;
    let phases: Vec<_> = order.playbook.phases.iter().take_while(alone).map(|p| &p.name).collect();
    let asked = order.scope.until.as_ref().and_then(|u| phases.iter().find(|p| **p == u));
    let until = (*asked.or(phases.last())?).clone();
    let only: BTreeSet<NodeName> = prepared
        .sessions
        .keys()
        .filter(|n| order.scope.only.is_empty() || order.scope.only.contains(n))
        .cloned()
        .collect();
    if only.is_empty() {
        return None;
    }
    Some(Order {
        inventory: order.inventory,
        playbook: order.playbook,
        wish: Wish { only: only.clone(), ..order.wish.clone() },
        scope: Scope { only, until: Some(until) },
        force_lease: order.force_lease,
        expect_plan: None,
        parallel: order.parallel,
        command: order.command.clone(),
        run: order.run.clone(),
    })
}

/// Failures of nodes that are needed, and a note for each of the others.
fn missing(prepared: &Prepared, needed: &BTreeSet<NodeName>) -> (Vec<Failure>, Vec<String>) {
    let (mut failures, mut notes) = (Vec::new(), Vec::new());
    for (node, failure) in &prepared.failures {
        // A lease that somebody else holds is no accident: it stops the run, wherever it is.
        if needed.contains(node) || failure.refusal == Some(Refusal::Lease) {
            let mut failure = failure.clone();
            if failure.refusal.is_none() && needed.len() > 1 {
                let hint = failure.hint.take().map(|h| format!("{h} ")).unwrap_or_default();
                failure.hint = Some(format!(
                    "{hint}To go on without it: --on the others, or take it out of the inventory"
                ));
            }
            failures.push(failure);
        } else {
            notes.push(format!("{failure}; the run goes on without it"));
        }
    }
    if failures.is_empty() && prepared.sessions.is_empty() {
        failures.extend(prepared.failures.values().cloned());
    }
    (failures, notes)
}

async fn planned(
    order: &Order<'_>,
    prepared: &Prepared,
    memory: &Memory,
    desk: &Desk,
) -> Result<(Plan, Known), Vec<Failure>> {
    let scene =
        Scene { inventory: order.inventory, facts: &prepared.facts, wish: &order.wish, memory };
    let draft = draft(&scene, order.playbook, &order.scope);
    let drafted = || draft.phases.iter().flat_map(|p| &p.lanes).flat_map(|l| &l.ops);
    // Where nothing will be done, nobody is asked for anything.
    let known = match draft.refusals.is_empty() {
        true => look_ahead(desk, drafted().map(|planned| &planned.op)).await?,
        false => Known::default(),
    };
    let mut asked: BTreeMap<NodeName, Vec<Op>> = BTreeMap::new();
    for op in drafted() {
        asked.entry(op.on.clone()).or_default().push(known.fill(&op.op));
    }
    let finds = engine::observe(&prepared.sessions, asked, order.parallel).await?;
    let mut plan = assemble(&scene, draft, &finds);
    plan.notes.extend(version_note(&scene));
    plan.notes.extend(unfinished_notes(&scene));
    plan.notes.extend(known.notes.iter().cloned());
    Ok((plan, known))
}

fn version_note(scene: &Scene) -> Option<String> {
    let wanted = &scene.inventory.cluster.kubernetes;
    let runs = &scene.api()?.version;
    (scene.wish.to.is_none() && runs != wanted).then(|| {
        format!("the cluster runs Kubernetes {runs}, the inventory says {wanted}: only `slipway upgrade --to` moves a cluster; set cluster.kubernetes to what it runs")
    })
}

/// What another verb began and did not end, and what will come back by itself.
fn unfinished_notes(scene: &Scene) -> Vec<String> {
    let mut notes = Vec::new();
    if let (Some(target), "remove-node") = (&scene.wish.target, scene.wish.verb.as_str()) {
        notes.push(format!(
            "{target} is still in the inventory: take it out, or the next bootstrap joins it again"
        ));
        if scene.facts_of(target).is_none() {
            notes.push(format!("{target} does not answer and still carries the cluster's keys: once it is on, `slipway reset --on {target}`"));
        }
    }
    let Some(api) = scene.api() else { return notes };
    if scene.wish.verb != "upgrade" {
        for node in api.nodes.iter().filter(|n| n.kubelet != api.version) {
            notes.push(format!(
                "{} runs kubelet {}, the cluster {}: `slipway upgrade --to {}` goes on",
                node.name, node.kubelet, api.version, api.version
            ));
        }
        for node in api.nodes.iter().filter(|n| n.cordoned_by_us) {
            notes.push(format!("{} is still cordoned by a run that did not end", node.name));
        }
    }
    notes
}

/// What the ledger knows and the nodes cannot contradict.
fn remembered(
    order: &Order,
    facts: &BTreeMap<NodeName, NodeFacts>,
    ledger: &Ledger,
) -> Result<Memory, Failure> {
    let mut memory = Memory::default();
    let planes: Vec<&NodeName> = order.inventory.control_planes().map(|n| &n.name).collect();
    // Where every control plane is another machine now, the cluster that the ledger knew is gone.
    let same_machine = |node: &&NodeName| {
        let known = ledger.machine_id(node);
        facts.get(*node).is_none_or(|f| known.is_none_or(|id| id == f.machine_id))
    };
    if planes.iter().any(same_machine)
        && let Some(identity) = ledger.identity()
    {
        memory.ca_fingerprint = Some(identity.ca_fingerprint.clone());
    }
    if let Some(known) = &memory.ca_fingerprint {
        let other = planes.iter().find_map(|node| {
            let found = facts.get(*node)?;
            let ca = found.kube.ca_fingerprint.as_ref()?;
            (ca != known && found.kube.api.is_some()).then_some((*node, ca))
        });
        if let Some((node, ca)) = other {
            let short = |f: &str| f.get(..12).unwrap_or(f).to_string();
            return Err(Failure::new(
                "recognise the cluster",
                format!("the ledger knows the CA {}, {node} runs a cluster with {}", short(known), short(ca)),
            )
            .on(node)
            .refused(Refusal::Identity)
            .left("nothing was changed anywhere")
            .hint("is this the right --state-dir for these machines? a fresh one learns the cluster anew"));
        }
    }
    for node in &order.inventory.nodes {
        for serial in &node.disks.ceph {
            if let Some(approval) = ledger.approved(&order.wish.verb, serial) {
                memory.approved.insert(serial.clone(), approval.shown.clone());
            }
        }
    }
    Ok(memory)
}

/// `--expect-plan` binds: to this plan, or to what is left of it where a run was cut off.
fn expected(order: &Order, plan: &Plan, ledger: &Ledger) -> Result<(), Failure> {
    let Some(expected) = &order.expect_plan else { return Ok(()) };
    if is_hash(&plan.hash, expected) {
        return Ok(());
    }
    // The same command after it has done its work: nothing is left of what was expected.
    let last = ledger.last_run().filter(|run| run.verb == order.wish.verb);
    if plan.counts().change == 0 && last.is_some_and(|run| is_hash(&run.plan_hash, expected)) {
        return Ok(());
    }
    let resumed =
        ledger.unfinished(&order.wish.verb).filter(|run| is_hash(&run.plan_hash, expected));
    if let Some(run) = resumed
        // What is left, and disks that are blank by now: nothing that was not shown.
        && plan.ops().all(|(_, _, op)| {
            let shown = run.decided(&op.decision) || op.verdict == Verdict::Holds;
            shown && (!op.destroys() || run.destructive.contains(&op.decision))
        })
    {
        return Ok(());
    }
    Err(Failure::new(
        "run the expected plan",
        format!("the plan is {} now, {expected} was expected", plan.hash),
    )
    .refused(Refusal::Plan)
    .left("nothing was changed anywhere")
    .hint("look at the plan again with `--plan`, then expect that one"))
}

/// A hash may be shortened, as screens do, but not to a few letters.
pub fn is_hash(hash: &str, expected: &str) -> bool {
    expected.len() >= 8 && hash.starts_with(expected)
}

/// Everything that must be on record before the first op: approvals, identity, the run itself.
async fn announce(
    order: &Order<'_>,
    plan: &Plan,
    prepared: &Prepared,
    ledger: &Ledger,
    recorder: &Recorder,
) -> Result<(), Failure> {
    for (_, lane, planned) in plan.ops() {
        if let Op::BlankDisk(disk) = &planned.op
            && planned.destroys()
        {
            recorder.emit(Event::DiskApproved {
                serial: disk.serial.clone(),
                node: lane.node.clone(),
                shown: evidence(prepared, &lane.node, &disk.serial),
            });
        }
    }
    let counts = plan.counts();
    let decisions = |destructive_only: bool| {
        plan.ops()
            .filter(|(_, _, op)| !destructive_only || op.destroys())
            .map(|(_, _, op)| op.decision.clone())
            .collect()
    };
    let started = RunStarted {
        run: order.run.clone(),
        verb: order.wish.verb.clone(),
        cluster: order.inventory.cluster.name.clone(),
        slipway: env!("CARGO_PKG_VERSION").into(),
        simulated: plan.simulated,
        nodes: plan.nodes(),
        plan_hash: plan.hash.clone(),
        decisions: decisions(false),
        destructive: decisions(true),
        changes: counts.change,
        unchanged: counts.hold,
        phases: plan.phases.iter().map(|p| p.name.clone()).collect(),
        command: order.command.clone(),
    };
    recorder.emit(Event::RunStarted(started));
    if ledger.identity().is_none()
        && let Some(found) = prepared.facts.values().find(|f| f.kube.api.is_some())
        && let (Some(ca), Some(api)) = (&found.kube.ca_fingerprint, &found.kube.api)
    {
        recorder.emit(Event::ClusterIdentity {
            ca_fingerprint: ca.clone(),
            etcd_cluster_id: Some(api.etcd_cluster_id.clone()),
        });
    }
    for note in &plan.notes {
        let (text, hint) = (note.clone(), None);
        recorder.emit(Event::Note { level: Level::Warning, node: None, text, hint });
    }
    recorder.flush().await
}

fn evidence(prepared: &Prepared, node: &NodeName, serial: &Serial) -> String {
    let disk = prepared.facts.get(node).and_then(|f| f.disk(serial));
    disk.map_or_else(|| "unknown".into(), crate::facts::Disk::evidence)
}
