//! A node's labels, annotations and taints, written beside everybody else who writes to it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Linux, cluster::node_path};
use crate::{
    https::Trouble,
    names::NodeName,
    ops::{
        cluster::{CONTROL_PLANE_TAINT, EXCLUDE_LABEL},
        sys::{SysResult, Time},
    },
};

/// How often a write gives way to another that was faster, and how long it waits then.
const CONFLICTS: u32 = 20;
const CONFLICT_MS: u64 = 100;
/// How long a node that has joined may take to register.
const REGISTERED_MS: u64 = 60_000;

impl Linux {
    pub(super) async fn labelled(
        &self,
        node: &NodeName,
        schedulable: bool,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
    ) -> SysResult<()> {
        // The kubelet and the controllers of a node that has just come write to it as well.
        let (mut conflicts, registered_by) = (0, self.now_ms() + REGISTERED_MS);
        loop {
            match self.label_node_once(node, schedulable, labels, annotations).await {
                Err(Trouble::Said { code: 409, .. }) if conflicts < CONFLICTS => {
                    // Whoever was faster has written: the first time nothing is waited for.
                    if conflicts > 0 {
                        self.sleep_ms(CONFLICT_MS).await;
                    }
                    conflicts += 1;
                }
                // A worker's join ends when its kubelet has its certificate, which then registers the node.
                Err(trouble) if trouble.is_not_found() && self.now_ms() < registered_by => {
                    self.sleep_ms(CONFLICT_MS).await;
                }
                done => return Ok(done?),
            }
        }
    }

    /// The node's labels and taints as they are to be, written over exactly what was read.
    async fn label_node_once(
        &self,
        node: &NodeName,
        schedulable: bool,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
    ) -> Result<(), Trouble> {
        let api = self.own_api().map_err(|e| Trouble::Other(e.message))?;
        let found = api.get(&node_path(node)).await?;
        let mut patch = json!({
            "metadata": { "labels": labels, "annotations": annotations, "resourceVersion": found["metadata"]["resourceVersion"] },
            "spec": {},
        });
        let control_plane =
            found["metadata"]["labels"].get("node-role.kubernetes.io/control-plane").is_some();
        let is_it = |t: &Value| t["key"] == CONTROL_PLANE_TAINT;
        let mut taints: Vec<Value> =
            found["spec"]["taints"].as_array().cloned().unwrap_or_default();
        if schedulable {
            patch["metadata"]["labels"][EXCLUDE_LABEL] = Value::Null;
            taints.retain(|t| !is_it(t));
        } else if control_plane && !taints.iter().any(is_it) {
            taints.push(json!({ "key": CONTROL_PLANE_TAINT, "effect": "NoSchedule" }));
        }
        patch["spec"]["taints"] = taints.into();
        api.patch(&node_path(node), "merge-patch+json", &patch).await.map(drop)
    }
}
