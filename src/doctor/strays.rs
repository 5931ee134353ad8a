//! Node objects that no machine stands behind any more.

use super::{Check, Finding, Severity};

pub(super) const GHOSTS: Check = Check {
    id: "node-objects-have-machines",
    family: "cluster",
    severity: Severity::Error,
    about: "behind every node that the cluster knows is the machine that joined",
    remedy: "`slipway remove-node NODE` takes the object and its etcd member away, `slipway join-node \
             NODE` then takes the new machine in; an object that is in no inventory goes with `kubectl \
             delete node NODE`",
    run: |exam| {
        exam.with_api(|api| {
            let mut found = Vec::new();
            for known in &api.nodes {
                if exam.inventory.node(&known.name).is_none() && !known.ready {
                    let text = "is NotReady, and in no inventory: is its machine gone?";
                    found.push(Finding::on(&known.name, text));
                }
                // A kubelet is who it says it is by its own file.
                let machine = exam.facts.get(&known.name);
                if machine.is_some_and(|facts| !facts.kube.kubelet_conf) {
                    let text = "is known to the cluster, but this machine never joined it: was it installed anew?";
                    found.push(Finding::on(&known.name, text));
                }
            }
            found
        })
    },
};
