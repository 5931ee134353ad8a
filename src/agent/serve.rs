//! One connection: what a controller asks, answered in order; events pushed as they come.

use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{
    Agent,
    frames::{
        AgentEvent, Found, FrameError, FromAgent, LeaseAnswer, PART, PREAMBLE, RequestEnd, StepOp,
        ToAgent, Welcome, Wire, decode, encode, wire,
    },
    lease,
};
use crate::{
    events::{Failure, RequestId},
    ops::{Op, Output, etcd::outgoing, gather, packages::Wanted, sys::SysResult},
};

/// Counts a listener as long as it lives, however its connection ends.
struct Listening<'a>(&'a Agent);

impl<'a> Listening<'a> {
    fn new(agent: &'a Agent) -> Self {
        agent.update(|state| state.listeners += 1);
        Self(agent)
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.update(|state| state.listeners -= 1);
    }
}

impl Agent {
    /// Serves one connection until it closes.
    pub async fn serve<S>(self: Arc<Self>, mut stream: S) -> Result<(), FrameError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        stream.write_all(PREAMBLE).await?;
        let mut wire = wire(stream);
        let welcome = match self.welcome().await {
            Ok(welcome) => FromAgent::Welcome(welcome),
            Err(error) => FromAgent::Sorry(Failure::new("look at this node", error.message)),
        };
        send(&mut wire, &welcome).await?;
        while let Some(frame) = wire.next().await {
            let message: ToAgent = decode(&frame?)?;
            self.answer(&mut wire, message).await?;
        }
        Ok(())
    }

    async fn welcome(&self) -> SysResult<Welcome> {
        Ok(Welcome {
            version: env!("CARGO_PKG_VERSION").into(),
            machine_id: self.sys.machine_id().await?,
            boot_id: self.sys.boot_id().await?,
            process: self.process.clone(),
            running: self.state().running.clone(),
        })
    }

    async fn answer<S>(
        self: &Arc<Self>,
        wire: &mut Wire<S>,
        message: ToAgent,
    ) -> Result<(), FrameError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let sorry = |what: &str, error: crate::ops::sys::SysError| {
            FromAgent::Sorry(Failure::new(what, error.message))
        };
        match message {
            ToAgent::Facts { now_ms } => {
                let answer = match gather::facts(&*self.sys, now_ms).await {
                    Ok(facts) => FromAgent::Facts(Box::new(facts)),
                    Err(error) => sorry("gather facts", error),
                };
                send(wire, &answer).await
            }
            ToAgent::Observe { ops, later } => {
                later.iter().for_each(|op| op.action().begin(&*self.sys));
                let found = self.observe(ops).await;
                send(wire, &FromAgent::Observed(found)).await
            }
            ToAgent::Serve { op } => {
                let _listening = Listening::new(self);
                let answer = match self.served(&op).await {
                    Ok(output) => FromAgent::Served(output),
                    Err(failure) => FromAgent::Sorry(*failure),
                };
                send(wire, &answer).await
            }
            ToAgent::Fetch { file, from } => self.fetch(wire, &file, from).await,
            ToAgent::Discard { file } => {
                let answer = match outgoing(&file) {
                    Some(path) => match self.sys.remove(&path).await {
                        Ok(()) => FromAgent::Observed(Vec::new()),
                        Err(error) => sorry("remove what was fetched", error),
                    },
                    None => FromAgent::Sorry(no_such(&file)),
                };
                send(wire, &answer).await
            }
            ToAgent::TakeLease { holder, force } => {
                let _turn = self.turn.lock().await;
                let op_runs = self.state().op_runs;
                let answer = match lease::take(&*self.sys, &holder, force, op_runs).await {
                    Ok(answer) => {
                        if matches!(answer, LeaseAnswer::Granted { .. }) {
                            self.set_aside();
                        }
                        FromAgent::Lease(answer)
                    }
                    Err(error) => sorry("take the lease", error),
                };
                send(wire, &answer).await
            }
            ToAgent::ReleaseLease { generation } => {
                let answer = match lease::release(&*self.sys, generation).await {
                    Ok(()) => FromAgent::Lease(LeaseAnswer::Granted { generation, from: None }),
                    Err(error) => sorry("release the lease", error),
                };
                send(wire, &answer).await
            }
            ToAgent::Confirm => {
                // Before the change is made there is nothing to confirm.
                if !self.waits_for_confirmation().await {
                    let failure = Failure::new("confirm the network", "no change waits for it");
                    return send(wire, &FromAgent::Sorry(failure)).await;
                }
                let answer = match self.sys.disarm_undo().await {
                    Ok(()) => FromAgent::Observed(Vec::new()),
                    Err(error) => sorry("confirm the network", error),
                };
                send(wire, &answer).await
            }
            ToAgent::Cancel { request } => {
                self.cancel(&request);
                Ok(())
            }
            ToAgent::Dismiss { generation } => {
                let answer = match self.dismiss(generation).await {
                    Ok(()) => FromAgent::Observed(Vec::new()),
                    Err(failure) => FromAgent::Sorry(*failure),
                };
                send(wire, &answer).await
            }
            ToAgent::Apply { request, generation, after, ops, early } => {
                self.apply(wire, request, (generation, after), ops, &early).await
            }
            ToAgent::Attach { request, after, stop } => {
                // Before anybody listens, or the next op would begin.
                if stop {
                    self.cancel(&request);
                }
                self.attach(wire, request, after).await
            }
        }
    }

    /// Removes what Slipway keeps on a node for itself. Nothing of the host or the cluster.
    async fn dismiss(&self, generation: u64) -> Result<(), Box<Failure>> {
        const WHAT: &str = "remove the agent";
        let _turn = self.turn.lock().await;
        let say = |error: crate::ops::sys::SysError| Box::new(Failure::new(WHAT, error.message));
        let newest = lease::generation(&*self.sys).await.map_err(say)?;
        if generation < newest || self.is_busy() {
            let failure = Failure::new(WHAT, "somebody else works on this node")
                .refused(crate::events::Refusal::Lease)
                .left("nothing was removed");
            return Err(Box::new(failure));
        }
        if self.sys.undo_is_armed().await.map_err(say)? {
            let failure = Failure::new(WHAT, "a change of the network waits for its confirmation")
                .refused(crate::events::Refusal::Network)
                .left("nothing was removed")
                .hint("wait until it is confirmed or undone, then run the same command again");
            return Err(Box::new(failure));
        }
        for path in ["/run/slipway", "/var/lib/slipway"] {
            self.sys.remove(path).await.map_err(say)?;
        }
        self.update(|state| state.dismissed = true);
        Ok(())
    }

    /// A request that waits between two ops belongs to a lease that is over.
    fn set_aside(&self) {
        self.sys.stop_early();
        self.update(|state| {
            if let Some(live) = state.running.as_ref().and_then(|r| state.requests.get_mut(r)) {
                live.cancelled = true;
            }
            if !state.op_runs {
                state.running = None;
            }
        });
    }

    fn cancel(&self, request: &RequestId) {
        self.sys.stop_early();
        self.update(|state| {
            if let Some(live) = state.requests.get_mut(request) {
                live.cancelled = true;
            }
        });
    }

    async fn observe(&self, ops: Vec<Op>) -> Vec<Found> {
        let mut found = Vec::with_capacity(ops.len());
        for op in ops {
            found.push(match op.action().observe(&*self.sys).await {
                Ok(observed) => Found::Observed(observed),
                Err(error) => {
                    let mut failure = *error.failure;
                    if failure.what.is_empty() {
                        failure.what = op.title();
                    }
                    Found::Failed(failure)
                }
            });
        }
        found
    }

    /// Part after part, as fast as they are taken.
    async fn fetch<S>(&self, wire: &mut Wire<S>, file: &str, from: u64) -> Result<(), FrameError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let Some(path) = outgoing(file) else {
            return send(wire, &FromAgent::Sorry(no_such(file))).await;
        };
        let _listening = Listening::new(self);
        let mut from = from;
        loop {
            let bytes = match self.sys.read_part(&path, from, PART).await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return send(wire, &FromAgent::Sorry(no_such(file))).await,
                Err(error) => {
                    let failure = Failure::new(format!("read {file}"), error.message);
                    return send(wire, &FromAgent::Sorry(failure)).await;
                }
            };
            let ended = bytes.is_empty();
            from += bytes.len() as u64;
            send(wire, &FromAgent::Part { bytes }).await?;
            if ended {
                return Ok(());
            }
        }
    }

    /// What an op makes for a person. Not journalled: nothing has to be known of it later.
    async fn served(&self, op: &Op) -> Result<Output, Box<Failure>> {
        if !op.nature().unleased {
            return Err(Box::new(Failure::new(op.title(), "it needs the lease of this node")));
        }
        match self.timed(op, op.action().apply(&*self.sys)).await {
            Ok(Some(output)) => Ok(output),
            Ok(None) => Err(Box::new(Failure::new(op.title(), "it made nothing"))),
            Err(mut error) => {
                if error.failure.what.is_empty() {
                    error.failure.what = op.title();
                }
                Err(error.failure)
            }
        }
    }

    async fn apply<S>(
        self: &Arc<Self>,
        wire: &mut Wire<S>,
        request: RequestId,
        (generation, after): (u64, u64),
        ops: Vec<StepOp>,
        early: &[Wanted],
    ) -> Result<(), FrameError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let turn = self.turn.lock().await;
        match lease::generation(&*self.sys).await {
            Ok(newest) if generation < newest => {
                let end = RequestEnd::Fenced { generation: newest };
                return send(wire, &FromAgent::Ended { request, end }).await;
            }
            Ok(_) => {}
            Err(error) => {
                let failure = Failure::new("check the lease", error.message);
                return send(wire, &FromAgent::Sorry(failure)).await;
            }
        }
        let start = self.update(|state| {
            // One that stopped because nobody listened is taken up again.
            if state.requests.get(&request).is_some_and(|l| l.end == Some(RequestEnd::Interrupted))
            {
                state.requests.remove(&request);
            }
            let seen = state.requests.contains_key(&request);
            if !seen && state.running.is_none() {
                state.running = Some(request.clone());
                state.requests.insert(request.clone(), super::Live::default());
                return Ok(true);
            }
            if seen { Ok(false) } else { Err(state.running.clone().unwrap_or_default()) }
        });
        drop(turn);
        match start {
            Ok(true) => {
                self.sys.begin_early(early);
                drop(tokio::spawn(self.clone().run(request.clone(), ops)));
            }
            Ok(false) => {}
            Err(running) => {
                let failure = Failure::new(
                    "run a request",
                    format!("request {running} still runs on this node"),
                )
                .hint("wait for it to end; it is not cut off");
                return send(wire, &FromAgent::Sorry(failure)).await;
            }
        }
        self.stream(wire, request, after).await
    }

    async fn attach<S>(
        &self,
        wire: &mut Wire<S>,
        request: RequestId,
        after: u64,
    ) -> Result<(), FrameError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        if self.state().requests.contains_key(&request) {
            return self.stream(wire, request, after).await;
        }
        // An earlier agent process ran it: its journal knows how far it came.
        let outcomes = self.journal().outcomes(&request);
        let end = if outcomes.is_empty() { RequestEnd::Unknown } else { RequestEnd::Interrupted };
        for (index, (op, outcome)) in (0u64..).zip(outcomes) {
            let event = AgentEvent::Finished { op, outcome, elapsed_ms: 0 };
            send(wire, &FromAgent::Event { request: request.clone(), index, event }).await?;
        }
        send(wire, &FromAgent::Ended { request, end }).await
    }

    /// Pushes events from `after` on, until the request has ended. Listens for a `Cancel` meanwhile.
    async fn stream<S>(
        &self,
        wire: &mut Wire<S>,
        request: RequestId,
        after: u64,
    ) -> Result<(), FrameError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let _listening = Listening::new(self);
        let mut changed = self.changed.subscribe();
        let mut next = usize::try_from(after).unwrap_or(usize::MAX);
        loop {
            changed.catch_up();
            let (fresh, end) = {
                let state = self.state();
                let Some(live) = state.requests.get(&request) else { break };
                (live.events.get(next..).unwrap_or_default().to_vec(), live.end.clone())
            };
            for event in fresh {
                let index = next as u64;
                send(wire, &FromAgent::Event { request: request.clone(), index, event }).await?;
                next += 1;
            }
            if let Some(end) = end {
                return send(wire, &FromAgent::Ended { request, end }).await;
            }
            tokio::select! {
            biased;
                frame = wire.next() => match frame {
                    None => return Err(FrameError::Closed),
                    Some(frame) => match decode(&frame?)? {
                        ToAgent::Cancel { request } => self.cancel(&request),
                        _ => {
                            let failure = Failure::new("read a frame", "only Cancel may come while a request runs");
                            send(wire, &FromAgent::Sorry(failure)).await?;
                        }
                    },
                },
                _ = changed.changed() => {}
            }
        }
        Ok(())
    }
}

fn no_such(file: &str) -> Failure {
    Failure::new(format!("read {file}"), "it is not there any more")
        .hint("run the same command again: it is taken anew")
}

async fn send<S>(wire: &mut Wire<S>, message: &FromAgent) -> Result<(), FrameError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    Ok(wire.send(encode(message)?).await?)
}
