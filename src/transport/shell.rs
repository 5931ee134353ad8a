//! Commands at the far end that begin as a login shell's: noise, sudo, and then what they are for.
//!
//! Everything that a login shell gets to see is one line that every shell reads the same way: a
//! `sh -c` with a script in single quotes.

use std::{sync::Arc, time::Duration};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;

use super::{auth::Ask, dial::Line, exec::Remote};
use crate::{
    agent::frames::{HINTS, SAYS},
    events::Failure,
    secret::Sealed,
};

/// What sudo asks with: it comes on stderr, and cannot be mistaken for anything else.
const PROMPT: &str = "[slipway wants the sudo password]";
/// What a login shell may print before a command speaks.
const MAX_NOISE: usize = 64 << 10;
/// How long a command may take to speak.
const START: Duration = Duration::from_secs(30);
/// What moves nothing for so long is stuck.
const STALLED: Duration = Duration::from_secs(60);
const CHUNK: usize = 128 << 10;

/// sudo's passwords, asked for once a user.
#[derive(Default)]
pub struct Sudo {
    known: Mutex<std::collections::BTreeMap<String, Option<Sealed>>>,
}

impl Sudo {
    async fn password(&self, user: &str, ask: &Arc<dyn Ask>) -> Option<Sealed> {
        // Held while a person types: the other nodes want the same one.
        let mut known = self.known.lock().await;
        if let Some(password) = known.get(user) {
            return password.clone();
        }
        let (question, ask) = (format!("sudo password for {user}: "), ask.clone());
        let password =
            tokio::task::spawn_blocking(move || ask.secret(&question)).await.unwrap_or_default();
        known.insert(user.into(), password.clone());
        password
    }
}

/// How a command becomes root: nothing to do for root.
pub fn as_root(user: &str) -> String {
    if user == "root" { String::new() } else { format!("sudo -S -p \"{PROMPT}\" ") }
}

/// How a command began.
pub enum Begun {
    /// It said the word; what follows on its stdout is its own.
    Spoke(Remote),
    /// It ended without.
    Over(Remote),
}

/// A command, and the person who may know a password for it.
pub struct Shell<'a> {
    pub line: &'a Line,
    pub sudo: &'a Sudo,
    pub ask: &'a Arc<dyn Ask>,
}

impl Shell<'_> {
    /// Starts a command and reads until it says `word`; answers sudo meanwhile. `what` it is for is
    /// said in failures.
    pub async fn begin(&self, what: &str, command: &str, word: &[u8]) -> Result<Begun, Failure> {
        let started = Remote::start(&self.line.handle, command).await;
        let mut remote = started.map_err(|e| broke(what, &e))?;
        let mut asked = 0;
        let mut noise = Vec::new();
        while !noise.ends_with(word) {
            let fate = remote.fate.clone();
            let mut byte = [0];
            let read = tokio::select! {
                biased;
                read = remote.read(&mut byte) => Some(read),
                () = fate.says(PROMPT, asked), if fate.code().is_none() => None,
                () = tokio::time::sleep(START) => {
                    return Err(Failure::new(what, format!("nothing came from it within {} s", START.as_secs()))
                        .hint("look at the node's load; `journalctl -u 'slipway*'` there"));
                }
            };
            match read {
                Some(Ok(1)) if noise.len() < MAX_NOISE => noise.push(byte[0]),
                Some(Ok(1)) => {
                    return Err(Failure::new(what, "the login shell prints without end").hint(
                        "what ~/.bashrc prints must not be printed where there is no terminal",
                    ));
                }
                Some(_) => {
                    remote.fate.ended().await;
                    return Ok(Begun::Over(remote));
                }
                None if remote.fate.stderr().matches(PROMPT).count() > asked => {
                    if asked == 1 {
                        self.sudo.known.lock().await.remove(&self.line.user);
                        return Err(not_the_password(&self.line.user));
                    }
                    asked += 1;
                    feed_sudo(&mut remote, &self.line.user, self.sudo, self.ask).await?;
                }
                // Over; what it printed before is still to be read.
                None => {}
            }
        }
        Ok(Begun::Spoke(remote))
    }

    /// Gives a command everything that `source` has, and waits until it has ended.
    pub async fn feed(
        &self,
        what: &str,
        remote: &mut Remote,
        mut source: impl AsyncRead + Unpin + Send,
    ) -> Result<(), Failure> {
        let fate = remote.fate.clone();
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = source.read(&mut chunk).await;
            let filled = match read {
                Ok(0) => break,
                Ok(filled) => filled,
                // Cut off: what is there now is not what was promised, and the sum will say so.
                Err(error) => {
                    return Err(Failure::new(what, format!("it cannot be read here: {error}")));
                }
            };
            tokio::select! {
                biased;
                // It ended early, and reads no more: how it ended says why.
                () = fate.ended() => break,
                written = remote.write_all(&chunk[..filled]) => if written.is_err() { break },
                () = tokio::time::sleep(STALLED) => {
                    return Err(Failure::new(what, format!("nothing moved for {} s", STALLED.as_secs())));
                }
            }
        }
        let _ = remote.shutdown().await;
        if tokio::time::timeout(STALLED, fate.ended()).await.is_err() {
            let why = format!("it was not unpacked within {} s", STALLED.as_secs());
            return Err(Failure::new(what, why));
        }
        Ok(())
    }
}

/// What a command printed on stderr, without the questions to us.
pub fn printed(remote: &Remote) -> String {
    remote.fate.stderr().replace(PROMPT, "")
}

fn not_the_password(user: &str) -> Failure {
    Failure::new("become root", format!("that is not {user}'s password"))
        .left("nothing on this node was changed")
        .hint("run the same command again")
}

fn broke(what: &str, error: &russh::Error) -> Failure {
    Failure::new(what, format!("the connection broke: {error}"))
}

/// Answers sudo.
async fn feed_sudo(
    remote: &mut Remote,
    user: &str,
    sudo: &Sudo,
    ask: &Arc<dyn Ask>,
) -> Result<(), Failure> {
    let Some(password) = sudo.password(user, ask).await else {
        return Err(Failure::new("become root", format!("sudo asks {user} for a password, and there is no terminal to ask on"))
            .left("nothing on this node was changed")
            .hint(format!("set SLIPWAY_SUDO_PASSWORD, or allow it without: echo '{user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{user}")));
    };
    let line = zeroize::Zeroizing::new(format!("{}\n", password.reveal()));
    let sent = async {
        remote.write_all(line.as_bytes()).await?;
        remote.flush().await
    };
    sent.await.map_err(|e| Failure::new("become root", format!("the connection broke: {e}")))
}

/// What is wrong where the agent is not, though it was pushed a moment ago.
pub fn vanished(what: &str) -> Failure {
    Failure::new(what, "the agent was pushed, and does not start")
        .hint("is /var/lib/slipway cleaned up by something on this node?")
}

/// Why a command at the far end ended before it did what it was for.
pub fn ended(what: &str, user: &str, remote: &Remote) -> Failure {
    let stderr = printed(remote);
    let mut said: Vec<String> =
        stderr.lines().map(str::trim).filter(|l| !l.is_empty()).map(String::from).collect();
    let about = |word: &str| stderr.contains(word);
    let code = remote.fate.code();
    let mut failure = if about("not in the sudoers")
        || about("not allowed to")
        || about("may not run sudo")
    {
        Failure::new("become root", format!("{user} may not use sudo on this node"))
            .hint(format!("on the node: echo '{user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{user}; or log in as root"))
    } else if about("sudo: not found") || about("sudo: command not found") || about("exec: sudo") {
        Failure::new("become root", format!("{user} is not root, and sudo is not installed"))
            .hint("install sudo on the node, or log in as root (`ssh.user`)")
    } else if about("must have a tty") || about("a terminal is required") {
        Failure::new("become root", "sudo wants a terminal on this node")
            .hint("take `requiretty` out of /etc/sudoers on the node")
    } else if about("incorrect password") || about("Sorry, try again") {
        not_the_password(user)
    } else {
        let how = match code {
            Some(code) => format!("exit {code}"),
            None => "the connection was closed".into(),
        };
        let mut failure = Failure::new(what, format!("it ended before the agent spoke: {how}"));
        let words = |before| said.iter().filter_map(move |line: &String| line.strip_prefix(before));
        let causes: Vec<String> = words(SAYS).map(String::from).collect();
        if !causes.is_empty() {
            failure.causes = causes;
        }
        failure.hint(words(HINTS).next().unwrap_or("does the login shell of this user run commands? Try `ssh` by hand: it should run `sh -c true`"))
    };
    // What the agent says of itself stands above.
    said.retain(|line| !line.starts_with(SAYS) && !line.starts_with(HINTS));
    let skip = said.len().saturating_sub(20);
    failure.output = said.into_iter().skip(skip).collect();
    failure.left("nothing on this node was changed")
}
