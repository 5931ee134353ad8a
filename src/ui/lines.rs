//! Every event in words: the lines that plain output, the log and the space above the bars share.
//!
//! Must not know where a line goes; how much it weighs says who wants it.

use super::{
    failure,
    paint::{Mark, Row},
    run::RunView,
    tree,
    words::{count, duration, list, one_line, short},
};
use crate::{
    events::{
        AppState, Event, LanePreview, Level, OpRef, OpResult, Pace, PhaseResult, RunFinished,
        RunResult, RunStarted, megabytes,
    },
    names::{NodeName, PhaseName},
};

/// How much a line matters; each reader draws the line somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Also shown above the bars.
    Headline,
    /// One for each thing done.
    Item,
    /// What held, and what ops print.
    Detail,
    /// Bookkeeping.
    Trace,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    pub weight: Weight,
    pub row: Row,
}

impl Line {
    fn new(weight: Weight, mark: Mark, text: impl Into<String>) -> Self {
        Self { weight, row: Row::new(mark, text) }
    }
}

/// What there is to say about an event; never nothing. `view` has seen it already.
pub fn narrate(view: &RunView, event: &Event, trailer: failure::Trailer<'_>) -> Vec<Line> {
    let on = |node: &NodeName| format!("{node:<width$}  ", width = view.node_width);
    let one = |weight, mark, text: String| vec![Line::new(weight, mark, text)];
    match event {
        Event::RunStarted(run) => started(run),
        Event::RunFinished(run) => finished(view, run, trailer),
        Event::PhaseStarted { phase, pace, lanes } => {
            let text = format!("{}: {}", place(view, phase), preview(*pace, lanes));
            let text = if view.simulated() { text + "  SIMULATED" } else { text };
            one(Weight::Item, Mark::Strong, text)
        }
        Event::PhaseFinished { phase, result, elapsed_ms } => {
            let (how, mark) = match result {
                PhaseResult::Done => ("done in", Mark::Good),
                PhaseResult::Failed => ("failed after", Mark::Bad),
                PhaseResult::Interrupted => ("interrupted after", Mark::Warn),
            };
            let (changed, unchanged) = (view.tally.changed, view.tally.unchanged);
            let text = format!(
                "{} {how} {}: {changed} changed, {unchanged} unchanged",
                place(view, phase),
                duration(*elapsed_ms),
            );
            one(Weight::Item, mark, text)
        }
        Event::NodeConnected { node, machine_id, again: false } => {
            let text = format!("{}connected, machine {}", on(node), short(machine_id));
            one(Weight::Detail, Mark::Plain, text)
        }
        Event::NodeConnected { node, again: true, .. } => {
            one(Weight::Headline, Mark::Good, on(node) + "connected again")
        }
        Event::NodeLost { node, why } => {
            let text = format!("{}connection lost: {}", on(node), one_line(why));
            one(Weight::Headline, Mark::Warn, text)
        }
        Event::NodeReplaced { node, was, now } => {
            let text = format!(
                "warning: {node}: another machine ({}) stands where {} was; what was known of it \
                 is void",
                short(now),
                short(was)
            );
            one(Weight::Headline, Mark::Warn, text)
        }
        Event::Intent { node, phase, request, ops } => {
            let ops = count(ops.len(), "op");
            one(Weight::Trace, Mark::Dim, format!("{}{phase}: request {request}, {ops}", on(node)))
        }
        Event::OpStarted { op } => {
            one(Weight::Trace, Mark::Dim, format!("{}: started", doing(view, op)))
        }
        Event::OpOutput { op, line } => {
            let who = format!("{}{:<14} | ", on(&op.lane), op.step);
            let lines = line.lines().map(|line| format!("{who}{}", line.trim_end()));
            match lines.map(|line| Line::new(Weight::Detail, Mark::Dim, line)).collect::<Vec<_>>() {
                lines if lines.is_empty() => one(Weight::Detail, Mark::Dim, who),
                lines => lines,
            }
        }
        Event::OpFinished { op, result, elapsed_ms } => {
            op_finished(&doing(view, op), result, &duration(*elapsed_ms))
        }
        Event::OpRecovered { node, request, number, result } => {
            let what = format!("{}outcome of {request} #{number} recovered", on(node));
            one(Weight::Detail, Mark::Plain, format!("{what}: {}", outcome(result)))
        }
        Event::RetryScheduled { op, attempt, wait_ms, why } => {
            let (doing, wait) = (doing(view, op), duration(*wait_ms));
            let text = format!("{doing}: attempt {attempt} in {wait}: {}", one_line(why));
            one(Weight::Item, Mark::Warn, text)
        }
        Event::ClusterIdentity { ca_fingerprint, etcd_cluster_id } => {
            let etcd = etcd_cluster_id.as_deref().map(|id| format!(", etcd cluster {id}"));
            let text = format!("cluster identity: CA {ca_fingerprint}{}", etcd.unwrap_or_default());
            one(Weight::Item, Mark::Plain, text)
        }
        Event::ClusterRetired { .. } => one(
            Weight::Item,
            Mark::Plain,
            "the cluster was taken down; its identity is free".to_string(),
        ),
        Event::PasswordShown {} => {
            one(Weight::Item, Mark::Plain, "Argo CD's first password was shown".to_string())
        }
        Event::DiskApproved { serial, node, shown } => {
            let text = format!("{}disk {serial} approved: {}", on(node), one_line(shown));
            one(Weight::Headline, Mark::Warn, text)
        }
        Event::SnapshotTaken { node, file, sha256, revision } => {
            let sum = short(sha256);
            let text = format!(
                "{}etcd snapshot taken: {file}, revision {revision}, sha256 {sum}",
                on(node)
            );
            one(Weight::Item, Mark::Plain, text)
        }
        Event::Applications { op, .. } => {
            let line = |app: &AppState| {
                let mark = tree::mark(app);
                Line::new(Weight::Item, mark, format!("{}{}", on(&op.lane), tree::said(app)))
            };
            let lines: Vec<Line> = view.moved.iter().map(line).collect();
            // One that went and nothing else.
            if lines.is_empty() {
                let text = format!("{}{}", on(&op.lane), count(view.tree.len(), "application"));
                return one(Weight::Trace, Mark::Dim, text);
            }
            lines
        }
        Event::HandOffWaits { repo, commit, waiting } => {
            let text = format!(
                "handed off to {repo} at {}, waiting for {}",
                short(commit),
                list(waiting, 8)
            );
            one(Weight::Item, Mark::Plain, text)
        }
        Event::HandedOff { repo, commit, applications, still_ours } => {
            let (commit, apps) = (short(commit), count(applications.len(), "application"));
            let names = match applications.as_slice() {
                [] => String::new(),
                names => format!(": {}", list(names, 8)),
            };
            let text = format!("handed off to {repo} at {commit}, {apps} healthy{names}");
            let mut lines = one(Weight::Headline, Mark::Good, text);
            if !still_ours.is_empty() {
                let text = format!(
                    "warning: {} still managed by Slipway alone, and by no engine: {}",
                    count(still_ours.len(), "object"),
                    list(still_ours, 8)
                );
                lines.push(Line::new(Weight::Headline, Mark::Warn, text));
                let hint = "hint: what is not in the repository stays as it is; `slipway ledger show` lists all of them";
                lines.push(Line::new(Weight::Headline, Mark::Busy, hint));
            }
            lines
        }
        Event::LeaseTaken { node, generation, from: None } => {
            let text = format!("{}lease taken, generation {generation}", on(node));
            one(Weight::Trace, Mark::Plain, text)
        }
        Event::LeaseTaken { node, generation, from: Some(from) } => {
            let text = format!("{}lease taken over from {from}, generation {generation}", on(node));
            one(Weight::Headline, Mark::Warn, text)
        }
        Event::Interrupted { leaving_at_once: false } => {
            let text = "interrupted: running ops come to their end, no new one starts; \
                        interrupt again to leave at once";
            one(Weight::Headline, Mark::Warn, text.into())
        }
        Event::Interrupted { leaving_at_once: true } => {
            one(Weight::Headline, Mark::Warn, "interrupted again: leaving at once".into())
        }
        Event::Download(download) => {
            one(Weight::Item, Mark::Plain, one_line(&download.to_string()))
        }
        Event::Brought { node, what, bytes } => {
            let text = format!("{}{what} was brought, {}", on(node), megabytes(*bytes));
            one(Weight::Item, Mark::Dim, text)
        }
        Event::Note { level, node, text, hint } => {
            let (word, mark) = match level {
                Level::Info => ("note", Mark::Plain),
                Level::Warning => ("warning", Mark::Warn),
            };
            let node = node.as_ref().map(|node| format!("{node}: ")).unwrap_or_default();
            let text = format!("{word}: {node}{}", one_line(text));
            let mut lines = one(Weight::Headline, mark, text);
            let hint = hint.as_deref().map(|hint| format!("hint: {}", one_line(hint)));
            lines.extend(hint.map(|hint| Line::new(Weight::Headline, Mark::Busy, hint)));
            lines
        }
    }
}

fn started(run: &RunStarted) -> Vec<Line> {
    let text = format!(
        "slipway {}: {}, {}, plan {}, {}: {} to change, {} hold",
        run.verb,
        run.cluster,
        count(run.nodes.len(), "node"),
        short(&run.plan_hash),
        count((u64::from(run.changes) + u64::from(run.unchanged)) as usize, "op"),
        run.changes,
        run.unchanged,
    );
    let mut lines = vec![Line::new(Weight::Headline, Mark::Strong, text)];
    if run.simulated {
        let text = "SIMULATED: the nodes live inside this process, no machine is touched";
        lines.push(Line::new(Weight::Headline, Mark::Warn, text));
    }
    lines
}

fn preview(pace: Pace, lanes: &[LanePreview]) -> String {
    let ops: u64 = lanes.iter().map(|lane| u64::from(lane.ops)).sum();
    let ops = count(ops as usize, "op");
    match (pace, lanes) {
        (_, []) => "nothing to do".into(),
        (_, [lane]) => format!("{ops} on {}", lane.node),
        (Pace::Parallel, _) => format!("{ops} on {} in parallel", count(lanes.len(), "node")),
        (Pace::Rolling, _) => format!("{ops} on {} in turn", count(lanes.len(), "node")),
        (Pace::Once, _) => format!("{ops} once, on {}", count(lanes.len(), "node")),
    }
}

/// `[ 4/15] network`.
pub fn place(view: &RunView, phase: &PhaseName) -> String {
    match view.place(phase) {
        Some((at, of)) => {
            let width = of.to_string().len();
            format!("[{at:>width$}/{of}] {phase}")
        }
        None => phase.to_string(),
    }
}

fn doing(view: &RunView, op: &OpRef) -> String {
    let title = one_line(&op.title);
    let acting = if op.node == op.lane { String::new() } else { format!(" (through {})", op.node) };
    format!("{:<width$}  {:<14} {title}{acting}", op.lane, op.step, width = view.node_width)
}

fn outcome(result: &OpResult) -> String {
    match result {
        OpResult::Unchanged => "unchanged".into(),
        OpResult::Changed(_) => "changed".into(),
        OpResult::Failed(failure) => format!("failed: {}", one_line(&failure.causes.join("; "))),
    }
}

fn op_finished(doing: &str, result: &OpResult, took: &str) -> Vec<Line> {
    match result {
        OpResult::Unchanged => {
            vec![Line::new(Weight::Detail, Mark::Dim, format!("{doing}: unchanged  ({took})"))]
        }
        OpResult::Changed(changes) => {
            let mut lines =
                vec![Line::new(Weight::Item, Mark::Plain, format!("{doing}  ({took})"))];
            let details = changes.iter().flat_map(|change| change.lines());
            lines.extend(details.map(|d| Line::new(Weight::Detail, Mark::Dim, format!("    {d}"))));
            lines
        }
        OpResult::Failed(failure) => {
            let word = if failure.refusal.is_some() { "refused" } else { "failed" };
            // The block at the end has all of it.
            let cause = failure.causes.iter().flat_map(|cause| cause.lines()).next().unwrap_or("");
            let text = format!("{doing}: {word}: {cause}  ({took})");
            vec![Line::new(Weight::Headline, Mark::Bad, text)]
        }
    }
}

/// The end: what came of it, then the failures, and last the command that goes on.
fn finished(view: &RunView, run: &RunFinished, trailer: failure::Trailer<'_>) -> Vec<Line> {
    let what = match &view.started {
        Some(started) => format!("{} of {}", started.verb, started.cluster),
        None => "run".into(),
    };
    let took = duration(run.elapsed_ms);
    let counts = format!("{} changed, {} unchanged", run.changed, run.unchanged);
    let (mark, text) = match run.result {
        RunResult::Done if run.changed == 0 && run.failures.is_empty() => {
            let ops = count(run.unchanged as usize, "op");
            (Mark::Good, format!("nothing to change: {what} looked at {ops}, all hold ({took})"))
        }
        RunResult::Done => (Mark::Good, format!("done: {what} in {took}: {counts}")),
        RunResult::Failed => (Mark::Bad, format!("failed: {what} after {took}: {counts}")),
        RunResult::Refused => {
            let text = format!(
                "refused: {what} after {took}: a safety rule said no, the refused step changed \
                 nothing; {counts} before it"
            );
            (Mark::Warn, text)
        }
        RunResult::Interrupted => {
            let text =
                format!("interrupted: {what} after {took}: {counts}; what was done is recorded");
            (Mark::Warn, text)
        }
    };
    let text = if view.simulated() { text + "  SIMULATED" } else { text };
    let mut rows = vec![Row::new(mark, text)];
    let failures = if run.result == RunResult::Done {
        run.failures.clone()
    } else {
        view.failures(&run.failures)
    };
    if !failures.is_empty() {
        rows.extend(failure::blocks(&failures, trailer));
    } else if run.result != RunResult::Done {
        rows.extend(failure::trailing(trailer));
    }
    rows.into_iter().map(|row| Line { weight: Weight::Headline, row }).collect()
}
