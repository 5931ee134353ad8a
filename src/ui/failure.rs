//! The failure block (promise 10): what failed, where, why, the last lines, what was left, what to do.
//!
//! One rendering for bars, plain lines and the log, and for whoever fails before there is a stream.
//! Must not know where a failure came from.

use std::path::Path;

use super::{
    paint::{Mark, Row},
    run::TAIL,
    words,
};
use crate::{
    events::{Failure, Refusal},
    names::NodeName,
};

/// What holds for all failures of a run; shown once, after the last one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trailer<'a> {
    pub log_file: Option<&'a Path>,
    /// The command that goes on.
    pub command: Option<&'a str>,
}

/// The blocks as plain text, for errors that end a run before its first event.
pub fn render(failures: &[Failure], log_file: Option<&Path>, command: Option<&str>) -> String {
    let rows = blocks(failures, Trailer { log_file, command });
    rows.iter().map(|row| format!("{}\n", row.text().trim_end())).collect()
}

/// One block for each failure; the same failure on several nodes is one block that names them.
pub fn blocks(failures: &[Failure], trailer: Trailer<'_>) -> Vec<Row> {
    let mut groups: Vec<(&Failure, Vec<&NodeName>)> = Vec::new();
    for failure in failures {
        match groups.iter_mut().find(|(first, _)| alike(first, failure)) {
            Some((_, nodes)) => {
                nodes.extend(failure.node.as_ref().filter(|node| !nodes.contains(node)));
            }
            None => groups.push((failure, failure.node.iter().collect())),
        }
    }
    let mut rows: Vec<Row> =
        groups.iter().flat_map(|(failure, nodes)| block(failure, nodes)).collect();
    rows.extend(trailing(trailer));
    rows
}

/// The log and the command that goes on.
pub fn trailing(trailer: Trailer<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some(log) = trailer.log_file {
        field(&mut rows, "log", Mark::Plain, [log.display().to_string().as_str()]);
    }
    if let Some(command) = trailer.command.filter(|command| !command.is_empty()) {
        field(&mut rows, "go on", Mark::Strong, [command]);
    }
    rows
}

/// Their output may differ; the first one's stands for all.
fn alike(a: &Failure, b: &Failure) -> bool {
    (&a.what, &a.phase, &a.step, &a.causes) == (&b.what, &b.phase, &b.step, &b.causes)
        && (&a.left, &a.hint, a.refusal) == (&b.left, &b.hint, b.refusal)
        && a.node.is_some() == b.node.is_some()
}

fn block(failure: &Failure, nodes: &[&NodeName]) -> Vec<Row> {
    let names: Vec<&str> = nodes.iter().map(|node| node.as_str()).collect();
    let what = words::one_line(&failure.what);
    let what = match failure.refusal {
        None if !what.ends_with("failed") => format!("`{what}` failed"),
        _ => what,
    };
    let (word, mark) = match failure.refusal {
        None => ("error", Mark::Bad),
        Some(_) => ("refused", Mark::Warn),
    };
    let line = match names.as_slice() {
        [] => what,
        [one] => format!("{one}: {what}"),
        _ => format!("{}: {what}", words::count(names.len(), "node")),
    };
    let mut rows = vec![Row::new(mark, word).and(Mark::Strong, format!(": {line}"))];

    if !names.is_empty() {
        let label = if names.len() == 1 { "node" } else { "nodes" };
        field(&mut rows, label, Mark::Plain, [words::list(&names, 12).as_str()]);
    }
    let place: Vec<&str> = failure
        .phase
        .iter()
        .map(|phase| phase.as_str())
        .chain(failure.step.iter().map(|step| step.as_str()))
        .collect();
    if !place.is_empty() {
        field(&mut rows, "step", Mark::Plain, [place.join(" / ").as_str()]);
    }
    if let Some(refusal) = failure.refusal {
        field(&mut rows, "rule", Mark::Plain, [rule(refusal)]);
    }
    field(&mut rows, "why", Mark::Plain, failure.causes.iter().flat_map(|cause| cause.lines()));
    output(&mut rows, failure, names.as_slice());
    field(&mut rows, "left", Mark::Plain, failure.left.iter().flat_map(|left| left.lines()));
    field(&mut rows, "hint", Mark::Busy, failure.hint.iter().flat_map(|hint| hint.lines()));
    rows
}

fn output(rows: &mut Vec<Row>, failure: &Failure, names: &[&str]) {
    let lines: Vec<&str> = failure.output.iter().flat_map(|line| line.lines()).collect();
    let from = lines.len().saturating_sub(TAIL);
    let whose = names.first().filter(|_| names.len() > 1 && !lines.is_empty());
    let whose = whose.map(|name| format!("(of {name})"));
    let shown = lines[from..].iter().copied();
    for (at, line) in whose.as_deref().into_iter().chain(shown).enumerate() {
        let label = if at == 0 { "output" } else { "" };
        rows.push(Row::new(Mark::Dim, format!("  {label:<6} | ")).and(Mark::Dim, line.trim_end()));
    }
}

fn field<'a>(
    rows: &mut Vec<Row>,
    label: &str,
    mark: Mark,
    lines: impl IntoIterator<Item = &'a str>,
) {
    let lines = lines.into_iter().filter(|line| !line.trim().is_empty());
    for (at, line) in lines.enumerate() {
        let label = if at == 0 { label } else { "" };
        rows.push(Row::new(Mark::Dim, format!("  {label:<6} ")).and(mark, line.trim_end()));
    }
}

/// The rule that said no, in words.
pub fn rule(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Disk => "disk: a disk that holds anything is not touched without approval",
        Refusal::HostKey => "host key: a node must show the key that is pinned for it",
        Refusal::Quorum => "quorum: no action lowers the quorum of etcd",
        Refusal::Lease => "lease: one operator at a time",
        Refusal::Identity => "identity: a cluster never changes its CA or its etcd cluster",
        Refusal::Plan => "plan: only the plan that was shown is carried out",
        Refusal::Version => "version: only supported version changes are made",
        Refusal::Network => "network: a node is not cut off from the network",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_failure_is_one_plain_block() {
        let failure = Failure::new("read the inventory", "no such file").hint("see --help");
        insta::assert_snapshot!(render(&[failure], None, None), @r"
        error: `read the inventory` failed
          why    no such file
          hint   see --help
        ");
    }

    #[test]
    fn the_same_failure_on_many_nodes_is_one_block() {
        let node = |n: u32| format!("n{n}").parse().unwrap();
        let mut failures: Vec<Failure> =
            (0..20).map(|n| Failure::new("pull the image", "no route").on(&node(n))).collect();
        failures[0].output = vec!["dial tcp: no route".into()];
        failures.push(Failure::new("pull the image", "timeout").on(&node(20)));
        insta::assert_snapshot!(render(&failures, Some(Path::new("x.log")), Some("slipway up")), @r"
        error: 20 nodes: `pull the image` failed
          nodes  n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11 and 8 more
          why    no route
          output | (of n0)
                 | dial tcp: no route
        error: n20: `pull the image` failed
          node   n20
          why    timeout
          log    x.log
          go on  slipway up
        ");
    }
}
