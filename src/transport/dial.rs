//! From an address to a logged-in SSH connection, through whatever stands before it.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use russh::{
    Preferred, cipher,
    client::{self, Handle},
    keys::{Algorithm, PublicKeyOrCertificate},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{
    ConnectError,
    auth::{self, Ask, Keys},
    config::{self, HostConfig},
    host_keys::Expected,
    known_hosts::lookup_name,
};
use crate::{events::Failure, names::HostKey};

/// How long a node may take to accept a connection, and again to greet and agree on keys.
const CONNECT: Duration = Duration::from_secs(10);
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The second address is tried beside the first when that has not answered by then.
const HEAD_START: Duration = Duration::from_millis(300);
/// A connection that says nothing for three of these is dead.
const KEEPALIVE: Duration = Duration::from_secs(5);
const MOST_JUMPS: usize = 8;

/// What is the same for every node.
pub struct Options {
    /// What nodes run as their agent: this very program, but for tests.
    pub program: PathBuf,
    pub accept_new_host_keys: bool,
    /// An ssh_config of one's own, as `ssh -F` takes it.
    pub config_file: Option<PathBuf>,
    pub home: Option<PathBuf>,
    pub local_user: String,
    /// `SSH_AUTH_SOCK`
    pub agent_socket: Option<PathBuf>,
    pub ask: Arc<dyn Ask>,
}

/// How one node is reached.
#[derive(Debug, Clone)]
pub struct Way {
    /// What the user's SSH configuration knows it by.
    pub subject: String,
    /// Tried before the configuration's own host name: the address it will have.
    pub lan: String,
    pub user: Option<String>,
    pub port: Option<u16>,
    pub host_key: Option<HostKey>,
}

/// Where nobody names a user.
pub const USER: &str = "root";

/// An SSH connection, with everything that it runs through kept alive.
pub struct Line {
    pub handle: Handle<Checking>,
    pub user: String,
    _through: Vec<Handle<Checking>>,
}

/// Checks the server's key; what it had to say is read after the handshake failed.
pub struct Checking {
    expected: Expected,
    verdict: Arc<Mutex<Option<Failure>>>,
}

impl client::Handler for Checking {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            // Never asked for, so never shown.
            return Ok(false);
        };
        match self.expected.check(key) {
            Ok(()) => Ok(true),
            Err(failure) => {
                *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
                Ok(false)
            }
        }
    }
}

fn error(failure: Failure, passing: bool) -> ConnectError {
    ConnectError { failure: Box::new(failure), passing }
}

fn unreachable(to: &str, why: impl Into<String>) -> ConnectError {
    let failure = Failure::new(format!("connect to {to}"), why)
        .left("nothing on this node was changed")
        .hint("is it powered on, at this address, and does its sshd run? Try `ssh` by hand; today's address goes into ssh = { host = ... }");
    error(failure, true)
}

/// The user's configuration for a host, with the agent's socket filled in.
pub async fn configured(host: &str, options: &Options) -> Result<HostConfig, ConnectError> {
    let (file, home) = (options.config_file.as_deref(), options.home.as_deref());
    let mut found =
        config::resolve(host, file, &options.local_user, home).await.map_err(|why| {
            let hint = "mend your SSH configuration, or name another with ssh = { config = ... }";
            error(Failure::new("read your SSH configuration", why).hint(hint), false)
        })?;
    if found.agent.is_none() {
        found.agent.clone_from(&options.agent_socket);
    }
    Ok(found)
}

/// At which of its addresses a node is to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Where it answers: at the address that it will have, or at today's.
    Either,
    /// At the address that it will have, to prove that it has it.
    Home,
}

/// Reaches a node, and logs in.
pub async fn dial(
    way: &Way,
    config: &HostConfig,
    keys: &Keys,
    options: &Options,
    at: At,
) -> Result<Line, ConnectError> {
    let port = way.port.or(config.port).unwrap_or(22);
    let user = way.user.clone().or_else(|| config.user.clone()).unwrap_or_else(|| USER.into());
    let mut hosts = vec![way.lan.clone()];
    if config.hostname != way.lan {
        hosts.push(config.hostname.clone());
    }
    let mut names: Vec<String> = hosts.clone();
    if at == At::Home {
        hosts.truncate(1);
    }
    names.extend(config.host_key_alias.clone());
    names.push(way.subject.clone());
    let mut names: Vec<String> = names.iter().map(|n| lookup_name(n, port)).collect();
    dedup(&mut names);
    let expected = |first: &str| {
        let mut names = names.clone();
        let first = lookup_name(first, port);
        names.sort_by_key(|n| *n != first);
        Expected {
            names,
            files: config.known_hosts.clone(),
            pinned: way.host_key.clone(),
            accept_new: options.accept_new_host_keys,
        }
    };
    let (through, last_hop) = jumps(config, keys, options).await?;
    let mut first_refusal: Option<ConnectError> = None;
    let mut left = hosts;
    loop {
        let (stream, host) = match reach(&last_hop, &through, &left, port, &user).await {
            Ok(reached) => reached,
            Err(error) => return Err(first_refusal.unwrap_or(error)),
        };
        match handshake(stream, expected(&host), &format!("{host}:{port}")).await {
            Ok(mut handle) => {
                auth::log_in(&mut handle, &user, config, keys, &options.ask).await?;
                return Ok(Line { handle, user, _through: through });
            }
            // Another machine may have this node's address until it moves there.
            Err(refused) if left.len() > 1 => {
                first_refusal.get_or_insert(refused);
                left.retain(|h| *h != host);
            }
            Err(refused) => return Err(first_refusal.unwrap_or(refused)),
        }
    }
}

fn dedup(names: &mut Vec<String>) {
    let mut seen: Vec<String> = Vec::new();
    names.retain(|name| {
        let fresh = !seen.contains(name);
        seen.push(name.clone());
        fresh
    });
}

/// What the last part of the way goes over.
enum Hop {
    Direct,
    Jump,
    Command(String),
}

/// Connects to every bastion, each through the one before.
async fn jumps(
    config: &HostConfig,
    keys: &Keys,
    options: &Options,
) -> Result<(Vec<Handle<Checking>>, Hop), ConnectError> {
    let mut through: Vec<Handle<Checking>> = Vec::new();
    if config.jumps.is_empty() {
        let hop = config.proxy_command.clone().map_or(Hop::Direct, Hop::Command);
        return Ok((through, hop));
    }
    if config.jumps.len() > MOST_JUMPS {
        let why = format!("{} jumps, at most {MOST_JUMPS} are made", config.jumps.len());
        return Err(error(Failure::new("follow ProxyJump", why), false));
    }
    for jump in &config.jumps {
        let (user, host, port) = config::split_jump(jump);
        let theirs = configured(&host, options).await?;
        let port = port.or(theirs.port).unwrap_or(22);
        let user =
            user.or_else(|| theirs.user.clone()).unwrap_or_else(|| options.local_user.clone());
        let mut names = vec![lookup_name(&theirs.hostname, port), lookup_name(&host, port)];
        names.extend(theirs.host_key_alias.iter().map(|a| lookup_name(a, port)));
        dedup(&mut names);
        let expected = Expected {
            names,
            files: theirs.known_hosts.clone(),
            pinned: None,
            accept_new: options.accept_new_host_keys,
        };
        let to = format!("the jump host {}:{port}", theirs.hostname);
        let stream = match through.last() {
            None => Box::new(tcp(&theirs.hostname, port, &to).await?) as Raw,
            Some(handle) => tunnel(handle, &theirs.hostname, port, &to).await?,
        };
        let mut handle = handshake(stream, expected, &to).await?;
        auth::log_in(&mut handle, &user, &theirs, keys, &options.ask).await.map_err(
            |mut error| {
                error.failure.what = format!("{} at {to}", error.failure.what);
                error
            },
        )?;
        through.push(handle);
    }
    Ok((through, Hop::Jump))
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}
type Raw = Box<dyn Duplex>;

/// A stream to the first of the hosts that answers; the first of them gets a head start.
async fn reach(
    hop: &Hop,
    through: &[Handle<Checking>],
    hosts: &[String],
    port: u16,
    user: &str,
) -> Result<(Raw, String), ConnectError> {
    let to = |host: &String| format!("{host}:{port}");
    match (hop, hosts) {
        (Hop::Command(command), [.., host]) => {
            let stream = proxied(command, host, port, user)?;
            Ok((stream, host.clone()))
        }
        (Hop::Jump, hosts) => {
            let mut last = None;
            let handle = through.last();
            for host in hosts {
                let Some(handle) = handle else { break };
                match tunnel(handle, host, port, &to(host)).await {
                    Ok(stream) => return Ok((stream, host.clone())),
                    Err(error) => last = Some(error),
                }
            }
            Err(last.unwrap_or_else(|| unreachable("the node", "there is no way to it")))
        }
        (Hop::Direct, [one]) => Ok((Box::new(tcp(one, port, &to(one)).await?), one.clone())),
        (_, [first, second, ..]) => {
            let (first_to, second_to) = (to(first), to(second));
            let one = tcp(first, port, &first_to);
            let two = async {
                tokio::time::sleep(HEAD_START).await;
                tcp(second, port, &second_to).await
            };
            tokio::pin!(one, two);
            tokio::select! {
                biased;
                answer = &mut one => match answer {
                    Ok(stream) => Ok((Box::new(stream) as Raw, first.clone())),
                    Err(_) => Ok((Box::new(two.await?) as Raw, second.clone())),
                },
                answer = &mut two => match answer {
                    Ok(stream) => Ok((Box::new(stream) as Raw, second.clone())),
                    Err(error) => match one.await {
                        Ok(stream) => Ok((Box::new(stream) as Raw, first.clone())),
                        Err(_) => Err(error),
                    },
                },
            }
        }
        (_, []) => Err(unreachable("the node", "it has no address")),
    }
}

async fn tcp(host: &str, port: u16, to: &str) -> Result<TcpStream, ConnectError> {
    let found = match host.parse::<std::net::IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => lookup(host, port).await.map_err(|why| unreachable(to, why))?,
    };
    let connecting = async {
        let mut last = None;
        for address in found {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or_else(|| "it has no address".to_string(), |e| e.to_string()))
    };
    match tokio::time::timeout(CONNECT, connecting).await {
        Err(_) => Err(unreachable(to, format!("no answer within {} s", CONNECT.as_secs()))),
        Ok(Err(why)) => Err(unreachable(to, why)),
        Ok(Ok(stream)) => {
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
    }
}

/// By `getent`: a statically linked program must not load the system's name service modules.
async fn lookup(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let asked = tokio::process::Command::new("getent")
        .args(["ahosts", "--", host])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(CONNECT, asked).await {
        Err(_) => {
            return Err(format!("looking up `{host}` took longer than {} s", CONNECT.as_secs()));
        }
        Ok(Err(error)) => return Err(format!("cannot look up `{host}`: getent: {error}")),
        Ok(Ok(output)) => output,
    };
    let mut found: Vec<SocketAddr> = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some(Ok(address)) = line.split_whitespace().next().map(str::parse) {
            let address = SocketAddr::new(address, port);
            if !found.contains(&address) {
                found.push(address);
            }
        }
    }
    if found.is_empty() { Err(format!("the name `{host}` is not known")) } else { Ok(found) }
}

async fn tunnel(
    handle: &Handle<Checking>,
    host: &str,
    port: u16,
    to: &str,
) -> Result<Raw, ConnectError> {
    let opening = handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0);
    match tokio::time::timeout(CONNECT, opening).await {
        Err(_) => Err(unreachable(
            to,
            format!("no answer through the jump host within {} s", CONNECT.as_secs()),
        )),
        Ok(Err(error)) => Err(unreachable(to, format!("not through the jump host: {error}"))),
        Ok(Ok(channel)) => Ok(Box::new(channel.into_stream())),
    }
}

/// ProxyCommand: a program whose input and output are the connection.
fn proxied(command: &str, host: &str, port: u16, user: &str) -> Result<Raw, ConnectError> {
    let line = command
        .replace("%%", "\0")
        .replace("%h", host)
        .replace("%n", host)
        .replace("%p", &port.to_string())
        .replace("%r", user)
        .replace('\0', "%");
    let child = tokio::process::Command::new("/bin/sh")
        .args(["-c", &format!("exec {line}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    match child {
        Ok(mut child) => match (child.stdout.take(), child.stdin.take()) {
            (Some(out), Some(into)) => {
                // Ends with its input; reaped here.
                tokio::spawn(async move { child.wait().await });
                Ok(Box::new(tokio::io::join(out, into)))
            }
            _ => Err(unreachable(host, "its ProxyCommand has no pipes")),
        },
        Err(error) => Err(unreachable(host, format!("cannot start its ProxyCommand: {error}"))),
    }
}

async fn handshake(
    stream: Raw,
    expected: Expected,
    to: &str,
) -> Result<Handle<Checking>, ConnectError> {
    let mut key: Vec<Algorithm> = Preferred::DEFAULT.key.to_vec();
    let known = expected.kinds();
    // `rsa-sha2-512` signs with the same key that known_hosts calls `ssh-rsa`.
    let kind = |algorithm: &Algorithm| match algorithm {
        Algorithm::Rsa { .. } => "ssh-rsa".to_string(),
        other => other.as_str().to_string(),
    };
    key.sort_by_key(|algorithm| !known.contains(&kind(algorithm)));
    let ciphers = vec![
        // Whichever processor there is on both sides, it has AES.
        cipher::AES_256_GCM,
        cipher::CHACHA20_POLY1305,
        cipher::AES_256_CTR,
        cipher::AES_128_CTR,
    ];
    let config = client::Config {
        preferred: Preferred { key: key.into(), cipher: ciphers.into(), ..Preferred::DEFAULT },
        keepalive_interval: Some(KEEPALIVE),
        nodelay: true,
        ..client::Config::default()
    };
    let verdict = Arc::new(Mutex::new(None));
    let checking = Checking { expected, verdict: verdict.clone() };
    let agreed = client::connect_stream(Arc::new(config), stream, checking);
    let result = tokio::time::timeout(HANDSHAKE, agreed).await;
    let said = verdict.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(failure) = said {
        return Err(error(failure, false));
    }
    match result {
        Ok(Ok(handle)) => Ok(handle),
        Ok(Err(russh::Error::NoCommonAlgo { kind, ours, theirs })) => {
            let why = format!(
                "no common {kind:?}: it offers {}, we {}",
                theirs.join(", "),
                ours.join(", ")
            );
            let hint = "update the node's sshd, or allow a current algorithm there";
            Err(error(Failure::new(format!("agree with {to}"), why).hint(hint), false))
        }
        Ok(Err(why)) => {
            Err(unreachable(to, format!("it closed the connection before it was up: {why}")))
        }
        Err(_) => Err(unreachable(
            to,
            format!("it accepts connections, but says nothing within {} s", HANDSHAKE.as_secs()),
        )),
    }
}
