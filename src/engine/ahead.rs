//! Files on their way to the nodes while ops run there: what a later phase needs is brought in the
//! background, first to whoever needs it first.
//!
//! It only ever saves time: what it did not bring, for whatever reason, is brought when its turn comes,
//! and only then is a failure told. It begins right before the first phase that changes anything: by then the
//! machines are known to be the right ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::join_all;
use tokio::{sync::Notify, task::JoinHandle};

use super::scheduler::Segment;
use crate::{
    clock::Clock,
    names::NodeName,
    plan::Plan,
    supply::{self, Parcels, Wanted},
    transport::{Connector, Parcel},
};

/// How long nothing may arrive before a node's files are brought by whoever waits for them.
const STALLED_MS: u64 = 15_000;

/// Told of each file that went over: its node, its name, its bytes.
pub type Tell = Arc<dyn Fn(&NodeName, &Parcel) + Send + Sync>;

#[derive(Default)]
struct State {
    brought: BTreeSet<String>,
    /// Handed over to an op: if that is tried again, they are looked at again.
    used: BTreeSet<String>,
    over: bool,
}

/// One node's files.
#[derive(Default)]
struct Load {
    parcels: Vec<Parcel>,
    state: Mutex<State>,
    news: Notify,
}

impl Load {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.notify_waiters();
    }
}

#[derive(Default)]
pub struct Ahead {
    loads: BTreeMap<NodeName, Arc<Load>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What one node needs: in which phase the first of it, and all of it.
#[derive(Default)]
struct Need {
    phase: usize,
    parcels: Vec<Parcel>,
    /// How many of them the runtime needs, and where the first image is.
    runtime: usize,
    image: Option<usize>,
}

impl Need {
    /// In the order of the plan, but for one image that comes right behind the runtime: the node unpacks it
    /// while the rest is on its way.
    fn ordered(mut self) -> (usize, Vec<Parcel>) {
        if let Some(image) = self.image.filter(|at| *at > self.runtime) {
            self.parcels[self.runtime..=image].rotate_right(1);
        }
        (self.phase, self.parcels)
    }
}

/// For each node, in which phase it needs the first of its files, and in which order it gets them.
fn needs(plan: &Plan, parcels: &Parcels) -> BTreeMap<NodeName, (usize, Vec<Parcel>)> {
    let mut needs: BTreeMap<NodeName, Need> = BTreeMap::new();
    for (phase, of) in plan.phases.iter().enumerate() {
        for planned in of.lanes.iter().flat_map(|lane| &lane.ops) {
            for wanted in supply::needed(planned) {
                let Some(parcel) = parcels.get(&wanted) else { continue };
                let first = || Need { phase, ..Need::default() };
                let need = needs.entry(planned.on.clone()).or_insert_with(first);
                if need.parcels.iter().any(|known| known.name == parcel.name) {
                    continue;
                }
                if matches!(wanted, Wanted::Image(_)) {
                    need.image.get_or_insert(need.parcels.len());
                }
                need.parcels.push(parcel.clone());
            }
            if supply::is_the_runtime(planned)
                && let Some(need) = needs.get_mut(&planned.on)
            {
                need.runtime = need.parcels.len();
            }
        }
    }
    needs.into_iter().map(|(node, need)| (node, need.ordered())).collect()
}

/// What a segment's node has to make ready for it and for what follows on the same node. Not images, as
/// long as the runtime itself is going to change.
pub fn early(plan: &Plan, segment: Segment) -> Vec<Wanted> {
    let on = &plan.phases[segment.phase].lanes[segment.lane].ops[segment.from].on;
    let (mut early, mut runtime_stays) = (Vec::new(), true);
    for (n, phase) in plan.phases.iter().enumerate().skip(segment.phase) {
        for (lane, of) in phase.lanes.iter().enumerate() {
            let from = if (n, lane) == (segment.phase, segment.lane) { segment.from } else { 0 };
            for planned in of.ops[from..].iter().filter(|p| p.on == *on) {
                runtime_stays &= !supply::is_the_runtime(planned);
                let needed = supply::needed(planned).into_iter();
                early.extend(needed.filter(|wanted| match wanted {
                    Wanted::Release(..) => true,
                    Wanted::Image(_) => runtime_stays,
                    Wanted::Package(_) => false,
                }));
            }
        }
    }
    early
}

impl Ahead {
    /// Begins, in the background.
    pub fn begin(
        plan: &Plan,
        parcels: &Parcels,
        connector: Arc<dyn Connector>,
        tell: Tell,
    ) -> Self {
        let mut turns: BTreeMap<usize, Vec<(NodeName, Arc<Load>)>> = BTreeMap::new();
        let mut loads = BTreeMap::new();
        for (node, (phase, parcels)) in needs(plan, parcels) {
            let load = Arc::new(Load { parcels, ..Load::default() });
            loads.insert(node.clone(), load.clone());
            turns.entry(phase).or_default().push((node, load));
        }
        if loads.is_empty() {
            return Self::default();
        }
        let task = tokio::spawn(async move {
            for (_, turn) in turns {
                join_all(turn.into_iter().map(|(node, load)| {
                    let (connector, tell) = (connector.clone(), tell.clone());
                    async move {
                        let sent = {
                            let (node, load) = (node.clone(), load.clone());
                            move |parcel: &Parcel| {
                                tell(&node, parcel);
                                load.change(|s| s.brought.extend([parcel.name.clone()]));
                            }
                        };
                        let done = connector.bring(&node, &load.parcels, &sent).await.is_ok();
                        load.change(|state| {
                            state.over = true;
                            if done {
                                state.brought =
                                    load.parcels.iter().map(|p| p.name.clone()).collect();
                            }
                        });
                    }
                }))
                .await;
            }
        });
        Self { loads, task: Mutex::new(Some(task)) }
    }

    /// Waits for those that are on their way, and gives back what is not going to come.
    pub async fn missing(&self, node: &NodeName, wanted: Vec<Parcel>, clock: Clock) -> Vec<Parcel> {
        let Some(load) = self.loads.get(node) else { return wanted };
        loop {
            let changed = load.news.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = load.state.lock().unwrap_or_else(PoisonError::into_inner);
                let there =
                    |p: &&Parcel| state.brought.contains(&p.name) && !state.used.contains(&p.name);
                let left: Vec<Parcel> = wanted.iter().filter(|p| !there(p)).cloned().collect();
                // What this never had on its list, or has brought before, is not waited for.
                let comes = left.iter().any(|p| {
                    !state.used.contains(&p.name) && load.parcels.iter().any(|l| l.name == p.name)
                });
                if state.over || !comes {
                    state.used.extend(wanted.iter().map(|p| p.name.clone()));
                    return left;
                }
            }
            if clock.within(STALLED_MS, changed).await.is_none() {
                self.stop();
                load.change(|state| state.over = true);
            }
        }
    }

    /// No more of it.
    pub fn stop(&self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
            self.loads.values().for_each(|load| load.change(|state| state.over = true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        events::Pace,
        ops::{
            Diff, Op,
            packages::{Artifact, Images},
            units::Unit,
        },
        plan::{Lane, PlannedOp, PlannedPhase, Verdict},
    };

    fn changes(op: impl Into<Op>) -> PlannedOp {
        PlannedOp {
            on: "node-a".parse().unwrap(),
            step: "images".parse().unwrap(),
            op: op.into(),
            verdict: Verdict::Changes(vec![Diff::say("all of it")]),
            decision: String::new(),
        }
    }

    fn artifact(name: &str) -> PlannedOp {
        let version = "1.0.0".parse().unwrap();
        changes(Artifact { name: name.into(), version, links: Vec::new() })
    }

    /// In which order these are brought.
    fn brought(ops: Vec<PlannedOp>) -> Vec<String> {
        let wanted = ops.iter().flat_map(supply::needed);
        let parcel = |wanted: &Wanted| {
            let name = match wanted {
                Wanted::Release(name, _) | Wanted::Image(name) | Wanted::Package(name) => name,
            };
            Parcel {
                name: name.clone(),
                file: name.into(),
                sha256: String::new(),
                bytes: 1,
                installed: None,
            }
        };
        let parcels: Parcels = wanted.map(|w| (w.clone(), parcel(&w))).collect();
        let lanes = vec![Lane { node: "node-a".parse().unwrap(), ops }];
        let phase = PlannedPhase { name: "all".parse().unwrap(), pace: Pace::Parallel, lanes };
        let plan = Plan {
            verb: "bootstrap".into(),
            cluster: "home".parse().unwrap(),
            simulated: true,
            phases: vec![phase],
            refusals: Vec::new(),
            notes: Vec::new(),
            hash: String::new(),
        };
        let (_, parcels) = needs(&plan, &parcels).into_values().next().unwrap();
        parcels.into_iter().map(|parcel| parcel.name).collect()
    }

    #[test]
    fn one_image_comes_right_behind_the_runtime() {
        let runs =
            changes(Unit { name: "containerd.service".into(), running: true, config: Vec::new() });
        let images = || changes(Images { images: ["etcd", "pause"].map(String::from).into() });
        let runtime = vec![artifact("containerd"), artifact("crictl"), runs];
        let ops = [runtime, vec![artifact("kubeadm"), artifact("kubelet"), images()]].concat();
        assert_eq!(brought(ops), ["containerd", "crictl", "etcd", "kubeadm", "kubelet", "pause"]);
        // Where the runtime is there, it is first of all.
        assert_eq!(brought(vec![artifact("kubeadm"), images()]), ["etcd", "kubeadm", "pause"]);
        assert_eq!(
            brought(vec![artifact("containerd"), images()]),
            ["containerd", "etcd", "pause"]
        );
    }
}
