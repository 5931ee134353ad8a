//! What steps decide: every file of `tests/steps/cases` with the ops, or the refusal, that it leads
//! to. A decision is proven by adding a file.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests make files and print"
)]
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

#[path = "steps/support.rs"]
mod support;

use std::{collections::BTreeSet, fs, path::Path};

use proptest::prelude::*;
use slipway::{
    facts::{Contents, Disk},
    inventory::Node,
    ops::{
        Op,
        disks::{Verdict, guard},
    },
    steps::{STEPS, Scene, Step},
};
use support::Case;

fn render(scene: &Scene, step: &Step, node: &Node, show: bool) -> String {
    let mut text = format!("== {}\n", node.name);
    match (step.decide)(scene, node) {
        Ok(drafts) if drafts.is_empty() => text.push_str("nothing\n"),
        Ok(drafts) => {
            for draft in drafts {
                text.push_str(&format!("{}: {}", draft.on, draft.op.title()));
                text.push_str(&support::details(&draft.op, show));
            }
        }
        Err(failure) => {
            text.push_str(&format!("FAILURE {failure}\n"));
            text.push_str(&format!("  rule: {:?}\n", failure.refusal));
            text.push_str(&format!("  hint: {}\n", failure.hint.as_deref().unwrap_or("NONE")));
            assert!(failure.hint.is_some(), "a failure says what to do: {failure}");
            assert_eq!(failure.node.as_ref(), Some(&node.name), "a failure says where");
        }
    }
    text
}

fn cases() -> Vec<(String, Case)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/steps/cases");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let stem = file.file_stem().unwrap().to_str().unwrap().to_string();
            let case = toml::from_str(&fs::read_to_string(&file).unwrap());
            let case = case.unwrap_or_else(|e| panic!("{stem}: {e}"));
            (stem, case)
        })
        .collect()
}

#[test]
fn decisions() {
    let mut settings = insta::Settings::clone_current();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/steps");
    settings.set_snapshot_path(root.join("answers"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (stem, case) in cases() {
            let world = case.world();
            let scene = world.scene();
            let step = Step::find(&case.step.parse().unwrap()).unwrap_or_else(|| panic!("{stem}"));
            let mut text = format!("{}\n", case.about);
            for node in &world.inventory.nodes {
                if case.nodes.is_empty() || case.nodes.contains(&node.name) {
                    text.push_str(&render(&scene, step, node, case.show));
                }
            }
            insta::assert_snapshot!(stem, text);
        }
    });
}

#[test]
fn every_step_has_a_case_and_a_playbook_and_the_other_way_round() {
    let mut in_playbooks = BTreeSet::new();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks");
    for file in fs::read_dir(dir).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let playbook: toml::Table = toml::from_str(&text).unwrap();
        for phase in playbook["phase"].as_array().unwrap() {
            let steps = phase["steps"].as_array().unwrap();
            in_playbooks.extend(steps.iter().map(|s| s.as_str().unwrap().to_string()));
        }
    }
    let known: BTreeSet<String> = STEPS.iter().map(|s| s.name.to_string()).collect();
    assert_eq!(known.len(), STEPS.len(), "two steps of one name");
    assert_eq!(known, in_playbooks);
    let tried: BTreeSet<String> = cases().into_iter().map(|(_, case)| case.step).collect();
    assert_eq!(known, tried);
}

/// A second run has the same facts of what it may not have changed: the same ops come out.
#[test]
fn steps_are_pure() {
    for (stem, case) in cases() {
        let world = case.world();
        let step = Step::find(&case.step.parse().unwrap()).unwrap();
        for node in &world.inventory.nodes {
            let once = (step.decide)(&world.scene(), node);
            assert_eq!(once, (step.decide)(&world.scene(), node), "{stem}");
        }
    }
}

fn any_contents() -> impl Strategy<Value = Contents> {
    prop_oneof![
        Just(Contents::Filesystem { kind: "ext4".into(), label: Some("photos".into()) }),
        Just(Contents::PartitionTable { kind: "gpt".into(), partitions: 2 }),
        Just(Contents::Member { kind: "luks".into() }),
        Just(Contents::Osd { fsid: "fsid-1".into(), at_gib: 100 }),
        Just(Contents::HalfCleared),
    ]
}

proptest! {
    /// Whatever lies on a disk and whatever was allowed for others: what was not named is not
    /// cleared, and what is mounted or booted from never is.
    #[test]
    fn no_disk_is_lost(
        contents in proptest::collection::vec(any_contents(), 0..3),
        mounted in any::<bool>(),
        held in any::<bool>(),
        is_os in any::<bool>(),
        member in any::<bool>(),
        wiped in any::<bool>(),
        remembered in 0..3u8,
        destroyed in 0..3u8,
    ) {
        let case: Case = toml::from_str(if member {
            "about = \"\"\nstep = \"ceph-disks\"\nstate = \"cluster\"\n"
        } else {
            "about = \"\"\nstep = \"ceph-disks\"\n"
        }).unwrap();
        let mut world = case.world();
        let node = world.inventory.nodes[0].clone();
        let serial = node.disks.ceph[0].clone();
        let facts = world.facts.get_mut(&node.name).unwrap();
        let disk = facts.disks.iter_mut().find(|d| d.serial == serial).unwrap();
        disk.contents = contents;
        disk.mounted = if mounted { vec!["/mnt".into()] } else { vec![] };
        disk.held_by = if held { vec!["dm-0".into()] } else { vec![] };
        disk.is_os = is_os;
        let disk: Disk = disk.clone();
        // The other disk is always named: that must not rub off.
        world.wish.wipe.insert(node.disks.ceph[1].clone());
        if wiped {
            world.wish.wipe.insert(serial.clone());
        }
        match remembered {
            1 => drop(world.memory.approved.insert(serial.clone(), disk.evidence())),
            2 => drop(world.memory.approved.insert(serial.clone(), "something else".into())),
            _ => {}
        }
        match destroyed {
            1 => drop(world.wish.destroy_osd.insert(serial.clone(), "fsid-1".into())),
            2 => drop(world.wish.destroy_osd.insert(serial.clone(), "fsid-2".into())),
            _ => {}
        }
        for step in ["ceph-disks", "clear-disks"] {
            let step = Step::find(&step.parse().unwrap()).unwrap();
            let Ok(drafts) = (step.decide)(&world.scene(), &node) else { continue };
            for draft in drafts {
                let Op::BlankDisk(op) = draft.op else { panic!("only disks") };
                if op.serial != serial {
                    continue;
                }
                // As the op on the node asks, where the OSD's cluster may turn out to be gone.
                for lives in [None, Some(true), Some(false)] {
                    let Verdict::Clear { .. } = guard(&serial, &[&disk], &op.approval, lives) else {
                        continue;
                    };
                    let half = disk.contents.contains(&Contents::HalfCleared);
                    let named = wiped || remembered == 1 || (remembered == 2 && half);
                    let osd = disk.osd().is_some();
                    prop_assert!(!is_os && !mounted);
                    // A clearing that was cut after the labels had gone: the serial was named, and
                    // there is nothing left but to finish.
                    let emptied = disk.contents == [Contents::HalfCleared] && destroyed != 0;
                    prop_assert!(named || emptied || (osd && destroyed == 1), "not named: {op:?}");
                    prop_assert!(!osd || destroyed == 1 || lives == Some(false));
                }
            }
        }
    }
}
