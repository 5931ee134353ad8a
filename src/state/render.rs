//! The ledger as text and as JSON, for `slipway ledger show` and `slipway ledger history`.
//!
//! Pure: returns text, and must not know where it is printed. No colour, so that it can be piped.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::events::{Event, OpResult, Pace, PhaseResult, RunResult, RunStarted, Stamped};

use super::{
    Ledger, Run,
    when::{clock, took, utc},
};

/// The version of the JSON of both; raised when a field changes its meaning.
pub const JSON_VERSION: u32 = 1;

/// How much of a plan's hash tells it from others.
const SHORT_HASH: usize = 12;

/// A line per event, under a heading per run.
pub fn show(events: &[Stamped]) -> String {
    let mut out = String::new();
    for stream in streams(events) {
        if !out.is_empty() {
            out.push('\n');
        }
        heading(stream, &mut out);
        for stamped in stream {
            if let Some(line) = sentence(&stamped.event) {
                let _ = writeln!(out, "  {}  {}", clock(stamped.at_ms), clean(&line));
            }
        }
    }
    if out.is_empty() { "nothing is recorded yet\n".into() } else { out }
}

pub fn show_json(events: &[Stamped]) -> Value {
    json!({
        "version": JSON_VERSION,
        "events": events.iter().map(Stamped::to_json).collect::<Vec<_>>(),
    })
}

/// A table of runs, oldest first.
pub fn history(ledger: &Ledger) -> String {
    if ledger.runs().is_empty() {
        return "no runs yet\n".into();
    }
    let mut rows = vec![
        ["run", "verb", "when", "took", "result", "changed", "unchanged", "plan"].map(String::from),
    ];
    rows.extend(ledger.runs().iter().map(row));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

pub fn history_json(ledger: &Ledger) -> Value {
    let run = |run: &Run| {
        json!({
            "run": run.id,
            "verb": run.verb,
            "slipway": run.slipway,
            "simulated": run.simulated,
            "started_ms": run.started_ms,
            "plan_hash": run.plan_hash,
            "finished": run.finished.map(|finished| json!({
                "result": finished.result,
                "at_ms": finished.at_ms,
                "elapsed_ms": finished.elapsed_ms,
                "changed": finished.changed,
                "unchanged": finished.unchanged,
            })),
        })
    };
    json!({
        "version": JSON_VERSION,
        "runs": ledger.runs().iter().map(run).collect::<Vec<_>>(),
    })
}

/// Splits where places in a stream stop rising: there the next run begins.
fn streams(events: &[Stamped]) -> impl Iterator<Item = &[Stamped]> {
    events.chunk_by(|a, b| a.index < b.index)
}

fn heading(stream: &[Stamped], out: &mut String) {
    let run = stream.iter().find_map(|stamped| match &stamped.event {
        Event::RunStarted(run) => Some((run, stamped.at_ms)),
        _ => None,
    });
    let _ = match (run, stream.first()) {
        (Some((run, at_ms)), _) => writeln!(out, "{}", clean(&title(run, at_ms))),
        (None, Some(first)) => writeln!(out, "a run that never started, {}", utc(first.at_ms)),
        (None, None) => Ok(()),
    };
}

fn title(run: &RunStarted, at_ms: u64) -> String {
    let simulated = if run.simulated { ", SIMULATED" } else { "" };
    format!("{} of {}, {} (run {}{simulated})", run.verb, run.cluster, utc(at_ms), run.run)
}

/// One event in one line; None for those the ledger does not keep.
fn sentence(event: &Event) -> Option<String> {
    Some(match event {
        Event::RunStarted(run) => format!(
            "plan {}: {} to change, {} unchanged, {} destructive; slipway {}",
            short(&run.plan_hash),
            run.changes,
            run.unchanged,
            run.destructive.len(),
            run.slipway
        ),
        Event::RunFinished(run) => {
            let mut line = format!(
                "{} after {}: {} changed, {} unchanged",
                result(run.result),
                took(run.elapsed_ms),
                run.changed,
                run.unchanged
            );
            for failure in &run.failures {
                let _ = write!(line, "; {failure}");
            }
            line
        }
        Event::PhaseStarted { phase, pace, lanes } => {
            let pace = match pace {
                Pace::Parallel => "in parallel",
                Pace::Rolling => "one after the other",
                Pace::Once => "once",
            };
            let lanes: Vec<_> =
                lanes.iter().map(|lane| format!("{} ({})", lane.node, lane.ops)).collect();
            format!("phase {phase}, {pace}: {}", lanes.join(", "))
        }
        Event::PhaseFinished { phase, result, elapsed_ms } => {
            let result = match result {
                PhaseResult::Done => "done",
                PhaseResult::Failed => "failed",
                PhaseResult::Interrupted => "interrupted",
            };
            format!("phase {phase} {result} after {}", took(*elapsed_ms))
        }
        Event::NodeConnected { node, machine_id, again } => {
            let again = if *again { " again" } else { "" };
            format!("{node}: connected{again} (machine-id {machine_id})")
        }
        Event::NodeLost { node, why } => format!("{node}: connection lost: {why}"),
        Event::NodeReplaced { node, was, now } => {
            format!("{node}: another machine (machine-id {now}, was {was}): its entries are void")
        }
        Event::Intent { node, phase, request, ops } => {
            format!("{node}: {} ops of {phase} are about to be sent ({request})", ops.len())
        }
        Event::OpFinished { op, result, elapsed_ms } => {
            let lane = if op.lane == op.node { String::new() } else { format!(" for {}", op.lane) };
            let (result, took) = (outcome(result), took(*elapsed_ms));
            format!("{}{lane}: {}: {}: {result} ({took})", op.node, op.step, op.title)
        }
        Event::OpRecovered { node, request, number, result } => {
            format!("{node}: op {number} of {request}, from its journal: {}", outcome(result))
        }
        Event::RetryScheduled { op, attempt, wait_ms, why } => format!(
            "{}: {}: {}: attempt {attempt} in {}: {why}",
            op.node,
            op.step,
            op.title,
            took(*wait_ms)
        ),
        Event::ClusterIdentity { ca_fingerprint, etcd_cluster_id } => format!(
            "the cluster's identity: CA {ca_fingerprint}, etcd {}",
            etcd_cluster_id.as_deref().unwrap_or("not yet known")
        ),
        Event::ClusterRetired { .. } => "the cluster was taken down".into(),
        Event::PasswordShown {} => "Argo CD's first password was shown".into(),
        Event::DiskApproved { serial, node, shown } => {
            format!("{node}: disk {serial} approved for wiping; shown was: {shown}")
        }
        Event::SnapshotTaken { node, file, revision, .. } => {
            format!("{node}: etcd snapshot {file} at revision {revision}")
        }
        Event::HandOffWaits { repo, commit, waiting } => {
            format!("handed off to {repo} at {}, waiting for {}", short(commit), waiting.join(", "))
        }
        Event::HandedOff { repo, commit, applications, still_ours } => {
            let ours = match still_ours.as_slice() {
                [] => String::new(),
                all => format!("; still managed by Slipway alone: {}", all.join(", ")),
            };
            format!("handed off to {repo} at {}: {}{ours}", short(commit), applications.join(", "))
        }
        Event::LeaseTaken { node, generation, from } => {
            let from = from.as_ref().map(|from| format!(", over from {from}")).unwrap_or_default();
            format!("{node}: lease {generation} taken{from}")
        }
        Event::Interrupted { leaving_at_once: true } => "interrupted twice: left at once".into(),
        Event::Interrupted { leaving_at_once: false } => "interrupted".into(),
        Event::Note { node, text, hint, .. } => {
            let node = node.as_ref().map(|node| format!("{node}: ")).unwrap_or_default();
            let hint = hint.as_ref().map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
            format!("note: {node}{text}{hint}")
        }
        Event::OpStarted { .. }
        | Event::OpOutput { .. }
        | Event::Applications { .. }
        | Event::Download(_)
        | Event::Brought { .. } => return None,
    })
}

fn outcome(result: &OpResult) -> String {
    match result {
        OpResult::Unchanged => "unchanged".into(),
        OpResult::Changed(lines) if lines.is_empty() => "changed".into(),
        OpResult::Changed(lines) => format!("changed: {}", lines.join("; ")),
        OpResult::Failed(failure) => format!("FAILED: {}", failure.causes.join(": ")),
    }
}

fn row(run: &Run) -> [String; 8] {
    let finished = run.finished.as_ref();
    [
        clean(&run.id),
        clean(&run.verb),
        utc(run.started_ms),
        finished.map_or("-".into(), |finished| took(finished.elapsed_ms)),
        finished.map_or("unfinished", |finished| result(finished.result)).into(),
        finished.map_or("-".into(), |finished| finished.changed.to_string()),
        finished.map_or("-".into(), |finished| finished.unchanged.to_string()),
        clean(short(&run.plan_hash)),
    ]
}

fn result(result: RunResult) -> &'static str {
    match result {
        RunResult::Done => "done",
        RunResult::Failed => "failed",
        RunResult::Refused => "refused",
        RunResult::Interrupted => "interrupted",
    }
}

fn short(hash: &str) -> &str {
    hash.get(..SHORT_HASH).unwrap_or(hash)
}

/// One line, whatever a node has put into a text, and nothing that moves a terminal's cursor.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
