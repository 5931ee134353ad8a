//! Old snapshots go when a new one is safe.
#![allow(clippy::disallowed_methods, reason = "snapshots are this machine's own")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// What stays: so many of the newest, and all that are younger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    pub newest: usize,
    pub days: u32,
}

/// A snapshot that Slipway named: `NODE-rREVISION-SUM.age`. Nothing else in the directory is touched.
fn is_ours(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".age") else { return false };
    let mut parts = stem.rsplitn(3, '-');
    let sum =
        parts.next().is_some_and(|s| s.len() == 12 && s.bytes().all(|b| b.is_ascii_hexdigit()));
    let revision = parts.next().and_then(|r| r.strip_prefix('r'));
    let revision = revision.is_some_and(|r| !r.is_empty() && r.bytes().all(|b| b.is_ascii_digit()));
    sum && revision && parts.next().is_some_and(|node| !node.is_empty())
}

/// Which of them go. The one that was just verified never does.
fn outdated(
    mut all: Vec<(SystemTime, PathBuf)>,
    verified: &Path,
    keep: Keep,
    now: SystemTime,
) -> Vec<PathBuf> {
    all.sort_by(|a, b| b.cmp(a));
    let old = |when: &SystemTime| {
        let age = now.duration_since(*when).unwrap_or_default();
        age.as_secs() > u64::from(keep.days) * 86_400
    };
    let beyond = all.into_iter().skip(keep.newest);
    beyond.filter(|(when, file)| old(when) && file != verified).map(|(_, file)| file).collect()
}

/// Removes what is outdated beside a snapshot that was verified a moment ago, and says how many went.
/// What cannot be removed stays: the next one tries again.
pub fn prune(verified: &Path, keep: Keep) -> usize {
    let entries = fs::read_dir(crate::private::directory(verified)).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_ours));
    let dated = ours.filter_map(|entry| {
        let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        Some((meta.modified().ok()?, entry.path()))
    });
    let gone = outdated(dated.collect(), verified, keep, SystemTime::now());
    gone.iter().filter(|file| fs::remove_file(file).is_ok()).count()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_names_of_ours() {
        assert!(is_ours("node-a-r123-0123456789ab.age"));
        for other in [
            "identity.txt",
            "mine.age",
            "node-a-r12-0123456789ab.age.bak",
            "a-rx-0123456789ab.age",
            "-r1-0123456789ab.age",
        ] {
            assert!(!is_ours(other), "{other}");
        }
    }

    #[test]
    fn the_newest_and_the_young_stay() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 * 86_400);
        let file = |n: u64| PathBuf::from(format!("n-r{n}-0123456789ab.age"));
        let all: Vec<_> =
            (0..6).map(|n| (now - Duration::from_secs(n * 86_400 + 1), file(n))).collect();
        let gone = |newest, days, verified: u64| {
            outdated(all.clone(), &file(verified), Keep { newest, days }, now)
        };
        assert_eq!(gone(2, 3, 0), [file(3), file(4), file(5)]);
        assert_eq!(gone(5, 3, 0), [file(5)]);
        assert_eq!(gone(2, 30, 0), [] as [PathBuf; 0], "all are young");
        // Clocks that were put back make the one that was just written look the oldest.
        assert_eq!(gone(1, 3, 5), [file(3), file(4)], "never the one that was verified");
    }

    #[test]
    fn files_of_others_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, age_days: u64| {
            let path = dir.path().join(name);
            fs::write(&path, name).unwrap();
            let when = SystemTime::now() - Duration::from_secs(age_days * 86_400);
            fs::File::options().write(true).open(&path).unwrap().set_modified(when).unwrap();
            path
        };
        let new = put("a-r9-0123456789ab.age", 0);
        put("a-r1-0123456789ab.age", 400);
        put("b-r2-0123456789ab.age", 300);
        put("mine.age", 900);
        put("identity.txt", 900);
        assert_eq!(prune(&new, Keep { newest: 2, days: 30 }), 1);
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .flatten()
            .map(|e| e.file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            ["a-r9-0123456789ab.age", "b-r2-0123456789ab.age", "identity.txt", "mine.age"]
        );
    }
}
