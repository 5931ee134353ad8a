//! The agent as a process: a socket that only root can reach, signals, and an end.
//!
//! SIGTERM ends it at once, with the process groups of its commands; SIGUSR1 when the op that runs
//! has ended. With nobody attached and nothing running it ends by itself.

use std::{
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::UnixListener,
    signal::unix::{SignalKind, signal},
    time::Instant,
};

use super::{Agent, place::Place};

const LOOK: Duration = Duration::from_millis(500);
/// A welcome or a last answer that is on its way when the agent ends gets this long.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Counts connections, however they end.
struct Attached(Arc<AtomicUsize>);

impl Attached {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Why an agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Another agent serves this node.
    Taken,
    Idle,
    /// Told to, between two ops.
    Retired,
    /// Told to, at once.
    Killed,
    /// Told to by a controller that took its files away.
    Removed,
}

/// Serves until there is a reason to end. The caller sees to the process groups.
#[expect(clippy::disallowed_methods, reason = "the agent's own socket under /run")]
pub async fn serve(agent: Arc<Agent>, place: &Place, idle: Duration) -> std::io::Result<Ended> {
    place.make()?;
    let Some(_lock) = place.lock()? else { return Ok(Ended::Taken) };
    let path = place.socket();
    // One that a killed agent left behind; the lock says that nobody listens.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut retire = signal(SignalKind::user_defined1())?;
    let attached = Arc::new(AtomicUsize::new(0));
    let mut quiet_since = Instant::now();
    let mut retiring = false;
    let ended = loop {
        tokio::select! {
            biased;
            _ = terminate.recv() => break Ended::Killed,
            _ = retire.recv() => {
                retiring = true;
                agent.stop_between_ops();
            }
            accepted = listener.accept(), if !retiring => {
                let Ok((stream, _)) = accepted else { continue };
                let (agent, counted) = (agent.clone(), Attached::new(&attached));
                tokio::spawn(async move {
                    let _counted = counted;
                    let _ = agent.serve(stream).await;
                });
            }
            () = tokio::time::sleep(LOOK) => {}
        }
        if agent.is_dismissed() {
            break Ended::Removed;
        }
        if agent.is_busy() || (attached.load(Ordering::SeqCst) > 0 && !retiring) {
            quiet_since = Instant::now();
        } else if retiring {
            break Ended::Retired;
        } else if quiet_since.elapsed() >= idle {
            break Ended::Idle;
        }
    };
    // Before the lock: whoever comes next starts an agent of their own.
    let _ = std::fs::remove_file(&path);
    drop(listener);
    tokio::time::sleep(LAST_WORDS).await;
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        agent::{Journal, frames::PREAMBLE},
        clock::Clock,
        ops::fake::{FakeSys, World, WorldCell},
        sim::CrashFaults,
        state::MemDisk,
    };

    fn agent() -> Arc<Agent> {
        let inventory = crate::inventory::parse("sim", crate::inventory::SIM).unwrap().inventory;
        let node = &inventory.nodes[0];
        let mut world = World::default();
        world.machines.insert(node.name.clone(), crate::sim::machine(&inventory, node, 0, 1));
        let clock = Clock::simulated(0, 1);
        let faults = Box::new(CrashFaults(None));
        let cell = WorldCell::new(world, std::collections::BTreeMap::new(), clock, faults, None);
        let sys = Arc::new(FakeSys::new(cell, node.name.clone(), 0));
        Agent::new(sys, Journal::open(Box::new(MemDisk::new())).unwrap(), "test".into())
    }

    #[tokio::test]
    async fn it_serves_is_one_of_its_kind_and_ends_when_idle() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::at(dir.path().join("agent"), "one");
        let socket = place.socket();
        let serving = {
            let place = place.clone();
            tokio::spawn(async move { serve(agent(), &place, Duration::from_millis(700)).await })
        };
        let mut stream = loop {
            match tokio::net::UnixStream::connect(&socket).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let mut said = vec![0; PREAMBLE.len()];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut said).await.unwrap();
        assert_eq!(said, PREAMBLE);
        let mode = std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let second = serve(agent(), &place, Duration::from_secs(60)).await.unwrap();
        assert_eq!(second, Ended::Taken);
        drop(stream);
        assert_eq!(serving.await.unwrap().unwrap(), Ended::Idle);
        assert!(!socket.exists());
    }
}
