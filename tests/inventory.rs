//! What people get to read about their inventories: every file of `inventory/bad` and
//! `inventory/odd` with the text it is answered with. A new check is proven by adding a file.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests make files and print"
)]
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::{fs, path::Path};

use slipway::{
    inventory::{self, LoadError, check_for_bootstrap},
    toml_read::Paint,
};

/// Calls `answer` with each file of a directory and holds what it says to a snapshot.
fn each(directory: &str, answer: impl Fn(&str, &str) -> String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inventory");
    let mut files: Vec<_> =
        fs::read_dir(root.join(directory)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root.join("answers").join(directory));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for file in files {
            let stem = file.file_stem().unwrap().to_str().unwrap();
            let text = fs::read_to_string(&file).unwrap();
            insta::assert_snapshot!(stem, answer(&format!("{stem}.toml"), &text));
        }
    });
}

#[test]
fn bad_files_are_refused_with_all_that_is_wrong() {
    each("bad", |name, text| match inventory::parse(name, text) {
        Err(LoadError::Invalid(found)) => found.render(Paint::Plain),
        other => panic!("{name}: {other:?}"),
    });
}

#[test]
fn odd_files_are_accepted_with_warnings() {
    each("odd", |name, text| {
        let loaded = inventory::parse(name, text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(!loaded.warnings.is_empty() && !loaded.warnings.has_errors(), "{name}");
        let mut said = loaded.warnings.render(Paint::Plain);
        let at_bootstrap = check_for_bootstrap(&loaded.checked);
        if !at_bootstrap.is_empty() {
            said.push_str(&format!("\nat bootstrap:\n{}", at_bootstrap.render(Paint::Plain)));
        }
        said
    });
}

#[test]
fn the_examples_are_beyond_reproach() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("inventory");
    for (name, simulated) in [("homelab.toml", false), ("sim.toml", true)] {
        let loaded = inventory::load(&root.join(name)).unwrap_or_else(|e| panic!("{e}"));
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
        assert!(check_for_bootstrap(&loaded.checked).is_empty());
        assert_eq!(loaded.inventory.simulated(), simulated);
        assert_eq!(loaded.inventory.nodes.len(), 3);
        assert_eq!(loaded.digest.len(), 64);
    }
    assert_eq!(inventory::parse("sim", inventory::SIM).unwrap().inventory.sim.unwrap().seed, 7);
}

/// The lines that `sim.toml` shows commented out are right too.
#[test]
fn what_the_simulated_example_shows_can_be_uncommented() {
    let (head, tail) = inventory::SIM.split_once("[sim]").unwrap();
    let shown: Vec<&str> = tail
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with("[[") || rest.contains(" = ") => rest,
            _ => line,
        })
        .collect();
    let text = format!("{head}[sim]{}", shown.join("\n"));
    let sim =
        inventory::parse("sim", &text).unwrap_or_else(|e| panic!("{e}")).inventory.sim.unwrap();
    assert_eq!((sim.disks.len(), sim.faults.len()), (2, 2));
}

#[test]
fn the_schema_is_for_people_and_always_the_same() {
    let schema = inventory::json_schema();
    assert_eq!(schema, inventory::json_schema());
    let text = |pointer: &str| schema.pointer(pointer).and_then(|v| v.as_str()).unwrap_or_default();
    assert_eq!(text("/$schema"), "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(text("/title"), "Slipway inventory");
    assert!(text("/description").starts_with("Which machines exist"));
    assert!(text("/$defs/Endpoint/properties/host/description").contains("kubeconfig"));
}
