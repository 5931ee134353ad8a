//! From an SSH channel to the agent's socket: what sshd runs for a controller.
//!
//! It carries bytes and starts the agent when there is none. The agent is not its child in any way
//! that counts: this process dies with the connection, and the agent does not.
#![allow(clippy::disallowed_methods, reason = "starts the agent, and has no clock to be handed")]

use std::{
    fs::File,
    io::{self, Read, Write},
    net::Shutdown,
    os::{fd::AsFd, unix::net::UnixStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::place::Place;

/// How long another build's agent may take to finish its op, and ours to listen.
const HAND_OVER: Duration = Duration::from_secs(20);
const START: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(4);

/// Connects standard input and output with the agent of this build, until either side ends.
pub fn connect(program: &Path) -> Result<(), String> {
    let place = Place::of(program);
    let socket = open(&place, program)?;
    carry(socket).map_err(|error| format!("carry bytes: {error}"))
}

fn open(place: &Place, program: &Path) -> Result<UnixStream, String> {
    if let Ok(socket) = UnixStream::connect(place.socket()) {
        return Ok(socket);
    }
    place.make().map_err(|error| format!("cannot make /run/slipway/agent: {error}"))?;
    take_over(place)?;
    let began = Instant::now();
    start(place, program)?;
    loop {
        match UnixStream::connect(place.socket()) {
            Ok(socket) => return Ok(socket),
            Err(error) if began.elapsed() > START => {
                return Err(format!(
                    "the agent was started, and does not listen: {error}; `journalctl -u 'slipway*'` on the node says why"
                ));
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

/// An agent of another build ends when its op has ended; two at a time would not know each other's
/// work.
fn take_over(place: &Place) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let holder = place.holder().map_err(|e| format!("look at the agent's lock: {e}"))?;
        let Some(holder) = holder else { return Ok(()) };
        if holder.build == place.build {
            return Ok(());
        }
        if began.elapsed() > HAND_OVER {
            return Err(format!(
                "the agent of another build of Slipway ({}, process {}) is at work on this node; wait until its op has ended",
                holder.build, holder.pid
            ));
        }
        if holder.pid > 0 {
            let _ = kill(Pid::from_raw(holder.pid), Signal::SIGUSR1);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// As a transient unit where there is systemd: out of the session that sshd made for us.
fn start(place: &Place, program: &Path) -> Result<(), String> {
    if Path::new("/run/systemd/system").exists() {
        let unit = format!("slipway-agent-{}", place.build);
        let asked = Command::new("systemd-run")
            .args(["--quiet", "--collect", "--no-block"])
            .arg(format!("--unit={unit}"))
            .arg("--description=Agent of Slipway")
            .arg("--property=KillMode=control-group")
            .arg("--property=TimeoutStopSec=15")
            .arg(program)
            .args(["agent", "serve"])
            .stdin(Stdio::null())
            .output();
        match asked {
            Ok(output) if output.status.success() => return Ok(()),
            // Somebody else has just started it.
            Ok(output) if String::from_utf8_lossy(&output.stderr).contains("already") => {
                return Ok(());
            }
            // A broken systemd is no reason not to mend the node.
            _ => {}
        }
    }
    let mut agent = Command::new(program);
    agent.args(["agent", "serve", "--detach"]).current_dir("/");
    agent.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    agent.spawn().map(drop).map_err(|error| format!("cannot start {}: {error}", program.display()))
}

/// By hand, and not by `io::copy`: that splices, and a splice that waits for a socket holds its
/// pipe's lock, on which sshd then waits for ever.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut chunk = vec![0; 64 << 10];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&chunk[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn carry(socket: UnixStream) -> io::Result<()> {
    let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut towards = socket.try_clone()?;
    std::thread::spawn(move || {
        let _ = copy(&mut stdin, &mut towards);
        let _ = towards.shutdown(Shutdown::Write);
    });
    let mut from = socket;
    // The agent closes last: whatever it still says is carried.
    copy(&mut from, &mut stdout)
}
