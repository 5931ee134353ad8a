//! Two texts compared, line by line, and shown the way everybody shows it.
//!
//! One way through the library only: each of its front doors brings all of its algorithms along.

use std::fmt::Write;

use similar::{
    DiffOp, DiffTag,
    algorithms::{Capture, Compact, Replace, myers},
    group_diff_ops,
    udiff::UnifiedHunkHeader,
};

/// How many lines that stay are shown around what changes.
const AROUND: usize = 2;

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn compared(before: &[&str], after: &[&str]) -> Vec<DiffOp> {
    let mut found = Compact::new(Replace::new(Capture::new()), before, after);
    let (old, new) = (0..before.len(), 0..after.len());
    // What it tells its findings to takes all of them.
    let Ok(()) = myers::diff_deadline_raw(&mut found, before, old, after, new, None);
    found.into_inner().into_inner().into_ops()
}

/// How many lines came, and how many went.
pub fn counts(before: &str, after: &str) -> (usize, usize) {
    let changes = compared(&lines(before), &lines(after));
    let changes = changes.iter().filter(|op| op.tag() != DiffTag::Equal);
    changes
        .fold((0, 0), |(came, went), op| (came + op.new_range().len(), went + op.old_range().len()))
}

/// A unified diff; empty where there is no difference. `names` stand above it.
pub fn unified(before: &str, after: &str, names: Option<(&str, &str)>) -> String {
    let (before, after) = (lines(before), lines(after));
    let mut out = String::new();
    for ops in group_diff_ops(compared(&before, &after), AROUND) {
        if ops.is_empty() {
            continue;
        }
        if let (Some((old, new)), true) = (names, out.is_empty()) {
            let _ = write!(out, "--- {old}\n+++ {new}\n");
        }
        let _ = writeln!(out, "{}", UnifiedHunkHeader::new(&ops));
        for op in &ops {
            let (old, new) = (&before[op.old_range()], &after[op.new_range()]);
            if op.tag() == DiffTag::Equal {
                old.iter().for_each(|line| put(&mut out, ' ', line));
            } else {
                old.iter().for_each(|line| put(&mut out, '-', line));
                new.iter().for_each(|line| put(&mut out, '+', line));
            }
        }
    }
    out
}

fn put(out: &mut String, sign: char, line: &str) {
    out.push(sign);
    out.push_str(line);
    if !line.ends_with('\n') {
        out.push_str("\n\\ No newline at end of file\n");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use similar::TextDiff;

    use super::*;

    #[test]
    fn a_change_has_its_surroundings() {
        let text = unified("1\n2\n3\n4\n5\n6\n", "1\n2\n3\nvier\n5\n6", Some(("/a", "/b")));
        assert_eq!(
            text,
            "--- /a\n+++ /b\n@@ -2,5 +2,5 @@\n 2\n 3\n-4\n+vier\n 5\n-6\n+6\n\\ No newline at end of file\n"
        );
        assert_eq!(unified("", "x\n", None), "@@ -0,0 +1 @@\n+x\n");
        assert_eq!(unified("x\n", "x\n", Some(("/a", "/b"))), "");
        assert_eq!(counts("1\n2\n3\n", "1\nzwei\n2 1/2\n"), (2, 2));
    }

    proptest! {
        /// As the library's own door shows it, for all that is not about which of two equal lines stays.
        #[test]
        fn it_is_what_the_library_says(before in "([abc]\n){0,12}", after in "([abc]\n){0,12}") {
            let text = TextDiff::from_lines(&before, &after);
            let theirs = text.unified_diff().context_radius(AROUND).to_string();
            let signs = |of: &str| of.lines().filter(|l| l.starts_with(['+', '-'])).count();
            prop_assert_eq!(signs(&unified(&before, &after, None)), signs(&theirs));
            let (came, went) = counts(&before, &after);
            prop_assert_eq!(came + went, signs(&theirs));
        }
    }
}
