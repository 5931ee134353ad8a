//! The same ops against the simulated machine and against a real host: where they differ, one of
//! them tells a tale.
//!
//! `tests/hosts/run parity` brings a host (`SLIPWAY_LAB`) and runs this where a controller would be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a test prints, and ends by panicking"
)]

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, sync::Arc};

use slipway::{
    agent::frames::{AgentEvent, Found, FromAgent, LeaseAnswer, Outcome, StepOp, ToAgent},
    clock::Clock,
    engine::session::{Session, Told},
    inventory, news,
    ops::{
        Observed, Op,
        accounts::User,
        checks::{ClockFit, HostFit, Identity, PortsFree},
        fake::{World, WorldCell},
        files::{Absent, Directory, File, HostsBlock},
        host::{Hostname, Modules, NoSwap, RebootForKernel, Sysctls},
        network::AddressFree,
        packages::{Artifact, Packages, UpdateOs},
        pacman::PacmanIgnores,
        units::{Unit, UnitOff},
    },
    secret::Sealed,
    sim::{CrashFaults, SimConnector, machine},
    transport::{Ask, Connector, Options, SshConnector, Way},
};

struct Nobody;

impl Ask for Nobody {
    fn secret(&self, _: &str) -> Option<Sealed> {
        None
    }
}

/// `given` makes the two alike; what follows is compared, twice each.
struct Script {
    name: &'static str,
    given: Vec<Op>,
    then: Vec<Op>,
}

fn script(name: &'static str, given: Vec<Op>, then: Vec<Op>) -> Script {
    Script { name, given, then }
}

fn unit(name: &str, running: bool, config: &[&str]) -> Op {
    let config = config.iter().map(|c| (*c).to_string()).collect();
    Unit { name: name.into(), running, config }.into()
}

fn scripts() -> Vec<Script> {
    let file = |text: &str| File::new("/srv/parity/file", text);
    let absent = |path: &str| Op::from(Absent { path: path.into() });
    let directory = |mode, owner: Option<&str>| {
        let (path, owner) = ("/srv/parity/dir".into(), owner.map(Into::into));
        Op::from(Directory { path, mode, owner })
    };
    let packages = |names: &[&str]| {
        Op::from(Packages { names: names.iter().map(|n| (*n).to_string()).collect(), from: None })
    };
    let user = |groups: &[&str], keys: &[&str]| {
        let owned = |all: &[&str]| all.iter().map(|t| (*t).to_string()).collect();
        Op::from(User { name: "ada".into(), groups: owned(groups), keys: owned(keys) })
    };
    let sysctl = |value: &str| {
        let values = BTreeMap::from([("net.ipv4.ip_forward".to_string(), value.to_string())]);
        Op::from(Sysctls { values })
    };
    let hosts = |entries: &[(&str, &str)]| {
        let entry = |(a, n): &(&str, &str)| (a.parse().unwrap(), vec![(*n).to_string()]);
        Op::from(HostsBlock { entries: entries.iter().map(entry).collect() })
    };
    let tool = |version: &str, linked: bool| {
        let link = ("/usr/local/bin/tool".to_string(), "bin/tool".to_string());
        let (name, version) = ("tool".into(), version.parse().unwrap());
        Op::from(Artifact { name, version, links: if linked { vec![link] } else { vec![] } })
    };
    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAda ada@laptop";
    const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBob";
    vec![
        script(
            "files",
            vec![absent("/srv/parity/file")],
            vec![
                file("one\n").into(),
                file("two\n").into(),
                file("two\n").mode(0o600).into(),
                file("two\n").mode(0o600).owner(Some("daemon:daemon".into())).into(),
                // Written again by somebody who does not say whose it is: it stays theirs.
                file("three\n").mode(0o600).into(),
                file("three\n").mode(0o600).owner(Some("daemon:daemon".into())).into(),
                absent("/srv/parity/file"),
            ],
        ),
        script(
            "directories",
            vec![],
            vec![
                directory(0o755, None),
                directory(0o2750, Some("root:daemon")),
                directory(0o700, Some("daemon:daemon")),
            ],
        ),
        script(
            "names",
            vec![hosts(&[]), Hostname { name: "before".into() }.into()],
            vec![
                Hostname { name: "node-a".into() }.into(),
                hosts(&[("10.9.9.1", "one")]),
                hosts(&[("10.9.9.1", "one"), ("10.9.9.2", "two")]),
                hosts(&[]),
            ],
        ),
        script(
            "kernel",
            vec![sysctl("0"), Op::from(NoSwap {})],
            vec![
                sysctl("1"),
                sysctl("0"),
                NoSwap {}.into(),
                Modules { names: vec![] }.into(),
                RebootForKernel {}.into(),
            ],
        ),
        script(
            "packages",
            vec![UpdateOs {}.into()],
            vec![
                packages(&["socat", "htop"]),
                packages(&["socat"]),
                PacmanIgnores { names: vec!["kubelet".into()] }.into(),
                PacmanIgnores { names: vec!["kubelet".into(), "runc".into()] }.into(),
                UpdateOs {}.into(),
            ],
        ),
        script(
            "units",
            vec![
                File::new(
                    "/etc/systemd/system/parity.service",
                    "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n",
                )
                .into(),
                UnitOff { name: "parity.service".into() }.into(),
            ],
            vec![
                unit("parity.service", false, &[]),
                unit("parity.service", true, &["/etc/parity.conf"]),
                File::new("/etc/parity.conf", "changed\n").into(),
                unit("parity.service", true, &["/etc/parity.conf"]),
                UnitOff { name: "parity.service".into() }.into(),
                UnitOff { name: "never-heard-of.service".into() }.into(),
            ],
        ),
        script(
            "users",
            vec![],
            vec![user(&[], &[A]), user(&["daemon"], &[A, B]), user(&["daemon"], &[B])],
        ),
        script(
            "refusals and failures",
            vec![],
            vec![
                Identity { machine_id: "another".into() }.into(),
                PortsFree { ports: vec![2379, 6443] }.into(),
                HostFit {
                    os: "arch".into(),
                    min_cpus: 4_000,
                    min_memory_mb: 1,
                    min_var_free_mb: 1,
                    cgroup: 1,
                }
                .into(),
            ],
        ),
        script(
            "clock and neighbours",
            vec![],
            vec![
                ClockFit { wait_s: 30 }.into(),
                AddressFree { address: "10.77.0.199".parse().unwrap(), ours: vec![] }.into(),
            ],
        ),
        // The host has both versions lying ready; the simulated machine has everything.
        script("artifacts", vec![], vec![tool("1.2.3", false), tool("1.2.3", true), tool("1.2.4", true), tool("1.2.3", true)]),
    ]
}

/// What cannot be the same: how many CPUs there are, and which machine it is.
fn plain(text: &str, machine_id: &str) -> String {
    let text = text.replace(machine_id, "ID");
    let words = text.split(' ').map(|w| match w.parse::<u32>() {
        Ok(n) if n != 4_000 => "N",
        _ => w,
    });
    words.collect::<Vec<_>>().join(" ")
}

struct Host {
    session: Session,
    requests: u32,
}

impl Host {
    async fn open(connector: Arc<dyn Connector>, clock: Clock) -> Self {
        let node = "node-a".parse().unwrap();
        let mut session = Session::open(connector, node, clock).await.expect("it is reached");
        let take = ToAgent::TakeLease { holder: "parity".into(), force: true };
        match session.ask(&take).await.expect("it answers") {
            FromAgent::Lease(LeaseAnswer::Granted { generation, .. }) => {
                session.generation = generation;
            }
            other => panic!("no lease: {other:?}"),
        }
        Self { session, requests: 0 }
    }

    /// What it finds, and what it does.
    async fn tell(&mut self, op: &Op) -> Vec<String> {
        let machine_id = self.session.welcome.machine_id.clone();
        let mut lines = Vec::new();
        let ask = ToAgent::Observe { ops: vec![op.clone()], later: Vec::new() };
        if let Ok(FromAgent::Observed(found)) = self.session.ask(&ask).await {
            for found in found {
                lines.push(match found {
                    Found::Observed(Observed::Holds) => "finds: holds".into(),
                    Found::Observed(Observed::Differs(diffs)) => {
                        let diffs: Vec<String> = diffs.iter().map(|d| d.summary()).collect();
                        format!("finds: {}", diffs.join("; "))
                    }
                    Found::Observed(Observed::Left(why)) => format!("finds: left, {why}"),
                    Found::Failed(failure) => format!("finds: {failure} ({:?})", failure.refusal),
                });
            }
        }
        self.requests += 1;
        let request = format!("parity-{}-{}", self.session.welcome.process, self.requests);
        let step = "parity".parse().unwrap();
        let (_keep, cancel) = news::channel(false);
        let ops = vec![StepOp { step, op: op.clone() }];
        let mut told = Vec::new();
        let end = self
            .session
            .apply(&request, (ops, Vec::new()), cancel, news::Sender::new(false).subscribe(), |t| {
                if let Told::Event(AgentEvent::Finished { outcome, .. }) = t {
                    told.push(match outcome {
                        Outcome::Unchanged => "does: unchanged".into(),
                        Outcome::Changed(lines) => format!("does: {}", lines.join("; ")),
                        Outcome::Failed { failure, may_retry } => {
                            format!("does: {failure} ({:?}, again: {may_retry})", failure.refusal)
                        }
                    });
                }
            })
            .await;
        lines.extend(told);
        lines.push(format!("ends: {:?}", end.expect("it ends")));
        lines.iter().map(|l| plain(l, &machine_id)).collect()
    }
}

fn simulated() -> (Arc<dyn Connector>, Clock) {
    let inventory = inventory::parse("sim", inventory::SIM).unwrap().inventory;
    let node = inventory.nodes.iter().find(|n| n.name.as_str() == "node-a").unwrap();
    let mut world = World { seed: 1, ..World::default() };
    world.machines.insert(node.name.clone(), machine(&inventory, node, 0, 1));
    let clock = Clock::simulated(slipway::sim::BEGINNING_MS, 1000);
    let faults = Box::new(CrashFaults(None));
    let cell = WorldCell::new(world, BTreeMap::new(), clock, faults, None);
    (Arc::new(SimConnector::new(cell)), clock)
}

fn real(lab: &str) -> (Arc<dyn Connector>, Clock) {
    let way = Way {
        subject: "node-a".into(),
        lan: "10.77.0.11".into(),
        user: None,
        port: None,
        host_key: None,
    };
    let options = Options {
        program: PathBuf::from(std::env::var("SLIPWAY").expect("SLIPWAY is the binary")),
        accept_new_host_keys: false,
        config_file: Some(PathBuf::from(lab).join("ssh_config")),
        home: None,
        local_user: "root".into(),
        agent_socket: None,
        ask: Arc::new(Nobody),
    };
    let ways = BTreeMap::from([("node-a".parse().unwrap(), way)]);
    (Arc::new(SshConnector::new(ways, options)), Clock::wall())
}

fn main() -> ExitCode {
    let Ok(lab) = std::env::var("SLIPWAY_LAB") else {
        println!("parity: skipped: `tests/hosts/run parity` brings it a host");
        return ExitCode::SUCCESS;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (compared, differ) = runtime.block_on(async {
        let (connector, clock) = simulated();
        let mut fake = Host::open(connector, clock).await;
        let (connector, clock) = real(&lab);
        let mut host = Host::open(connector, clock).await;
        let (mut compared, mut differ) = (0, 0);
        for script in scripts() {
            for op in &script.given {
                fake.tell(op).await;
                host.tell(op).await;
            }
            for op in &script.then {
                for time in ["first", "again"] {
                    let (simulated, real) = (fake.tell(op).await, host.tell(op).await);
                    compared += 1;
                    if simulated != real {
                        differ += 1;
                        println!("{}, {time}: {}", script.name, op.title());
                        println!("  simulated {simulated:#?}\n  real      {real:#?}");
                    }
                }
            }
        }
        (compared, differ)
    });
    println!("parity: {compared} ops compared, {differ} differ");
    if differ == 0 && compared > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
