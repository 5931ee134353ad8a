//! The report as text and as JSON. Pure; must not know any check.

use std::fmt::Write;

use serde_json::{Value, json as object};

use super::{Finding, Ink, Outcome, Report, Severity, Verdict, clean, paint};
use crate::{
    names::NodeName,
    ui::{count, list},
};

/// The version of the JSON; raised when a field changes its meaning.
pub const JSON_VERSION: u32 = 1;

/// What passed is one line a family, unless `verbose`; what was found is always shown whole.
pub fn render(report: &Report, color: bool, verbose: bool) -> String {
    let mut out = String::new();
    let simulated = if report.simulated { " (SIMULATED)" } else { "" };
    let title = format!("{}{simulated}", report.cluster);
    let _ = writeln!(out, "{}", paint(Ink::Strong, &title, color));
    for family in report.outcomes.chunk_by(|a, b| a.check.family == b.check.family) {
        out.push('\n');
        heading(family, color, &mut out);
        for outcome in family {
            show(outcome, color, verbose, &mut out);
        }
    }
    out.push('\n');
    let not_asked: Vec<_> = report.not_asked.iter().map(NodeName::as_str).collect();
    if !not_asked.is_empty() {
        let _ = writeln!(out, "not asked: {}", list(&not_asked, 8));
    }
    summary(report, color, &mut out);
    out
}

/// Passed, skipped, warnings, failed.
fn tally(outcomes: &[Outcome]) -> [usize; 4] {
    let mut tally = [0; 4];
    for outcome in outcomes {
        tally[match (&outcome.verdict, outcome.check.severity) {
            (Verdict::Passed, _) => 0,
            (Verdict::Skipped(_), _) => 1,
            (Verdict::Found(_), Severity::Warning) => 2,
            (Verdict::Found(_), Severity::Error) => 3,
        }] += 1;
    }
    tally
}

fn heading(family: &[Outcome], color: bool, out: &mut String) {
    let name = family.first().map_or("", |outcome| outcome.check.family);
    let [passed, skipped, ..] = tally(family);
    let mut quiet = Vec::new();
    if passed > 0 {
        quiet.push(format!("{passed} ok"));
    }
    if skipped > 0 {
        quiet.push(format!("{skipped} skipped"));
    }
    let quiet = if quiet.is_empty() { String::new() } else { format!("  {}", quiet.join(", ")) };
    let (name, quiet) = (paint(Ink::Strong, name, color), paint(Ink::Dim, &quiet, color));
    let _ = writeln!(out, "{name}{quiet}");
}

fn show(outcome: &Outcome, color: bool, verbose: bool, out: &mut String) {
    let check = outcome.check;
    let (ink, sign, word) = match (&outcome.verdict, check.severity) {
        (Verdict::Passed, _) => (Ink::Good, "✓", "ok  "),
        (Verdict::Skipped(_), _) => (Ink::Dim, "-", "skip"),
        (Verdict::Found(_), Severity::Warning) => (Ink::Warn, "!", "warn"),
        (Verdict::Found(_), Severity::Error) => (Ink::Bad, "✗", "FAIL"),
    };
    // Signs are for terminals; words survive any log and any font.
    let mark = if color { paint(ink, sign, true) } else { word.into() };
    match &outcome.verdict {
        Verdict::Passed if verbose => {
            let _ = writeln!(out, "  {mark} {}: {}", check.id, check.about);
        }
        Verdict::Skipped(why) if verbose => {
            let text = format!("{}: {}", check.id, clean(why));
            let _ = writeln!(out, "  {mark} {}", paint(Ink::Dim, &text, color));
        }
        Verdict::Passed | Verdict::Skipped(_) => {}
        Verdict::Found(findings) => {
            let _ = writeln!(out, "  {mark} {}: {}", check.id, check.about);
            let indent = if color { 6 } else { 9 };
            for (text, nodes) in merged(findings) {
                let who = if nodes.is_empty() { String::new() } else { list(&nodes, 5) + ": " };
                let who = paint(Ink::Strong, &who, color);
                let _ = writeln!(out, "{:indent$}{who}{text}", "");
            }
            let remedy = paint(Ink::Dim, "remedy:", color);
            let _ = writeln!(out, "{:indent$}{remedy} {}", "", check.remedy);
        }
    }
}

/// The same finding on several nodes is one line that names them.
fn merged(findings: &[Finding]) -> Vec<(String, Vec<&str>)> {
    let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
    for finding in findings {
        let text = clean(&finding.text);
        let node = finding.node.as_ref().map(NodeName::as_str);
        match lines.iter_mut().find(|(known, nodes)| *known == text && !nodes.is_empty()) {
            Some((_, nodes)) if node.is_some() => nodes.extend(node),
            _ => lines.push((text, node.into_iter().collect())),
        }
    }
    lines
}

fn summary(report: &Report, color: bool, out: &mut String) {
    let [passed, skipped, warnings, failed] = tally(&report.outcomes);
    let mut parts = Vec::new();
    if failed > 0 {
        parts.push(format!("{failed} failed"));
    }
    if warnings > 0 {
        parts.push(count(warnings, "warning"));
    }
    parts.push(format!("{passed} ok"));
    if skipped > 0 {
        parts.push(format!("{skipped} skipped"));
    }
    if !report.unreachable.is_empty() {
        let nodes = count(report.unreachable.len(), "node");
        parts.push(format!("{nodes} could not be looked at"));
    }
    let ink = match (failed, warnings) {
        (0, 0) => Ink::Good,
        (0, _) => Ink::Warn,
        _ => Ink::Bad,
    };
    let line = format!("{}: {}", count(report.outcomes.len(), "check"), parts.join(", "));
    let _ = writeln!(out, "{}", paint(ink, &line, color));
}

/// One object; its keys are stable.
pub fn json(report: &Report) -> Value {
    let [passed, skipped, warnings, failed] = tally(&report.outcomes);
    let check = |outcome: &Outcome| {
        let (result, why) = match (&outcome.verdict, outcome.check.severity) {
            (Verdict::Passed, _) => ("passed", None),
            (Verdict::Skipped(why), _) => ("skipped", Some(why)),
            (Verdict::Found(_), Severity::Warning) => ("warning", None),
            (Verdict::Found(_), Severity::Error) => ("failed", None),
        };
        object!({
            "id": outcome.check.id,
            "family": outcome.check.family,
            "severity": match outcome.check.severity {
                Severity::Warning => "warning",
                Severity::Error => "error",
            },
            "about": outcome.check.about,
            "remedy": outcome.check.remedy,
            "result": result,
            "why": why,
            "findings": outcome
                .findings()
                .iter()
                .map(|f| object!({ "node": f.node, "text": f.text }))
                .collect::<Vec<_>>(),
        })
    };
    object!({
        "version": JSON_VERSION,
        "cluster": report.cluster,
        "simulated": report.simulated,
        "at_ms": report.at_ms,
        "failed": report.failed(),
        "counts": {
            "passed": passed, "skipped": skipped, "warnings": warnings, "failed": failed,
        },
        "nodes": {
            "answered": report.answered,
            "unreachable": report.unreachable,
            "not_asked": report.not_asked,
        },
        "checks": report.outcomes.iter().map(check).collect::<Vec<_>>(),
    })
}
