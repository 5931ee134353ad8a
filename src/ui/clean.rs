//! Makes an event fit to be shown: no secrets, no control characters.
//!
//! Done once, before a fold looks at the event: a text that is cut or wrapped first could show half
//! a secret. Programs get the same text as people, for an escape sequence may tear a secret. Must not know how events are shown.

use std::collections::BTreeMap;

use crate::{
    events::{AppState, Download, Event, Failure, OpRef, OpResult, Stamped},
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
                self.lines(&mut run.decisions);
                self.lines(&mut run.destructive);
            }
            Event::RunFinished(run) => {
                self.text(&mut run.run);
                run.failures.iter_mut().for_each(|failure| self.failure(failure));
            }
            Event::Download(Download { what, bytes: _, total: _, per_s: _, done: _ })
            | Event::Brought { node: _, what, bytes: _ } => self.text(what),
            Event::PhaseStarted { phase: _, pace: _, lanes: _ }
            | Event::PhaseFinished { phase: _, result: _, elapsed_ms: _ }
            | Event::Interrupted { leaving_at_once: _ } => {}
            Event::NodeConnected { node: _, machine_id, again: _ } => self.text(machine_id),
            Event::NodeLost { node: _, why } => self.text(why),
            Event::NodeReplaced { node: _, was, now } => self.texts([was, now]),
            Event::Intent { node: _, phase: _, request, ops } => {
                self.text(request);
                self.lines(ops);
            }
            Event::OpStarted { op } => {
                self.guards.remove(&op.lane);
                self.op(op);
            }
            Event::OpOutput { op, line } => {
                let guard = self.guards.entry(op.lane.clone()).or_default();
                *line = guard.line(&self.redactor, line);
                self.text(line);
                self.op(op);
            }
            Event::OpFinished { op, result, elapsed_ms: _ } => {
                self.guards.remove(&op.lane);
                self.op(op);
                self.result(result);
            }
            Event::OpRecovered { node: _, request, number: _, result } => {
                self.text(request);
                self.result(result);
            }
            Event::RetryScheduled { op, attempt: _, wait_ms: _, why } => {
                self.op(op);
                self.text(why);
            }
            Event::ClusterIdentity { ca_fingerprint, etcd_cluster_id } => {
                self.text(ca_fingerprint);
                etcd_cluster_id.iter_mut().for_each(|id| self.text(id));
            }
            Event::ClusterRetired { ca_fingerprint } => {
                ca_fingerprint.iter_mut().for_each(|ca| self.text(ca));
            }
            Event::PasswordShown {} => {}
            Event::DiskApproved { serial: _, node: _, shown } => self.text(shown),
            Event::SnapshotTaken { node: _, file, sha256, revision: _ } => {
                self.texts([file, sha256]);
            }
            Event::Applications { op, applications } => {
                self.op(op);
                for AppState { name, depth: _, state, revision, waits, awaited: _ } in applications
                {
                    self.texts([name, state, revision]);
                    waits.iter_mut().for_each(|waits| self.text(waits));
                }
            }
            Event::HandOffWaits { repo, commit, waiting } => {
                self.texts([repo, commit]);
                self.lines(waiting);
            }
            Event::HandedOff { repo, commit, applications, still_ours } => {
                self.texts([repo, commit]);
                self.lines(applications);
                self.lines(still_ours);
            }
            Event::LeaseTaken { node: _, generation: _, from } => {
                from.iter_mut().for_each(|from| self.text(from));
            }
            Event::Note { level: _, node: _, text, hint } => {
                self.text(text);
                hint.iter_mut().for_each(|hint| self.text(hint));
            }
        }
        clean
    }

    fn op(&self, op: &mut OpRef) {
        self.text(&mut op.title);
    }

    fn result(&self, result: &mut OpResult) {
        match result {
            OpResult::Unchanged => {}
            OpResult::Changed(lines) => self.lines(lines),
            OpResult::Failed(failure) => self.failure(failure),
        }
    }

    fn failure(&self, failure: &mut Failure) {
        self.text(&mut failure.what);
        self.lines(&mut failure.causes);
        self.lines(&mut failure.output);
        failure.left.iter_mut().for_each(|left| self.text(left));
        failure.hint.iter_mut().for_each(|hint| self.text(hint));
    }

    fn texts<const N: usize>(&self, texts: [&mut String; N]) {
        texts.into_iter().for_each(|text| self.text(text));
    }

    fn lines(&self, lines: &mut [String]) {
        let mut guard = LineGuard::default();
        for line in lines {
            *line = guard.line(&self.redactor, line);
            self.text(line);
        }
    }

    /// Hidden, stripped, and hidden again: taking an escape sequence out may join a secret's halves.
    fn text(&self, text: &mut String) {
        *text = self.redactor.text(text);
        if text.chars().any(is_control) {
            *text = self.redactor.text(&strip(text));
        }
    }
}

/// Also the marks that make a terminal write backwards, with which a text can pose as another.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Without escape sequences and control characters; line ends stay, tabs become spaces.
fn strip(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' => kept.push('\n'),
            '\t' => kept.push(' '),
            // A bar that a program draws over itself: each state on its own line.
            '\r' if rest.peek().is_some_and(|next| *next != '\n') => kept.push('\n'),
            '\u{1b}' => match rest.next() {
                // CSI: parameters, then one final byte.
                Some('[') => {
                    rest.by_ref().find(|c| ('@'..='~').contains(c));
                }
                // OSC: to BEL or ESC \.
                Some(']') => {
                    while let Some(c) = rest.next() {
                        if c == '\u{7}' || (c == '\u{1b}' && rest.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                _ => {}
            },
            c if is_control(c) => {}
            c => kept.push(c),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_go_and_text_stays() {
        for (raw, clean) in [
            ("\u{1b}[1;31mred\u{1b}[0m é", "red é"),
            ("\u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{1b}\\", "link"),
            ("10%\r20%\r\n", "10%\n20%\n"),
            ("a\tb\u{8}\u{202e}c\u{1b}", "a bc"),
            ("cut \u{1b}[31", "cut "),
        ] {
            assert_eq!(strip(raw), clean, "{raw:?}");
        }
    }

    #[test]
    fn a_secret_behind_an_escape_sequence_is_hidden() {
        let redactor = Redactor::default();
        redactor.add("hunter22");
        let cleaner = Cleaner::new(redactor);
        let mut text = "pw hunt\u{1b}[0mer22".to_owned();
        cleaner.text(&mut text);
        assert_eq!(text, "pw [hidden]");
    }
}
