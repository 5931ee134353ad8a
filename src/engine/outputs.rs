//! What ops hand to later ops: in memory only, filled in just before they are sent.

use std::collections::BTreeMap;

use crate::{
    names::NodeName,
    ops::{Op, Output, sys::JoinMaterial},
    secret::{Sealed, Source},
};

#[derive(Debug, Clone, Default)]
pub struct Outputs {
    /// Freshly minted, and for whom: workers and control planes get different ones.
    join: Option<(NodeName, JoinMaterial)>,
    encryption: Option<Sealed>,
    /// The operator's own secrets, each read once a run.
    read: BTreeMap<Source, Sealed>,
}

impl Outputs {
    pub fn knowing(read: BTreeMap<Source, Sealed>) -> Self {
        Self { read, ..Self::default() }
    }

    pub fn take(&mut self, lane: &NodeName, output: &Output) {
        match output {
            Output::Join(material) => self.join = Some((lane.clone(), material.clone())),
            Output::EncryptionConfig(config) => self.encryption = Some(config.clone()),
            // These are told as events; nobody waits for them.
            Output::Snapshot(_) | Output::Identity { .. } | Output::HandedOff { .. } => {}
            // Asked for by a person, not by a run.
            Output::UserCertificate(_) | Output::EngineLogin(_) | Output::Etcd(_) => {}
        }
    }

    /// The op with its placeholders filled; one that is left empty says so when it runs.
    pub fn fill(&self, lane: &NodeName, op: &Op) -> Op {
        let mut op = op.clone();
        match &mut op {
            Op::Join(join) => {
                join.material = self
                    .join
                    .as_ref()
                    .filter(|(for_lane, _)| for_lane == lane)
                    .map(|(_, m)| m.clone());
            }
            Op::PlaceEncryption(place) => place.config = self.encryption.clone(),
            _ => {}
        }
        for sourced in op.sourced() {
            sourced.value = self.read.get(&sourced.source).cloned();
        }
        op
    }

    /// What an op needs that was not read yet, or may have ended since.
    pub fn unread(&self, op: &Op) -> Vec<Source> {
        let mut op = op.clone();
        let sources = op.sourced().into_iter().map(|s| s.source.clone());
        sources.filter(|s| s.is_short_lived() || !self.read.contains_key(s)).collect()
    }

    pub fn keep(&mut self, source: Source, secret: Sealed) {
        self.read.insert(source, secret);
    }

    /// Every secret that is known by now, for the redactor.
    pub fn secrets(output: &Output) -> Vec<&str> {
        match output {
            Output::Join(material) => std::iter::once(&material.token)
                .chain(&material.certificate_key)
                .map(Sealed::reveal)
                .collect(),
            Output::EncryptionConfig(config) => vec![config.reveal()],
            Output::EngineLogin(login) => login.password.iter().map(Sealed::reveal).collect(),
            Output::Snapshot(_)
            | Output::Identity { .. }
            | Output::HandedOff { .. }
            | Output::UserCertificate(_)
            | Output::Etcd(_) => Vec::new(),
        }
    }
}
