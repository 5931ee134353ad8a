//! What ops hand to later ops: in memory only, filled in just before they are sent.

use crate::{
    names::NodeName,
    ops::{Op, Output, sys::JoinMaterial},
    secret::Sealed,
};

#[derive(Debug, Clone, Default)]
pub struct Outputs {
    /// Freshly minted, and for whom: workers and control planes get different ones.
    join: Option<(NodeName, JoinMaterial)>,
    encryption: Option<Sealed>,
}

impl Outputs {
    pub fn take(&mut self, lane: &NodeName, output: &Output) {
        match output {
            Output::Join(material) => self.join = Some((lane.clone(), material.clone())),
            Output::EncryptionConfig(config) => self.encryption = Some(config.clone()),
            // These are told as events; nobody waits for them.
            Output::Snapshot(_) | Output::Identity { .. } | Output::HandedOff { .. } => {}
            // Asked for by a person, not by a run.
            Output::UserCertificate(_) | Output::Etcd(_) => {}
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
        op
    }

    /// Every secret that is known by now, for the redactor.
    pub fn secrets(output: &Output) -> Vec<&str> {
        match output {
            Output::Join(material) => std::iter::once(&material.token)
                .chain(&material.certificate_key)
                .map(Sealed::reveal)
                .collect(),
            Output::EncryptionConfig(config) => vec![config.reveal()],
            Output::Snapshot(_)
            | Output::Identity { .. }
            | Output::HandedOff { .. }
            | Output::UserCertificate(_)
            | Output::Etcd(_) => Vec::new(),
        }
    }
}
