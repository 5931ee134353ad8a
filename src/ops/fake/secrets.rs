//! Secrets of the simulated cluster: which there are and what keys they have. What is in them is not kept.

use sha2::{Digest, Sha256};

use super::cluster::{FakeCluster, FakeSecret};
use crate::{
    ops::secrets::{ClusterSecret, KeyState, SecretFound},
    secret::Sourced,
};

/// Few bits on purpose: it tells that a value is another one, and not which.
fn mark(sourced: &Sourced) -> u32 {
    let value = sourced.value.as_ref().map(|value| value.reveal()).unwrap_or_default();
    let hash = Sha256::digest(value);
    u32::from_be_bytes([0, hash[0], hash[1], hash[2]])
}

impl FakeCluster {
    pub fn secret_beside(&self, wanted: &ClusterSecret) -> SecretFound {
        let Some(found) = self.secrets.get(&wanted.shown()) else {
            return match self.namespaces.contains(&wanted.namespace) {
                true => SecretFound::Missing,
                false => SecretFound::NoNamespace,
            };
        };
        if let Some(by) = &found.kept_by {
            return SecretFound::Kept { by: by.clone() };
        }
        let state = |key: &str, sourced: &Sourced| match found.keys.get(key) {
            None => KeyState::Missing,
            Some(there) if *there == mark(sourced) => KeyState::Same,
            Some(_) => KeyState::Differs,
        };
        let wanted_keys = wanted.data.iter().map(|(key, s)| (key.clone(), state(key, s)));
        let left = found.keys.keys().filter(|key| !wanted.data.contains_key(*key));
        SecretFound::There {
            kind: found.kind.clone(),
            keys: wanted_keys.chain(left.map(|key| (key.clone(), KeyState::Leftover))).collect(),
            labels_differ: found.labels != wanted.labels,
        }
    }

    pub fn take_secret(&mut self, wanted: &ClusterSecret) {
        self.namespaces.insert(wanted.namespace.clone());
        let secret = FakeSecret {
            kind: wanted.kind.clone(),
            labels: wanted.labels.clone(),
            keys: wanted.data.iter().map(|(key, sourced)| (key.clone(), mark(sourced))).collect(),
            kept_by: None,
        };
        self.secrets.insert(wanted.shown(), secret);
    }
}
