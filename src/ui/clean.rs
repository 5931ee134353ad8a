//! Makes an event fit to be shown: no secrets, no control characters.
//!
//! Done once, before a fold looks at the event: a text that is cut or wrapped first could show half
//! a secret. Programs get the same text as people, for an escape sequence may tear a secret. Must not know how events are shown.

use std::collections::BTreeMap;

use crate::{
    events::{AppState, Download, Event, OpRef, OpResult, Stamped},
    names::NodeName,
    redact::{LineGuard, Redactor},
};

pub struct Cleaner {
    redactor: Redactor,
    /// One for each lane: lanes print at the same time.
    guards: BTreeMap<NodeName, LineGuard>,
}

impl Cleaner {
    pub fn new(redactor: Redactor) -> Self {
        Self { redactor, guards: BTreeMap::new() }
    }

    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// A variant or field that is added to the events must be added here: hence no `..` for texts.
    pub fn event(&mut self, stamped: &Stamped) -> Stamped {
        let mut clean = stamped.clone();
        match &mut clean.event {
            Event::RunStarted(run) => {
                self.texts([
                    &mut run.run,
                    &mut run.verb,
                    &mut run.slipway,
                    &mut run.plan_hash,
                    &mut run.command,
                ]);
                self.redactor.clean_lines(&mut run.decisions);
                self.redactor.clean_lines(&mut run.destructive);
            }
            Event::RunFinished(run) => {
                self.redactor.clean(&mut run.run);
                run.failures.iter_mut().for_each(|failure| failure.clean(&self.redactor));
            }
            Event::Download(Download { what, bytes: _, total: _, per_s: _, done: _ })
            | Event::Brought { node: _, what, bytes: _ } => self.redactor.clean(what),
            Event::PhaseStarted { phase: _, pace: _, lanes: _ }
            | Event::PhaseFinished { phase: _, result: _, elapsed_ms: _ }
            | Event::Interrupted { leaving_at_once: _ } => {}
            Event::NodeConnected { node: _, machine_id, again: _ } => {
                self.redactor.clean(machine_id)
            }
            Event::NodeLost { node: _, why } => self.redactor.clean(why),
            Event::NodeReplaced { node: _, was, now } => self.texts([was, now]),
            Event::Intent { node: _, phase: _, request, ops } => {
                self.redactor.clean(request);
                self.redactor.clean_lines(ops);
            }
            Event::OpStarted { op } => {
                self.guards.remove(&op.lane);
                self.op(op);
            }
            Event::OpOutput { op, line } => {
                let guard = self.guards.entry(op.lane.clone()).or_default();
                *line = guard.line(&self.redactor, line);
                self.redactor.clean(line);
                self.op(op);
            }
            Event::OpFinished { op, result, elapsed_ms: _ } => {
                self.guards.remove(&op.lane);
                self.op(op);
                self.result(result);
            }
            Event::OpRecovered { node: _, request, number: _, result } => {
                self.redactor.clean(request);
                self.result(result);
            }
            Event::RetryScheduled { op, attempt: _, wait_ms: _, why } => {
                self.op(op);
                self.redactor.clean(why);
            }
            Event::ClusterIdentity { ca_fingerprint, etcd_cluster_id } => {
                self.redactor.clean(ca_fingerprint);
                etcd_cluster_id.iter_mut().for_each(|id| self.redactor.clean(id));
            }
            Event::ClusterRetired { ca_fingerprint } => {
                ca_fingerprint.iter_mut().for_each(|ca| self.redactor.clean(ca));
            }
            Event::PasswordShown {} => {}
            Event::DiskApproved { serial: _, node: _, shown } => self.redactor.clean(shown),
            Event::SnapshotTaken { node: _, file, sha256, revision: _ } => {
                self.texts([file, sha256]);
            }
            Event::Applications { op, applications } => {
                self.op(op);
                for AppState { name, depth: _, state, revision, waits, awaited: _ } in applications
                {
                    self.texts([name, state, revision]);
                    waits.iter_mut().for_each(|waits| self.redactor.clean(waits));
                }
            }
            Event::HandOffWaits { repo, commit, waiting } => {
                self.texts([repo, commit]);
                self.redactor.clean_lines(waiting);
            }
            Event::HandedOff { repo, commit, applications, still_ours } => {
                self.texts([repo, commit]);
                self.redactor.clean_lines(applications);
                self.redactor.clean_lines(still_ours);
            }
            Event::LeaseTaken { node: _, generation: _, from } => {
                from.iter_mut().for_each(|from| self.redactor.clean(from));
            }
            Event::Note { level: _, node: _, text, hint } => {
                self.redactor.clean(text);
                hint.iter_mut().for_each(|hint| self.redactor.clean(hint));
            }
        }
        clean
    }

    fn op(&self, op: &mut OpRef) {
        self.redactor.clean(&mut op.title);
    }

    fn result(&self, result: &mut OpResult) {
        match result {
            OpResult::Unchanged => {}
            OpResult::Changed(lines) => self.redactor.clean_lines(lines),
            OpResult::Failed(failure) => failure.clean(&self.redactor),
        }
    }

    fn texts<const N: usize>(&self, texts: [&mut String; N]) {
        texts.into_iter().for_each(|text| self.redactor.clean(text));
    }
}
