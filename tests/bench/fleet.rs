//! How fast the simulated fleet is driven: `cargo bench --bench fleet`.
//!
//! Whole commands of the real binary, side by side in one run: what a person waits for. Each figure
//! is the best of a few, for the machine is shared; the goals stand beside them, and nothing fails.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a benchmark measures")]
#![allow(clippy::unwrap_used)]

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const TRIES: u32 = 5;

fn slipway(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The best time of a few tries; `prepare` runs before each, untimed.
fn best(mut prepare: impl FnMut(), args: &[&str], exits: &[i32]) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..TRIES {
        prepare();
        let began = Instant::now();
        let status = slipway(args).status().unwrap();
        best = best.min(began.elapsed());
        assert!(exits.contains(&status.code().unwrap_or(-1)), "{args:?}: {status}");
    }
    best
}

/// The most memory that a command had at once, in MB, as the kernel counted it.
fn peak_mb(args: &[&str]) -> u64 {
    let child = slipway(args).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut child = child;
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kb = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kb.unwrap_or(0) / 1024);
        std::thread::sleep(Duration::from_millis(2));
    }
    peak
}

/// The simulated fleet with as many nodes as wanted, the first three control planes.
fn inventory(nodes: usize) -> String {
    let mut text = String::from(
        r#"[cluster]
name = "bench"
kubernetes = "1.36.4"
pod_cidr = "10.128.0.0/14"
service_cidr = "10.43.0.0/16"
endpoint = { host = "k8s-api.lab.home", kind = "keepalived", vip = "192.168.9.210", vrid = 51 }
[network.lan]
cidr = "192.168.0.0/16"
gateway = "192.168.0.1"
[network.ceph]
cidr = "10.10.0.0/16"
[cilium]
version = "1.20.1"
values = "values.yaml"
[gitops]
engine = "argocd"
repo = "https://github.com/you/k8s-homelab.git"
bootstrap = "bootstrap"
root = "root"
[sim]
seed = 7
"#,
    );
    for n in 0..nodes {
        let role = if n < 3 { "control-plane" } else { "worker" };
        let _ = write!(
            text,
            r#"[[node]]
name = "n{n:03}"
role = "{role}"
lan = {{ mac = "58:47:ca:00:{n:02x}:01", address = "192.168.1.{}" }}
ceph = {{ mac = "58:47:ca:00:{n:02x}:02", address = "10.10.10.{}" }}
disks = {{ os = "BENCH1{n:04}", ceph = ["BENCH2{:04}", "BENCH2{:04}"] }}
"#,
            n + 11,
            n + 11,
            2 * n,
            2 * n + 1,
        );
    }
    text
}

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let clear = |state: &str| drop(fs::remove_dir_all(Path::new(state)));
    println!("best of {TRIES}, whole commands of the release binary\n");
    println!("{:<34} {:>10}   goal", "what", "measured");
    let show = |what: &str, took: Duration, goal: &str| {
        println!("{what:<34} {:>7.1} ms   {goal}", took.as_secs_f64() * 1e3);
    };
    show("slipway --version", best(|| {}, &["--version"], &[0]), "under 20 ms");
    for nodes in [3, 100] {
        let (file, state) = (path(&format!("{nodes}.toml")), path(&format!("state-{nodes}")));
        fs::write(&file, inventory(nodes)).unwrap();
        let args = |verb: &'static str| [verb, "-i", &file, "--state-dir", &state];
        let goals =
            if nodes == 3 { ["-", "under 1 s", "-"] } else { ["under 1 s", "under 5 s", "-"] };
        let fresh = best(|| clear(&state), &args("plan"), &[3]);
        show(&format!("plan, {nodes} nodes, fresh"), fresh, goals[0]);
        let bootstrap = best(|| clear(&state), &args("bootstrap"), &[0]);
        show(&format!("bootstrap, {nodes} nodes"), bootstrap, goals[1]);
        show(
            &format!("bootstrap again, {nodes} nodes"),
            best(|| {}, &args("bootstrap"), &[0]),
            goals[2],
        );
        show(&format!("plan, {nodes} nodes, made"), best(|| {}, &args("plan"), &[0]), goals[0]);
        clear(&state);
        let mb = peak_mb(&args("bootstrap"));
        let goal = if nodes == 100 { "under 200 MB" } else { "-" };
        println!("{:<34} {mb:>7} MB   {goal}", format!("memory of that bootstrap, {nodes}"));
        let per_node = bootstrap.as_secs_f64() * 1e3 / nodes as f64;
        println!("{:<34} {per_node:>7.1} ms", format!("bootstrap per node, {nodes}"));
    }
}
