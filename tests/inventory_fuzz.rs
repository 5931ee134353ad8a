//! Whatever stands in the file: no panic, every finding inside the text, nothing raw on the terminal.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests make files and print"
)]
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use proptest::prelude::*;
use slipway::{
    inventory::{self, LoadError, check_for_bootstrap},
    toml_read::{Diagnostics, Paint},
};

const HOMELAB: &str = include_str!("../inventory/homelab.toml");

/// Pieces that are more likely to hit something than random characters are.
const PIECES: &[&str] = &[
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "\"\"\"",
    "=",
    ".",
    ",",
    "\n",
    "#",
    "\t",
    "\\",
    "\r",
    "\u{0}",
    "\u{1b}[2J",
    "値",
    "\u{202e}",
    "🦀",
    "0",
    "-1",
    "99999999999999999999",
    "1e9",
    "true",
    "nan",
    "1979-05-27",
    "[[node]]\n",
    "[node]\n",
    "[cluster]\n",
    "[sim]\n",
    "[[sim.fault]]\n",
    "[network.ceph]\n",
    "node = []\n",
    "name",
    "mac",
    "address",
    "os = \"talos\"\n",
    "role = \"worker\"\n",
    "labels = { }\n",
    "::",
    "/24",
    "0.0.0.0",
];

fn judge(text: &str) {
    match inventory::parse("some.toml", text) {
        Ok(loaded) => {
            sound(&loaded.warnings, text);
            sound(&check_for_bootstrap(&loaded.checked), text);
        }
        Err(LoadError::Invalid(found)) => {
            assert!(found.has_errors());
            sound(&found, text);
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn sound(found: &Diagnostics, text: &str) {
    for item in found.iter() {
        for span in [&item.span].into_iter().chain(item.related.iter().map(|(span, _)| span)) {
            assert!(text.get(span.clone()).is_some(), "{span:?} of {}: {item:?}", text.len());
        }
    }
    let shown = found.render(Paint::Plain);
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
    for line in shown.lines().filter(|l| l.contains(" | ")) {
        // Labels and messages may be long; the source must not be.
        assert!(line.chars().count() < 1000, "{line}");
    }
    let _ = found.render(Paint::Colour);
}

/// The reference inventory with some pieces cut out and some put in.
fn mutated() -> impl Strategy<Value = String> {
    let edit =
        (any::<prop::sample::Index>(), 0..40usize, prop::sample::select(PIECES), any::<bool>());
    prop::collection::vec(edit, 1..6).prop_map(|edits| {
        let mut text = HOMELAB.to_owned();
        for (at, length, piece, put) in edits {
            let from = text.floor_char_boundary(at.index(text.len() + 1));
            let to = text.ceil_char_boundary((from + length).min(text.len()));
            text.replace_range(from..to, if put { piece } else { "" });
        }
        text
    })
}

/// The reference inventory with whole lines gone, doubled or exchanged: valid TOML more often.
fn shuffled() -> impl Strategy<Value = String> {
    let lines = HOMELAB.lines().count();
    prop::collection::vec((0..lines, 0..lines, 0..3u8), 1..8).prop_map(|edits| {
        let mut lines: Vec<&str> = HOMELAB.lines().collect();
        for (a, b, what) in edits {
            let (a, b) = (a % lines.len(), b % lines.len());
            match what {
                0 => drop(lines.remove(a)),
                1 => lines.insert(b, lines[a]),
                _ => lines.swap(a, b),
            }
        }
        lines.join("\n")
    })
}

/// The reference inventory with one value exchanged for another: valid TOML always.
fn exchanged() -> impl Strategy<Value = String> {
    let lines: Vec<usize> = HOMELAB
        .lines()
        .enumerate()
        .filter(|(_, l)| l.contains(" = ") && !l.starts_with('#'))
        .map(|(i, _)| i)
        .collect();
    let values = [
        "0",
        "-1",
        "\"\"",
        "\"x\"",
        "[]",
        "{}",
        "[[1]]",
        "\"10.42.0.1\"",
        "true",
        "\"0.0.0.0/0\"",
        "\"192.168.1.0/32\"",
        "\"255.255.255.255\"",
    ];
    (prop::sample::select(lines), prop::sample::select(values.to_vec())).prop_map(|(at, value)| {
        let change = |(i, line): (usize, &str)| match line.split_once(" = ") {
            Some((key, _)) if i == at => format!("{key} = {value}"),
            _ => line.to_owned(),
        };
        HOMELAB.lines().enumerate().map(change).collect::<Vec<_>>().join("\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in "(?s).{0,300}") {
        judge(&text);
    }

    #[test]
    fn any_pieces_are_answered(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        judge(&pieces.concat());
    }

    #[test]
    fn a_damaged_inventory_is_answered(text in prop_oneof![mutated(), shuffled(), exchanged()]) {
        judge(&text);
    }
}

/// Megabytes in one line, thousands of errors, deep nesting: slow is as bad as a panic.
#[test]
fn monsters_are_answered_in_time() {
    let judge = |text: &str| {
        let start = std::time::Instant::now();
        judge(text);
        let (took, head) = (start.elapsed(), text.get(..40).unwrap_or_default());
        assert!(took.as_secs() < 10, "{took:?} for {head:?}...");
    };
    let labels: String = (0..20_000).map(|i| format!("\"bad key {i}\" = \"v\", ")).collect();
    judge(&HOMELAB.replacen("role =", &format!("labels = {{ {labels} }}\nrole ="), 1));
    let nodes: String = (0..5_000).map(|i| format!("[[node]]\nname = \"n{i}\"\n")).collect();
    judge(&format!("{HOMELAB}{nodes}"));
    judge(&"\n".repeat(900_000));
    judge(&"[".repeat(900_000));
    judge(&format!("x = {}", "{a=".repeat(200_000)));
    judge(&format!("{}a = 1", "a.".repeat(400_000)));
    judge(&format!("a = \"{}", "値".repeat(300_000)));
    judge(&"a = 1\n".repeat(150_000));
}
