//! Which of two versions is newer, as pacman sees it: epoch, version, release.

use std::cmp::Ordering;

pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (parts(a), parts(b));
    let release = |one: Option<&str>, other: Option<&str>| match (one, other) {
        (Some(one), Some(other)) => segments(one, other),
        // A dependency that names no release means any of them.
        _ => Ordering::Equal,
    };
    segments(a.0, b.0).then_with(|| segments(a.1, b.1)).then_with(|| release(a.2, b.2))
}

/// Epoch (`0` where there is none), version, release.
fn parts(text: &str) -> (&str, &str, Option<&str>) {
    let (epoch, rest) = match text.split_once(':') {
        Some((epoch, rest)) if epoch.bytes().all(|b| b.is_ascii_digit()) => (epoch, rest),
        _ => ("0", text),
    };
    match rest.rsplit_once('-') {
        Some((version, release)) => (epoch, version, Some(release)),
        None => (epoch, rest, None),
    }
}

/// Runs of digits and runs of letters, and how many other letters stand before each.
fn runs(text: &str) -> Vec<(usize, &str)> {
    let (mut found, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let kept = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let apart = rest.len() - kept.len();
        let digits = kept.starts_with(|c: char| c.is_ascii_digit());
        let same = |c: char| c.is_ascii_alphanumeric() && c.is_ascii_digit() == digits;
        let end = kept.find(|c| !same(c)).unwrap_or(kept.len());
        found.push((apart, &kept[..end]));
        rest = &kept[end..];
    }
    found
}

fn is_number(run: &str) -> bool {
    run.starts_with(|c: char| c.is_ascii_digit())
}

fn segments(a: &str, b: &str) -> Ordering {
    let (a, b) = (runs(a), runs(b));
    for (n, (one, other)) in a.iter().zip(&b).enumerate() {
        if n > 0 && one.0 != other.0 {
            return one.0.cmp(&other.0);
        }
        let order = match (is_number(one.1), is_number(other.1)) {
            (true, true) => {
                let plain = |run: &'_ str| run.trim_start_matches('0').to_string();
                let (one, other) = (plain(one.1), plain(other.1));
                one.len().cmp(&other.len()).then_with(|| one.cmp(&other))
            }
            (false, false) => one.1.cmp(other.1),
            // A number is newer than a letter, and a letter than nothing.
            (number, _) => {
                if number {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    // What goes on is newer, unless it goes on with a letter: 1.0rc is before 1.0.
    let rest = |longer: &[(usize, &str)], shorter: usize| {
        let (apart, run) = longer[shorter];
        if is_number(run) || (apart > 0 && !run.is_empty()) || run.is_empty() {
            Ordering::Greater
        } else {
            Ordering::Less
        }
    };
    match a.len().cmp(&b.len()) {
        Ordering::Equal => Ordering::Equal,
        Ordering::Greater => rest(&a, b.len()),
        Ordering::Less => rest(&b, a.len()).reverse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `vercmp` answers.
    #[test]
    fn as_pacman_orders_them() {
        let ascending = [
            ["1.0a", "1.0b"],
            ["1.0b", "1.0beta"],
            ["1.0beta", "1.0p"],
            ["1.0p", "1.0pre"],
            ["1.0pre", "1.0rc"],
            ["1.0rc", "1.0"],
            ["1.0", "1.0.a"],
            ["1.0.a", "1.0.1"],
            ["1", "1.0"],
            ["1.0", "1.1"],
            ["1.1", "1.1.1"],
            ["1.1.1", "1.2"],
            ["1.2", "2.0"],
            ["9", "10"],
            ["2.0", "1:1.0"],
            ["1.5-1", "1.5-2"],
            ["1.5-9", "1.5-10"],
            ["6.17.1.arch1-1", "6.17.3.arch1-1"],
        ];
        for [older, newer] in ascending {
            assert_eq!(compare(older, newer), Ordering::Less, "{older} {newer}");
            assert_eq!(compare(newer, older), Ordering::Greater, "{newer} {older}");
        }
        for [one, other] in [["1.5", "1.5-3"], ["0:1.0", "1.0"], ["1.0", "1.0"], ["1.01", "1.1"]] {
            assert_eq!(compare(one, other), Ordering::Equal, "{one} {other}");
        }
    }

    /// Where there is a pacman, it is asked itself.
    #[test]
    fn vercmp_agrees() {
        let versions = [
            "1",
            "1.0",
            "1.0.0",
            "1.0a",
            "1.0.a",
            "1.0rc1",
            "1.0-1",
            "1.0-2",
            "2:0.1",
            "1.10",
            "1.9",
            "1_0",
            "1..0",
            "1.0.1",
            "a",
            "20240101",
            "3.r12.gabc",
        ];
        for a in versions {
            for b in versions {
                let Ok(done) = std::process::Command::new("vercmp").args([a, b]).output() else {
                    return;
                };
                let said: i32 = String::from_utf8_lossy(&done.stdout).trim().parse().unwrap();
                assert_eq!(compare(a, b), said.cmp(&0), "{a} {b}");
            }
        }
    }
}
