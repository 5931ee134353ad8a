//! The driver: carries out what the scheduler says.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::mpsc;

use super::{
    ahead::{self, Ahead},
    keep::{Keeper, keep},
    outputs::Outputs,
    prepare::{Sessions, result_of},
    recorder::Recorder,
    scheduler::{
        Action, Ending, Finish, Input, LaneOutline, OpOutline, Outline, PhaseOutline, Scheduler,
        Segment,
    },
    session::{Session, Told},
    sources::{Desk, Read},
};
use crate::{
    agent::frames::{AgentEvent, Outcome, RequestEnd, StepOp},
    clock::Clock,
    events::{Event, Failure, LanePreview, Level, OpRef, OpResult, RunFinished, RunResult},
    names::NodeName,
    news,
    ops::{Op, Output, Telling, sys::SnapshotInfo},
    plan::{Plan, PlannedOp},
    secret::{Sealed, Source},
    supply::{self, Parcels},
    transport::Parcel,
};

/// What the driver needs besides the plan.
pub struct Job {
    pub run: String,
    /// Requests are named by it, so that a later controller of the same operator knows its own.
    pub holder: String,
    pub parallel: usize,
    pub clock: Clock,
    pub recorder: Recorder,
    pub sessions: Sessions,
    pub keeper: Arc<dyn Keeper>,
    pub desk: Desk,
    /// Secrets that were read for the plan.
    pub read: BTreeMap<Source, Sealed>,
    /// Release files that ops need on their nodes.
    pub parcels: Parcels,
    /// Nodes that this run goes on without, and why: it fails in the end, whatever the others do.
    pub left_behind: Vec<Failure>,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub result: RunResult,
    pub failures: Vec<Failure>,
    pub changed: u32,
    pub unchanged: u32,
}

struct Driver {
    job: Job,
    plan: Plan,
    outputs: Mutex<Outputs>,
    cancel: news::Sender<bool>,
    requests: AtomicU32,
    changed: AtomicU32,
    unchanged: AtomicU32,
    tries: Mutex<BTreeMap<(usize, usize), u32>>,
    ahead: OnceLock<Ahead>,
}

enum Step {
    Ended(Segment, Ending),
    Woke(Segment),
}

/// Runs the plan. Each message on `interrupts` is a Ctrl-C; the second one leaves at once.
pub async fn run(plan: Plan, job: Job, mut interrupts: mpsc::Receiver<()>) -> Run {
    let began_ms = job.clock.now_ms();
    let mut scheduler = Scheduler::new(outline(&plan, job.parallel));
    let outputs = Mutex::new(Outputs::knowing(job.read.clone()));
    let driver = Arc::new(Driver {
        job,
        plan,
        outputs,
        cancel: news::Sender::new(false),
        requests: AtomicU32::new(0),
        changed: AtomicU32::new(0),
        unchanged: AtomicU32::new(0),
        tries: Mutex::default(),
        ahead: OnceLock::new(),
    });
    let recorder = driver.job.recorder.clone();
    let mut under_way: FuturesUnordered<BoxFuture<'static, Step>> = FuturesUnordered::new();
    let mut inputs = vec![Input::Start];
    let mut interrupted = false;
    let mut phase_began_ms = began_ms;
    let finish = 'run: loop {
        for input in std::mem::take(&mut inputs) {
            for action in scheduler.step(input) {
                match action {
                    Action::StartPhase(n) => {
                        phase_began_ms = driver.job.clock.now_ms();
                        recorder.emit(driver.phase_started(n));
                        driver.bring_ahead(n).await;
                    }
                    Action::Send(segment) => under_way.push(Box::pin(driver.clone().send(segment))),
                    Action::Wait { segment, attempt, ms, why } => {
                        let op = driver.op_ref(segment, segment.from);
                        recorder.emit(Event::RetryScheduled { op, attempt, wait_ms: ms, why });
                        let clock = driver.job.clock;
                        under_way.push(Box::pin(async move {
                            clock.sleep_ms(ms).await;
                            Step::Woke(segment)
                        }));
                    }
                    Action::CancelAll => {
                        driver.cancel.set(true);
                        driver.ahead.get().inspect(|ahead| ahead.stop());
                    }
                    Action::EndPhase(n, result) => {
                        let phase = driver.plan.phases[n].name.clone();
                        let elapsed_ms = driver.job.clock.now_ms() - phase_began_ms;
                        recorder.emit(Event::PhaseFinished { phase, result, elapsed_ms });
                    }
                    Action::Finish(finish) => break 'run finish,
                }
            }
        }
        tokio::select! {
            // In this order, not by lot: the same seed tells the same story.
            biased;
            Some(()) = interrupts.recv() => {
                recorder.emit(Event::Interrupted { leaving_at_once: interrupted });
                if interrupted {
                    break 'run Finish::Interrupted(Vec::new());
                }
                interrupted = true;
                inputs.push(Input::Interrupt);
            }
            Some(step) = under_way.next() => inputs.push(match step {
                Step::Ended(segment, ending) => Input::Ended(segment, ending),
                Step::Woke(segment) => Input::Woke(segment),
            }),
        }
    };
    driver.ahead.get().inspect(|ahead| ahead.stop());
    let at_once = !under_way.is_empty();
    drop(under_way);
    if !at_once {
        super::prepare::release(&driver.job.sessions).await;
    }
    let left_behind = driver.job.left_behind.clone();
    let finish = match finish {
        finish if left_behind.is_empty() => finish,
        Finish::Done => Finish::Failed(left_behind),
        Finish::Failed(failures) => Finish::Failed([left_behind, failures].concat()),
        Finish::Interrupted(failures) => Finish::Interrupted([left_behind, failures].concat()),
    };
    let (result, mut failures) = match finish {
        Finish::Done => (RunResult::Done, Vec::new()),
        Finish::Interrupted(failures) => (RunResult::Interrupted, failures),
        Finish::Failed(failures) if failures.iter().all(|f| f.refusal.is_some()) => {
            (RunResult::Refused, failures)
        }
        Finish::Failed(failures) => (RunResult::Failed, failures),
    };
    let (changed, unchanged) =
        (driver.changed.load(Ordering::Relaxed), driver.unchanged.load(Ordering::Relaxed));
    let elapsed_ms = driver.job.clock.now_ms() - began_ms;
    let finished = RunFinished {
        run: driver.job.run.clone(),
        result,
        changed,
        unchanged,
        elapsed_ms,
        failures: failures.clone(),
    };
    let written = recorder.emit_durably(Event::RunFinished(finished)).await;
    let result = match written {
        Err(failure) if result == RunResult::Done => {
            failures.push(failure);
            RunResult::Failed
        }
        _ => result,
    };
    Run { result, failures, changed, unchanged }
}

fn brought(node: &NodeName, parcel: &Parcel) -> Event {
    Event::Brought { node: node.clone(), what: parcel.name.clone(), bytes: parcel.bytes }
}

fn outline(plan: &Plan, parallel: usize) -> Outline {
    let op = |op: &PlannedOp| OpOutline {
        on: op.on.clone(),
        // Images are unpacked from when the runtime is there: they are told of by what comes after it.
        ends_request: matches!(op.op, Op::Snapshot(_)) || supply::starts_the_runtime(op),
    };
    let phases = plan.phases.iter().map(|phase| PhaseOutline {
        name: phase.name.clone(),
        pace: phase.pace,
        lanes: phase
            .lanes
            .iter()
            .map(|lane| LaneOutline {
                node: lane.node.clone(),
                ops: lane.ops.iter().map(op).collect(),
            })
            .collect(),
    });
    Outline { phases: phases.collect(), parallel }
}

impl Driver {
    fn phase_started(&self, n: usize) -> Event {
        let phase = &self.plan.phases[n];
        let lane = |lane: &crate::plan::Lane| LanePreview {
            node: lane.node.clone(),
            ops: u32::try_from(lane.ops.len()).unwrap_or(u32::MAX),
        };
        Event::PhaseStarted {
            phase: phase.name.clone(),
            pace: phase.pace,
            lanes: phase.lanes.iter().map(lane).collect(),
        }
    }

    fn planned(&self, segment: Segment, index: usize) -> &PlannedOp {
        &self.plan.phases[segment.phase].lanes[segment.lane].ops[index]
    }

    fn op_ref(&self, segment: Segment, index: usize) -> OpRef {
        let phase = &self.plan.phases[segment.phase];
        let planned = self.planned(segment, index);
        OpRef {
            phase: phase.name.clone(),
            lane: phase.lanes[segment.lane].node.clone(),
            node: planned.on.clone(),
            step: planned.step.clone(),
            index: u32::try_from(index).unwrap_or(u32::MAX),
            title: planned.op.title(),
        }
    }

    async fn send(self: Arc<Self>, segment: Segment) -> Step {
        let reached = AtomicU32::new(0);
        let ending = self.segment(segment, &reached).await.unwrap_or_else(|failure| {
            // The op that had begun last, for that is the one it happened in.
            let at = segment.from + reached.load(Ordering::Relaxed) as usize;
            let planned = self.planned(segment, at);
            let phase = &self.plan.phases[segment.phase].name;
            let mut failure = failure.at(phase, &planned.step);
            failure.node.get_or_insert_with(|| planned.on.clone());
            Ending::Failed { at, failure: Box::new(failure), may_retry: false }
        });
        Step::Ended(segment, ending)
    }

    /// What the node has to have before the segment's ops can run there. The first op that needs
    /// something is the one that a failure to bring it belongs to.
    fn parcels(&self, segment: Segment, reached: &AtomicU32) -> Vec<Parcel> {
        let mut parcels = Vec::new();
        for index in segment.from..segment.to {
            let planned = self.planned(segment, index);
            let needed = supply::needed(planned);
            for parcel in needed.iter().filter_map(|wanted| self.job.parcels.get(wanted)) {
                if parcels.is_empty() {
                    let ahead = u32::try_from(index - segment.from).unwrap_or(u32::MAX);
                    reached.store(ahead, Ordering::Relaxed);
                }
                parcels.push(parcel.clone());
            }
        }
        parcels
    }

    /// The operator's own secrets that the segment's ops are sent with, read just now.
    async fn read_sources(&self, segment: Segment, reached: &AtomicU32) -> Result<(), Failure> {
        for index in segment.from..segment.to {
            let planned = self.planned(segment, index);
            let lock = || self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
            let unread = lock().unread(&planned.op);
            for source in unread {
                let ahead = u32::try_from(index - segment.from).unwrap_or(u32::MAX);
                reached.store(ahead, Ordering::Relaxed);
                let Read { secret, .. } = (self.job.desk.read_secret)(source.clone()).await?;
                (self.job.desk.hide)(secret.reveal());
                lock().keep(source, secret);
            }
        }
        Ok(())
    }

    /// Files begin to come in the background while the last checks run, right before the first phase that
    /// changes anything.
    async fn bring_ahead(&self, phase: usize) {
        let mut next = self.plan.phases.iter().skip(phase).take(2).flat_map(|phase| &phase.lanes);
        let begins = next.any(|lane| lane.ops.iter().any(|op| op.verdict.changes()));
        if !begins || self.ahead.get().is_some() {
            return;
        }
        let Some(session) = self.job.sessions.values().next() else { return };
        let connector = session.lock().await.connector();
        let recorder = self.job.recorder.clone();
        let tell = Arc::new(move |node: &NodeName, parcel: &Parcel| {
            recorder.emit(brought(node, parcel));
        });
        self.ahead.get_or_init(|| Ahead::begin(&self.plan, &self.job.parcels, connector, tell));
    }

    /// False when the operator did not want to wait for the end of it.
    async fn bring(&self, session: &mut Session, parcels: Vec<Parcel>) -> Result<bool, Failure> {
        let (recorder, node) = (self.job.recorder.clone(), session.node.clone());
        let parcels = match self.ahead.get() {
            Some(ahead) => ahead.missing(&node, parcels, self.job.clock).await,
            None => parcels,
        };
        if parcels.is_empty() {
            return Ok(true);
        }
        let sent = move |parcel: &Parcel| drop(recorder.emit(brought(&node, parcel)));
        session.bring(&parcels, self.cancel.subscribe(), &sent).await
    }

    /// What a request ended with that was for a snapshot. False when it was cancelled meanwhile.
    async fn keep(
        &self,
        session: &mut Session,
        segment: Segment,
        snapshot: Option<SnapshotInfo>,
    ) -> Result<bool, Failure> {
        if !matches!(self.planned(segment, segment.to - 1).op, Op::Snapshot(_)) {
            return Ok(true);
        }
        let guards = "the change to etcd that it guards was not begun";
        let Some(snapshot) = snapshot else {
            let failure = Failure::new("keep an etcd snapshot", "none came");
            return Err(failure.left(guards).hint("run the same command again"));
        };
        let cancel = self.cancel.subscribe();
        let kept = keep(session, &*self.job.keeper, &snapshot, cancel).await;
        let Some(kept) = kept.map_err(|failure| failure.left(guards))? else { return Ok(false) };
        let (recorder, node) = (&self.job.recorder, session.node.clone());
        recorder.emit(Event::SnapshotTaken {
            node: node.clone(),
            file: kept.file,
            sha256: snapshot.sha256,
            revision: snapshot.revision,
        });
        if let Some((text, hint)) = kept.note {
            let (level, hint) = (Level::Warning, Some(hint));
            recorder.emit(Event::Note { level, node: None, text, hint });
        }
        Ok(true)
    }

    async fn segment(&self, segment: Segment, reached: &AtomicU32) -> Result<Ending, Failure> {
        let phase = self.plan.phases[segment.phase].name.clone();
        let lane = self.plan.phases[segment.phase].lanes[segment.lane].node.clone();
        let node = self.planned(segment, segment.from).on.clone();
        let Some(session) = self.job.sessions.get(&node) else {
            return Err(Failure::new("send a request", "this node could not be reached").on(&node));
        };
        let mut session = session.lock().await;
        let parcels = self.parcels(segment, reached);
        if !parcels.is_empty() && !self.bring(&mut session, parcels).await? {
            return Ok(Ending::Cancelled);
        }
        self.read_sources(segment, reached).await?;
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let request = format!("{}-{}-{number}", self.job.holder, self.job.run);
        let (mut ops, mut decisions) = (Vec::new(), Vec::new());
        {
            let outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
            for index in segment.from..segment.to {
                let planned = self.planned(segment, index);
                let op = outputs.fill(&lane, &planned.op);
                ops.push(StepOp { step: planned.step.clone(), op });
                decisions.push(planned.decision.clone());
            }
        }
        // Nothing is sent on the strength of an intent that a crash could take back.
        let intent = Event::Intent { node, phase, request: request.clone(), ops: decisions };
        self.job.recorder.emit_durably(intent).await?;
        let mut heard = Heard::new(self, segment, &lane);
        let confirms = news::Sender::new(false);
        let confirmed = confirms.subscribe();
        // Tried from when the op begins: that the node waits for it would be said on a connection
        // which a move to another address has cut by then.
        let mut under_way = None;
        let mut confirmer = Some(session.confirmer(confirms));
        let work = (ops, ahead::early(&self.plan, segment));
        let end = session
            .apply(&request, work, self.cancel.subscribe(), confirmed, |told| {
                if let Told::Event(AgentEvent::Started { op }) = told {
                    reached.fetch_max(op, Ordering::Relaxed);
                    let planned = self.planned(segment, segment.from + op as usize);
                    if planned.op.nature().wants_confirmation
                        && let Some(confirming) = confirmer.take()
                    {
                        under_way = Some(tokio::spawn(confirming));
                    }
                }
                heard.told(told);
            })
            .await;
        if let Some(confirming) = under_way {
            confirming.abort();
        }
        let end = end?;
        let (failed, snapshot) = (heard.failed, heard.snapshot);
        if end == RequestEnd::Done && !self.keep(&mut session, segment, snapshot).await? {
            return Ok(Ending::Cancelled);
        }
        Ok(match end {
            RequestEnd::Done => Ending::Done,
            RequestEnd::Cancelled => Ending::Cancelled,
            RequestEnd::Failed => match failed {
                Some((at, failure, may_retry)) => {
                    Ending::Failed { at, failure: Box::new(failure), may_retry }
                }
                None => return Err(Failure::new("run a request", "it failed and did not say why")),
            },
            RequestEnd::Fenced { generation } => {
                return Err(Failure::new(
                    "run a request",
                    format!("another operator has taken over this node (lease {generation})"),
                )
                .refused(crate::events::Refusal::Lease)
                .left("what they do goes on; this run stops here")
                .hint("ask who took it over; `slipway status` shows the cluster as it is"));
            }
            RequestEnd::Interrupted | RequestEnd::Unknown => {
                return Err(Failure::new(
                    "run a request",
                    "the agent gave it up, because nobody listened",
                )
                .hint("run the same command again"));
            }
        })
    }
}

/// What is heard of one request, made into events.
struct Heard<'a> {
    driver: &'a Driver,
    segment: Segment,
    lane: &'a NodeName,
    /// Ops whose outcome was told already: an agent that was restarted tells them again.
    told: std::collections::BTreeSet<u32>,
    failed: Option<(usize, Failure, bool)>,
    /// Taken, and waiting on the node to be fetched.
    snapshot: Option<SnapshotInfo>,
}

impl<'a> Heard<'a> {
    fn new(driver: &'a Driver, segment: Segment, lane: &'a NodeName) -> Self {
        Self { driver, segment, lane, told: Default::default(), failed: None, snapshot: None }
    }

    fn told(&mut self, told: Told) {
        let recorder = &self.driver.job.recorder;
        let node = self.driver.planned(self.segment, self.segment.from).on.clone();
        match told {
            Told::Lost(why) => drop(recorder.emit(Event::NodeLost { node, why })),
            Told::Again(welcome) => {
                let machine_id = welcome.machine_id;
                recorder.emit(Event::NodeConnected { node, machine_id, again: true });
            }
            Told::Event(AgentEvent::Started { op }) if !self.told.contains(&op) => {
                recorder.emit(Event::OpStarted { op: self.op_ref(op) });
            }
            Told::Event(AgentEvent::Output { output, .. }) => self.output(&output),
            Told::Event(AgentEvent::Telling { op, telling }) => {
                drop(recorder.emit(match telling {
                    Telling::Applications(applications) => {
                        Event::Applications { op: self.op_ref(op), applications }
                    }
                    Telling::HandOffWaits { repo, commit, waiting } => {
                        Event::HandOffWaits { repo, commit, waiting }
                    }
                }))
            }
            Told::Event(AgentEvent::Finished { op, outcome, elapsed_ms }) => {
                if self.told.insert(op) {
                    self.finished(op, outcome, elapsed_ms);
                }
            }
            Told::Event(AgentEvent::Started { .. }) => {}
        }
    }

    fn op_ref(&self, op: u32) -> OpRef {
        let last = self.segment.to - 1;
        self.driver.op_ref(self.segment, (self.segment.from + op as usize).min(last))
    }

    fn finished(&mut self, op: u32, outcome: Outcome, elapsed_ms: u64) {
        let op_ref = self.op_ref(op);
        let mut result = match outcome {
            Outcome::Failed { mut failure, may_retry } => {
                failure.node.get_or_insert_with(|| op_ref.node.clone());
                failure.left.get_or_insert_with(|| {
                    "what was done before it stays; nothing after it was begun".into()
                });
                failure.hint.get_or_insert_with(|| {
                    "mend the cause; the same command goes on from here".into()
                });
                let failure = failure.at(&op_ref.phase, &op_ref.step);
                let at = self.segment.from + op as usize;
                self.failed = Some((at, failure.clone(), may_retry));
                OpResult::Failed(failure)
            }
            other => result_of(other),
        };
        match &mut result {
            OpResult::Unchanged => drop(self.driver.unchanged.fetch_add(1, Ordering::Relaxed)),
            OpResult::Changed(_) => drop(self.driver.changed.fetch_add(1, Ordering::Relaxed)),
            OpResult::Failed(failure) => {
                let tries = &mut *self.driver.tries.lock().unwrap_or_else(PoisonError::into_inner);
                let times = tries.entry((self.segment.phase, self.segment.lane)).or_default();
                *times += 1;
                if *times > 1 {
                    failure.causes.push(format!("(attempt {times})"));
                }
            }
        }
        self.driver.job.recorder.emit(Event::OpFinished { op: op_ref, result, elapsed_ms });
    }

    fn output(&mut self, output: &Output) {
        for secret in Outputs::secrets(output) {
            (self.driver.job.desk.hide)(secret);
        }
        let recorder = &self.driver.job.recorder;
        self.driver.outputs.lock().unwrap_or_else(PoisonError::into_inner).take(self.lane, output);
        match output {
            Output::Identity { ca_fingerprint, etcd_cluster_id } => {
                recorder.emit(Event::ClusterIdentity {
                    ca_fingerprint: ca_fingerprint.clone(),
                    etcd_cluster_id: Some(etcd_cluster_id.clone()),
                });
            }
            Output::Snapshot(snapshot) => self.snapshot = Some(snapshot.clone()),
            Output::HandedOff { repo, commit, applications, still_ours } => {
                recorder.emit(Event::HandedOff {
                    repo: repo.clone(),
                    commit: commit.clone(),
                    applications: applications.clone(),
                    still_ours: still_ours.clone(),
                });
            }
            Output::Join(_)
            | Output::EncryptionConfig(_)
            | Output::UserCertificate(_)
            | Output::EngineLogin(_)
            | Output::Etcd(_) => {}
        }
    }
}
