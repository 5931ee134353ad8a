//! The rules of the layout, kept by reading the source: who may know whom.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests read files"
)]

use std::{fs, path::Path};

/// Every line of code of `src`, without tests and comments: (file, line number, text).
fn source() -> Vec<(String, usize, String)> {
    let mut lines = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    walk(&root.join("src"), &mut |path| {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let text = fs::read_to_string(path).unwrap();
        for (n, line) in text.lines().enumerate() {
            // Tests stand at the end of a file, and may know what they like.
            if line.starts_with("#[cfg(test)]")
                && text.lines().nth(n + 1).is_some_and(|l| l.ends_with('{'))
            {
                break;
            }
            let code = line.split("//").next().unwrap_or_default();
            if !code.trim().is_empty() {
                lines.push((name.clone(), n + 1, code.to_string()));
            }
        }
    });
    assert!(lines.len() > 5_000, "the source was found");
    lines
}

fn walk(dir: &Path, visit: &mut impl FnMut(&Path)) {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, visit);
        } else if path.extension().is_some_and(|e| e == "rs") {
            visit(&path);
        }
    }
}

/// Test support that lives below `src`.
fn is_test_file(file: &str) -> bool {
    ["tests.rs", "_tests.rs", "fixture.rs", "parity.rs"].iter().any(|end| file.ends_with(end))
}

fn lies_in(file: &str, places: &[&str]) -> bool {
    places.iter().any(|p| file.starts_with(&format!("src/{p}/")) || file == format!("src/{p}.rs"))
}

/// Where `src/{within}` mentions any of `words`.
fn mentions(within: &[&str], words: &[&str]) -> Vec<String> {
    source()
        .into_iter()
        .filter(|(file, _, _)| lies_in(file, within) && !is_test_file(file))
        .filter(|(_, _, code)| words.iter().any(|w| code.contains(w)))
        .map(|(file, line, code)| format!("{file}:{line}: {}", code.trim()))
        .collect()
}

/// Where any of `words` is mentioned outside `homes`.
fn strays(homes: &[&str], words: &[&str]) -> Vec<String> {
    source()
        .into_iter()
        .filter(|(file, _, _)| !lies_in(file, homes) && !is_test_file(file))
        .filter(|(_, _, code)| words.iter().any(|w| code.contains(w)))
        .map(|(file, line, code)| format!("{file}:{line}: {}", code.trim()))
        .collect()
}

#[track_caller]
fn none(found: Vec<String>, rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

const IO: [&str; 9] = [
    "std::fs",
    "tokio::",
    "std::net::Tcp",
    "std::process",
    "std::thread",
    "async fn",
    ".await",
    "std::env",
    "SystemTime",
];

#[test]
fn plan_and_steps_do_no_io() {
    none(mentions(&["plan", "steps"], &IO), "plan and steps are pure");
}

#[test]
fn what_looks_does_no_io() {
    none(mentions(&["doctor", "status", "facts"], &IO), "they work on facts");
}

#[test]
fn what_is_in_a_repository_is_decided_without_io() {
    let found = mentions(&["gitops", "sops"], &IO);
    let found = found.into_iter().filter(|line| !line.starts_with("src/gitops/tree.rs"));
    none(found.collect(), "gitops is pure but for its tree");
    let above =
        ["crate::ops", "crate::steps", "crate::plan", "crate::engine", "crate::cli", "crate::ui"];
    none(mentions(&["gitops", "sops"], &above), "gitops knows neither nodes nor plans");
}

#[test]
fn the_engine_knows_no_ssh_terminal_or_kubernetes() {
    let words = [
        "russh",
        "indicatif",
        "crate::ui",
        "crate::sim",
        "crate::inventory",
        "crate::cli",
        "kubeadm",
        "crate::steps",
    ];
    none(mentions(&["engine"], &words), "the engine runs plans");
}

#[test]
fn the_scheduler_does_no_io_at_all() {
    none(mentions(&["engine/scheduler"], &IO), "the scheduler is sans-IO");
}

#[test]
fn ops_know_no_inventory_and_nobody_above() {
    let words = [
        "crate::inventory",
        "crate::plan",
        "crate::steps",
        "crate::engine",
        "crate::ui",
        "crate::cli",
        "crate::sim",
    ];
    none(mentions(&["ops", "agent"], &words), "an op carries everything it needs");
}

#[test]
fn the_ui_reads_only_events() {
    let used: Vec<String> = mentions(&["ui"], &["crate::"])
        .into_iter()
        .filter(|line| {
            let allowed = ["crate::events", "crate::names", "crate::redact", "crate::ui"];
            line.split("crate::").skip(1).any(|rest| {
                let path = format!("crate::{rest}");
                !allowed.iter().any(|a| path.starts_with(a))
                    // A grouped import is judged line by line.
                    && !rest.starts_with('{')
            })
        })
        .collect();
    none(used, "the UI folds events and knows names and what is hidden");
}

#[test]
fn only_state_writes_the_ledger() {
    none(strays(&["state"], &["ledger.jsonl", "FileDisk::open"]), "the ledger has one writer");
    // The engine's recorder hands events over; nobody else holds a writer but who opens it.
    none(
        strays(
            &["state", "engine/recorder", "cli/change", "cli/dismiss", "cli/password"],
            &["Writer"],
        ),
        "one door to the ledger",
    );
}

#[test]
fn each_library_has_one_home() {
    none(strays(&["ui"], &["indicatif"]), "indicatif is the UI's");
    none(strays(&["transport"], &["russh"]), "russh is the transport's");
    none(strays(&["cli", "main"], &["clap"]), "clap is the command line's");
}

#[test]
fn words_know_nothing() {
    let found: Vec<String> = mentions(&["names", "secret", "clock"], &["crate::"])
        .into_iter()
        .filter(|line| !line.contains("crate::names"))
        .collect();
    none(found, "names, secret and clock stand at the bottom");
}

#[test]
fn secrets_leave_by_one_door() {
    none(strays(&["secret", "agent/frames"], &["exposed("]), "only frames expose secrets");
}

#[test]
fn every_module_says_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    walk(&root.join("src"), &mut |path| {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.starts_with("//!"), "{} opens with what it is for", path.display());
    });
}

#[test]
fn no_file_grows_without_a_cap() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut long = Vec::new();
    walk(&root.join("src"), &mut |path| {
        let lines = fs::read_to_string(path).unwrap().lines().count();
        if lines > 650 {
            long.push(format!("{}: {lines} lines", path.display()));
        }
    });
    none(long, "a file near 600 lines wants splitting");
}

#[test]
fn unsafe_is_denied() {
    none(strays(&[], &["unsafe {", "unsafe fn", "allow(unsafe_code)"]), "there is no unsafe code");
}
