//! The node's own journal: what was begun here and how it ended, synced before anybody hears of it.
//!
//! It is how a repeated request is answered without running it twice, also after the node lost
//! power. It holds no secrets. Lines of `CRC JSON`; a torn end is what a power cut leaves and is cut
//! off. Must not know what the ops mean.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::frames::Outcome;
use crate::{events::RequestId, names::StepName, state::Disk};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Entry {
    Intent { request: RequestId, op: u32, step: StepName, title: String },
    Outcome { request: RequestId, op: u32, outcome: Outcome },
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    pub intended: bool,
    pub outcome: Option<Outcome>,
}

pub struct Journal {
    disk: Box<dyn Disk>,
    known: BTreeMap<(RequestId, u32), Known>,
}

/// Past this it begins anew when the agent starts; what it knew is in the facts by then.
const MAX_BYTES: usize = 4 << 20;

impl Journal {
    pub fn open(mut disk: Box<dyn Disk>) -> std::io::Result<Self> {
        let bytes = disk.load()?;
        let mut known: BTreeMap<(RequestId, u32), Known> = BTreeMap::new();
        let mut whole = 0;
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            let Some(entry) = decode(line) else { break };
            whole += line.len();
            match entry {
                Entry::Intent { request, op, .. } => {
                    known.entry((request, op)).or_default().intended = true;
                }
                Entry::Outcome { request, op, outcome } => {
                    known.entry((request, op)).or_default().outcome = Some(outcome);
                }
            }
        }
        let whole = if whole > MAX_BYTES { 0 } else { whole };
        if whole < bytes.len() {
            disk.truncate(whole as u64)?;
        }
        Ok(Self { disk, known })
    }

    pub fn known(&self, request: &RequestId, op: u32) -> Known {
        self.known.get(&(request.clone(), op)).cloned().unwrap_or_default()
    }

    /// All outcomes of a request, in order.
    pub fn outcomes(&self, request: &RequestId) -> Vec<(u32, Outcome)> {
        self.known
            .range((request.clone(), 0)..=(request.clone(), u32::MAX))
            .filter_map(|((_, op), known)| Some((*op, known.outcome.clone()?)))
            .collect()
    }

    pub fn intend(
        &mut self,
        request: &RequestId,
        op: u32,
        step: &StepName,
        title: String,
    ) -> std::io::Result<()> {
        let step = step.clone();
        self.write(&Entry::Intent { request: request.clone(), op, step, title })?;
        self.known.entry((request.clone(), op)).or_default().intended = true;
        Ok(())
    }

    pub fn finish(
        &mut self,
        request: &RequestId,
        op: u32,
        outcome: &Outcome,
    ) -> std::io::Result<()> {
        self.write(&Entry::Outcome { request: request.clone(), op, outcome: outcome.clone() })?;
        self.known.entry((request.clone(), op)).or_default().outcome = Some(outcome.clone());
        Ok(())
    }

    fn write(&mut self, entry: &Entry) -> std::io::Result<()> {
        let json = serde_json::to_string(entry)?;
        let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
        self.disk.append(line.as_bytes())?;
        self.disk.sync()
    }
}

fn decode(line: &[u8]) -> Option<Entry> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (crc, json) = line.split_once(' ')?;
    let crc = u32::from_str_radix(crc, 16).ok()?;
    (crc32fast::hash(json.as_bytes()) == crc).then(|| serde_json::from_str(json).ok())?
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::state::{MemDisk, Tear};

    fn changed(n: u32) -> Outcome {
        Outcome::Changed(vec![format!("change {n}")])
    }

    /// However a power cut tears what was not synced: what was synced is known, and what follows can
    /// be written.
    #[test]
    fn a_torn_end_is_cut_off_and_nothing_synced_is_lost() {
        let step: StepName = "step".parse().unwrap();
        let request = "request".to_string();
        for seed in 0..200 {
            for tear in Tear::ALL {
                let disk = MemDisk::new();
                let mut journal = Journal::open(Box::new(disk.clone())).unwrap();
                for op in 0..3 {
                    journal.intend(&request, op, &step, "title".into()).unwrap();
                    journal.finish(&request, op, &changed(op)).unwrap();
                }
                // The next entry is on its way when the power goes.
                disk.clone().append(b"00000000 {\"outcome\":{\"request\":\"request\"").unwrap();
                let disk = disk.crash(&mut StdRng::seed_from_u64(seed), tear);
                let mut journal = Journal::open(Box::new(disk.clone())).unwrap();
                let known: Vec<_> = (0..3).map(|op| (op, changed(op))).collect();
                assert_eq!(journal.outcomes(&request), known, "seed {seed}, {tear:?}");
                journal.finish(&request, 3, &changed(3)).unwrap();
                let journal = Journal::open(Box::new(disk)).unwrap();
                assert_eq!(journal.outcomes(&request).len(), 4, "seed {seed}, {tear:?}");
            }
        }
    }
}
