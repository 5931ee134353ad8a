//! The command line as a person or a script meets it: the real binary, its exit codes and what it
//! prints, on the simulated fleet. Long output is shown by its beginning and its end.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests start the binary and make files"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot set up its data should stop")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const SIM: &str = include_str!("../inventory/sim.toml");
const HOMELAB: &str = include_str!("../inventory/homelab.toml");
/// Output up to here is shown whole.
const WHOLE: usize = 24;

/// A directory of its own, and what was seen in it.
struct Desk {
    dir: TempDir,
    seen: String,
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("sim.toml"), SIM).unwrap();
        fs::write(dir.path().join("homelab.toml"), HOMELAB).unwrap();
        Self { dir, seen: String::new() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command
            .args(line.split_whitespace())
            .current_dir(self.path())
            .stdin(Stdio::null())
            .env("KUBECONFIG", self.path().join("kubeconfig"))
            .env_remove("SLIPWAY_INVENTORY")
            .env_remove("NO_COLOR");
        command
    }

    /// Runs it without showing it.
    fn quiet(&self, line: &str) -> Said {
        let output = self.command(line).output().unwrap();
        let here = self.path().display().to_string();
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes)
                .unwrap()
                .replace(&here, "[DIR]")
                .replace(env!("CARGO_BIN_EXE_slipway"), "slipway")
        };
        let said = Said {
            code: output.status.code().unwrap(),
            out: text(output.stdout),
            err: text(output.stderr),
        };
        for stream in [&said.out, &said.err] {
            let lower = stream.to_lowercase();
            assert!(!lower.contains("panicked") && !lower.contains("rust_backtrace"), "{stream}");
        }
        said
    }

    /// Runs it, expects this exit code, shows it in the snapshot.
    fn run(&mut self, code: i32, line: &str) -> Said {
        let said = self.quiet(line);
        assert_eq!(said.code, code, "slipway {line}\n{}\n{}", said.out, said.err);
        writeln!(self.seen, "$ slipway {line}\n[exit {code}]").unwrap();
        self.seen += &short(&said.out);
        if !said.err.is_empty() {
            write!(self.seen, "[stderr]\n{}", short(&said.err)).unwrap();
        }
        self.seen.push('\n');
        said
    }

    fn snapshot(&self, name: &str) {
        insta::with_settings!({
            snapshot_path => "cli", prepend_module_to_snapshot => false, omit_expression => true
        }, { insta::assert_snapshot!(name, self.seen) });
    }
}

fn short(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let shown: Vec<String> = if lines.len() <= WHOLE {
        lines.iter().map(ToString::to_string).collect()
    } else {
        let cut = format!("[... {} lines]", lines.len() - 20);
        let (head, tail) = (&lines[..15], &lines[lines.len() - 5..]);
        let whole = head.iter().map(ToString::to_string).chain([cut]);
        whole.chain(tail.iter().map(ToString::to_string)).collect()
    };
    shown.into_iter().map(|line| line + "\n").collect()
}

fn with(extra: &str) -> String {
    format!("{SIM}\n{extra}\n")
}

#[test]
fn story() {
    let mut desk = Desk::new();
    for (code, line) in [
        (3, "plan -i sim.toml"),
        (0, "bootstrap -i sim.toml"),
        (0, "plan -i sim.toml"),
        (0, "bootstrap -i sim.toml"),
        (0, "status -i sim.toml"),
        (0, "doctor -i sim.toml"),
        (0, "ledger history -i sim.toml"),
        (0, "upgrade --to 1.37.0 -i sim.toml"),
        (0, "remove-node node-c -i sim.toml"),
        (0, "join-node node-c -i sim.toml"),
        (0, "reset -i sim.toml"),
        (0, "status -i sim.toml"),
        (0, "bootstrap -i sim.toml"),
    ] {
        desk.run(code, line);
    }
    desk.snapshot("story");
}

#[test]
fn json() {
    let mut desk = Desk::new();
    let keys = |value: &Value| {
        let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        keys.join(" ")
    };
    for (code, verb) in [
        (3, "plan"),
        (0, "bootstrap"),
        (0, "status"),
        (0, "doctor"),
        (0, "etcd status"),
        (0, "etcd snapshot"),
        (0, "kubeconfig alex"),
        (0, "ledger history"),
        (0, "playbook list"),
    ] {
        let said = desk.quiet(&format!("{verb} -i sim.toml --output json"));
        assert_eq!(said.code, code, "{verb}: {}", said.err);
        let lines: Vec<Value> =
            said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.iter().all(|line| line["version"] == 1), "{verb}: a line without version 1");
        writeln!(desk.seen, "{verb} [exit {code}]").unwrap();
        if verb == "bootstrap" {
            let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
            for (n, line) in lines.iter().enumerate() {
                let first = lines[0]["index"].as_u64().unwrap();
                assert_eq!(line["index"].as_u64(), Some(first + n as u64), "a gap at {line}");
                *kinds.entry(line["event"].as_str().unwrap_or("?").into()).or_default() += 1;
            }
            writeln!(desk.seen, "  {}", keys(&lines[0])).unwrap();
            for (kind, count) in kinds {
                writeln!(desk.seen, "  {count:>4} {kind}").unwrap();
            }
        } else {
            assert_eq!(lines.len(), 1, "{verb}: one object");
            writeln!(desk.seen, "  {}", keys(&lines[0])).unwrap();
        }
    }
    desk.snapshot("json");
}

#[test]
fn refusals() {
    let mut desk = Desk::new();
    desk.file(
        "ext4.toml",
        &with(
            "[[sim.disk]]\nserial = \"SIM0W200001\"\ncontents = \"ext4\"\nlabel = \"old-photos\"",
        ),
    );
    let fsid = "d29d8f10-9f3a-4b7e-8a55-2f6d1c0f7a11";
    desk.file(
        "osd.toml",
        &with(&format!("[[sim.disk]]\nserial = \"SIM0W200004\"\ncontents = \"osd:{fsid}\"")),
    );
    for (code, line) in [
        (4, "plan -i ext4.toml"),
        (4, "bootstrap -i ext4.toml"),
        (4, "bootstrap -y -i ext4.toml"),
        (4, "bootstrap -i ext4.toml --wipe-disk SIM0W100001"),
        (2, "bootstrap -i ext4.toml --wipe-disk SIM0W200009"),
        (0, "bootstrap -i ext4.toml --wipe-disk SIM0W200001"),
        (4, "upgrade --to 1.35.0 -i ext4.toml"),
        (4, "upgrade --to 1.38.0 -i ext4.toml"),
        (4, "bootstrap -i ext4.toml --expect-plan 0000000000000000"),
        (4, "bootstrap --state-dir osd -i osd.toml --wipe-disk SIM0W200004"),
    ] {
        desk.run(code, line);
    }
    let nodes: Vec<&str> = SIM.split("[[node]]").collect();
    let rest = nodes[3].find("# ---").unwrap();
    desk.file("one.toml", &format!("{}[[node]]{}{}", nodes[0], nodes[1], &nodes[3][rest..]));
    assert_eq!(desk.quiet("bootstrap -i one.toml --state-dir one").code, 0);
    desk.run(4, "remove-node node-a -i one.toml --state-dir one");
    // Approved by `--destroy-osd` alone this ends in a refusal, half way: to be added when mended.
    desk.snapshot("refusals");
}

#[test]
fn bad_usage() {
    let mut desk = Desk::new();
    desk.file("unknown-key.toml", &SIM.replace("pod_cidr", "pod_cdir"));
    desk.file("talos.toml", &SIM.replacen("\"arch\"", "\"talos\"", 1));
    let two = SIM.rfind("[[node]]").unwrap();
    let rest = &SIM[two..];
    let sim = &rest[rest.find("# ---").unwrap()..];
    desk.file("two.toml", &format!("{}{sim}", &SIM[..two]));
    desk.file("in-the-way", "a file\n");
    desk.file("other.toml", &SIM.replace("name = \"sim\"", "name = \"other\""));
    for line in [
        "status",
        "plan -i missing.toml",
        "plan -i .",
        "plan -i unknown-key.toml",
        "plan -i talos.toml",
        "plan --on node-x -i sim.toml",
        "join-node node-x -i sim.toml",
        "bootstrap --until cnn -i sim.toml",
        "upgrade --to one -i sim.toml",
        "bootstrap --state-dir in-the-way -i sim.toml",
        "upgrade --to 1.37.0 -i homelab.toml",
    ] {
        desk.run(2, line);
    }
    // Says the same as a warning and as an error, for now: not shown.
    assert_eq!(desk.quiet("bootstrap -i two.toml").code, 2);
    desk.snapshot("bad_usage");
}

#[test]
fn faults() {
    let mut desk = Desk::new();
    let fault = |kind: &str| {
        with(&format!(
            "[[sim.fault]]\nnode = \"node-b\"\nstep = \"packages\"\nkind = \"{kind}\"\nat = \"middle\""
        ))
    };
    for kind in ["fail", "kill-controller", "power-cut"] {
        desk.file("sim.toml", &fault(kind));
        let first = i32::from(kind != "power-cut");
        desk.run(first, &format!("bootstrap -i sim.toml --state-dir {kind}"));
        desk.file("sim.toml", SIM);
        desk.run(0, &format!("bootstrap -i sim.toml --state-dir {kind}"));
    }
    desk.snapshot("faults");
}

#[test]
fn parts() {
    let mut desk = Desk::new();
    desk.run(0, "bootstrap --until runtime -i sim.toml");
    desk.run(3, "plan -i sim.toml");
    desk.run(0, "bootstrap --on node-a --until runtime -i sim.toml");
    desk.snapshot("parts");
}

#[test]
fn help() {
    let mut desk = Desk::new();
    desk.run(0, "--version");
    let help = desk.quiet("--help");
    assert_eq!(help.code, 0);
    write!(desk.seen, "$ slipway --help\n{}\n", help.out).unwrap();
    desk.run(0, "playbook show bootstrap");
    let schema = desk.quiet("schema inventory");
    let schema: Value = serde_json::from_str(&schema.out).unwrap();
    assert!(schema["$schema"].is_string());
    desk.snapshot("help");
}

#[test]
fn ledgers() {
    let mut desk = Desk::new();
    desk.file("other.toml", &SIM.replace("name = \"sim\"", "name = \"other\""));
    assert_eq!(desk.quiet("bootstrap --until connect -i sim.toml").code, 0);
    desk.run(2, "status -i other.toml");
    let path = desk.path().join(".slipway/ledger.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = text.lines().map(ToString::to_string).collect();
    lines[2] = lines[2].replacen('a', "b", 1);
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    desk.run(2, "status -i sim.toml");
    assert_eq!(desk.quiet("bootstrap -i sim.toml").code, 2, "nothing runs on a damaged ledger");
    desk.snapshot("ledgers");
}

#[test]
fn playbooks() {
    let mut desk = Desk::new();
    desk.run(0, "playbook eject own");
    let path = desk.path().join("own/bootstrap.toml");
    let good = fs::read_to_string(&path).unwrap();
    for (from, to) in
        [("\"host-fit\"", "\"host-fitt\""), ("format = 1", "format = 2"), ("[\"network\"]", "[]")]
    {
        fs::write(&path, good.replacen(from, to, 1)).unwrap();
        desk.run(2, "plan --playbooks own -i sim.toml");
    }
    let (before, after) = good.split_once("name = \"control-plane-join\"").unwrap();
    let after = after.replacen("\"rolling\"", "\"parallel\"", 1);
    fs::write(&path, format!("{before}name = \"control-plane-join\"{after}")).unwrap();
    assert_eq!(desk.quiet("bootstrap --until cni -i sim.toml").code, 0);
    let plan = desk.quiet("plan --playbooks own -v -i sim.toml");
    assert_eq!(plan.code, 3);
    assert!(plan.out.contains("control-plane-join (one after the other)"), "{}", plan.out);
    assert!(plan.out.contains("touches etcd on several nodes, so it runs one node at a time"));
    desk.snapshot("playbooks");
}

/// Who has a kubeconfig of their own on the way is told of it before anybody is contacted.
#[test]
fn kubeconfigs() {
    let mut desk = Desk::new();
    desk.run(1, "kubeconfig alex -i sim.toml");
    assert_eq!(desk.quiet("bootstrap -i sim.toml").code, 0);
    desk.run(0, "kubeconfig alex -i sim.toml");
    assert!(!desk.path().join("kubeconfig").exists(), "a simulated cluster is in nobody's way");
    desk.run(0, "kubeconfig alex --group media --valid 12h --out apart.yaml -i sim.toml");
    let text = fs::read_to_string(desk.path().join("apart.yaml")).unwrap();
    let secret = |line: &&str| line.contains("-data: ");
    assert_eq!(text.lines().filter(secret).count(), 3);
    let shown: Vec<&str> = text.lines().map(|l| l.split("-data: ").next().unwrap()).collect();
    writeln!(desk.seen, "{}\n", shown.join("\n")).unwrap();
    let mode = fs::metadata(desk.path().join("apart.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for (code, line) in [
        (4, "kubeconfig alex --group system:masters -i sim.toml"),
        (2, "kubeconfig system:admin -i sim.toml"),
        (2, "kubeconfig alex --valid 366d -i sim.toml"),
        (2, "kubeconfig alex --valid long -i sim.toml"),
    ] {
        desk.run(code, line);
    }
    desk.file("kubeconfig", "kind: Config\nclusters:\n- name: [homelab\n");
    desk.run(2, "kubeconfig alex -i homelab.toml");
    desk.file("kubeconfig", "kind: Pod\n");
    desk.run(2, "kubeconfig alex -i homelab.toml");
    assert_eq!(fs::read_to_string(desk.path().join("kubeconfig")).unwrap(), "kind: Pod\n");
    desk.snapshot("kubeconfigs");
}

/// The first way into Argo CD is shown once; Secrets that were asked for are there by name only.
#[test]
fn secrets_and_logins() {
    let mut desk = Desk::new();
    let secret = "[[gitops.secret]]\nnamespace = \"dns\"\nname = \"token\"\nkeys = { token = { env = \"X\" } }\n";
    desk.file(
        "secret.toml",
        &SIM.replace(
            "[[node]]\nname = \"node-a\"",
            &format!("{secret}\n[[node]]\nname = \"node-a\""),
        ),
    );
    desk.run(1, "gitops password -i secret.toml");
    assert_eq!(desk.quiet("bootstrap -i secret.toml").code, 0);
    let plan = desk.quiet("plan -v -i secret.toml");
    let lines = plan.out.lines().filter(|line| line.contains("Secret dns/token"));
    writeln!(desk.seen, "{}\n", lines.collect::<Vec<_>>().join("\n")).unwrap();
    desk.run(0, "gitops password -i secret.toml");
    desk.run(4, "gitops password -i secret.toml");
    desk.run(0, "gitops password --again --output json -i secret.toml");
    desk.file("flux.toml", &SIM.replace("engine = \"argocd\"", "engine = \"flux\""));
    desk.run(2, "gitops password -i flux.toml");
    let ledger = fs::read_to_string(desk.path().join(".slipway/ledger.jsonl")).unwrap();
    assert!(ledger.contains("password-shown") && !ledger.contains("a-simulated-"), "names only");
    desk.snapshot("secrets_and_logins");
}

#[test]
fn a_deploy_key_is_made_once() {
    let desk = Desk::new();
    let made = desk.quiet("gitops key -i homelab.toml");
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(
        made.out.starts_with("ssh-ed25519 AAAA") && made.out.lines().count() == 1,
        "{}",
        made.out
    );
    for word in ["Deploy keys", "git@github.com:you/k8s-homelab.git", "ssh_key = {"] {
        assert!(made.err.contains(word), "{}", made.err);
    }
    assert!(!made.err.contains("known_hosts"), "GitHub's is known: {}", made.err);
    let path = desk.path().join(".slipway/deploy-key");
    let key = fs::read_to_string(&path).unwrap();
    assert!(key.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = desk.quiet("gitops key -i homelab.toml");
    assert_eq!((again.code, again.out), (0, made.out));
    assert_eq!(fs::read_to_string(&path).unwrap(), key, "never written over");
    desk.file("other", "not a key\n");
    let refused = desk.quiet("gitops key --out other -i homelab.toml");
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(refused.err.contains("holds no deploy key"), "{}", refused.err);
}

#[test]
fn etcd() {
    let mut desk = Desk::new();
    desk.run(1, "etcd status -i sim.toml");
    assert_eq!(desk.quiet("bootstrap -i sim.toml").code, 0);
    desk.run(0, "etcd status -i sim.toml");
    desk.run(2, "etcd status --on node-x -i sim.toml");
    desk.run(2, "etcd verify nothing.age --state-dir other");
    desk.run(0, "etcd snapshot -i sim.toml");
    desk.run(0, "etcd snapshot --out one.age -i sim.toml");
    desk.run(2, "etcd snapshot --out one.age -i sim.toml");
    desk.run(0, "etcd verify one.age");
    for file in [".slipway/snapshots/identity.txt", "one.age"] {
        let mode = fs::metadata(desk.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let key = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    desk.file("stranger.txt", &format!("{key}\n"));
    desk.run(1, "etcd verify one.age --identity stranger.txt");
    let mut bytes = fs::read(desk.path().join("one.age")).unwrap();
    let at = bytes.len() - 99;
    bytes[at] ^= 1;
    fs::write(desk.path().join("one.age"), &bytes).unwrap();
    desk.run(1, "etcd verify one.age");
    // What a bootstrap takes by itself, before a change to etcd.
    let kept = fs::read_dir(desk.path().join(".slipway/snapshots")).unwrap();
    let kept: Vec<String> = kept
        .map(|e| e.unwrap().path().display().to_string())
        .filter(|path| path.ends_with(".age"))
        .collect();
    assert!(kept.len() > 1, "{kept:?}");
    for file in kept {
        assert_eq!(desk.quiet(&format!("etcd verify {file}")).code, 0);
    }
    desk.snapshot("etcd");
}

fn sum_of(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What can be said of bundles where nothing can be fetched.
#[test]
fn bundles() {
    let mut desk = Desk::new();
    // Files that are named in themselves; of the one whose digest is known, that is laid down.
    let kubernetes = "1.36.4".parse().unwrap();
    let gateway = &slipway::artifacts::compat().row(&kubernetes).unwrap().gateway_api;
    let sum = sum_of(&format!("gateway-api-{gateway}-linux-amd64.tar.gz"));
    let nothing = format!(
        "\n[artifacts]\ndir = \"nothing\"\ndownload = false\n\n[artifacts.digests]\n\"gateway-api:{gateway}\" = \"sha256:{sum}\"\n"
    );
    let homelab = HOMELAB.replacen("\n[[node]]", &format!("{nothing}\n[[node]]"), 1);
    desk.file("offline.toml", &homelab);
    desk.file("page.slipway", "<html>404 not found</html>\n");
    fs::create_dir(desk.path().join("packages")).unwrap();
    for (code, line) in [
        (1, "bundle verify missing.slipway"),
        (1, "bundle verify page.slipway"),
        (1, "bundle create x.slipway -i offline.toml"),
        (1, "bundle create x.slipway --packages packages -i offline.toml"),
        (1, "plan --bundle page.slipway -i offline.toml --until runtime"),
        (2, "plan --bundle page.slipway -i sim.toml"),
    ] {
        desk.run(code, line);
    }
    assert!(!desk.path().join("x.slipway").exists());
    // Each file that it asks for, put where it looks.
    let said = desk.quiet("bundle create x.slipway -i offline.toml");
    fs::create_dir(desk.path().join("nothing")).unwrap();
    for line in said.err.lines() {
        let named = line.split_once("there is no ").and_then(|(_, rest)| rest.split_once(' '));
        let Some((name, _)) = named else { continue };
        let sum = sum_of(name);
        desk.file(&format!("nothing/{name}"), name);
        desk.file(&format!("nothing/{name}.sha256"), &format!("{sum}  {name}\n"));
    }
    let said = desk.quiet("bundle create x.slipway -i offline.toml");
    assert_eq!(said.code, 0, "{}", said.err);
    desk.run(0, "bundle verify x.slipway");
    let bytes = fs::read(desk.path().join("x.slipway")).unwrap();
    fs::write(desk.path().join("cut.slipway"), &bytes[..bytes.len() - 9]).unwrap();
    desk.run(1, "bundle verify cut.slipway");
    let verified = desk.quiet("bundle verify x.slipway --output json");
    let verified: Value = serde_json::from_str(&verified.out).unwrap();
    assert_eq!(verified["version"], 1);
    assert_eq!(verified["contents"]["inputs"]["cluster"], "homelab");
    desk.snapshot("bundles");
}

/// A reader that leaves early, as `head` does.
#[test]
fn a_closed_pipe_is_no_panic() {
    let desk = Desk::new();
    for line in ["plan -i sim.toml", "bootstrap -i sim.toml", "--help"] {
        let mut command = desk.command(line);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(output.status.code().is_some_and(|c| c != 101), "{line}: {:?}", output.status);
        assert!(!err.contains("panicked") && !err.contains("rust_backtrace"), "{line}: {err}");
    }
}
