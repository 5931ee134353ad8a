//! The starter repository: what is in it for the reference fleet, what holds for any inventory, and
//! what running it again does; and the check of Cilium's values.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests start the binary and make files"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot set up its data should stop")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
    process::Command,
};

use slipway::{
    gitops::{
        Held, Input, Manifest, Scaffold, Starter, State, Trouble, scaffold, values,
        yaml::{self, Node, Value},
    },
    inventory::{self, Inventory},
};

const HOMELAB: &str = include_str!("../inventory/homelab.toml");
const POOL: &str = "192.168.1.220-192.168.1.239";
const VALUES: &str = "cluster/platform/base/networking/cilium/values.yaml";

fn load(text: &str) -> Inventory {
    inventory::parse("test.toml", text).unwrap_or_else(|e| panic!("{e}")).inventory
}

fn homelab() -> Inventory {
    load(HOMELAB)
}

fn with_pool() -> Input {
    Input { pool: vec![POOL.into()], ..Input::default() }
}

fn snapshot(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => "gitops", prepend_module_to_snapshot => false, omit_expression => true
    }, { insta::assert_snapshot!(name, text) });
}

/// The reference fleet, and what else an inventory may say.
fn variants() -> Vec<(String, Inventory)> {
    let without_ceph_port = |text: &str| {
        let (before, rest) = text.split_once("# The second port").unwrap();
        let rest = &rest[rest.find("[cilium]").unwrap()..];
        let lines = rest.lines().filter(|l| !l.starts_with("ceph ="));
        before.to_string() + &lines.map(|l| format!("{l}\n")).collect::<String>()
    };
    let one_node = {
        let (before, _) = HOMELAB.split_once("[[node]]\nname = \"node-b\"").unwrap();
        before.to_string()
    };
    let two_nodes = HOMELAB.split_once("[[node]]\nname = \"node-c\"").unwrap().0.to_string();
    let bridge = {
        let (before, rest) = HOMELAB.split_once("[cilium]").unwrap();
        let rest = &rest[rest.find("[gitops]").unwrap()..];
        format!("{before}[cni]\nkind = \"bridge\"\n\n{rest}")
    };
    let no_disks: String = HOMELAB
        .lines()
        .map(|l| if l.starts_with("disks") { l.split(", ceph").next().unwrap().to_string() + " }" } else { l.into() } + "\n")
        .collect();
    let elsewhere = HOMELAB
        .replace("cluster/platform/base/networking/cilium/values.yaml", "net/cilium.yaml")
        .replace("cluster/bootstrap/argocd", "./boot//engine/")
        .replace("cluster/bootstrap/root-application", "root")
        .replace("https://github.com/you/k8s-homelab.git", "git@github.com:you/k8s-homelab.git")
        .replace("revision = \"main\"", "revision = \"1.20\"");
    let unschedulable = HOMELAB.replacen(
        "role = \"control-plane\"",
        "role = \"control-plane\"\nschedulable = false",
        1,
    );
    let all = [
        ("homelab", HOMELAB.to_string()),
        ("replication", HOMELAB.replace("carries = \"all\"", "carries = \"replication\"")),
        ("no-ceph-port", without_ceph_port(HOMELAB)),
        ("one-node", one_node),
        ("two-nodes", two_nodes),
        ("bridge", bridge),
        ("no-disks", no_disks),
        ("elsewhere", elsewhere),
        ("unschedulable", unschedulable),
        ("kubernetes-1.37", HOMELAB.replace("1.36.4", "1.37.0")),
    ];
    let mut variants = Vec::new();
    for (name, text) in all {
        for engine in ["argocd", "flux", "both"] {
            let text = text.replace("engine = \"argocd\"", &format!("engine = \"{engine}\""));
            variants.push((format!("{name} with {engine}"), load(&text)));
        }
    }
    variants
}

/// Every variant, with and without addresses for MetalLB.
fn every(check: impl Fn(&str, &Inventory, &Scaffold)) {
    for (name, inventory) in variants() {
        for input in [Input::default(), with_pool()] {
            let made = scaffold(&inventory, &input).unwrap_or_else(|e| panic!("{name}: {e}"));
            check(&name, &inventory, &made);
        }
    }
}

fn read(name: &str, path: &str, text: &str) -> Vec<Node> {
    yaml::read(text).unwrap_or_else(|e| panic!("{name}: {path}:{}: {}", e.line, e.why))
}

fn strings(node: Option<&yaml::Entry>) -> Vec<String> {
    match node.map(|e| &e.node.value) {
        Some(Value::List(items)) => {
            items.iter().filter_map(|i| Some(i.text()?.to_string())).collect()
        }
        _ => Vec::new(),
    }
}

fn text<'a>(node: &'a Node, path: &[&str]) -> Option<&'a str> {
    node.at(path)?.node.text()
}

/// `a/b` and `../c` make `a/c`.
fn resolve(directory: &str, path: &str) -> String {
    let mut parts: Vec<&str> = directory.split('/').filter(|p| !p.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop().unwrap()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

fn in_directory(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.into() } else { format!("{directory}/{name}") }
}

#[test]
fn the_reference_fleet() {
    let made = scaffold(&homelab(), &with_pool()).unwrap();
    let list: Vec<&str> = made.files.keys().map(String::as_str).collect();
    snapshot("files", &list.join("\n"));
    for (name, path) in [
        ("cilium", VALUES),
        ("ceph-cluster", "cluster/platform/base/storage/rook-ceph/cluster/ceph-cluster.yaml"),
        ("block", "cluster/platform/base/storage/rook-ceph/cluster/block.yaml"),
        ("namespaces", "cluster/platform/base/namespaces/namespaces.yaml"),
        ("metallb-pool", "cluster/platform/base/networking/metallb-pool/pool.yaml"),
        ("root", "cluster/bootstrap/root-application/root.yaml"),
        ("bootstrap", "cluster/bootstrap/argocd/kustomization.yaml"),
        ("install", "cluster/bootstrap/argocd/install/kustomization.yaml"),
        ("application-of-cilium", "cluster/platform/gitops/argocd/apps/cilium.yaml"),
        ("application-of-rook-cluster", "cluster/platform/gitops/argocd/apps/rook-cluster.yaml"),
        ("project-of-the-platform", "cluster/platform/gitops/argocd/projects/platform.yaml"),
        ("readme", "cluster/README.md"),
    ] {
        snapshot(name, &made.files[path]);
    }
}

#[test]
fn the_reference_fleet_with_flux() {
    let inventory = load(&HOMELAB.replace("engine = \"argocd\"", "engine = \"both\""));
    let made = scaffold(&inventory, &with_pool()).unwrap();
    let list: Vec<&str> = made.files.keys().map(String::as_str).collect();
    snapshot("both-files", &list.join("\n"));
    for (name, path) in [
        ("both-root", "cluster/bootstrap/root-application/platform.yaml"),
        ("both-kustomization-of-cilium", "cluster/platform/gitops/flux/cilium.yaml"),
        ("both-release-of-cilium", "cluster/platform/base/networking/cilium/release.yaml"),
    ] {
        snapshot(name, &made.files[path]);
    }
}

#[test]
fn what_differs_between_fleets() {
    let mut seen = String::new();
    let part = |made: &Scaffold, file: &str, words: &[&str]| -> String {
        let path = format!("cluster/platform/base/storage/rook-ceph/cluster/{file}");
        let Some(text) = made.files.get(&path) else { return String::from("  none\n") };
        let lines = text.lines().filter(|l| words.iter().any(|w| l.contains(w)));
        lines.map(|l| format!("  {}\n", l.trim())).collect()
    };
    for (name, inventory) in variants() {
        if !name.ends_with("argocd") {
            continue;
        }
        let made = scaffold(&inventory, &Input::default()).unwrap();
        writeln!(seen, "{name}").unwrap();
        seen += &part(&made, "ceph-cluster.yaml", &["count:", "- 10.", "- 192.", "tolerations"]);
        seen += &part(&made, "block.yaml", &["size:", "failureDomain", "Safe"]);
        for note in &made.notes {
            writeln!(seen, "  note: {note}").unwrap();
        }
    }
    snapshot("fleets", &seen);
}

#[test]
fn everything_is_yaml_and_complete() {
    every(|name, _, made| {
        let mut seen = BTreeSet::new();
        for (path, text_of) in &made.files {
            assert!(!text_of.contains("${"), "{name}: {path} has a placeholder left");
            assert!(text_of.ends_with('\n') && !text_of.ends_with("\n\n"), "{name}: {path}");
            assert!(!text_of.contains("\n\n\n"), "{name}: {path} has a hole");
            assert!(
                text_of.lines().all(|l| l.trim_end() == l),
                "{name}: {path} has trailing blanks"
            );
            if path.ends_with(".md") {
                continue;
            }
            let documents = read(name, path, text_of);
            let values = path.ends_with("values.yaml")
                || path.ends_with("cilium.yaml") && !path.starts_with("cluster/");
            if values {
                continue;
            }
            for document in &documents {
                assert!(text(document, &["apiVersion"]).is_some(), "{name}: {path}");
                let kind = text(document, &["kind"]).unwrap_or_else(|| panic!("{name}: {path}"));
                if path.ends_with("kustomization.yaml") || path.ends_with("argocd-cm.yaml") {
                    continue;
                }
                let id = text(document, &["metadata", "name"]).unwrap();
                let namespace = text(document, &["metadata", "namespace"]).unwrap_or_default();
                let new = seen.insert(format!("{kind} {namespace}/{id}"));
                // The root of Flux and Argo CD stand beside the parts, under names of their own.
                assert!(new, "{name}: {path}: {kind} {namespace}/{id} is there twice");
            }
        }
    });
}

/// What a kustomization lists, as paths of the repository; addresses are left out.
fn listed(path: &str, node: &Node) -> Vec<String> {
    let mut found = strings(node.at(&["resources"]));
    for (of, what) in [("patches", "path"), ("configMapGenerator", "files")] {
        let Some(Value::List(items)) = node.at(&[of]).map(|e| &e.node.value) else { continue };
        for item in items {
            found.extend(text(item, &[what]).map(String::from));
            let files = strings(item.at(&[what]));
            found.extend(files.into_iter().map(|f| match f.split_once('=') {
                Some((_, file)) => file.to_string(),
                None => f,
            }));
        }
    }
    found.retain(|f| !f.starts_with("https://"));
    found.into_iter().map(|f| resolve(directory(path), &f)).collect()
}

#[test]
fn kustomizations_list_what_is_there_and_nothing_else() {
    every(|name, _, made| {
        let kustomization = |dir: &str| in_directory(dir, "kustomization.yaml");
        for (path, text) in made.files.iter().filter(|(p, _)| p.ends_with("kustomization.yaml")) {
            // The base of the bootstrap stands alone; the list of Flux is a kustomization by itself.
            let listed = listed(path, &read(name, path, text)[0]);
            assert!(!listed.is_empty() || text.contains("https://"), "{name}: {path} is empty");
            for entry in &listed {
                let there = made.files.contains_key(entry)
                    || made.files.contains_key(&kustomization(entry));
                assert!(there, "{name}: {path} lists {entry}, which is not there");
            }
            for beside in made.files.keys().filter(|p| directory(p) == directory(path)) {
                let kept = beside.ends_with(".md") || beside == path || listed.contains(beside);
                assert!(kept, "{name}: {path} does not list {beside}");
            }
        }
    });
}

#[test]
fn engines_bring_what_is_there_each_part_once() {
    every(|name, inventory, made| {
        let gitops = inventory.gitops.as_ref().unwrap();
        let (mut argocd, mut flux, mut sources) = (Vec::new(), Vec::new(), Vec::new());
        let mut allowed = Vec::new();
        for (path, content) in made.files.iter().filter(|(p, _)| p.ends_with(".yaml")) {
            for document in read(name, path, content) {
                let api = text(&document, &["apiVersion"]).unwrap_or_default();
                let kind = text(&document, &["kind"]).unwrap_or_default();
                if kind == "AppProject" && path.ends_with("platform.yaml") {
                    allowed = strings(document.at(&["spec", "sourceRepos"]));
                }
                if kind == "Application" {
                    let project = text(&document, &["spec", "project"]).unwrap();
                    assert_eq!(project, "platform", "{name}: {path}");
                    argocd.extend(text(&document, &["spec", "source", "path"]).map(String::from));
                    sources
                        .extend(text(&document, &["spec", "source", "repoURL"]).map(String::from));
                    let Some(Value::List(several)) =
                        document.at(&["spec", "sources"]).map(|e| &e.node.value)
                    else {
                        continue;
                    };
                    sources.extend(several.iter().map(|s| text(s, &["repoURL"]).unwrap().into()));
                    for file in strings(several[0].at(&["helm", "valueFiles"])) {
                        let file = file.strip_prefix("$values/").unwrap();
                        assert!(made.files.contains_key(file), "{name}: {path}: {file}");
                        argocd.push(directory(file).to_string());
                    }
                }
                if kind == "Kustomization" && api.starts_with("kustomize.toolkit") {
                    let path = text(&document, &["spec", "path"]).unwrap();
                    flux.push(path.strip_prefix("./").unwrap().to_string());
                }
            }
        }
        for source in &sources {
            assert!(allowed.contains(source), "{name}: {source} is not among {allowed:?}");
        }
        let all: Vec<&String> = argocd.iter().chain(&flux).collect();
        for (i, path) in all.iter().enumerate() {
            let at = in_directory(path, "kustomization.yaml");
            let chart = made.files.keys().any(|f| directory(f) == path.as_str());
            assert!(made.files.contains_key(&at) || chart, "{name}: nothing lies in {path}");
            for other in &all[i + 1..] {
                let nested = |a: &str, b: &str| a == b || b.starts_with(&format!("{a}/"));
                assert!(!nested(path, other) && !nested(other, path), "{name}: {path}, {other}");
            }
        }
        assert!(made.files.keys().any(|f| f.starts_with(gitops.root.trim_start_matches("./"))));
    });
}

#[test]
fn disks_and_networks_are_the_inventorys() {
    every(|name, inventory, made| {
        let path = "cluster/platform/base/storage/rook-ceph/cluster/ceph-cluster.yaml";
        let Some(content) = made.files.get(path) else {
            assert!(inventory.nodes.iter().all(|n| n.disks.ceph.is_empty()), "{name}");
            return;
        };
        for node in &inventory.nodes {
            assert_eq!(
                content.contains(&format!("- name: {}", node.name)),
                !node.disks.ceph.is_empty(),
                "{name}"
            );
            assert!(!content.contains(node.disks.os.as_str()), "{name}: an OS disk is named");
            for serial in &node.disks.ceph {
                assert_eq!(content.matches(serial.as_str()).count(), 1, "{name}: {serial}");
            }
        }
    });
}

#[test]
fn values_that_are_written_hold() {
    every(|name, inventory, made| {
        let Some(cilium) = &inventory.cilium else { return };
        let content = &made.files[&cilium.values];
        values::check(&values::Must::of(inventory), &cilium.values, content)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
    });
}

/// Takes a line out, and those that are further in below it.
fn without(content: &str, key: &str) -> String {
    let at = content.lines().position(|l| l.trim_start().starts_with(&format!("{key}:"))).unwrap();
    let depth = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = content.lines().collect();
    let below = lines[at + 1..]
        .iter()
        .take_while(|l| !l.trim().is_empty() && depth(l) > depth(lines[at]))
        .count();
    let kept = lines[..at].iter().chain(&lines[at + 1 + below..]);
    kept.map(|l| format!("{l}\n")).collect()
}

#[test]
fn every_value_that_is_missing_or_wrong_is_told_with_its_line() {
    let inventory = homelab();
    let content = &scaffold(&inventory, &Input::default()).unwrap().files[VALUES];
    let mut seen = String::new();
    let mut refuse = |what: &str, changed: &str| {
        assert_ne!(changed, content, "{what}");
        let failure = values::check(&values::Must::of(&inventory), "values.yaml", changed).err();
        let failure = failure.unwrap_or_else(|| panic!("{what} was accepted"));
        writeln!(seen, "{what}").unwrap();
        for cause in &failure.causes {
            writeln!(seen, "  {cause}").unwrap();
        }
        for line in failure.hint.iter().flat_map(|h| h.lines()) {
            writeln!(seen, "  | {line}").unwrap();
        }
        failure
    };
    for key in [
        "k8sServiceHost",
        "k8sServicePort",
        "kubeProxyReplacement",
        "clusterPoolIPv4PodCIDRList",
        "operator",
        "ipam",
        "devices",
        "MTU",
        "gatewayAPI",
        "method",
        "hubble",
    ] {
        let failure = refuse(&format!("without {key}"), &without(content, key));
        assert_eq!(failure.causes.len(), 1, "{key}");
        assert!(failure.causes[0].contains("is missing"), "{key}");
    }
    for (from, to) in [
        ("k8sServiceHost: k8s-api.lab.home", "k8sServiceHost: 192.168.1.11"),
        ("k8sServicePort: 6443", "k8sServicePort: 443"),
        ("kubeProxyReplacement: true", "kubeProxyReplacement: \"true\""),
        ("kubeProxyReplacement: true", "kubeProxyReplacement: false"),
        ("kubeProxyReplacement: true", "kubeProxyReplacement: strict"),
        ("- 10.42.0.0/16", "- 10.0.0.0/8"),
        ("- 10.42.0.0/16", "- 10.42.0.0/16\n      - 10.44.0.0/16"),
        ("- lan0", "- lan0\n  - ceph0"),
        ("devices:\n  - lan0", "devices: eth+"),
        ("devices:\n  - lan0", "devices:"),
        ("MTU: 1500", "MTU: 9000"),
        ("  enabled: true\n  gatewayClass", "  enabled: false\n  gatewayClass"),
        ("method: cronJob", "method: helm"),
    ] {
        let changed = content.replacen(from, to, 1);
        let line = content.lines().zip(changed.lines()).position(|(a, b)| a != b).unwrap() + 1;
        let failure = refuse(&format!("{} for {}", to.trim(), from.trim()), &changed);
        assert_eq!(failure.causes.len(), 1, "{to}");
        // A list is named by its key, which stands above what changed in it.
        let near = (line.saturating_sub(2)..=line)
            .any(|line| failure.causes[0].starts_with(&format!("values.yaml:{line}: ")));
        assert!(near, "{to}: line {line}: {}", failure.causes[0]);
    }
    refuse("nothing at all", "");
    refuse("a list", "- a\n");
    refuse("two documents", &format!("{content}---\na: 1\n"));
    refuse("a key twice", &format!("{content}MTU: 1500\n"));
    refuse("no YAML", "a: [1\nb: 2\n");
    snapshot("values", &seen);
}

#[test]
fn other_spellings_of_the_same_values_hold() {
    let inventory = homelab();
    let content = &scaffold(&inventory, &Input::default()).unwrap().files[VALUES];
    for (from, to) in [
        ("k8sServiceHost: k8s-api.lab.home", "k8sServiceHost: 192.168.1.210"),
        ("k8sServicePort: 6443", "k8sServicePort: \"6443\""),
        ("devices:\n  - lan0", "devices: lan0"),
        ("devices:\n  - lan0", "devices: [lan0]"),
        ("kubeProxyReplacement: true", "kubeProxyReplacement: True"),
        ("method: cronJob", "method: certmanager"),
        ("hubble:\n  enabled: true", "hubble:\n  enabled: false"),
        ("MTU: 1500", "x: &mtu 1500\nMTU: *mtu"),
    ] {
        let changed = content.replacen(from, to, 1);
        assert_ne!(&changed, content, "{from}");
        values::check(&values::Must::of(&inventory), "values.yaml", &changed)
            .unwrap_or_else(|e| panic!("{to}: {e}"));
    }
}

fn prepare(inventory: &Inventory, dir: &Path, input: Input) -> Starter {
    let starter = Starter::prepare(inventory, dir, input).unwrap_or_else(|t| panic!("{t:?}"));
    starter.write().unwrap_or_else(|t| panic!("{t:?}"));
    starter
}

/// What is not unchanged, by path.
fn states(starter: &Starter) -> BTreeMap<String, State> {
    let changes = starter.changes.iter().filter(|c| c.state != State::Unchanged);
    changes.map(|c| (c.path.clone(), c.state)).collect()
}

#[test]
fn again_changes_only_what_depends_on_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("new/repo");
    let first = prepare(&homelab(), &repo, with_pool());
    assert!(first.changes.iter().all(|c| c.state == State::Created));
    // MetalLB's addresses are remembered.
    assert_eq!(states(&prepare(&homelab(), &repo, Input::default())), BTreeMap::new());
    let updated = |inventory: &str| -> Vec<String> {
        let states = states(&prepare(&load(inventory), &repo, Input::default()));
        assert!(states.values().all(|s| *s == State::Updated), "{states:?}");
        states.into_keys().collect()
    };
    let pods = HOMELAB.replace("10.42.0.0/16", "10.44.0.0/16");
    assert_eq!(updated(&pods), [VALUES]);
    assert_eq!(updated(&pods), [""; 0]);
    let disk = pods.replace("S7KGNJ0W200006", "S7KGNJ0W200009");
    let ceph = "cluster/platform/base/storage/rook-ceph/cluster/ceph-cluster.yaml";
    assert_eq!(updated(&disk), [ceph]);
    let cilium = disk.replace("version = \"1.20.1\"", "version = \"1.20.2\"");
    let of_cilium = "cluster/platform/gitops/argocd/apps/cilium.yaml";
    assert_eq!(updated(&cilium), ["cluster/README.md", of_cilium]);
}

#[test]
fn what_somebody_edited_or_wrote_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path();
    let mine = "cluster/platform/gitops/argocd/apps/argocd.yaml";
    fs::create_dir_all(repo.join(mine).parent().unwrap()).unwrap();
    fs::write(repo.join(mine), "mine: true\n").unwrap();
    fs::write(repo.join("README.md"), "# Mine\n").unwrap();
    prepare(&homelab(), repo, with_pool());
    assert_eq!(fs::read_to_string(repo.join(mine)).unwrap(), "mine: true\n");

    let values = repo.join(VALUES);
    let edited = fs::read_to_string(&values).unwrap() + "debug:\n  enabled: true\n";
    fs::write(&values, &edited).unwrap();
    let again = prepare(&homelab(), repo, Input::default());
    let expected = [(VALUES, State::Edited), (mine, State::Foreign)];
    assert_eq!(states(&again), expected.map(|(p, s)| (p.to_string(), s)).into());
    assert!(again.refused.is_none());
    assert_eq!(fs::read_to_string(&values).unwrap(), edited);

    // It stays, and what it lacks for the inventory of today is told, with the line in the file.
    let changed = load(&HOMELAB.replace("10.42.0.0/16", "10.44.0.0/16"));
    let refused = prepare(&changed, repo, Input::default()).refused.unwrap();
    let line = edited.lines().position(|l| l.contains("clusterPoolIPv4PodCIDRList")).unwrap() + 1;
    assert!(refused.causes[0].starts_with(&format!("{VALUES}:{line}: ")), "{:?}", refused.causes);
    assert_eq!(fs::read_to_string(&values).unwrap(), edited);

    // A checkout with other line ends is no edit.
    let root = repo.join("cluster/bootstrap/root-application/root.yaml");
    let text = fs::read_to_string(&root).unwrap().replace('\n', "\r\n");
    fs::write(&root, &text).unwrap();
    assert_eq!(states(&prepare(&homelab(), repo, Input::default())).len(), 2);
    assert_eq!(fs::read_to_string(&root).unwrap(), text);
}

#[test]
fn what_is_no_longer_part_of_it_is_told_and_left() {
    let dir = tempfile::tempdir().unwrap();
    prepare(&homelab(), dir.path(), with_pool());
    let flux = load(&HOMELAB.replace("engine = \"argocd\"", "engine = \"flux\""));
    let states = states(&prepare(&flux, dir.path(), Input::default()));
    let app = "cluster/platform/gitops/argocd/apps/cilium.yaml";
    assert_eq!(states[app], State::Leftover);
    assert!(dir.path().join(app).exists());
    assert_eq!(states["cluster/platform/gitops/flux/cilium.yaml"], State::Created);
}

#[test]
fn manifests_are_kept_where_they_are_given() {
    let dir = tempfile::tempdir().unwrap();
    let given = "# v3.5.1\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\n";
    let mut input = with_pool();
    input.manifests.insert(Manifest::Argocd, Held::Text(given.into()));
    let first = prepare(&homelab(), dir.path(), input);
    let install = dir.path().join("cluster/bootstrap/argocd/install");
    assert!(fs::read_to_string(install.join("install.yaml")).unwrap().ends_with(given));
    let text = fs::read_to_string(install.join("kustomization.yaml")).unwrap();
    assert!(text.contains("- install.yaml") && !text.contains("https://"), "{text}");
    assert_eq!(first.notes.iter().filter(|n| n.contains("is built from")).count(), 1);
    assert_eq!(states(&prepare(&homelab(), dir.path(), Input::default())), BTreeMap::new());
    // One that somebody put there by hand counts as well; of another version, it is told.
    let crds = "cluster/platform/base/networking/gateway-api";
    fs::write(dir.path().join(crds).join("standard-install.yaml"), "# v1.4.0\n").unwrap();
    let again = prepare(&homelab(), dir.path(), Input::default());
    assert_eq!(again.notes.iter().filter(|n| n.contains("is built from")).count(), 0);
    assert!(
        again.notes.iter().any(|n| n.contains("does not look like 1.6.1")),
        "{:?}",
        again.notes
    );
    assert_eq!(states(&again).len(), 1);
}

#[test]
fn nothing_is_written_through_a_link_or_over_something_else() {
    let failed = |make: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        match Starter::prepare(&homelab(), dir.path(), Input::default()) {
            Err(Trouble::Failed(failure)) => failure.causes.join(" "),
            other => panic!("{other:?}"),
        }
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let link =
        |at: &Path| std::os::unix::fs::symlink(elsewhere.path(), at.join("cluster")).unwrap();
    assert!(failed(&link).contains("is a link"));
    assert!(failed(&|at| fs::write(at.join("cluster"), "").unwrap()).contains("is no directory"));
    let in_the_way = |at: &Path| fs::create_dir_all(at.join("cluster/README.md")).unwrap();
    assert!(failed(&in_the_way).contains("is no file"));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn paths_that_get_into_each_others_way_are_refused() {
    for (from, to) in [
        ("cluster/bootstrap/root-application", "cluster/bootstrap/argocd/"),
        (VALUES, "cluster/README.md"),
        (VALUES, "cluster/platform"),
        (VALUES, "cluster/bootstrap/argocd/kustomization.yaml"),
    ] {
        let inventory = load(&HOMELAB.replace(from, to));
        let failure = scaffold(&inventory, &Input::default()).unwrap_err();
        assert!(failure.hint.is_some(), "{to}: {failure}");
    }
}

/// The binary, as a person meets it.
#[test]
fn the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let (before, rest) = HOMELAB.split_once("[gitops]").unwrap();
    let none = format!("{before}{}", &rest[rest.find("# Beyond").unwrap()..]);
    fs::write(dir.path().join("homelab.toml"), HOMELAB).unwrap();
    fs::write(dir.path().join("none.toml"), none).unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let mut seen = String::new();
    let mut run = |code: i32, line: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_slipway"))
            .args(line.split_whitespace())
            .current_dir(dir.path())
            .env_remove("SLIPWAY_INVENTORY")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{line}\n{out}\n{err}");
        write!(seen, "$ slipway {line}\n[exit {code}]\n{out}").unwrap();
        if !err.is_empty() {
            write!(seen, "[stderr]\n{err}").unwrap();
        }
        seen.push('\n');
    };
    let pool = format!("--metallb-pool {POOL}");
    run(3, "-i homelab.toml gitops init repo --check");
    run(0, &format!("-i homelab.toml gitops init repo {pool}"));
    run(0, "-i homelab.toml gitops init repo --check");
    let values = dir.path().join("repo").join(VALUES);
    let text = fs::read_to_string(&values).unwrap();
    fs::write(&values, text.replace("MTU: 1500", "MTU: 9000")).unwrap();
    fs::remove_file(dir.path().join("repo/cluster/README.md")).unwrap();
    run(1, "-i homelab.toml gitops init repo -v");
    fs::write(&values, text).unwrap();
    run(0, "-i homelab.toml gitops init repo --output json");
    run(2, "-i homelab.toml gitops init file");
    run(2, "-i none.toml gitops init repo");
    run(2, "-i homelab.toml gitops init repo --metallb-pool 192.168.1.200-192.168.1.215");
    run(2, "-i homelab.toml gitops init repo --metallb-pool 192.168.1.220");
    run(2, "-i homelab.toml gitops init repo --flux-manifest homelab.toml");
    run(2, "-i homelab.toml gitops init repo --argocd-manifest missing.yaml");
    run(1, "-i homelab.toml gitops init /proc/slipway");
    snapshot("command-line", &seen);
}
