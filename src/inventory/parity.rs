//! The decoder and the JSON schema are two descriptions of one model; here they are held together.
//!
//! A file that uses every key is changed in every way that could tell the two apart, and read both
//! by the decoder and by serde, which the schema is derived with.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use toml::{Table, Value};

use super::{Inventory, json_schema};
use crate::toml_read::{Document, read};

/// Every key there is, none with its default.
const EVERYTHING: &str = r#"
cluster = { name = "lab", kubernetes = "1.36.4", pod_cidr = "10.1.0.0/16", service_cidr = "10.2.0.0/16", endpoint = { host = "k", port = 1, kind = "kube-vip", vip = "10.0.0.9", vrid = 5 } }
ssh = { user = "me", port = 23, config = "c" }
cni = { kind = "bridge" }
cilium = { version = "1.20.1", values = "v" }
gitops = { engine = "flux", repo = "r", revision = "x", bootstrap = "b", root = "r", wait_s = 5, grace_s = 6, flux = { bootstrap = "f", root = "g" }, age_identity = { env = "E", file = "f", command = ["c"], age = "a", sops = "s", key = "k" }, secret = [{ namespace = "n", name = "s", type = "t", labels = { l = "v" }, keys = { k = { env = "E", file = "f", command = ["c"], age = "a", sops = "s", key = "k" } } }], access = { username = "u", token = { env = "E", file = "f", command = ["c"], age = "a", sops = "s", key = "k" }, ssh_key = { env = "E", file = "f", command = ["c"], age = "a", sops = "s", key = "k" }, github_app = { app_id = 1, installation_id = 2, private_key = { env = "E", file = "f", command = ["c"], age = "a", sops = "s", key = "k" }, api = "p" }, known_hosts = { text = "t", file = "f" }, ca = { text = "t", file = "f" } } }
backup = { recipients = ["age1x"], keep = 3, keep_days = 9 }
kubeadm = { patches = { "etcd" = "a: b" } }
artifacts = { dir = "d", download = false, mirror = "http://m", images = ["r.io/b:2"], digests = { "r.io/a:1" = "sha256:0" } }
host = { packages = ["htop"], sysctls = { "vm.swappiness" = "10" }, journal_max = "2G", update_os = false, iptables = "legacy", allow_cgroup_v1 = true, containerd_restrict_oom = true, directory = [{ path = "/d", mode = "0700", owner = "a:b" }], file = [{ path = "/f", text = "t", source = "s", mode = "0600", owner = "a:b" }], user = [{ name = "u", groups = ["wheel"], keys = ["ssh-ed25519 A"] }] }
os_disk = { esp = "512M", root = "60G", partition = [{ mount = "/var/lib/etcd", size = "20G", filesystem = "xfs", options = ["nodiratime"] }] }
[network]
lan = { cidr = "10.0.0.0/24", gateway = "10.0.0.1", dns = ["10.0.0.2"], ntp = ["t"], mtu = 1400, min_speed_mbps = 1 }
ceph = { cidr = "10.3.0.0/24", mtu = 9000, min_speed_mbps = 2, carries = "replication" }
confirm_s = 30
[[node]]
name = "a"
os = "debian"
role = "worker"
schedulable = false
ssh = { host = "h", port = 24, user = "u", host_key = "SHA256:0123456789012345678901234567890123456789012" }
lan = { mac = "58:47:ca:00:00:01", address = "10.0.0.3" }
ceph = { mac = "58:47:ca:00:00:02", address = "10.3.0.3" }
disks = { os = "OS1", ceph = ["CEPH1"] }
labels = { rack = "1" }
[sim]
seed = 3
speed = 4
disk = [{ serial = "CEPH1", contents = "xfs", label = "l", size_gb = 5 }]
fault = [{ node = "a", step = "s", kind = "slow", at = "after", times = 2, seconds = 6 }]
"#;

type Path = Vec<String>;

fn decode(table: &Table) -> Document<Inventory> {
    read(&toml::to_string(table).unwrap()).unwrap()
}

fn table_at<'t>(root: &'t mut Table, path: &[String]) -> &'t mut Table {
    let mut table = root;
    for key in path {
        let value = table.get_mut(key).unwrap();
        table = match value {
            Value::Array(items) => items[0].as_table_mut().unwrap(),
            value => value.as_table_mut().unwrap(),
        };
    }
    table
}

/// Follows references, options and lists down to the object that is described.
fn resolve<'s>(root: &'s Json, schema: &'s Json) -> &'s Json {
    if let Some(name) = schema.get("$ref").and_then(Json::as_str) {
        return resolve(root, root.pointer(name.trim_start_matches('#')).unwrap());
    }
    let one_of = schema.get("anyOf").and_then(Json::as_array);
    if let Some(some) = one_of.and_then(|all| all.iter().find(|s| s["type"] != "null")) {
        return resolve(root, some);
    }
    schema.get("items").map_or(schema, |items| resolve(root, items))
}

/// Each table of the schema with its path, its keys, and those that must be there.
fn tables(
    root: &Json,
    schema: &Json,
    path: &Path,
    out: &mut Vec<(Path, BTreeSet<String>, BTreeSet<String>)>,
) {
    let Some(properties) = schema.get("properties").and_then(Json::as_object) else { return };
    let required = schema.get("required").and_then(Json::as_array).into_iter().flatten();
    let required = required.map(|r| r.as_str().unwrap().to_owned()).collect();
    assert_eq!(schema["additionalProperties"], false, "{path:?}");
    out.push((path.clone(), properties.keys().cloned().collect(), required));
    for (key, value) in properties {
        let path = path.iter().chain([key]).cloned().collect();
        tables(root, resolve(root, value), &path, out);
    }
}

fn described() -> Vec<(Path, BTreeSet<String>, BTreeSet<String>)> {
    let schema = json_schema();
    let mut out = Vec::new();
    tables(&schema, &schema, &Vec::new(), &mut out);
    assert!(out.len() >= 16, "{out:#?}");
    out
}

#[test]
fn both_know_the_same_keys() {
    let everything: Table = EVERYTHING.parse().unwrap();
    for (path, keys, _) in described() {
        let mut table = everything.clone();
        let given: BTreeSet<String> = table_at(&mut table, &path).keys().cloned().collect();
        assert_eq!(given, keys, "the test's file lacks a key of {path:?}");
        table_at(&mut table, &path).insert("qqqqqqqqqqqqqqqq".into(), Value::Boolean(true));
        let errors = decode(&table).errors;
        let [error] = errors.as_slice() else { panic!("{path:?}: {errors:#?}") };
        let hint = error.hint.clone().unwrap();
        let asked: BTreeSet<String> =
            hint.split('`').skip(1).step_by(2).map(String::from).collect();
        assert_eq!(asked, keys, "the decoder asks {path:?} for other keys");
    }
}

#[test]
fn both_want_the_same_keys_and_agree_on_the_rest() {
    let everything: Table = EVERYTHING.parse().unwrap();
    for (path, keys, required) in described() {
        for key in keys {
            let mut table = everything.clone();
            table_at(&mut table, &path).remove(&key);
            let found = decode(&table);
            assert_eq!(!found.errors.is_empty(), required.contains(&key), "{path:?} {key}");
            match table.try_into::<Inventory>() {
                Ok(by_serde) => assert_eq!(found.value, by_serde, "{path:?} {key}"),
                Err(error) => assert!(required.contains(&key), "{path:?} {key}: {error}"),
            }
        }
    }
}

#[test]
fn both_read_the_same_values() {
    let by_serde: Inventory = toml::from_str(EVERYTHING).unwrap();
    let found = read::<Inventory>(EVERYTHING).unwrap();
    assert_eq!(found.errors, []);
    assert_eq!(found.value, by_serde);
}

/// Every word of every enum, as the schema lists them.
#[test]
fn both_know_the_same_words() {
    let schema = json_schema();
    let everything: Table = EVERYTHING.parse().unwrap();
    let mut words_seen = 0;
    for (path, keys, _) in described() {
        let pointer = path.iter().fold(&schema, |at, key| resolve(&schema, &at["properties"][key]));
        for key in keys {
            let property = resolve(&schema, &pointer["properties"][&key]);
            let mut words: Vec<&str> = Vec::new();
            for option in property
                .get("oneOf")
                .and_then(Json::as_array)
                .into_iter()
                .flatten()
                .chain([property])
            {
                words.extend(option.get("const").and_then(Json::as_str));
                words.extend(
                    option
                        .get("enum")
                        .and_then(Json::as_array)
                        .into_iter()
                        .flatten()
                        .filter_map(Json::as_str),
                );
            }
            if words.is_empty() {
                continue;
            }
            words_seen += words.len();
            for word in &words {
                let mut table = everything.clone();
                table_at(&mut table, &path).insert(key.clone(), Value::String((*word).into()));
                let found = decode(&table);
                assert_eq!(found.errors, [], "{path:?} {key} {word}");
                assert_eq!(found.value, table.try_into::<Inventory>().unwrap());
            }
            let mut table = everything.clone();
            table_at(&mut table, &path)
                .insert(key.clone(), Value::String("qqqqqqqqqqqqqqqq".into()));
            let hint = decode(&table).errors[0].hint.clone().unwrap();
            let known: BTreeSet<&str> = hint.split('`').skip(1).step_by(2).collect();
            assert_eq!(known, words.into_iter().collect(), "{path:?} {key}");
        }
    }
    assert!(words_seen >= 29, "{words_seen}");
}
