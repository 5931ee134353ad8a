//! The screens of a small bootstrap, as snapshots; and that no stream whatever breaks a fold or
//! shows a secret.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests make files and print"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot set up its data should stop")]

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use proptest::prelude::*;
use slipway::{
    events::*,
    names::NodeName,
    ui::{self, Fold, Log, Mode, Options, Redactor, Size},
};

// What is printed goes here.

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

struct Script(Vec<Stamped>);

impl Script {
    fn new(verb: &str) -> Self {
        let mut script = Self(Vec::new());
        script.say(Event::RunStarted(RunStarted {
            run: "20261121-014600-abc".into(),
            verb: verb.into(),
            cluster: name("homelab"),
            slipway: "0.1.0".into(),
            simulated: true,
            nodes: NODES.iter().map(|node| name(node)).collect(),
            plan_hash: "5e1c0d2a99887766".into(),
            decisions: vec!["aa11".into(), "bb22".into()],
            destructive: vec![],
            changes: 190,
            unchanged: 24,
            phases: PHASES.iter().map(|phase| phase.parse().unwrap()).collect(),
            command: format!("slipway {verb} -i inventory/sim.toml"),
        }));
        script
    }

    fn say(&mut self, event: Event) -> &mut Self {
        let index = self.0.len() as u64;
        self.0.push(Stamped { index, at_ms: 1_795_225_560_000 + index * 250, event });
        self
    }

    fn phase(&mut self, phase: usize, pace: Pace, ops: u32) -> &mut Self {
        let lanes = NODES.iter().map(|node| LanePreview { node: name(node), ops }).collect();
        self.say(Event::PhaseStarted { phase: PHASES[phase].parse().unwrap(), pace, lanes })
    }

    fn phase_over(&mut self, phase: usize, result: PhaseResult, elapsed_ms: u64) -> &mut Self {
        self.say(Event::PhaseFinished { phase: PHASES[phase].parse().unwrap(), result, elapsed_ms })
    }

    fn op(&mut self, op: &OpRef, result: OpResult) -> &mut Self {
        self.say(Event::OpStarted { op: op.clone() });
        self.say(Event::OpFinished { op: op.clone(), result, elapsed_ms: 240 })
    }

    fn print(&mut self, op: &OpRef, line: &str) -> &mut Self {
        self.say(Event::OpOutput { op: op.clone(), line: line.into() })
    }

    fn over(&mut self, result: RunResult, changed: u32, failures: Vec<Failure>) -> &mut Self {
        self.say(Event::RunFinished(RunFinished {
            run: "20261121-014600-abc".into(),
            result,
            changed,
            unchanged: 2,
            elapsed_ms: 83_000,
            failures,
        }))
    }

    fn seen(&self, mode: Mode, options: Options) -> String {
        let paper = Paper::default();
        let mut fold = ui::fold(mode, options, Box::new(paper.clone()));
        self.play(&mut *fold);
        paper.text()
    }

    fn play(&self, fold: &mut dyn Fold) {
        self.0.iter().for_each(|stamped| fold.event(stamped));
        fold.finish();
    }

    fn plain(&self) -> String {
        let log_file = Some(PathBuf::from(".slipway/logs/20261121-014600-abc.log"));
        self.seen(Mode::Plain, Options { log_file, ..Options::default() })
    }
}

const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];
const PHASES: [&str; 3] = ["host-prep", "control-plane-init", "control-plane-join"];

fn name(node: &str) -> NodeName {
    node.parse().unwrap()
}

fn op(phase: usize, node: usize, index: u32, step: &str, title: &str) -> OpRef {
    OpRef {
        phase: PHASES[phase].parse().unwrap(),
        lane: name(NODES[node]),
        node: name(NODES[node]),
        step: step.parse().unwrap(),
        index,
        title: title.into(),
    }
}

fn changed(line: &str) -> OpResult {
    OpResult::Changed(vec![line.into()])
}

fn join_failure() -> Failure {
    let mut failure = Failure::new(
        "kubeadm join",
        "etcd member list did not settle within 120 s\n2 members started, 1 learner",
    )
    .left("nothing on the node was changed")
    .hint("look at etcd on node-a: `slipway status`");
    failure.causes.push("context deadline exceeded".into());
    failure
}

/// Everything that goes well and half of what does not, up to the last phase.
fn bootstrap() -> Script {
    let mut script = Script::new("bootstrap");
    let connected = |node: &str, again| Event::NodeConnected {
        node: name(node),
        machine_id: "0123456789abcdef".into(),
        again,
    };
    for node in NODES {
        script.say(connected(node, false));
        script.say(Event::LeaseTaken { node: name(node), generation: 1, from: None });
    }
    script.phase(0, Pace::Parallel, 2);
    for node in 0..3 {
        script.op(
            &op(0, node, 0, "sysctls", "write /etc/sysctl.d/90-slipway.conf"),
            changed("+ net.ipv4.ip_forward = 1"),
        );
    }
    let swap = op(0, 1, 1, "swap", "switch swap off");
    script
        .op(&op(0, 0, 1, "swap", "switch swap off"), OpResult::Unchanged)
        .say(Event::OpStarted { op: swap.clone() })
        .say(Event::NodeLost { node: name("node-b"), why: "reset by peer".into() })
        .say(connected("node-b", true))
        .say(Event::OpFinished { op: swap, result: OpResult::Unchanged, elapsed_ms: 1_950 })
        .say(Event::Note {
            level: Level::Warning,
            node: Some(name("node-c")),
            text: "the clock is 3 s behind".into(),
            hint: Some("enable systemd-timesyncd".into()),
        })
        .phase_over(0, PhaseResult::Done, 12_345);

    let init = op(1, 0, 0, "kubeadm-init", "kubeadm init");
    script
        .say(Event::PhaseStarted {
            phase: PHASES[1].parse().unwrap(),
            pace: Pace::Once,
            lanes: vec![LanePreview { node: name("node-a"), ops: 1 }],
        })
        .say(Event::Intent {
            node: name("node-a"),
            phase: PHASES[1].parse().unwrap(),
            request: "abc-node-a-2".into(),
            ops: vec!["aa11".into()],
        })
        .print(&init, "[init] Using Kubernetes version: v1.36.4")
        .say(Event::RetryScheduled {
            op: init.clone(),
            attempt: 2,
            wait_ms: 5_000,
            why: "pull registry image: timeout".into(),
        })
        .print(&init, "\u{1b}[32mkubeadm join --token abcdef.0123456789abcdef\u{1b}[0m")
        .op(&init, changed("a control plane was made"))
        .say(Event::ClusterIdentity {
            ca_fingerprint: "sha256:77aa".into(),
            etcd_cluster_id: Some("cdf818194e3a8c32".into()),
        })
        .say(Event::SnapshotTaken {
            node: name("node-a"),
            file: ".slipway/snapshots/1.age".into(),
            sha256: "99ff00aa11bb22cc".into(),
            revision: 812,
        })
        .phase_over(1, PhaseResult::Done, 63_000)
        .phase(2, Pace::Rolling, 1);
    script
}

fn done() -> Script {
    let mut script = bootstrap();
    let mut approve = op(2, 2, 0, "approve", "approve the certificate");
    approve.node = name("node-a");
    script
        .op(&approve, changed("csr-1"))
        .phase_over(2, PhaseResult::Done, 7_000)
        .say(Event::HandedOff {
            repo: "https://git.example/homelab.git".into(),
            commit: "c0ffee00c0ffee00".into(),
            applications: vec!["cilium".into(), "rook".into()],
            still_ours: Vec::new(),
        })
        .over(RunResult::Done, 5, vec![]);
    script
}

fn failed() -> Script {
    let mut script = bootstrap();
    let join = op(2, 1, 0, "kubeadm-join", "kubeadm join");
    script
        .say(Event::OpStarted { op: join.clone() })
        .print(&join, "[etcd] Announced new etcd member")
        .print(&join, "[etcd] Waiting for the new member")
        .say(Event::OpFinished {
            op: join.clone(),
            result: OpResult::Failed(join_failure()),
            elapsed_ms: 120_400,
        })
        .phase_over(2, PhaseResult::Failed, 121_000)
        .over(RunResult::Failed, 4, vec![]);
    script
}

#[test]
fn plain_done() {
    insta::assert_snapshot!(done().plain());
}

#[test]
fn plain_failed() {
    insta::assert_snapshot!(failed().plain());
}

#[test]
fn plain_verbose() {
    insta::assert_snapshot!(
        failed().seen(Mode::Plain, Options { verbose: 2, ..Options::default() })
    );
}

#[test]
fn json_failed() {
    insta::assert_snapshot!(failed().seen(Mode::Json, Options::default()));
}

#[test]
fn log_failed() {
    let paper = Paper::default();
    failed().play(&mut Log::new(Redactor::default(), Box::new(paper.clone())));
    insta::assert_snapshot!(paper.text());
}

#[test]
fn plain_the_same_failure_on_three_nodes() {
    let mut script = Script::new("bootstrap");
    script.phase(0, Pace::Parallel, 1);
    let mut failures = Vec::new();
    for node in 0..3 {
        let op = op(0, node, 0, "packages", "install socat");
        let failure = Failure::new("install socat", "no mirror answers")
            .on(&op.node)
            .at(&op.phase, &op.step)
            .left("nothing on the node was changed")
            .hint("check the nodes' DNS");
        script.print(&op, "error: failed retrieving file 'core.db'");
        script.say(Event::OpFinished {
            op,
            result: OpResult::Failed(failure.clone()),
            elapsed_ms: 9_000,
        });
        failures.push(failure);
    }
    script.phase_over(0, PhaseResult::Failed, 9_100).over(RunResult::Failed, 0, failures);
    insta::assert_snapshot!(script.plain());
}

#[test]
fn plain_refused() {
    let mut script = Script::new("bootstrap");
    script.phase(0, Pace::Parallel, 1);
    let op = op(0, 0, 0, "disks", "wipe S7KGNJ0W200001");
    let failure = Failure::new("wipe S7KGNJ0W200001", "the disk carries an LVM signature")
        .left("the disk was only read")
        .hint("--wipe-disk S7KGNJ0W200001 approves it for one run")
        .refused(Refusal::Disk);
    script.op(&op, OpResult::Failed(failure)).phase_over(0, PhaseResult::Failed, 300).over(
        RunResult::Refused,
        0,
        vec![],
    );
    insta::assert_snapshot!(script.plain());
}

#[test]
fn plain_interrupted() {
    let mut script = Script::new("upgrade");
    script
        .phase(0, Pace::Rolling, 2)
        .op(&op(0, 0, 0, "sysctls", "write /etc/sysctl.d/90-slipway.conf"), changed("+ x"))
        .say(Event::Interrupted { leaving_at_once: false })
        .say(Event::Interrupted { leaving_at_once: true })
        .phase_over(0, PhaseResult::Interrupted, 1_000)
        .over(RunResult::Interrupted, 1, vec![]);
    insta::assert_snapshot!(script.plain());
}

#[test]
fn plain_nothing_to_change() {
    let mut script = Script::new("bootstrap");
    script
        .phase(0, Pace::Parallel, 1)
        .op(&op(0, 0, 0, "swap", "switch swap off"), OpResult::Unchanged)
        .phase_over(0, PhaseResult::Done, 300)
        .over(RunResult::Done, 0, vec![]);
    insta::assert_snapshot!(script.plain());
}

#[test]
fn a_stream_that_breaks_off_still_shows_its_failures() {
    let mut script = failed();
    script.0.pop();
    for mode in [Mode::Plain, Mode::Human] {
        let seen = script.seen(mode, Options::default());
        assert!(seen.contains("error: node-b: `kubeadm join` failed"), "{seen}");
        assert!(seen.contains("[etcd] Waiting for the new member"), "{seen}");
    }
}

#[test]
fn what_stays_on_a_terminal() {
    let seen = failed().seen(Mode::Human, Options::default());
    insta::assert_snapshot!(after_terminal(&seen));
}

#[test]
fn colours_are_for_those_who_asked() {
    let color = |color| failed().seen(Mode::Human, Options { color, ..Options::default() });
    assert!(color(true).contains("\u{1b}[1;31merror"));
    assert!(!color(false).contains("\u{1b}[1;31m"));
    let plain = failed().seen(Mode::Plain, Options { color: true, ..Options::default() });
    assert!(!plain.chars().any(|c| c.is_control() && c != '\n'), "{plain}");
}

#[test]
fn a_closed_pipe_does_not_end_a_run() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    for mode in [Mode::Human, Mode::Plain, Mode::Json] {
        failed().play(&mut *ui::fold(mode, Options::default(), Box::new(Closed)));
    }
}

/// What a terminal of 100 columns shows in the end: enough of one for the bars.
fn after_terminal(bytes: &str) -> String {
    const COLUMNS: usize = 100;
    let mut screen: Vec<Vec<char>> = vec![vec![]];
    let (mut row, mut column) = (0usize, 0usize);
    let mut rest = bytes.chars();
    while let Some(c) = rest.next() {
        match c {
            '\r' => column = 0,
            '\n' => (row, column) = (row + 1, 0),
            '\u{1b}' => {
                let code: String = rest.by_ref().skip(1).take_while_inclusive_letter();
                let (number, letter) = code.split_at(code.len() - 1);
                let number = number.parse().unwrap_or(1);
                match letter {
                    "A" => row = row.saturating_sub(number),
                    "B" => row += number,
                    "K" => screen[row].clear(),
                    _ => {}
                }
            }
            c => {
                if column == COLUMNS {
                    (row, column) = (row + 1, 0);
                }
                screen.resize(screen.len().max(row + 1), vec![]);
                let line = &mut screen[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
        screen.resize(screen.len().max(row + 1), vec![]);
    }
    screen.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned() + "\n").collect()
}

trait UpToLetter {
    fn take_while_inclusive_letter(self) -> String;
}

impl<I: Iterator<Item = char>> UpToLetter for I {
    fn take_while_inclusive_letter(self) -> String {
        let mut code = String::new();
        for c in self {
            code.push(c);
            if c.is_ascii_alphabetic() {
                break;
            }
        }
        code
    }
}

// Any stream at all.

/// Random texts with secrets strewn in, some of them torn by an escape sequence.
fn text(secrets: Vec<String>) -> impl Strategy<Value = String> + Clone {
    let secret = proptest::sample::select(secrets);
    let torn = (secret.clone(), 1..7usize)
        .prop_map(|(secret, at)| format!("{}\u{1b}[31m{}", &secret[..at], &secret[at..]));
    let part = prop_oneof![".{0,30}".prop_map(String::from), secret, torn, "[ \n\t=]{0,3}"];
    proptest::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}

fn failure(
    text: impl Strategy<Value = String> + Clone + 'static,
) -> impl Strategy<Value = Failure> {
    let lines = proptest::collection::vec(text.clone(), 0..4);
    let maybe = proptest::option::of(text.clone());
    (text, lines.clone(), lines, maybe.clone(), maybe, any::<bool>(), 0..3usize).prop_map(
        |(what, causes, output, left, hint, refused, node)| Failure {
            what,
            node: Some(name(NODES[node])),
            phase: None,
            step: None,
            causes,
            output,
            left,
            hint,
            refusal: refused.then_some(Refusal::Quorum),
        },
    )
}

fn event(secrets: Vec<String>) -> impl Strategy<Value = Event> {
    let text = text(secrets).boxed();
    let op_ref = (0..3usize, 0..3usize, any::<u8>(), text.clone())
        .prop_map(|(phase, node, index, title)| op(phase, node, index.into(), "step", &title));
    let result = prop_oneof![
        Just(OpResult::Unchanged),
        proptest::collection::vec(text.clone(), 0..3).prop_map(OpResult::Changed),
        failure(text.clone()).prop_map(OpResult::Failed),
    ];
    let started = (text.clone(), 0..4usize, any::<bool>()).prop_map(|(text, phases, simulated)| {
        Event::RunStarted(RunStarted {
            run: text.clone(),
            verb: text.clone(),
            cluster: name("homelab"),
            slipway: text.clone(),
            simulated,
            nodes: NODES.iter().map(|node| name(node)).collect(),
            plan_hash: text.clone(),
            decisions: vec![text.clone()],
            destructive: vec![text.clone()],
            changes: u32::MAX,
            unchanged: u32::MAX,
            phases: PHASES.iter().take(phases).map(|phase| phase.parse().unwrap()).collect(),
            command: text,
        })
    });
    let finished = (proptest::collection::vec(failure(text.clone()), 0..3), 0..4usize).prop_map(
        |(failures, result)| {
            let result =
                [RunResult::Done, RunResult::Failed, RunResult::Refused, RunResult::Interrupted]
                    [result];
            let run = String::new();
            let (changed, unchanged, elapsed_ms) = (1, 0, u64::MAX);
            Event::RunFinished(RunFinished {
                run,
                result,
                changed,
                unchanged,
                elapsed_ms,
                failures,
            })
        },
    );
    let phase = (0..3usize, 0..4usize, any::<u32>()).prop_map(|(phase, lanes, ops)| {
        let lanes = NODES.iter().take(lanes);
        Event::PhaseStarted {
            phase: PHASES[phase].parse().unwrap(),
            pace: Pace::Rolling,
            lanes: lanes.map(|node| LanePreview { node: name(node), ops }).collect(),
        }
    });
    let over = (0..3usize, any::<u64>()).prop_map(|(phase, elapsed_ms)| Event::PhaseFinished {
        phase: PHASES[phase].parse().unwrap(),
        result: PhaseResult::Interrupted,
        elapsed_ms,
    });
    let node = (0..3usize).prop_map(|node| name(NODES[node]));
    let others = (node.clone(), text.clone(), text.clone(), any::<bool>(), 0..13u8).prop_map(
        |(node, a, b, yes, kind)| match kind {
            0 => Event::NodeConnected { node, machine_id: a, again: yes },
            1 => Event::NodeLost { node, why: a },
            2 => Event::NodeReplaced { node, was: a, now: b },
            3 => Event::Intent {
                node,
                phase: "host-prep".parse().unwrap(),
                request: a,
                ops: vec![b],
            },
            4 => Event::ClusterIdentity { ca_fingerprint: a, etcd_cluster_id: Some(b) },
            5 => Event::DiskApproved { serial: "S7KGNJ0W200001".parse().unwrap(), node, shown: a },
            6 => Event::SnapshotTaken { node, file: a, sha256: b, revision: 1 },
            7 => Event::HandedOff {
                repo: a.clone(),
                commit: b.clone(),
                applications: vec![b],
                still_ours: vec![a],
            },
            9 => Event::HandOffWaits { repo: a.clone(), commit: b, waiting: vec![a] },
            8 => Event::LeaseTaken { node, generation: u64::MAX, from: yes.then_some(a) },
            10 => Event::Brought { node, what: a, bytes: u64::MAX },
            11 => Event::Download(Download {
                what: a,
                bytes: u64::MAX,
                total: yes.then_some(u64::MAX),
                per_s: Some(u64::MAX),
                done: yes,
            }),
            _ => Event::Interrupted { leaving_at_once: yes },
        },
    );
    let note = (text.clone(), proptest::option::of(text.clone()))
        .prop_map(|(text, hint)| Event::Note { level: Level::Warning, node: None, text, hint });
    prop_oneof![
        1 => started,
        1 => finished,
        3 => phase,
        1 => over,
        4 => op_ref.clone().prop_map(|op| Event::OpStarted { op }),
        4 => (op_ref.clone(), text.clone()).prop_map(|(op, line)| Event::OpOutput { op, line }),
        4 => (op_ref.clone(), result.clone(), any::<u64>())
            .prop_map(|(op, result, elapsed_ms)| Event::OpFinished { op, result, elapsed_ms }),
        1 => (node, text.clone(), any::<u32>(), result).prop_map(
            |(node, request, number, result)| Event::OpRecovered { node, request, number, result }),
        2 => (op_ref, any::<u64>(), text).prop_map(|(op, wait_ms, why)| Event::RetryScheduled {
            op, attempt: 2, wait_ms, why }),
        4 => others,
        1 => note,
    ]
}

fn streams() -> impl Strategy<Value = (Vec<String>, Vec<Stamped>)> {
    proptest::collection::vec("[A-Za-z0-9+/=_\"\\\\-]{10,24}", 1..4).prop_flat_map(|secrets| {
        let at = prop_oneof![4 => 0..10_000u64, 1 => any::<u64>()];
        let stamped = (at, event(secrets.clone())).prop_map(|(at_ms, event)| Stamped {
            index: 7,
            at_ms,
            event,
        });
        (Just(secrets), proptest::collection::vec(stamped, 0..40))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_stream_breaks_a_fold_or_shows_a_secret(
        (secrets, stream) in streams(),
        verbose in 0..3u8,
        columns in 0..130u16,
        rows in 0..30u16,
        color in any::<bool>(),
    ) {
        let redactor = Redactor::default();
        secrets.iter().for_each(|secret| redactor.add(secret));
        for mode in [Some(Mode::Human), Some(Mode::Plain), Some(Mode::Json), None] {
            let paper = Paper::default();
            let out = Box::new(paper.clone());
            let options = Options {
                color,
                verbose,
                size: Size::fixed(columns, rows),
                expected: Box::new(|_, phase| (phase.len() > 10).then_some(u64::MAX)),
                redactor: redactor.clone(),
                ..Options::default()
            };
            let mut fold = match mode {
                Some(mode) => ui::fold(mode, options, out),
                None => Box::new(Log::new(redactor.clone(), out)) as Box<dyn Fold>,
            };
            for stamped in &stream {
                fold.event(stamped);
                fold.tick();
            }
            fold.finish();
            let text = paper.text();
            for secret in &secrets {
                prop_assert!(!text.contains(secret), "{mode:?} shows {secret:?}:\n{text}");
            }
            if mode == Some(Mode::Json) {
                for line in text.lines() {
                    let value: serde_json::Value = serde_json::from_str(line).unwrap();
                    prop_assert!(!shows(&value, &secrets), "{value}");
                }
            }
            if mode == Some(Mode::Plain) {
                prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
            }
        }
    }
}

/// Also what only shows once the escapes of JSON are undone.
fn shows(value: &serde_json::Value, secrets: &[String]) -> bool {
    match value {
        serde_json::Value::String(text) => secrets.iter().any(|secret| text.contains(secret)),
        serde_json::Value::Array(values) => values.iter().any(|value| shows(value, secrets)),
        serde_json::Value::Object(fields) => fields.values().any(|value| shows(value, secrets)),
        _ => false,
    }
}
