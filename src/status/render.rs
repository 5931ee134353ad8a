//! The view as one screen. Pure; knows nothing but the view.

use std::fmt::Write;

use super::{
    Health, LastRun, NodeRow, NodeState, View,
    table::{cut, table},
};
use crate::{
    doctor::{Ink, clean, paint, wrap},
    events::RunResult,
    inventory::EndpointKind,
    state::utc,
    ui::{count, list},
};

/// More nodes than this are not shown one by one: only those that need somebody.
const ROWS: usize = 12;
const UNWELL_ROWS: usize = 15;
const PROBLEMS: usize = 5;

/// At most `width` columns, except for a word that is longer.
pub fn render(view: &View, color: bool, width: usize) -> String {
    let mut screen = Screen { out: String::new(), color, width: width.max(40) };
    screen.head(view);
    screen.out.push('\n');
    screen.nodes(&view.nodes);
    screen.out.push('\n');
    screen.cluster(view);
    screen.runs(view);
    screen.problems(view);
    screen.out
}

struct Screen {
    out: String,
    color: bool,
    width: usize,
}

impl Screen {
    fn line(&mut self, ink: Ink, text: &str) {
        let _ = writeln!(self.out, "{}", paint(ink, text, self.color));
    }

    /// `label   text`, wrapped under the text.
    fn field(&mut self, ink: Ink, label: &str, text: &str) {
        const INDENT: usize = 14;
        let text = clean(text);
        for (n, line) in wrap(&text, self.width.saturating_sub(INDENT), 0).iter().enumerate() {
            let label = format!("{:INDENT$}", if n == 0 { label } else { "" });
            let (label, line) = (paint(Ink::Dim, &label, self.color), paint(ink, line, self.color));
            let _ = writeln!(self.out, "{label}{line}");
        }
    }

    fn head(&mut self, view: &View) {
        let simulated = if view.simulated { " (SIMULATED)" } else { "" };
        let ink = match view.health {
            Health::Healthy => Ink::Good,
            Health::Degraded | Health::HalfMade => Ink::Warn,
            Health::Down => Ink::Bad,
            Health::NotMadeYet => Ink::Plain,
        };
        let title = format!("{}{simulated} is {}: {}", view.cluster, view.health.words(), view.why);
        for line in wrap(&clean(&title), self.width, 2) {
            self.line(ink, &line);
        }
        let endpoint = &view.endpoint;
        let carried = match endpoint.kind {
            EndpointKind::Keepalived => "keepalived",
            EndpointKind::KubeVip => "kube-vip",
            EndpointKind::External => "external",
        };
        let vip = endpoint.vip.map(|vip| format!(" at {vip}")).unwrap_or_default();
        self.field(Ink::Plain, "endpoint", &format!("{} ({carried}{vip})", endpoint.address));
        let wanted = &view.kubernetes.wanted;
        match &view.kubernetes.running {
            None => self.field(Ink::Plain, "Kubernetes", &format!("{wanted}, not running")),
            Some(running) if running == wanted => {
                self.field(Ink::Plain, "Kubernetes", &running.to_string());
            }
            Some(running) => {
                let text = format!("{running} (inventory says {wanted})");
                self.field(Ink::Warn, "Kubernetes", &text);
            }
        }
    }

    fn nodes(&mut self, nodes: &[NodeRow]) {
        let is_well = |node: &&NodeRow| node.state == NodeState::Ready && node.in_inventory;
        let (shown, well): (Vec<_>, usize) = if nodes.len() <= ROWS {
            (nodes.iter().collect(), 0)
        } else {
            let unwell = nodes.iter().filter(|node| !is_well(node));
            (unwell.collect(), nodes.iter().filter(is_well).count())
        };
        let (rows, rest) = shown.split_at(shown.len().min(UNWELL_ROWS));
        if !rows.is_empty() {
            for (n, line) in table(rows, self.width).iter().enumerate() {
                let ink = match n.checked_sub(1).and_then(|n| rows.get(n)) {
                    None => Ink::Dim,
                    Some(node) => ink(node.state),
                };
                self.line(ink, line);
            }
        }
        if !rest.is_empty() {
            self.line(Ink::Warn, &format!("and {} that need a look", count(rest.len(), "node")));
        }
        if well > 0 {
            let more = if rows.is_empty() { "" } else { " more" };
            let nodes = if well == 1 { "node is" } else { "nodes are" };
            self.line(Ink::Good, &format!("{well}{more} {nodes} Ready"));
        }
        if rows.iter().any(|node| !node.in_inventory) {
            self.line(Ink::Dim, "* not in the inventory");
        }
    }

    fn cluster(&mut self, view: &View) {
        if let Some(etcd) = &view.etcd {
            let lose = match etcd.can_lose {
                0 => "can lose none".into(),
                n => format!("can lose {n}"),
            };
            let leader = etcd.leader.as_ref().map_or("no leader".into(), |l| format!("leader {l}"));
            let mut text = format!("{}/{} members, {lose}", etcd.started, etcd.members);
            let _ = write!(text, ", {leader}, revision {}", etcd.revision);
            if etcd.learners > 0 {
                let _ = write!(text, ", {}", count(etcd.learners, "learner"));
            }
            if !etcd.alarms.is_empty() {
                let _ = write!(text, ", alarms: {}", list(&etcd.alarms, 3));
            }
            if !etcd.hashes_equal {
                text.push_str(", members differ");
            }
            let bad = etcd.leader.is_none() || !etcd.alarms.is_empty() || !etcd.hashes_equal;
            let well = etcd.can_lose > 0 && etcd.started == etcd.members && etcd.learners == 0;
            let ink = if bad {
                Ink::Bad
            } else if well {
                Ink::Plain
            } else {
                Ink::Warn
            };
            self.field(ink, "etcd", &text);
        }
        if let Some(certificates) = view.certificates {
            let days = certificates.days_left;
            let (ink, text) = if days < 0 {
                (Ink::Bad, format!("the first ended {}", utc(certificates.first_ends_ms)))
            } else {
                let ink = if days <= 30 { Ink::Warn } else { Ink::Plain };
                (ink, format!("the first ends in {}", count(days as usize, "day")))
            };
            self.field(ink, "certificates", &text);
        }
        if let Some(addons) = view.addons.as_ref().filter(|addons| addons.total > 0) {
            self.part("add-ons", addons.total, &[("ready", &addons.not_ready)]);
        }
        if let Some(apps) = &view.applications {
            let parts = [("synced", &apps.not_synced), ("healthy", &apps.not_healthy)];
            self.part("applications", apps.total, &parts);
        }
        if let Some(waits) = &view.hand_off_waits {
            let commit = waits.commit.get(..10).unwrap_or(&waits.commit);
            let text = format!("at {commit}, waiting for {}", list(&waits.waiting, 4));
            self.field(Ink::Warn, "handed off", &text);
        }
    }

    /// `3/3 synced, 2/3 healthy (not storage)`.
    fn part(&mut self, label: &str, total: usize, parts: &[(&str, &Vec<String>)]) {
        let says = parts.iter().map(|(word, not)| {
            let whose =
                if not.is_empty() { String::new() } else { format!(" (not {})", list(not, 4)) };
            format!("{}/{total} {word}{whose}", total.saturating_sub(not.len()))
        });
        let well = parts.iter().all(|(_, not)| not.is_empty());
        let text = says.collect::<Vec<_>>().join(", ");
        self.field(if well { Ink::Plain } else { Ink::Warn }, label, &text);
    }

    fn runs(&mut self, view: &View) {
        if let Some(run) = &view.last_run {
            self.run("last run", run, view.at_ms);
        }
        for run in &view.unfinished {
            self.run("unfinished", run, view.at_ms);
        }
    }

    fn run(&mut self, label: &str, run: &LastRun, now_ms: u64) {
        let result = match run.result {
            Some(RunResult::Done) => "done",
            Some(RunResult::Failed) => "failed",
            Some(RunResult::Refused) => "refused",
            Some(RunResult::Interrupted) => "interrupted",
            None => "has no end yet",
        };
        let place = run.stopped_in.as_ref().map(|p| format!(" in {p}")).unwrap_or_default();
        let text = format!(
            "{} {result}{place}, {}, {} of {} phases",
            run.verb,
            ago(now_ms, run.started_ms),
            run.phases_done,
            run.phases
        );
        let done = run.result == Some(RunResult::Done);
        self.field(if done { Ink::Plain } else { Ink::Warn }, label, &text);
        if let Some(command) = &run.command {
            self.field(Ink::Strong, "go on", command);
        }
    }

    fn problems(&mut self, view: &View) {
        if !view.problems.is_empty() {
            self.out.push('\n');
            self.line(Ink::Strong, "problems");
        }
        for problem in view.problems.iter().take(PROBLEMS) {
            let node = problem.node.as_ref().map(|node| format!("{node}: ")).unwrap_or_default();
            let text = clean(&format!("{node}{}", problem.text));
            // One line each: doctor has the whole of it.
            self.line(Ink::Plain, &cut(&format!("  {text}"), self.width));
        }
        let mut rest = Vec::new();
        if view.problems.len() > PROBLEMS {
            rest.push(format!("{} more", view.problems.len() - PROBLEMS));
        }
        if view.warnings > 0 {
            rest.push(count(view.warnings, "warning"));
        }
        if !view.problems.is_empty() || !rest.is_empty() {
            let rest = if rest.is_empty() { String::new() } else { rest.join(", ") + "; " };
            let indent = if view.problems.is_empty() { "" } else { "  " };
            let text = format!("{rest}`slipway doctor` says what to do");
            for line in wrap(&text, self.width.saturating_sub(indent.len()), 0) {
                self.line(Ink::Dim, &format!("{indent}{line}"));
            }
        }
    }
}

fn ink(state: NodeState) -> Ink {
    match state {
        NodeState::Ready => Ink::Plain,
        NodeState::NotJoined | NodeState::NotAsked => Ink::Dim,
        NodeState::Cordoned | NodeState::HalfMade | NodeState::Unknown => Ink::Warn,
        NodeState::NotReady | NodeState::Unreachable => Ink::Bad,
    }
}

/// `3 h ago`; no more precise than a glance needs.
fn ago(now_ms: u64, then_ms: u64) -> String {
    let minutes = now_ms.saturating_sub(then_ms) / 60_000;
    match minutes {
        0 => "just now".into(),
        1..120 => format!("{minutes} min ago"),
        120..2880 => format!("{} h ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1440),
    }
}
