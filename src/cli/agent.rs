//! `slipway agent`: what runs on the nodes. Nobody types it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{
    args,
    exit::{Error, Exit},
    output,
};
use crate::{
    agent::{
        Agent, Journal, bridge, daemon,
        frames::{HINTS, READY, SAYS},
        place::Place,
    },
    ops::linux::{self, Linux, Promised},
    state,
};

/// Where the journal lies; the second, where the root is read-only.
const JOURNALS: [&str; 2] = ["/var/lib/slipway/journal", "/run/slipway/journal"];

pub fn agent(args: &args::Agent) -> Result<Exit, Error> {
    // A binary that was replaced meanwhile is still the one that was started.
    let program = std::env::current_exe().map_err(|error| failed("find this program", &error))?;
    match args {
        args::Agent::Connect => {
            if let Err(why) = bridge::connect(&program) {
                // In the controller's words: it reads this line off stderr.
                output::err(&format!("{SAYS}{why}\n"));
                return Ok(Exit::Failed);
            }
            Ok(Exit::Done)
        }
        args::Agent::Serve { detach, idle_s } => {
            if *detach {
                nix::unistd::setsid()
                    .map_err(|error| failed("leave the session", &error.into()))?;
            }
            serve(&Place::of(&program), Duration::from_secs(*idle_s))
        }
        args::Agent::Receive { name, sha256, installed } => {
            let promised = Promised { name, sha256, installed: installed.as_deref() };
            let begin = || {
                output::out(READY);
                Ok(std::io::stdin().lock())
            };
            Ok(match Linux::here().receive(&promised, begin) {
                Ok(_) => Exit::Done,
                Err(error) => {
                    output::err(&format!("{SAYS}{}\n", error.message));
                    if let Some(hint) = &error.hint {
                        output::err(&format!("{HINTS}{hint}\n"));
                    }
                    Exit::Failed
                }
            })
        }
    }
}

fn failed(what: &str, error: &std::io::Error) -> Error {
    Error::text(Exit::Failed, format!("cannot {what}: {error}"), None)
}

fn serve(place: &Place, idle: Duration) -> Result<Exit, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .map_err(|error| failed("start", &error))?;
    let ended = runtime.block_on(async {
        let journal = journal().map_err(|error| failed("open the journal", &error))?;
        let process = std::fs::read_to_string("/proc/sys/kernel/random/uuid")
            .map_err(|error| failed("name this process", &error))?;
        let agent = Agent::new(Arc::new(Linux::here()), journal, process.trim().to_string());
        let ended = daemon::serve(agent, place, idle).await;
        linux::command::kill_all().await;
        ended.map_err(|error| failed("serve", &error))
    })?;
    // A blocked call must not keep an agent alive that was told to end.
    runtime.shutdown_background();
    match ended {
        daemon::Ended::Taken => output::err("another agent serves this node\n"),
        _ => output::err(&format!("ended: {ended:?}\n")),
    }
    Ok(Exit::Done)
}

fn journal() -> std::io::Result<Journal> {
    let mut last = None;
    for path in JOURNALS {
        let path = PathBuf::from(path);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        match made.and_then(|()| Journal::open(state::node_journal(&path)?)) {
            Ok(journal) => return Ok(journal),
            Err(error) => {
                last =
                    Some(std::io::Error::new(error.kind(), format!("{}: {error}", path.display())))
            }
        }
    }
    Err(last.unwrap_or_else(|| std::io::Error::other("no place for it")))
}
