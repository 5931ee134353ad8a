//! A session with one node's agent, over as many connections as it takes.

use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use tokio::io::AsyncReadExt;

use crate::{
    agent::frames::{
        AgentEvent, FrameError, FromAgent, PREAMBLE, RequestEnd, StepOp, ToAgent, Welcome, Wire,
        decode, encode, wire,
    },
    clock::Clock,
    events::{Failure, RequestId},
    names::NodeName,
    news,
    ops::{Op, Output, packages::Wanted},
    transport::{ConnectError, Connector, Parcel, Sent, Stream},
};

/// What a login shell may print before the agent speaks.
const MAX_NOISE: usize = 64 << 10;
/// How long a node that was there may be away: a reboot with a slow firmware.
const AWAY_MS: u64 = 6 * 60 * 1000;
/// How long an answer to a question may take.
const ANSWER_MS: u64 = 60 * 1000;
/// How long one waits for somebody who need not answer.
const MENTION_MS: u64 = 2_000;
/// How long the old connection may be silent after the node was reached at its new address.
const SILENT_MS: u64 = 2_000;
/// How often an op may lose its agent, or its node, before that is taken for its own doing.
const MOST_LOSSES: u32 = 4;
const FIRST_WAIT_MS: u64 = 500;
/// How long between two tries to reach a node whose network changes.
const CONFIRM_MS: u64 = 200;
const LONGEST_WAIT_MS: u64 = 8_000;

pub struct Session {
    pub node: NodeName,
    connector: Arc<dyn Connector>,
    clock: Clock,
    wire: Option<Wire<Box<dyn Stream>>>,
    pub welcome: Welcome,
    /// The lease; 0 for a session that only reads.
    pub generation: u64,
}

/// What a request tells while it runs.
pub enum Told {
    Event(AgentEvent),
    Lost(String),
    Again(Welcome),
}

impl Session {
    /// The first connection: nothing is known yet, so it is tried once.
    pub async fn open(
        connector: Arc<dyn Connector>,
        node: NodeName,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let (wire, welcome) = dial(&*connector, &node, &clock).await.map_err(|e| *e.failure)?;
        Ok(Self { node, connector, clock, wire: Some(wire), welcome, generation: 0 })
    }

    /// What connections to nodes are made by.
    pub fn connector(&self) -> Arc<dyn Connector> {
        self.connector.clone()
    }

    /// Asks one question. Reading and leases may be asked again on a new connection.
    pub async fn ask(&mut self, question: &ToAgent) -> Result<FromAgent, Failure> {
        self.ask_within(question, ANSWER_MS).await
    }

    /// What an op makes that needs no lease.
    pub async fn serve(&mut self, op: &Op) -> Result<Output, Failure> {
        let within_ms = u64::from(op.nature().timeout_s) * 1000 + ANSWER_MS;
        match self.ask_within(&ToAgent::Serve { op: Box::new(op.clone()) }, within_ms).await? {
            FromAgent::Served(output) => Ok(output),
            _ => {
                let failure = Failure::new(op.title(), "the agent answered something else");
                Err(failure.on(&self.node))
            }
        }
    }

    async fn ask_within(
        &mut self,
        question: &ToAgent,
        within_ms: u64,
    ) -> Result<FromAgent, Failure> {
        for last in [false, true] {
            let answer = self.exchange(question, within_ms).await;
            match answer {
                Ok(FromAgent::Sorry(failure)) => return Err(failure.on(&self.node)),
                Ok(answer) => return Ok(answer),
                Err(error) if last => {
                    return Err(Failure::new("talk to the agent", error.to_string()).on(&self.node));
                }
                Err(_) => drop(self.reconnect().await?),
            }
        }
        unreachable!("the second answer is returned")
    }

    async fn exchange(
        &mut self,
        question: &ToAgent,
        within_ms: u64,
    ) -> Result<FromAgent, FrameError> {
        let clock = self.clock;
        let Some(wire) = &mut self.wire else { return Err(FrameError::Closed) };
        wire.send(encode(question)?).await?;
        match clock.within(within_ms, next(wire)).await {
            Some(answer) => answer,
            None => {
                self.wire = None;
                Err(FrameError::Closed)
            }
        }
    }

    /// Asks once, on the connection there is: for what is only polite.
    /// Whether it was answered.
    pub async fn mention(&mut self, question: &ToAgent) -> bool {
        let clock = self.clock;
        let answer = clock.within(MENTION_MS, self.exchange(question, ANSWER_MS)).await;
        matches!(answer, Some(Ok(_)))
    }

    /// Dials until the node is back, or has been away for too long.
    async fn reconnect(&mut self) -> Result<Welcome, Failure> {
        self.wire = None;
        let deadline = self.clock.now_ms() + AWAY_MS;
        let mut wait_ms = FIRST_WAIT_MS;
        loop {
            match dial(&*self.connector, &self.node, &self.clock).await {
                Ok((wire, welcome)) => {
                    if welcome.machine_id != self.welcome.machine_id {
                        return Err(Failure::new(
                            "reconnect",
                            format!(
                                "another machine answers: its machine-id is {}, it was {}",
                                welcome.machine_id, self.welcome.machine_id
                            ),
                        )
                        .on(&self.node)
                        .refused(crate::events::Refusal::Identity)
                        .hint("run the same command again: it plans for the machine that is there now"));
                    }
                    self.wire = Some(wire);
                    self.welcome = welcome.clone();
                    return Ok(welcome);
                }
                Err(error) if !error.passing || self.clock.now_ms() >= deadline => {
                    let failure = *error.failure;
                    return Err(failure
                        .left("an op that was under way may have gone on; its journal knows"));
                }
                Err(_) => {
                    self.clock.sleep_ms(wait_ms).await;
                    wait_ms = (wait_ms * 2).min(LONGEST_WAIT_MS);
                }
            }
        }
    }

    /// Brings files to the node, on connections of their own; what arrived stays when one breaks.
    /// False when that was cancelled.
    pub async fn bring(
        &mut self,
        parcels: &[Parcel],
        mut cancel: news::Receiver<bool>,
        sent: &Sent,
    ) -> Result<bool, Failure> {
        let mut wait_ms = FIRST_WAIT_MS;
        for last in (0..=MOST_LOSSES).map(|n| n == MOST_LOSSES) {
            let brought = tokio::select! {
                biased;
                () = wanted(&mut cancel) => return Ok(false),
                brought = self.connector.bring(&self.node, parcels, sent) => brought,
            };
            match brought {
                Ok(()) => return Ok(true),
                Err(error) if last || !error.passing => return Err(*error.failure),
                Err(_) => self.clock.sleep_ms(wait_ms).await,
            }
            wait_ms = (wait_ms * 2).min(LONGEST_WAIT_MS);
        }
        unreachable!("the last try returns")
    }

    /// Takes a file off the node, on connections of its own; it goes on where one broke off. False
    /// when that was cancelled.
    pub async fn fetch(
        &mut self,
        file: &str,
        mut cancel: news::Receiver<bool>,
        take: &mut (dyn FnMut(&[u8]) -> Result<(), Failure> + Send),
    ) -> Result<bool, Failure> {
        let (mut from, mut losses, mut wait_ms) = (0, 0, FIRST_WAIT_MS);
        loop {
            let before = from;
            let fetched = tokio::select! {
                biased;
                () = wanted(&mut cancel) => return Ok(false),
                fetched = self.fetch_once(file, &mut from, take) => fetched,
            };
            match fetched {
                Ok(()) => return Ok(true),
                Err(error) if !error.passing => return Err(*error.failure),
                Err(_) if from > before => (losses, wait_ms) = (1, FIRST_WAIT_MS),
                Err(error) if losses == MOST_LOSSES => return Err(*error.failure),
                Err(_) => losses += 1,
            }
            self.clock.sleep_ms(wait_ms).await;
            wait_ms = (wait_ms * 2).min(LONGEST_WAIT_MS);
        }
    }

    async fn fetch_once(
        &mut self,
        file: &str,
        from: &mut u64,
        take: &mut (dyn FnMut(&[u8]) -> Result<(), Failure> + Send),
    ) -> Result<(), ConnectError> {
        let node = self.node.clone();
        let over = |failure: Failure, passing| ConnectError {
            failure: Box::new(failure.on(&node)),
            passing,
        };
        let broke = |error: FrameError| {
            over(Failure::new(format!("fetch {file}"), error.to_string()), true)
        };
        let (mut wire, welcome) = dial(&*self.connector, &self.node, &self.clock).await?;
        if welcome.machine_id != self.welcome.machine_id {
            let failure = Failure::new(format!("fetch {file}"), "another machine answers");
            return Err(over(failure.refused(crate::events::Refusal::Identity), false));
        }
        if welcome.boot_id != self.welcome.boot_id {
            let failure = Failure::new(format!("fetch {file}"), "the node was restarted meanwhile");
            return Err(over(failure.hint("run the same command again"), false));
        }
        let question = ToAgent::Fetch { file: file.into(), from: *from };
        wire.send(encode(&question).map_err(broke)?).await.map_err(|e| broke(e.into()))?;
        loop {
            let answer = self.clock.within(ANSWER_MS, next(&mut wire)).await;
            match answer.unwrap_or(Err(FrameError::Closed)).map_err(broke)? {
                FromAgent::Part { bytes } if bytes.is_empty() => return Ok(()),
                FromAgent::Part { bytes } => {
                    take(&bytes).map_err(|failure| over(failure, false))?;
                    *from += bytes.len() as u64;
                }
                FromAgent::Sorry(failure) => return Err(over(failure, false)),
                _ => {
                    let why = "the agent answered something else";
                    return Err(over(Failure::new(format!("fetch {file}"), why), false));
                }
            }
        }
    }

    /// Sends a request and follows it to its end, whatever happens to the connection.
    pub async fn apply(
        &mut self,
        request: &RequestId,
        (ops, early): (Vec<StepOp>, Vec<Wanted>),
        cancel: news::Receiver<bool>,
        confirmed: news::Receiver<bool>,
        tell: impl FnMut(Told) + Send,
    ) -> Result<RequestEnd, Failure> {
        let message = |after, generation| ToAgent::Apply {
            request: request.clone(),
            generation,
            after,
            ops: ops.clone(),
            early: early.clone(),
        };
        self.follow(request, message, cancel, Some(confirmed), tell).await
    }

    /// Listens to a request of an earlier controller until its op ends; none follows it.
    pub async fn attach(
        &mut self,
        request: &RequestId,
        cancel: news::Receiver<bool>,
        tell: impl FnMut(Told) + Send,
    ) -> Result<RequestEnd, Failure> {
        let message = |after, _| ToAgent::Attach { request: request.clone(), after, stop: true };
        self.follow(request, message, cancel, None, tell).await
    }

    async fn follow(
        &mut self,
        request: &RequestId,
        message: impl Fn(u64, u64) -> ToAgent + Send,
        mut cancel: news::Receiver<bool>,
        mut confirmed: Option<news::Receiver<bool>>,
        mut tell: impl FnMut(Told) + Send,
    ) -> Result<RequestEnd, Failure> {
        let mut after = 0;
        // Losses since an op ended that had not ended before.
        let (mut losses, mut newest) = (0, None);
        loop {
            let sent = message(after, self.generation);
            let mut counting = |told: Told| {
                if let Told::Event(AgentEvent::Finished { op, .. }) = &told
                    && newest.is_none_or(|n| *op > n)
                {
                    (losses, newest) = (0, Some(*op));
                }
                tell(told);
            };
            let lines = (&mut cancel, &mut confirmed);
            let ended = self.listen(request, &sent, &mut after, lines, &mut counting).await;
            match ended {
                Ok(Ok(end)) => return Ok(end),
                Ok(Err(failure)) => return Err(failure.on(&self.node)),
                Err(error) => {
                    tell(Told::Lost(error.to_string()));
                    losses += 1;
                    if losses > MOST_LOSSES {
                        return Err(Failure::new(
                            "run an op",
                            format!("the connection or the node was lost {losses} times in the same op"),
                        )
                        .on(&self.node)
                        .hint("`journalctl -b -1` and `journalctl -u 'slipway*'` on the node; power and cabling, if it reboots by itself"));
                    }
                    let process = self.welcome.process.clone();
                    // Somebody who wants to leave does not wait for a node that may never come back.
                    let welcome = {
                        let away =
                            Failure::new("wait for the node", "interrupted while it was away")
                                .on(&self.node)
                                .left("its op may have gone on; the node's journal knows")
                                .hint("the same command finds out, once the node is back");
                        tokio::select! {
                            biased;
                            welcome = self.reconnect() => welcome?,
                            () = wanted(&mut cancel) => return Err(away),
                        }
                    };
                    if welcome.process != process {
                        after = 0;
                    }
                    tell(Told::Again(welcome));
                }
            }
        }
    }

    /// One connection's part of following a request.
    async fn listen(
        &mut self,
        request: &RequestId,
        message: &ToAgent,
        after: &mut u64,
        (cancel, confirmed): (&mut news::Receiver<bool>, &mut Option<news::Receiver<bool>>),
        tell: &mut (impl FnMut(Told) + Send),
    ) -> Result<Result<RequestEnd, Failure>, FrameError> {
        let clock = self.clock;
        let Some(wire) = &mut self.wire else { return Err(FrameError::Closed) };
        wire.send(encode(message)?).await?;
        let mut cancelled = false;
        loop {
            let answer = tokio::select! {
            biased;
                () = wanted(cancel), if !cancelled => {
                    cancelled = true;
                    wire.send(encode(&ToAgent::Cancel { request: request.clone() })?).await?;
                    continue;
                }
                answer = next(wire) => answer?,
                () = silent_since(confirmed, &clock) => {
                    *confirmed = None;
                    return Err(FrameError::Closed);
                }
            };
            match answer {
                FromAgent::Event { request: of, index, event } if of == *request => {
                    *after = index + 1;
                    tell(Told::Event(event));
                }
                FromAgent::Ended { request: of, end } if of == *request => return Ok(Ok(end)),
                FromAgent::Sorry(failure) => return Ok(Err(failure)),
                // Of an earlier request on this connection; nobody waits for it any more.
                _ => {}
            }
        }
    }

    /// A connection of its own, to say that the node can be reached where it is to be reached.
    pub fn confirmer(&self, done: news::Sender<bool>) -> impl Future<Output = ()> + Send + 'static {
        let (connector, node, clock) = (self.connector.clone(), self.node.clone(), self.clock);
        async move {
            let deadline = clock.now_ms() + AWAY_MS;
            while clock.now_ms() < deadline {
                let reached = connector.connect_home(&node).await;
                if let Ok((mut wire, _)) = introduced(reached, &node, &clock).await
                    && let Ok(confirm) = encode(&ToAgent::Confirm)
                    && wire.send(confirm).await.is_ok()
                    && let Ok(FromAgent::Observed(_)) = next(&mut wire).await
                {
                    done.set(true);
                    return;
                }
                clock.sleep_ms(CONFIRM_MS).await;
            }
        }
    }
}

/// Returns some time after the node was reached anew, unless something is heard before: where it
/// has moved to another address, nothing more will come on the old connection, and TCP would take
/// its time to say so.
async fn silent_since(confirmed: &mut Option<news::Receiver<bool>>, clock: &Clock) {
    match confirmed {
        Some(confirmed) => wanted(confirmed).await,
        None => std::future::pending().await,
    }
    clock.sleep_ms(SILENT_MS).await;
}

/// Returns when a cancellation is wanted; never, when whoever might want one is gone.
async fn wanted(cancel: &mut news::Receiver<bool>) {
    if cancel.wait_for(|c| c.then_some(())).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn next(wire: &mut Wire<Box<dyn Stream>>) -> Result<FromAgent, FrameError> {
    match wire.next().await {
        None => Err(FrameError::Closed),
        Some(frame) => decode(&frame?),
    }
}

async fn dial(
    connector: &dyn Connector,
    node: &NodeName,
    clock: &Clock,
) -> Result<(Wire<Box<dyn Stream>>, Welcome), ConnectError> {
    introduced(connector.connect(node).await, node, clock).await
}

async fn introduced(
    reached: Result<Box<dyn Stream>, ConnectError>,
    node: &NodeName,
    clock: &Clock,
) -> Result<(Wire<Box<dyn Stream>>, Welcome), ConnectError> {
    let stream = reached?;
    let greeted = clock.within(ANSWER_MS, greet(stream)).await;
    let lost = |why: String| ConnectError {
        failure: Box::new(Failure::new("reach the agent", why).on(node)),
        passing: true,
    };
    match greeted {
        None => Err(lost("it did not answer in time".into())),
        Some(Err(error)) => Err(lost(error.to_string())),
        Some(Ok((_, FromAgent::Sorry(failure)))) => {
            Err(ConnectError { failure: Box::new(failure.on(node)), passing: false })
        }
        Some(Ok((wire, FromAgent::Welcome(welcome)))) => Ok((wire, welcome)),
        Some(Ok(_)) => Err(lost("it did not introduce itself".into())),
    }
}

/// Skips whatever a shell printed, up to the preamble, and reads the welcome.
async fn greet(
    mut stream: Box<dyn Stream>,
) -> Result<(Wire<Box<dyn Stream>>, FromAgent), FrameError> {
    let mut seen = Vec::new();
    while !seen.ends_with(PREAMBLE) {
        seen.push(stream.read_u8().await?);
        if seen.len() > MAX_NOISE {
            let why = "it prints without end before the agent speaks";
            return Err(std::io::Error::other(why).into());
        }
    }
    let mut wire = wire(stream);
    let welcome = next(&mut wire).await?;
    Ok((wire, welcome))
}
