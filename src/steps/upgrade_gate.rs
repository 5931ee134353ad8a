//! upgrade-gate: whether this cluster may go to that version, and is well enough to.

use crate::{
    events::Refusal,
    facts::ApiFacts,
    inventory::Node,
    names::Version,
    ops::{checks::NodesReady, etcd::EtcdGate, upgrade::skew},
};

use super::{
    Decision, Draft, Scene,
    known::{self, Refused},
};

/// How far behind its API server a kubelet may be.
const KUBELET_SKEW: u64 = 3;

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let to = known::upgrade_to(scene, node)?;
    let Some((acting, api)) = scene.api_except(None) else {
        return Err(Box::new(no_api(scene, node, to)));
    };
    versions(node, api, to)?;
    let (only, first) = (&scene.wish.only, scene.initialiser());
    if !only.is_empty() && !only.contains(&first) && api.version != *to {
        let others: Vec<String> = only.iter().map(ToString::to_string).collect();
        let why = format!("the cluster itself is moved by {first}, which this run leaves out");
        return Err(Box::new(
            known::refused(node, Refusal::Version, format!("upgrade to {to}"), why)
                .hint(format!("name it too: --on {first},{}", others.join(","))),
        ));
    }
    let planes = api.nodes.iter().filter(|n| n.control_plane).count();
    Ok(vec![
        Draft::new(acting, EtcdGate { ignoring: None, must_bear_a_loss: planes > 1, wait_s: 60 }),
        Draft::new(
            acting,
            NodesReady {
                nodes: api.nodes.iter().map(|n| n.name.clone()).collect(),
                kubelet: None,
                wait_s: 180,
            },
        ),
    ])
}

fn no_api(scene: &Scene, node: &Node, to: &Version) -> crate::events::Failure {
    let what = format!("upgrade to {to}");
    if scene.cluster_exists() {
        known::cannot(node, what, "no control plane's API server answers")
            .hint("`slipway doctor` says why; an upgrade starts from a cluster that is well")
    } else {
        known::cannot(node, what, "there is no cluster here yet")
            .hint("set `cluster.kubernetes` in the inventory and run `slipway bootstrap`")
    }
}

fn versions(node: &Node, api: &ApiFacts, to: &Version) -> Result<(), Refused> {
    let refuse = |why: String, hint: String| {
        let what = format!("upgrade from {} to {to}", api.version);
        Err(Box::new(known::refused(node, Refusal::Version, what, why).hint(hint)))
    };
    if let Err(why) = skew(&api.version, to) {
        let hint = if *to < api.version {
            "a version is never taken back; restore a snapshot if the new one is no good".into()
        } else {
            format!("`slipway upgrade --to {}.{}.x` first", to.major(), api.version.minor() + 1)
        };
        return refuse(why, hint);
    }
    for kubelet in &api.nodes {
        let (name, version) = (&kubelet.name, &kubelet.kubelet);
        if version > to {
            return refuse(
                format!(
                    "the kubelet of {name} runs {version}, and none may be newer than its API server"
                ),
                format!("name {version} or a later one with --to"),
            );
        }
        if version.major() != to.major() || version.minor() + KUBELET_SKEW < to.minor() {
            return refuse(
                format!(
                    "the kubelet of {name} runs {version}, more than {KUBELET_SKEW} minors behind"
                ),
                format!("finish the upgrade to {} first", api.version),
            );
        }
    }
    Ok(())
}
