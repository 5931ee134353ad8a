//! Commands: started in a process group of their own, with a result that says everything.
//!
//! The group dies with the future that waits for it: an op that times out or is cut off leaves no
//! process behind. Must not know a shell.

use std::{
    collections::BTreeSet,
    io::{self, Read as _, Write as _},
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process,
};

use crate::ops::sys::{SysError, SysErrorKind, SysResult};

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// None when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }

    /// The last lines of what it said, errors last.
    pub fn tail(&self) -> Vec<String> {
        let lines: Vec<String> =
            self.stdout.lines().chain(self.stderr.lines()).map(str::to_string).collect();
        let skip = lines.len().saturating_sub(TAIL_LINES);
        lines.into_iter().skip(skip).filter(|l| !l.trim().is_empty()).collect()
    }
}

const TAIL_LINES: usize = 20;
/// What is kept of a command's output: enough to read, never enough to fill the memory.
const MOST_OUTPUT: usize = 4 << 20;
const CHUNK: usize = 64 << 10;
/// How long a group has after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
const BUSY: Duration = Duration::from_millis(20);
const BUSY_TRIES: u32 = 50;

/// What a command reads from its standard input.
enum Input {
    Nothing,
    Text(Vec<u8>),
    /// Read while the command runs, by a thread of its own.
    Stream(Box<dyn io::Read + Send>),
}

/// A command to be run: program and arguments, never a line for a shell.
pub struct Command {
    program: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    input: Input,
}

/// Its input may be a secret.
impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Command").field(&self.line()).finish()
    }
}

/// Groups that may have living processes.
static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn groups<T>(with: impl FnOnce(&mut BTreeSet<i32>) -> T) -> T {
    with(&mut GROUPS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Ends every command that runs, with all its children: for an agent that was told to end now.
pub async fn kill_all() {
    let signal = |which: Signal| {
        groups(|all| {
            all.retain(|id| killpg(Pid::from_raw(*id), which).is_ok());
            all.is_empty()
        })
    };
    for _ in 0..GRACE.as_millis() / 100 {
        if signal(Signal::SIGTERM) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    signal(Signal::SIGKILL);
}

/// Kills them where nothing can be waited for: in the middle of a panic, which may have the list.
pub fn kill_now() {
    if let Ok(all) = GROUPS.try_lock() {
        for id in all.iter() {
            let _ = killpg(Pid::from_raw(*id), Signal::SIGKILL);
        }
    }
}

/// Kills the group when the command is no longer waited for.
struct Group(Option<i32>);

impl Group {
    fn new(id: Option<u32>) -> Self {
        let id = id.and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id {
            groups(|all| all.insert(id));
        }
        Self(id)
    }

    /// It ended by itself.
    fn forget(&mut self) {
        if let Some(id) = self.0.take() {
            groups(|all| all.remove(&id));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(id) = self.0 else { return };
        let group = Pid::from_raw(id);
        if killpg(group, Signal::SIGTERM).is_err() {
            groups(|all| all.remove(&id));
            return;
        }
        // Nobody waits for this: a thread of its own sees to those that do not listen.
        std::thread::spawn(move || {
            std::thread::sleep(GRACE);
            let _ = killpg(group, Signal::SIGKILL);
            groups(|all| all.remove(&id));
        });
    }
}

impl Command {
    pub fn new(program: impl Into<String>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: Vec::new(), input: Input::Nothing }
    }

    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn args<I: IntoIterator<Item = S>, S: Into<String>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// What it reads from its standard input: the way for secrets, which argv is not.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Input::Text(input.into());
        self
    }

    /// What it reads from its standard input, where that is more than is to be held.
    pub fn stream(mut self, input: impl io::Read + Send + 'static) -> Self {
        self.input = Input::Stream(Box::new(input));
        self
    }

    /// For messages: the program and its arguments.
    pub fn line(&self) -> String {
        let mut line = self.program.clone();
        for arg in &self.args {
            line.push(' ');
            line.push_str(arg);
        }
        line
    }

    /// Runs it to its end, whatever that is.
    pub async fn run(self) -> SysResult<Finished> {
        let line = self.line();
        let mut command = process::Command::new(&self.program);
        command
            .args(&self.args)
            .env("LC_ALL", "C.UTF-8")
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(self.env)
            .stdin(match self.input {
                Input::Nothing => Stdio::null(),
                Input::Text(_) | Input::Stream(_) => Stdio::piped(),
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = started(&mut command).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                SysError::other(format!("`{}` is not installed on this node", self.program))
            }
            _ => SysError::other(format!("cannot start `{line}`: {error}")),
        })?;
        let mut group = Group::new(child.id());
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let waited = async {
            let feeding = feed(stdin, self.input);
            tokio::join!(feeding, read(stdout), read(stderr), async { child.wait().await })
        };
        let (fed, stdout, stderr, status) = waited.await;
        group.forget();
        // It did not hear all of what it was to hear, whatever it made of that.
        fed.map_err(|error| {
            SysError::other(format!("cannot read what `{line}` is given: {error}"))
        })?;
        let status =
            status.map_err(|error| SysError::other(format!("wait for `{line}`: {error}")))?;
        Ok(Finished { code: status.code(), stdout, stderr })
    }

    /// Runs it, and takes anything but success for a failure.
    pub async fn done(self) -> SysResult<Finished> {
        let line = self.line();
        let finished = self.run().await?;
        if finished.ok() {
            return Ok(finished);
        }
        let how = match finished.code {
            Some(code) => format!("exit {code}"),
            None => "killed by a signal".into(),
        };
        let output = finished.tail();
        // In the words of libc, or of Go.
        let full = output.iter().any(|l| l.to_lowercase().contains("no space left on device"));
        let kind = if full { SysErrorKind::NoSpace } else { SysErrorKind::Other };
        let failed = SysError::new(kind, format!("`{line}` failed: {how}"));
        Err(SysError { output, ..failed })
    }
}

/// A program that was just written is busy for as long as somebody has it open for writing, and a child that
/// another op is starting at this moment has, until it begins its own program.
async fn started(command: &mut process::Command) -> io::Result<process::Child> {
    for _ in 0..BUSY_TRIES {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                tokio::time::sleep(BUSY).await;
            }
            other => return other,
        }
    }
    command.spawn()
}

/// Gives a command its input. Fails when that cannot be read; one that does not listen says so by how it
/// ends.
async fn feed(stdin: Option<process::ChildStdin>, input: Input) -> io::Result<()> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    let mut source = match input {
        Input::Nothing => return Ok(()),
        Input::Text(text) => {
            let _ = stdin.write_all(&text).await;
            return Ok(());
        }
        Input::Stream(source) => source,
    };
    let mut pipe = std::fs::File::from(stdin.into_owned_fd()?);
    let fed = tokio::task::spawn_blocking(move || {
        let mut chunk = vec![0; CHUNK];
        loop {
            match source.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) if pipe.write_all(&chunk[..count]).is_err() => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    });
    fed.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Reads to the end, and keeps the last part of what is too long.
async fn read(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let Some(mut pipe) = pipe else { return String::new() };
    let mut kept = Vec::new();
    let mut chunk = [0; 16 << 10];
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..count]);
        if kept.len() > 2 * MOST_OUTPUT {
            kept.drain(..kept.len() - MOST_OUTPUT);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_result_says_everything() {
        let done = Command::new("sh").args(["-c", "cat; echo two >&2; exit 3"]).input("one");
        let done = done.run().await.unwrap();
        assert_eq!(done.code, Some(3));
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("one", "two\n"));
        let missing = Command::new("no-such-program").run().await.unwrap_err();
        assert!(missing.message.contains("not installed"), "{missing}");
        let failed = Command::new("sh").args(["-c", "echo why >&2; exit 1"]).done().await;
        assert_eq!(failed.unwrap_err().output, ["why"]);
        for said in ["cp: x: No space left on device", "ctr: write x: no space left on device"] {
            let full = Command::new("sh").args(["-c", &format!("echo {said} >&2; exit 1")]).done();
            assert_eq!(full.await.unwrap_err().kind, SysErrorKind::NoSpace);
        }
    }

    #[tokio::test]
    async fn a_program_that_was_just_written_can_be_started() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        std::fs::write(&path, "#!/bin/sh\necho here\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let open = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        let started = tokio::spawn(Command::new(path.display().to_string()).done());
        tokio::time::sleep(2 * BUSY).await;
        drop(open);
        assert_eq!(started.await.unwrap().unwrap().stdout, "here\n");
    }

    #[tokio::test]
    async fn what_is_streamed_arrives_whole_or_is_an_error() {
        let long = vec![b'x'; 3 * CHUNK + 1];
        let count = Command::new("wc").arg("-c").stream(io::Cursor::new(long.clone()));
        assert_eq!(count.done().await.unwrap().stdout.trim(), long.len().to_string());
        // One that reads none of it.
        let deaf = Command::new("true").stream(io::Read::take(io::repeat(0), 64 << 20));
        assert!(deaf.run().await.unwrap().ok());
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("corrupt"))
            }
        }
        let broken = Command::new("cat").stream(io::Read::chain(io::Cursor::new(long), Broken));
        let error = broken.run().await.unwrap_err();
        assert!(error.message.contains("corrupt"), "{error}");
    }

    #[tokio::test]
    async fn the_whole_group_dies_with_the_wait() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", mark.display());
        let run = Command::new("sh").args(["-c", &script]).run();
        let cut = tokio::time::timeout(Duration::from_secs(2), run).await;
        assert!(cut.is_err(), "it was still waiting");
        let pid: i32 = std::fs::read_to_string(mark).unwrap().trim().parse().unwrap();
        for _ in 0..100 {
            if nix::sys::signal::kill(Pid::from_raw(pid), None).is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the grandchild {pid} is still there");
    }
}
