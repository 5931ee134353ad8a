//! What every verb begins with: the inventory, the state directory, the way to show things.

use std::{
    collections::BTreeSet,
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::Arc,
};

use rand::{SeedableRng, rngs::StdRng};
use tokio::runtime::{Builder, Runtime};

use super::{
    args::Global,
    exit::{Error, Exit},
    output,
};
use crate::{
    artifacts::{self, Fetcher, Pins, bundle},
    backup::Store,
    clock::Clock,
    inventory::{self, Inventory, Loaded, Node, Sim},
    names::NodeName,
    ops::fake::WorldCell,
    secret::Sealed,
    sim::{self, SimConnector},
    state::StateDir,
    supply::{Releases, Supply},
    transport::{Ask, Connector, Options, SshConnector, Way},
    ui::Mode,
};

pub fn mode(global: &Global) -> Mode {
    // A terminal that cannot move its cursor gets lines.
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    Mode::choose(global.output, std::io::stdout().is_terminal() && !dumb)
}

/// The inventory that is meant, read and checked; warnings go to stderr.
pub fn inventory(global: &Global) -> Result<Loaded, Error> {
    inventory_with(global, |_| true)
}

/// The same; `warn` says whether warnings are shown.
pub fn inventory_with(
    global: &Global,
    warn: impl FnOnce(&Loaded) -> bool,
) -> Result<Loaded, Error> {
    let env = std::env::var_os("SLIPWAY_INVENTORY");
    let named = global
        .inventory
        .clone()
        .or_else(|| env.clone().filter(|e| !e.is_empty()).map(PathBuf::from));
    let loaded = match named {
        // Asked for by this very word, and by nothing else.
        Some(name) if name == Path::new("sim") && !name.exists() => {
            inventory::parse("sim (built in)", inventory::SIM)?
        }
        _ => {
            let cwd = std::env::current_dir().map_err(|e| {
                Error::text(Exit::Usage, format!("cannot tell the current directory: {e}"), None)
            })?;
            inventory::load(&inventory::discover(global.inventory.clone(), env, &cwd)?)?
        }
    };
    let nodes: BTreeSet<&NodeName> = loaded.inventory.nodes.iter().map(|n| &n.name).collect();
    for name in &global.on {
        if !nodes.contains(name) {
            return Err(unknown_node(&loaded.inventory, name));
        }
    }
    if !loaded.warnings.is_empty() && mode(global) != Mode::Json && warn(&loaded) {
        output::err(&format!("{}\n", loaded.warnings.render(output::paint()).trim_end()));
    }
    Ok(loaded)
}

pub fn unknown_node(inventory: &Inventory, name: &NodeName) -> Error {
    let names: Vec<&str> = inventory.nodes.iter().map(|n| n.name.as_str()).collect();
    let hint = match crate::toml_read::closest(name.as_str(), &names) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("it has {}", crate::toml_read::list(&names, "and")),
    };
    Error::usage(format!("the inventory has no node `{name}`"), hint)
}

/// The control planes that may be asked, in the inventory's order.
pub fn control_planes(global: &Global, inventory: &Inventory) -> Result<Vec<NodeName>, Error> {
    let wanted = |n: &&NodeName| global.on.is_empty() || global.on.contains(n);
    let nodes: Vec<NodeName> =
        inventory.control_planes().map(|n| &n.name).filter(wanted).cloned().collect();
    if nodes.is_empty() {
        return Err(Error::usage(
            "none of the nodes is a control plane",
            "only those can be asked: leave --on out, or name one of them",
        ));
    }
    Ok(nodes)
}

/// Where snapshots are kept, and for whom.
pub fn snapshots(inventory: &Inventory, dir: &StateDir, clock: Clock) -> Result<Store, Error> {
    let snapshots = dir.make(dir.snapshots())?;
    Ok(Store::new(inventory, snapshots, clock))
}

/// The machines behind an inventory, and the runtime to drive them.
pub struct Fleet {
    pub runtime: Runtime,
    pub connector: Arc<dyn Connector>,
    pub clock: Clock,
    /// The simulated machines, where they are.
    pub sim: Option<Arc<WorldCell>>,
    /// Time is made up and jumps: no need to wait, or to draw in between.
    pub hurried: bool,
    /// Release files, which only real machines need.
    pub supply: Supply,
}

/// `keep`: what happens to a simulated fleet is written down.
pub fn fleet(global: &Global, loaded: &Loaded, dir: &StateDir, keep: bool) -> Result<Fleet, Error> {
    match &loaded.inventory.sim {
        Some(sim) => simulated(global, &loaded.inventory, sim, dir, keep),
        None => real(global, loaded),
    }
}

fn cannot_start(error: std::io::Error) -> Error {
    Error::text(Exit::Failed, format!("cannot start: {error}"), None)
}

fn simulated(
    global: &Global,
    inventory: &Inventory,
    sim: &Sim,
    dir: &StateDir,
    keep: bool,
) -> Result<Fleet, Error> {
    // A person at a terminal wants to see it happen; everybody else wants it to be over.
    let hurried = mode(global) != Mode::Human || sim.speed == 0 || !keep;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(hurried)
        .build()
        .map_err(cannot_start)?;
    let speed = if hurried { 1 } else { sim.speed };
    let cell = runtime.block_on(async { sim::fleet(inventory, &dir.sim(), speed, keep) })?;
    let connector = Arc::new(SimConnector::new(cell.clone()));
    Ok(Fleet { runtime, connector, clock: cell.clock, sim: Some(cell), hurried, supply: None })
}

/// Machines over SSH.
fn real(global: &Global, loaded: &Loaded) -> Result<Fleet, Error> {
    // Key exchanges of many nodes are work for more than one core.
    let runtime =
        Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(cannot_start)?;
    let clock = runtime.block_on(async { Clock::wall() });
    let inventory = &loaded.inventory;
    let ways = inventory.nodes.iter().map(|node| (node.name.clone(), way(inventory, node)));
    let (user, home) = user_and_home();
    let options = Options {
        program: "/proc/self/exe".into(),
        accept_new_host_keys: global.accept_new_host_keys,
        config_file: inventory
            .ssh
            .config
            .as_ref()
            .map(|file| beside(&loaded.path, file, home.as_deref())),
        home: home.clone(),
        local_user: user.map(|u| u.name).unwrap_or_default(),
        agent_socket: std::env::var_os("SSH_AUTH_SOCK").filter(|s| !s.is_empty()).map(Into::into),
        ask: Arc::new(Terminal),
    };
    let connector = Arc::new(SshConnector::new(ways.collect(), options));
    let supply = Some(releases(loaded));
    Ok(Fleet { runtime, connector, clock, sim: None, hurried: false, supply })
}

pub fn user_and_home() -> (Option<nix::unistd::User>, Option<PathBuf>) {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::current()).ok().flatten();
    let home =
        user.as_ref().map(|u| u.dir.clone()).or_else(|| Some(std::env::var_os("HOME")?.into()));
    (user, home)
}

/// Where release files and images are kept, and fetched from.
pub fn releases(loaded: &Loaded) -> Releases {
    let asked = &loaded.inventory.artifacts;
    let (_, home) = user_and_home();
    let dir = match &asked.dir {
        Some(dir) => beside(&loaded.path, dir, home.as_deref()),
        None => cache(home.as_deref()).join("slipway/releases"),
    };
    let store = artifacts::Store::at(dir);
    let fetcher = asked
        .download
        .then(|| Fetcher::new(store.clone(), asked.mirror.clone()).pinned(&asked.digests));
    let pins = Pins::default().and(&asked.digests);
    Releases { store, fetcher, bundle: None, packages: None, pins }
}

/// `--bundle`: what is in it, and nothing else.
pub fn bundled(bundle: &Path, loaded: &Loaded) -> Result<Releases, Error> {
    let (_, home) = user_and_home();
    let unpacked = bundle::unpack(bundle, &cache(home.as_deref()).join("slipway/bundles"))
        .map_err(|failure| Error::failures(vec![failure], None))?;
    Ok(Releases {
        store: artifacts::Store::at(unpacked.releases),
        fetcher: None,
        bundle: Some(bundle.to_path_buf()),
        packages: unpacked.packages,
        pins: Pins::default().and(&loaded.inventory.artifacts.digests),
    })
}

/// Packages of the distribution that were fetched for bundles.
pub fn packages_dir() -> PathBuf {
    cache(user_and_home().1.as_deref()).join("slipway/packages")
}

/// Where this user's programs keep what can be fetched again.
fn cache(home: Option<&Path>) -> PathBuf {
    let named = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|d| d.is_absolute());
    named.unwrap_or_else(|| home.unwrap_or(Path::new("/root")).join(".cache"))
}

/// A path of the inventory: relative to it, as its writer sees it.
fn beside(inventory: &Path, file: &str, home: Option<&Path>) -> PathBuf {
    match (file.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => inventory.parent().unwrap_or(Path::new(".")).join(file),
    }
}

/// Makes paths of the inventory such that this program can open.
pub fn resolver(loaded: &Loaded) -> impl Fn(&str) -> PathBuf + Send + Sync + 'static {
    let (inventory, (_, home)) = (loaded.path.clone(), user_and_home());
    move |file| beside(&inventory, file, home.as_deref())
}

fn way(inventory: &Inventory, node: &Node) -> Way {
    let lan = node.lan.address.to_string();
    Way {
        subject: node.ssh.host.clone().unwrap_or_else(|| lan.clone()),
        lan,
        user: node.ssh.user.clone().or_else(|| inventory.ssh.user.clone()),
        port: node.ssh.port.or(inventory.ssh.port),
        host_key: node.ssh.host_key.clone(),
    }
}

/// Whoever sits at the terminal; the environment in their place.
struct Terminal;

impl Ask for Terminal {
    fn secret(&self, question: &str) -> Option<Sealed> {
        let variable = if question.starts_with("sudo") {
            "SLIPWAY_SUDO_PASSWORD"
        } else {
            "SLIPWAY_KEY_PASSPHRASE"
        };
        if let Ok(answer) = std::env::var(variable)
            && !answer.is_empty()
        {
            return Some(Sealed::new(answer));
        }
        if !std::io::stdin().is_terminal() {
            return None;
        }
        rpassword::prompt_password(question).ok().map(Sealed::new)
    }
}

/// What the operator answers to a question that was just shown.
pub fn said_yes() -> bool {
    let mut answer = String::new();
    let _ = std::io::stdin().read_line(&mut answer);
    matches!(answer.trim(), "y" | "Y" | "yes")
}

/// A simulated story is the same every time; a real one is not to be guessed. By the second, since
/// what is named after the draw should not hang on which of two ops of one moment came first.
pub fn rng(inventory: &Inventory, now_ms: u64) -> StdRng {
    match &inventory.sim {
        Some(sim) => StdRng::seed_from_u64(sim.seed ^ (now_ms / 1000)),
        None => StdRng::from_os_rng(),
    }
}

/// The command as it was given, for "go on".
pub fn command_line() -> String {
    let quoted = |word: std::ffi::OsString| {
        let word = word.to_string_lossy().into_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:@+".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    let words: Vec<String> = std::env::args_os().map(quoted).collect();
    if words.is_empty() { "slipway".into() } else { words.join(" ") }
}
