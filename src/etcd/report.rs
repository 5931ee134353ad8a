//! etcd at a glance: its members, what each says of itself, and what is wrong with them together.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdReport {
    pub cluster_id: String,
    pub members: Vec<MemberReport>,
    /// Revision at which the hashes were taken: the oldest that a member is at.
    pub revision: u64,
    pub alarms: Vec<String>,
    /// What could not be asked, because too few members agree.
    pub unknown: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberReport {
    pub id: String,
    /// Empty until it has started for the first time.
    pub name: String,
    pub address: String,
    pub learner: bool,
    /// What it says of itself; None when it does not answer.
    pub says: Option<MemberSays>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberSays {
    pub version: String,
    pub db_bytes: u64,
    pub used_bytes: u64,
    pub revision: u64,
    /// Whom it takes for the leader.
    pub leader: Option<String>,
    /// Of all keys up to the report's revision. A learner has none to say.
    pub hash: Option<u64>,
    pub errors: Vec<String>,
}

/// A member's hash, and up to where it has thrown old revisions away by then: they are not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hash {
    pub of: u64,
    pub compacted: u64,
}

/// Those that can be compared: of the members that have compacted as far as the furthest. The API server
/// has etcd compact every few minutes, and no two members do it at the same moment.
pub fn comparable(hashes: &BTreeMap<String, Hash>) -> BTreeMap<String, u64> {
    let furthest = hashes.values().map(|hash| hash.compacted).max();
    let far = hashes.iter().filter(|(_, hash)| Some(hash.compacted) == furthest);
    far.map(|(member, hash)| (member.clone(), hash.of)).collect()
}

impl MemberReport {
    /// What people call it.
    pub fn called(&self) -> &str {
        if self.name.is_empty() { &self.address } else { &self.name }
    }
}

impl EtcdReport {
    pub fn leader(&self) -> Option<&str> {
        let mut leaders = self.members.iter().filter_map(|m| m.says.as_ref()?.leader.as_deref());
        leaders.next()
    }

    /// Whether all who say a hash say the same; None where fewer than two do.
    pub fn hashes_equal(&self) -> Option<bool> {
        let hashes: Vec<u64> = self.members.iter().filter_map(|m| m.says.as_ref()?.hash).collect();
        (hashes.len() > 1).then(|| hashes.windows(2).all(|pair| pair[0] == pair[1]))
    }

    /// Voters, and how many of them are there.
    pub fn voters(&self) -> (usize, usize) {
        let voters = self.members.iter().filter(|m| !m.learner);
        (voters.clone().count(), voters.filter(|m| m.says.is_some()).count())
    }

    /// What is wrong, in words; nothing where it is healthy.
    pub fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        let (voters, there) = self.voters();
        let quorum = voters / 2 + 1;
        if there < quorum {
            troubles.push(format!(
                "{there} of {voters} voting members answer, {quorum} are a quorum: nothing can be written"
            ));
        }
        for member in &self.members {
            let who = member.called();
            match &member.says {
                None if member.name.is_empty() => {
                    troubles.push(format!("the member at {who} has never started"));
                }
                None => troubles.push(format!("{who} does not answer")),
                Some(says) => {
                    troubles.extend(says.errors.iter().map(|error| format!("{who}: {error}")));
                }
            }
            if member.learner {
                troubles.push(format!("{who} is still a learner"));
            }
        }
        let leaders: BTreeSet<&str> =
            self.members.iter().filter_map(|m| m.says.as_ref()?.leader.as_deref()).collect();
        match leaders.len() {
            0 => troubles.push("there is no leader".into()),
            1 => {}
            _ => troubles.push("the members do not agree who leads".into()),
        }
        troubles.extend(self.alarms.iter().map(|alarm| format!("alarm {alarm}")));
        if self.hashes_equal() == Some(false) {
            troubles.push(format!("the members hold different data at revision {}", self.revision));
        }
        troubles.extend(self.unknown.iter().map(|what| format!("{what} could not be learned")));
        troubles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_is_behind_with_compacting_is_not_compared() {
        let all = |list: &[(&str, u64, u64)]| {
            let one = |(id, of, compacted): &(&str, u64, u64)| {
                (id.to_string(), Hash { of: *of, compacted: *compacted })
            };
            comparable(&list.iter().map(one).collect())
        };
        let two = all(&[("a", 1, 900), ("b", 1, 900), ("c", 7, 400)]);
        assert_eq!(two.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(all(&[("a", 1, 900), ("b", 2, 900)]).len(), 2);
        assert!(all(&[]).is_empty());
    }

    fn member(name: &str) -> MemberReport {
        let says = MemberSays { leader: Some("a".into()), hash: Some(1), ..Default::default() };
        let (id, name) = (name.to_string(), name.to_string());
        MemberReport { id, name, says: Some(says), ..Default::default() }
    }

    fn report() -> EtcdReport {
        EtcdReport { members: ["a", "b", "c"].map(member).to_vec(), ..Default::default() }
    }

    #[track_caller]
    fn finds(change: impl FnOnce(&mut EtcdReport), words: &[&str]) {
        let mut report = report();
        change(&mut report);
        let troubles = report.troubles();
        assert_eq!(troubles.len(), words.len(), "{troubles:?}");
        for (trouble, word) in troubles.iter().zip(words) {
            assert!(trouble.contains(word), "{trouble}");
        }
    }

    fn says(report: &mut EtcdReport, n: usize) -> &mut MemberSays {
        report.members[n].says.as_mut().unwrap()
    }

    #[test]
    fn what_is_wrong_is_said() {
        finds(|_| {}, &[]);
        finds(|r| r.members[1].says = None, &["b does not answer"]);
        finds(
            |r| r.members.iter_mut().skip(1).for_each(|m| m.says = None),
            &["2 are a quorum", "b does not", "c does not"],
        );
        finds(|r| r.members[2].learner = true, &["still a learner"]);
        finds(|r| says(r, 0).hash = Some(2), &["different data"]);
        finds(|r| says(r, 0).leader = Some("b".into()), &["who leads"]);
        finds(|r| says(r, 1).errors.push("NOSPACE".into()), &["b: NOSPACE"]);
        finds(|r| r.alarms.push("NOSPACE of member a".into()), &["alarm NOSPACE"]);
        finds(
            |r| r.members.iter_mut().filter_map(|m| m.says.as_mut()).for_each(|s| s.leader = None),
            &["no leader"],
        );
        finds(
            |r| {
                r.members.truncate(1);
                says(r, 0).hash = None;
            },
            &[],
        );
    }
}
