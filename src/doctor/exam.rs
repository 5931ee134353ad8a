//! What checks look at, and the questions that many of them ask of it.
//!
//! Must not know any check, nor how facts were gathered: a node that is in neither map was not asked.

use std::collections::BTreeMap;

use super::{Finding, Verdict};
use crate::{
    events::Failure,
    facts::{ApiFacts, NodeFacts},
    inventory::{Inventory, Node},
    names::NodeName,
    state::Ledger,
};

#[derive(Clone, Copy)]
pub struct Exam<'a> {
    pub inventory: &'a Inventory,
    /// Of every node that answered.
    pub facts: &'a BTreeMap<NodeName, NodeFacts>,
    /// Those that were asked and did not answer.
    pub unreachable: &'a BTreeMap<NodeName, Failure>,
    pub ledger: Option<&'a Ledger>,
    /// By the controller's clock.
    pub now_ms: u64,
}

impl<'a> Exam<'a> {
    /// The inventory's nodes that answered, in its order.
    pub(crate) fn answered(&self) -> impl Iterator<Item = (&'a Node, &'a NodeFacts)> + use<'a> {
        let facts = self.facts;
        self.inventory.nodes.iter().filter_map(move |node| Some((node, facts.get(&node.name)?)))
    }

    /// Those of them whose kubelets have an identity in a cluster.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'a Node, &'a NodeFacts)> + use<'a> {
        self.answered().filter(|(_, facts)| facts.kube.kubelet_conf)
    }

    pub(crate) fn outsiders(&self) -> impl Iterator<Item = (&'a Node, &'a NodeFacts)> + use<'a> {
        self.answered().filter(|(_, facts)| !facts.kube.kubelet_conf)
    }

    /// What every API server that answers says, in the inventory's order.
    pub(crate) fn apis(&self) -> impl Iterator<Item = (&'a NodeName, &'a ApiFacts)> + use<'a> {
        self.answered().filter_map(|(node, facts)| Some((&node.name, facts.kube.api.as_ref()?)))
    }

    pub(crate) fn api(&self) -> Option<&'a ApiFacts> {
        self.apis().next().map(|(_, api)| api)
    }

    /// Whether a cluster was begun, as far as anybody can tell.
    pub(crate) fn cluster_was_begun(&self) -> bool {
        self.facts.values().any(|facts| facts.kube.is_touched())
            || self.ledger.is_some_and(|ledger| ledger.identity().is_some())
    }

    /// Looks at each of these nodes; with none of them there is nothing to be known.
    pub(super) fn each(
        nodes: impl Iterator<Item = (&'a Node, &'a NodeFacts)>,
        none: &str,
        look: impl Fn(&'a Node, &'a NodeFacts) -> Vec<String>,
    ) -> Verdict {
        let mut seen = false;
        let mut found = Vec::new();
        for (node, facts) in nodes {
            seen = true;
            found.extend(look(node, facts).into_iter().map(|text| Finding::on(&node.name, text)));
        }
        if seen { Verdict::of(found) } else { Verdict::Skipped(none.into()) }
    }

    pub(super) fn each_answering(
        &self,
        look: impl Fn(&'a Node, &'a NodeFacts) -> Option<String>,
    ) -> Verdict {
        Self::each(self.answered(), NONE_ANSWERED, |node, facts| {
            look(node, facts).into_iter().collect()
        })
    }

    pub(super) fn each_member(
        &self,
        look: impl Fn(&'a Node, &'a NodeFacts) -> Vec<String>,
    ) -> Verdict {
        Self::each(self.members(), NO_MEMBER, look)
    }

    /// Looks at the cluster through the first API server that answers.
    pub(super) fn with_api(&self, look: impl FnOnce(&'a ApiFacts) -> Vec<Finding>) -> Verdict {
        match self.api() {
            Some(api) => Verdict::of(look(api)),
            None => Verdict::Skipped(self.why_no_api().into()),
        }
    }

    pub(super) fn why_no_api(&self) -> &'static str {
        if self.facts.is_empty() {
            NONE_ANSWERED
        } else if self.cluster_was_begun() {
            "no API server answers"
        } else {
            "no cluster yet"
        }
    }
}

pub(super) const NONE_ANSWERED: &str = "no node answered";
pub(super) const NO_MEMBER: &str = "no node that answered is in a cluster";
