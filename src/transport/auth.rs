//! Proving who we are: keys of an ssh-agent, key files, and passphrases asked for once.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use russh::{
    Error,
    client::{AuthResult, Handle},
    keys::{
        Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey,
        agent::{AgentIdentity, client::AgentClient},
        load_public_key, load_secret_key,
    },
};
use tokio::{net::UnixStream, sync::Mutex};

use super::{ConnectError, config::HostConfig, dial::Checking};
use crate::{events::Failure, secret::Sealed};

/// Whoever can be asked for a secret: a person at a terminal, or nobody.
pub trait Ask: Send + Sync {
    /// None when nobody can be asked, or nobody answers.
    fn secret(&self, question: &str) -> Option<Sealed>;
}

/// The keys that were read, so that a passphrase is asked for once and not once a node.
#[derive(Default)]
pub struct Keys {
    files: Mutex<BTreeMap<PathBuf, Result<Arc<PrivateKey>, String>>>,
}

/// What an answer of the server may take.
const ANSWER: Duration = Duration::from_secs(15);
const TRIES: usize = 3;

impl Keys {
    async fn load(&self, path: &Path, ask: &Arc<dyn Ask>) -> Result<Arc<PrivateKey>, String> {
        // Held while a person types: the other nodes want the same key.
        let mut files = self.files.lock().await;
        if let Some(known) = files.get(path) {
            return known.clone();
        }
        let (path_owned, ask) = (path.to_path_buf(), ask.clone());
        let loaded = tokio::task::spawn_blocking(move || read_key(&path_owned, &*ask))
            .await
            .unwrap_or_else(|error| Err(error.to_string()));
        let loaded = loaded.map(Arc::new);
        files.insert(path.into(), loaded.clone());
        loaded
    }
}

fn read_key(path: &Path, ask: &dyn Ask) -> Result<PrivateKey, String> {
    let shown = path.display();
    match load_secret_key(path, None) {
        Ok(key) => return Ok(key),
        Err(russh::keys::Error::KeyIsEncrypted) => {}
        Err(error) => return Err(format!("{shown} cannot be read: {error}")),
    }
    for _ in 0..TRIES {
        let Some(passphrase) = ask.secret(&format!("Passphrase for {shown}: ")) else {
            return Err(format!("{shown} has a passphrase, and there is no terminal to ask on"));
        };
        if let Ok(key) = load_secret_key(path, Some(passphrase.reveal())) {
            return Ok(key);
        }
    }
    Err(format!("{shown}: that was not its passphrase"))
}

/// What was tried, for the message when nothing helped.
#[derive(Default)]
struct Tried {
    offered: Vec<String>,
    notes: Vec<String>,
}

async fn in_time<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match tokio::time::timeout(ANSWER, answer).await {
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
        Ok(Err(Error::Disconnect)) => Err("the server hung up".into()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(value)) => Ok(value),
    }
}

/// Logs in as `user`.
pub async fn log_in(
    handle: &mut Handle<Checking>,
    user: &str,
    config: &HostConfig,
    keys: &Keys,
    ask: &Arc<dyn Ask>,
) -> Result<(), ConnectError> {
    let mut tried = Tried::default();
    let files: Vec<&PathBuf> = config.identity_files.iter().filter(|p| p.exists()).collect();
    let in_agent = match with_agent(handle, user, config, &files, &mut tried).await {
        Ok(Offered::LoggedIn) => return Ok(()),
        Ok(Offered::Refused(keys)) => keys,
        Err(why) => return Err(broken(user, why, &tried)),
    };
    for path in files {
        // The agent has offered it already.
        if public_half(path).is_some_and(|public| in_agent.contains(&public)) {
            continue;
        }
        let key = match keys.load(path, ask).await {
            Ok(key) => key,
            Err(note) => {
                tried.notes.push(note);
                continue;
            }
        };
        let hash = rsa_hash(handle, &key.algorithm()).await;
        tried.offered.push(path.display().to_string());
        let key = PrivateKeyWithHashAlg::new(key, hash);
        match in_time(handle.authenticate_publickey(user, key)).await {
            Ok(AuthResult::Success) => return Ok(()),
            Ok(AuthResult::Failure { .. }) => {}
            Err(why) => return Err(broken(user, why, &tried)),
        }
    }
    let what = format!("log in as {user}");
    let mut causes = Vec::new();
    if tried.offered.is_empty() {
        causes.push("there is no key to offer".to_string());
    } else {
        causes.push(format!("the node accepts none of our keys: {}", tried.offered.join(", ")));
    }
    causes.extend(tried.notes);
    let mut failure = Failure::new(what, causes.remove(0));
    failure.causes.extend(causes);
    let failure = failure
        .left("nothing on this node was changed")
        .hint(format!("does `ssh {user}@{}` work? Put your public key into ~{user}/.ssh/authorized_keys there, load it into your ssh-agent, or correct `ssh.user`", config.hostname));
    Err(ConnectError { failure: Box::new(failure), passing: false })
}

/// The cable was pulled, the node went down or hung up: worth another try for who was there before.
fn broken(user: &str, why: String, tried: &Tried) -> ConnectError {
    let mut failure = Failure::new(format!("log in as {user}"), why);
    if tried.offered.len() > 3 {
        failure = failure.hint(
            "too many keys were offered, perhaps: `IdentitiesOnly yes` and an `IdentityFile` for this host in ~/.ssh/config",
        );
    }
    let failure = failure.left("nothing on this node was changed");
    ConnectError { failure: Box::new(failure), passing: true }
}

/// An RSA key's signature is made with the best hash that the server knows.
async fn rsa_hash(handle: &Handle<Checking>, algorithm: &Algorithm) -> Option<HashAlg> {
    if !matches!(algorithm, Algorithm::Rsa { .. }) {
        return None;
    }
    match handle.best_supported_rsa_hash().await {
        Ok(Some(hash)) => hash,
        // A server that does not say knows the newer ones all the same.
        _ => Some(HashAlg::Sha512),
    }
}

enum Offered {
    LoggedIn,
    Refused(Vec<PublicKey>),
}

fn public_half(path: &Path) -> Option<PublicKey> {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    load_public_key(PathBuf::from(name)).ok()
}

/// Offers the agent's keys: those that the configuration names first, and only those if it says so.
async fn with_agent(
    handle: &mut Handle<Checking>,
    user: &str,
    config: &HostConfig,
    files: &[&PathBuf],
    tried: &mut Tried,
) -> Result<Offered, String> {
    let none = Ok(Offered::Refused(Vec::new()));
    let Some(socket) = config.agent.as_ref().filter(|p| !p.as_os_str().is_empty()) else {
        return none;
    };
    let mut agent: AgentClient<UnixStream> = match AgentClient::connect_uds(socket).await {
        Ok(agent) => agent,
        Err(error) => {
            tried
                .notes
                .push(format!("the ssh-agent at {} does not answer: {error}", socket.display()));
            return none;
        }
    };
    let identities = match tokio::time::timeout(ANSWER, agent.request_identities()).await {
        Ok(Ok(identities)) => identities,
        _ => {
            tried.notes.push("the ssh-agent does not say which keys it has".into());
            return none;
        }
    };
    let named: Vec<PublicKey> = files.iter().filter_map(|path| public_half(path)).collect();
    let mut plain: Vec<(PublicKey, String)> = identities
        .into_iter()
        .filter_map(|identity| match identity {
            AgentIdentity::PublicKey { key, comment } => Some((key, comment)),
            AgentIdentity::Certificate { .. } => None,
        })
        .filter(|(key, _)| {
            !config.identities_only || named.iter().any(|n| n.key_data() == key.key_data())
        })
        .collect();
    plain.sort_by_key(|(key, _)| !named.iter().any(|n| n.key_data() == key.key_data()));
    let mut refused = Vec::new();
    for (key, comment) in plain {
        let hash = rsa_hash(handle, &key.algorithm()).await;
        tried.offered.push(format!("{comment} (ssh-agent)"));
        let answer = handle.authenticate_publickey_with(user, key.clone(), hash, &mut agent);
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(AuthResult::Success)) => return Ok(Offered::LoggedIn),
            Ok(Ok(AuthResult::Failure { .. })) => refused.push(key),
            // The agent would not sign: a key that wants a touch, or was taken away meanwhile.
            Ok(Err(error)) if !handle.is_closed() => {
                tried.notes.push(format!("the ssh-agent did not sign with {comment}: {error}"));
            }
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(format!("no answer within {} s", ANSWER.as_secs())),
        }
    }
    Ok(Offered::Refused(refused))
}
