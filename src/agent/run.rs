//! One request: its ops in order, each observed, applied, verified and journalled.

use std::sync::Arc;

use futures::future::{Either, select};

use super::{
    Agent, IDLE_MS, Journal,
    frames::{AgentEvent, Outcome, RequestEnd, StepOp},
};
use crate::{
    events::{Failure, RequestId},
    ops::{Observed, Op, OpError, OpResult, Output, action::finish, network::WAITS, sys::Moment},
    redact::Redactor,
};

impl Agent {
    /// Runs a request to its end and says how it ended.
    pub(super) async fn run(self: Arc<Self>, request: RequestId, ops: Vec<StepOp>) {
        let mut end = RequestEnd::Done;
        for (index, step_op) in (0u32..).zip(&ops) {
            if self.state().requests.get(&request).is_some_and(|live| live.cancelled) {
                end = RequestEnd::Cancelled;
                break;
            }
            if !self.somebody_listens(&request).await {
                end = RequestEnd::Interrupted;
                break;
            }
            if !self.begin_op(&request).await {
                end = RequestEnd::Cancelled;
                break;
            }
            let outcome = self.run_op(&request, index, step_op).await;
            self.update(|state| state.op_runs = false);
            if matches!(outcome, Outcome::Failed { .. }) {
                end = RequestEnd::Failed;
                break;
            }
        }
        self.update(|state| {
            // One that was set aside while it waited has made room already.
            if state.running.as_ref() == Some(&request) {
                state.running = None;
            }
            state.requests.entry(request).or_default().end = Some(end);
        });
    }

    /// Whether the next op may begin: asked and answered in one, so that nobody takes the node over
    /// in between.
    async fn begin_op(&self, request: &RequestId) -> bool {
        let _turn = self.turn.lock().await;
        self.update(|state| {
            let cancelled = state.requests.get(request).is_some_and(|live| live.cancelled);
            state.op_runs |= !cancelled;
            !cancelled
        })
    }

    /// No op starts unless somebody listens: a controller that is gone may be gone for a reason.
    async fn somebody_listens(&self, request: &RequestId) -> bool {
        let mut changed = self.changed.subscribe();
        let waited = async {
            loop {
                {
                    let state = self.state();
                    let cancelled = state.requests.get(request).is_some_and(|live| live.cancelled);
                    if state.listeners > 0 || cancelled {
                        return;
                    }
                }
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        let waited = std::pin::pin!(waited);
        matches!(select(waited, self.sys.sleep_ms(IDLE_MS)).await, Either::Left(_))
    }

    async fn run_op(&self, request: &RequestId, index: u32, step_op: &StepOp) -> Outcome {
        let StepOp { step, op } = step_op;
        let began_ms = self.sys.now_ms();
        let known = self.journal().known(request, index);
        // An op that serves a later one has nothing to show for itself but what it made: again.
        if let Some(outcome) = known.outcome
            && !op.nature().serves
        {
            if let Ok(Some(output)) = op.action().recall(&*self.sys).await {
                self.emit(request, AgentEvent::Output { op: index, output });
            }
            let finished =
                AgentEvent::Finished { op: index, outcome: outcome.clone(), elapsed_ms: 0 };
            self.emit(request, finished);
            return outcome;
        }
        self.emit(request, AgentEvent::Started { op: index });
        let result = match self.sys.moment(step, Moment::Begun).await {
            Ok(()) => self.timed(op, self.work(request, index, step_op, known.intended)).await,
            Err(error) => Err(error.into()),
        };
        let outcome = match result {
            Ok((done, output)) => {
                if let Some(output) = output {
                    self.emit(request, AgentEvent::Output { op: index, output });
                }
                done
            }
            Err(error) => failed(op, error),
        };
        if outcome != Outcome::Unchanged {
            let written = self.journal().finish(request, index, &outcome);
            if let Err(error) = written {
                // The work is done; that it cannot be noted is worth a failure of its own.
                return self.conclude(request, index, began_ms, unwritable(op, &error));
            }
            let _ = self.sys.moment(step, Moment::Recorded).await;
        }
        self.conclude(request, index, began_ms, outcome)
    }

    fn conclude(
        &self,
        request: &RequestId,
        index: u32,
        began_ms: u64,
        outcome: Outcome,
    ) -> Outcome {
        let elapsed_ms = self.sys.now_ms().saturating_sub(began_ms);
        let finished = AgentEvent::Finished { op: index, outcome: outcome.clone(), elapsed_ms };
        self.emit(request, finished);
        outcome
    }

    async fn work(
        &self,
        request: &RequestId,
        index: u32,
        StepOp { step, op }: &StepOp,
        intended_before: bool,
    ) -> OpResult<(Outcome, Option<Output>)> {
        let action = op.action();
        let differences = match action.observe(&*self.sys).await.map_err(OpError::looked)? {
            Observed::Holds if intended_before => {
                let text = "was finished by a try that was cut off".to_string();
                return Ok((Outcome::Changed(vec![text]), action.recall(&*self.sys).await?));
            }
            Observed::Holds | Observed::Left(_) => return Ok((Outcome::Unchanged, None)),
            Observed::Differs(differences) => differences,
        };
        Journal::intend(&mut self.journal(), request, index, step, op.title())
            .map_err(|error| OpError::new("write the node's journal", error.to_string()))?;
        self.sys.moment(step, Moment::Intended).await?;
        let tell = |telling| self.emit(request, AgentEvent::Telling { op: index, telling });
        let done = finish(action, &*self.sys, differences, &tell).await?;
        self.sys.moment(step, Moment::Applied).await?;
        // What serves a later op is not a change of the node.
        let outcome =
            if op.nature().serves { Outcome::Unchanged } else { Outcome::Changed(done.changed) };
        Ok((outcome, done.output))
    }

    /// Whether the network is as it will be, and an op waits to hear that the node can be reached.
    pub(super) async fn waits_for_confirmation(&self) -> bool {
        self.sys.read(WAITS).await.is_ok_and(|file| file.is_some())
    }

    pub(super) async fn timed<T>(
        &self,
        op: &Op,
        work: impl Future<Output = OpResult<T>>,
    ) -> OpResult<T> {
        let timeout_s = op.nature().timeout_s;
        let timeout = self.sys.sleep_ms(u64::from(timeout_s) * 1000);
        match select(std::pin::pin!(work), timeout).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => {
                Err(OpError::new(op.title(), format!("it took longer than {timeout_s} s"))
                    .hint("look at the node's load and disk; the same command goes on from here")
                    .passing())
            }
        }
    }
}

fn failed(op: &Op, error: OpError) -> Outcome {
    let mut failure = *error.failure;
    // The controller hides what it knows to be secret, too; but first this goes into the node's journal.
    failure.clean(&Redactor::default());
    if failure.what.is_empty() {
        failure.what = op.title();
    }
    Outcome::Failed { failure, may_retry: error.passing && (error.looked || op.nature().retry) }
}

fn unwritable(op: &Op, error: &std::io::Error) -> Outcome {
    let failure = Failure::new(
        op.title(),
        format!("it was done, but the node's journal could not be written: {error}"),
    )
    .hint("free space under /var/lib/slipway on the node, then run the same command again");
    Outcome::Failed { failure, may_retry: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_said_goes_into_the_journal_without_its_secrets() {
        let mut failure =
            Failure::new("join with abcdef.0123456789abcdef", "it said abcdef.0123456789abcdef");
        let key = "0123456789abcdef".repeat(4);
        failure.output = vec!["Using certificate key:".into(), key.clone(), "Done".into()];
        failure.hint = Some(format!("--certificate-key {key}"));
        let op = Op::from(crate::ops::checks::ClockFit { wait_s: 1 });
        let Outcome::Failed { failure, .. } = failed(&op, failure.into()) else {
            panic!("it failed")
        };
        let said = format!("{failure:?}");
        assert!(!said.contains("abcdef.0123") && !said.contains(&key), "{said}");
        assert_eq!(failure.output[2], "Done");
        assert_eq!(failure.what, "join with [hidden]");
    }
}
