//! The plan as text. What several nodes have in common is shown once.

use std::fmt::Write;

use super::{Plan, PlannedOp, PlannedPhase, Verdict};
use crate::{events::Pace, names::NodeName, ops::Diff, text_diff};

/// What is shown of a plan.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown {
    pub color: bool,
    /// Also what holds, and what is checked.
    pub all: bool,
}

const RED: &str = "\u{1b}[1;31m";
const GREEN: &str = "\u{1b}[32m";
const PLAIN_RED: &str = "\u{1b}[31m";
const BOLD: &str = "\u{1b}[1m";
const OFF: &str = "\u{1b}[0m";

pub fn text(plan: &Plan, shown: Shown) -> String {
    let mut out = String::new();
    let paint = |style: &str, text: &str| {
        if shown.color { format!("{style}{text}{OFF}") } else { text.to_string() }
    };
    let nodes = plan.nodes();
    let _ = writeln!(
        out,
        "{}{} of {}: {} {}",
        if plan.simulated { "SIMULATED " } else { "" },
        paint(BOLD, &format!("plan for {}", plan.verb)),
        plan.cluster,
        nodes.len(),
        if nodes.len() == 1 { "node" } else { "nodes" },
    );
    let destroyed: Vec<(&NodeName, &PlannedOp)> = plan
        .ops()
        .filter(|(_, _, op)| op.destroys())
        .map(|(_, lane, op)| (&lane.node, op))
        .collect();
    if !destroyed.is_empty() {
        let _ = writeln!(out, "\n{}", paint(RED, "WILL BE DESTROYED"));
        for (node, op) in destroyed {
            for diff in diffs(op) {
                if let Diff::Destroy(what) = diff {
                    let _ = writeln!(out, "  {}", paint(RED, &format!("{node}  {what}")));
                }
            }
        }
    }
    for phase in &plan.phases {
        phase_text(&mut out, phase, shown, &paint);
    }
    for note in &plan.notes {
        let _ = writeln!(out, "\nnote: {note}");
    }
    let _ = writeln!(out, "\n{}", summary(plan));
    out
}

/// One line: what would change, and the hash that binds a run to it.
pub fn summary(plan: &Plan) -> String {
    let counts = plan.counts();
    let mut text = if counts.change == 0 {
        format!("nothing to change: {} hold, {} checks", counts.hold, counts.check)
    } else {
        format!("{} to change, {} hold, {} checks", counts.change, counts.hold, counts.check)
    };
    if counts.destroy > 0 {
        let _ = write!(text, ", {} DESTRUCTIVE", counts.destroy);
    }
    let _ = write!(text, "; plan {}", plan.hash);
    text
}

/// Ops that look alike, and the nodes they are for.
struct Group<'a> {
    nodes: Vec<&'a NodeName>,
    op: &'a PlannedOp,
}

fn groups<'a>(phase: &'a PlannedPhase, shown: Shown) -> Vec<Group<'a>> {
    let mut groups: Vec<Group> = Vec::new();
    for lane in &phase.lanes {
        // Within a lane ops keep their order; a look-alike of another lane is joined to it.
        let mut from = 0;
        for op in &lane.ops {
            if !shown.all && !op.verdict.changes() {
                continue;
            }
            let alike = |g: &Group| {
                g.op.step == op.step
                    && g.op.op.title() == op.op.title()
                    && g.op.verdict == op.verdict
                    && !g.nodes.contains(&&lane.node)
            };
            match groups.iter().skip(from).position(alike) {
                Some(at) => {
                    from += at;
                    groups[from].nodes.push(&lane.node);
                }
                None => groups.push(Group { nodes: vec![&lane.node], op }),
            }
        }
    }
    groups
}

fn phase_text(
    out: &mut String,
    phase: &PlannedPhase,
    shown: Shown,
    paint: &impl Fn(&str, &str) -> String,
) {
    let groups = groups(phase, shown);
    let pace = match phase.pace {
        Pace::Parallel => "all at once",
        Pace::Rolling => "one after the other",
        Pace::Once => "once",
    };
    let quiet = if groups.is_empty() { ": nothing to change" } else { "" };
    let _ = writeln!(out, "\n{} ({pace}){quiet}", paint(BOLD, phase.name.as_str()));
    let everybody = phase.lanes.len();
    for group in groups {
        let nodes = match group.nodes.len() {
            n if n == everybody && n > 3 => format!("all {n} nodes"),
            _ => names(&group.nodes),
        };
        let mark = match &group.op.verdict {
            Verdict::Changes(_) if group.op.op.nature().destructive => paint(RED, "!"),
            Verdict::Changes(_) => paint(GREEN, "+"),
            Verdict::Refused(_) => paint(RED, "x"),
            Verdict::Check | Verdict::Serves => "?".into(),
            Verdict::Holds => "=".into(),
        };
        let title = group.op.op.title();
        let _ = writeln!(out, "  {mark} {nodes}  {}  {title}", group.op.step);
        for diff in diffs(group.op) {
            diff_text(out, diff, &title, paint);
        }
    }
}

fn diffs(op: &PlannedOp) -> &[Diff] {
    match &op.verdict {
        Verdict::Changes(diffs) => diffs,
        _ => &[],
    }
}

fn names(nodes: &[&NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(|n| n.as_str()).collect();
    match names.len() {
        0..=4 => names.join(", "),
        n => format!("{} and {} more", names[..3].join(", "), n - 3),
    }
}

fn diff_text(out: &mut String, diff: &Diff, title: &str, paint: &impl Fn(&str, &str) -> String) {
    match diff {
        Diff::Say(text) if text == title => {}
        Diff::Say(text) => {
            let _ = writeln!(out, "      {text}");
        }
        Diff::Destroy(what) => {
            let _ = writeln!(out, "      {}", paint(RED, &format!("destroys {what}")));
        }
        Diff::File { path, old, new } => {
            let (before, after) = (old.as_deref().unwrap_or(""), new.as_deref().unwrap_or(""));
            let name = |there: bool| if there { path.as_str() } else { "/dev/null" };
            let names = Some((name(old.is_some()), name(new.is_some())));
            for line in text_diff::unified(before, after, names).lines() {
                let line: String = line
                    .chars()
                    .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
                    .collect();
                let styled = match line.as_bytes().first() {
                    Some(b'+') => paint(GREEN, &line),
                    Some(b'-') => paint(PLAIN_RED, &line),
                    _ => line,
                };
                let _ = writeln!(out, "      {styled}");
            }
        }
    }
}

/// For `--output json`.
pub fn json(plan: &Plan) -> serde_json::Value {
    let counts = plan.counts();
    let ops: Vec<serde_json::Value> = plan
        .ops()
        .map(|(phase, lane, op)| {
            let (verdict, changes) = match &op.verdict {
                Verdict::Holds => ("holds", &[][..]),
                Verdict::Changes(diffs) => ("changes", diffs.as_slice()),
                Verdict::Check => ("check", &[][..]),
                Verdict::Serves => ("serves", &[][..]),
                Verdict::Refused(_) => ("refused", &[][..]),
            };
            serde_json::json!({
                "phase": phase.name,
                "node": lane.node,
                "on": op.on,
                "step": op.step,
                "title": op.op.title(),
                "verdict": verdict,
                "destructive": op.destroys(),
                "changes": changes,
            })
        })
        .collect();
    serde_json::json!({
        "version": 1,
        "verb": plan.verb,
        "cluster": plan.cluster,
        "simulated": plan.simulated,
        "plan": plan.hash,
        "counts": counts,
        "notes": plan.notes,
        "refusals": plan.refusals,
        "ops": ops,
    })
}
