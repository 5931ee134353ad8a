//! Which kernel is installed, from the names of the directories below /usr/lib/modules.

use std::cmp::Ordering;

/// One directory with modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modules {
    /// `6.17.1-arch1-1`
    pub release: String,
    /// Arch says which package put it there: `linux`, `linux-lts`.
    pub package: Option<String>,
}

/// The kernel that the next boot takes, as far as its modules tell: the newest of the running one's
/// kind. None where no modules lie at all (a container, or a kernel without any).
pub fn installed<'a>(found: &'a [Modules], running: &str) -> Option<&'a str> {
    let ours = found.iter().find(|m| m.release == running);
    // On Arch the directory of the old kernel goes with its package, so one that is there is it.
    if let Some(ours) = ours.filter(|m| m.package.is_some()) {
        return Some(&ours.release);
    }
    let kind = flavour(running);
    let alike = |m: &&Modules| flavour(&m.release) == kind;
    let newest = |of: Vec<&'a Modules>| of.into_iter().max_by(|a, b| order(&a.release, &b.release));
    newest(found.iter().filter(alike).collect())
        .or_else(|| newest(found.iter().filter(|m| m.package.is_some()).collect()))
        .map(|m| m.release.as_str())
}

/// What kind of kernel it is: the words of its release, without numbers. `6.12.1-arch1-1` and
/// `6.12.8-arch2-1` are alike; `6.6.1-1-lts` is something else.
fn flavour(release: &str) -> String {
    let word =
        |part: &str| part.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').to_string();
    let words: Vec<String> =
        release.split('-').skip(1).map(word).filter(|w| !w.is_empty()).collect();
    words.join("-")
}

/// Numbers by their value, everything else by its letters.
pub fn order(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| -> Vec<(u64, String)> {
        let mut parts = vec![(0u64, String::new())];
        for c in text.chars() {
            let last = parts.len() - 1;
            let (number, word) = &mut parts[last];
            match c.to_digit(10) {
                Some(digit) if word.is_empty() => {
                    *number = number.saturating_mul(10).saturating_add(u64::from(digit));
                }
                Some(digit) => parts.push((u64::from(digit), String::new())),
                None => word.push(c),
            }
        }
        parts
    };
    parts(a).cmp(&parts(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(names: &[(&str, Option<&str>)]) -> Vec<Modules> {
        let one = |(release, package): &(&str, Option<&str>)| Modules {
            release: (*release).into(),
            package: package.map(Into::into),
        };
        names.iter().map(one).collect()
    }

    #[test]
    fn the_newest_of_its_kind() {
        let arch = with(&[("6.17.10-arch1-1", Some("linux")), ("6.12.8-1-lts", Some("linux-lts"))]);
        assert_eq!(installed(&arch, "6.17.1-arch1-1"), Some("6.17.10-arch1-1"));
        assert_eq!(installed(&arch, "6.12.1-1-lts"), Some("6.12.8-1-lts"));
        assert_eq!(installed(&arch, "6.12.8-1-lts"), Some("6.12.8-1-lts"));
        assert_eq!(installed(&arch, "6.1.0-zen"), Some("6.17.10-arch1-1"));
        let debian =
            with(&[("6.1.0-9-amd64", None), ("6.1.0-30-amd64", None), ("6.1.0-40-rt-amd64", None)]);
        assert_eq!(installed(&debian, "6.1.0-9-amd64"), Some("6.1.0-30-amd64"));
        assert_eq!(installed(&[], "6.18.44"), None);
    }

    #[test]
    fn numbers_are_numbers() {
        assert_eq!(order("6.17.1", "6.17.10"), Ordering::Less);
        assert_eq!(order("6.9", "6.10-rc1"), Ordering::Less);
        assert_eq!(order("6.1.0-9-amd64", "6.1.0-30-amd64"), Ordering::Less);
    }
}
