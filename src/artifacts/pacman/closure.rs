//! What has to come along with a package: what it depends on, and what that does.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use super::{database::Package, version::compare};

/// `name`, or `name>=1.2`.
struct Wish<'a> {
    name: &'a str,
    version: Option<(&'a str, &'a str)>,
}

fn wish(text: &str) -> Wish<'_> {
    // The longer ones first.
    for sign in [">=", "<=", "=", ">", "<"] {
        if let Some((name, version)) = text.split_once(sign) {
            return Wish { name, version: Some((sign, version)) };
        }
    }
    Wish { name: text, version: None }
}

fn holds(version: &str, (sign, than): (&str, &str)) -> bool {
    let order = compare(version, than);
    match sign {
        ">=" => order != Ordering::Less,
        "<=" => order != Ordering::Greater,
        ">" => order == Ordering::Greater,
        "<" => order == Ordering::Less,
        _ => order == Ordering::Equal,
    }
}

fn is(package: &Package, wish: &Wish) -> bool {
    package.name == wish.name && wish.version.is_none_or(|v| holds(&package.version, v))
}

fn provides(package: &Package, wish: &Wish) -> bool {
    package.provides.iter().any(|text| {
        let (name, version) =
            text.split_once('=').map_or((text.as_str(), None), |(n, v)| (n, Some(v)));
        // One without a version satisfies nobody who wants one.
        name == wish.name
            && wish.version.is_none_or(|v| version.is_some_and(|version| holds(version, v)))
    })
}

/// What is asked of the repositories.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Names of packages or groups.
    pub names: BTreeSet<String>,
    /// Taken where they are there: nobody misses them elsewhere.
    pub perhaps: BTreeSet<String>,
    /// Neither these nor what only they need: they are on the machines already.
    pub except: BTreeSet<String>,
}

/// A place among the repositories: which one, and which package of it.
pub type Place = (usize, usize);

/// Everything that has to be there, in the repositories' order; or whatever none of them has, each with
/// who wants it.
pub fn closure(
    repositories: &[Vec<Package>],
    asked: &Asked,
) -> Result<BTreeSet<Place>, Vec<String>> {
    let all = || {
        repositories.iter().enumerate().flat_map(|(repo, packages)| {
            packages.iter().enumerate().map(move |(n, package)| ((repo, n), package))
        })
    };
    let mut by_name: BTreeMap<&str, Vec<(Place, &Package)>> = BTreeMap::new();
    let mut by_provided: BTreeMap<&str, Vec<(Place, &Package)>> = BTreeMap::new();
    let mut by_group: BTreeMap<&str, Vec<Place>> = BTreeMap::new();
    for (place, package) in all() {
        by_name.entry(&package.name).or_default().push((place, package));
        for provided in &package.provides {
            by_provided.entry(wish(provided).name).or_default().push((place, package));
        }
        for group in &package.groups {
            by_group.entry(group).or_default().push(place);
        }
    }
    let mut chosen: BTreeSet<Place> = BTreeSet::new();
    let mut missing = Vec::new();
    let mut queue: VecDeque<(String, Option<&str>)> =
        asked.names.iter().map(|name| (name.clone(), None)).collect();
    let there = |name: &&String| {
        by_name.contains_key(name.as_str()) || by_provided.contains_key(name.as_str())
    };
    queue.extend(asked.perhaps.iter().filter(there).map(|name| (name.clone(), None)));
    while let Some((text, by)) = queue.pop_front() {
        let wish = wish(&text);
        if asked.except.contains(wish.name) {
            continue;
        }
        let named = by_name.get(wish.name).into_iter().flatten().filter(|(_, p)| is(p, &wish));
        let provided =
            by_provided.get(wish.name).into_iter().flatten().filter(|(_, p)| provides(p, &wish));
        let candidates: Vec<Place> = named.chain(provided).map(|(place, _)| *place).collect();
        let found = match candidates.iter().find(|place| chosen.contains(place)) {
            // One that comes anyway is as good as any.
            Some(_) => continue,
            None => candidates.first().copied(),
        };
        let group = by_group.get(wish.name).filter(|_| by.is_none());
        let takes = match (found, group) {
            (Some(place), _) => vec![place],
            (None, Some(members)) => members.clone(),
            (None, None) => {
                missing.push(match by {
                    Some(by) => format!("{text} (for {by})"),
                    None => text.clone(),
                });
                continue;
            }
        };
        for (repo, n) in takes {
            let package = &repositories[repo][n];
            if asked.except.contains(&package.name) || !chosen.insert((repo, n)) {
                continue;
            }
            queue.extend(package.depends.iter().map(|d| (d.clone(), Some(package.name.as_str()))));
        }
    }
    if missing.is_empty() { Ok(chosen) } else { Err(missing) }
}
