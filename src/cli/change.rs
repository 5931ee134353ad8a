//! The verbs that change something. They differ in what they wish for; the way is the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::IsTerminal,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::mpsc;

use super::{
    args::{Bootstrap, Change, Global, OneNode, Reset, Upgrade},
    context::{self, Fleet},
    desk::desk,
    exit::{Error, Exit},
    output,
};
use crate::{
    conduct::{self, Means, Order, Outcome},
    engine::{Recorder, recorder::Watcher},
    events::{Event, Level},
    inventory::{self, Inventory, Loaded},
    names::{NodeName, PhaseName, Version},
    plan::{self, Plan, Scope, render::Shown},
    playbook::{Phase, Playbook, Playbooks, Selector},
    sim,
    state::{self, Ledger, Opened, Opening, StateDir, Writer},
    steps::{STEPS, Wish},
    ui::{self, Fold, Mode, Redactor},
};

pub fn plan(global: &Global, verb: &str, change: &Change) -> Result<Exit, Error> {
    Verb::new(global, verb, change)?.plan()
}

pub fn bootstrap(global: &Global, args: &Bootstrap) -> Result<Exit, Error> {
    Verb::new(global, "bootstrap", &args.change)?.go(args.plan)
}

pub fn reset(global: &Global, args: &Reset) -> Result<Exit, Error> {
    Verb::new(global, "reset", &args.change)?.go(args.plan)
}

pub fn join_node(global: &Global, args: &OneNode) -> Result<Exit, Error> {
    Verb::new(global, "join-node", &args.change)?.target(&args.name)?.go(args.plan)
}

pub fn remove_node(global: &Global, args: &OneNode) -> Result<Exit, Error> {
    Verb::new(global, "remove-node", &args.change)?.target(&args.name)?.go(args.plan)
}

pub fn upgrade(global: &Global, args: &Upgrade) -> Result<Exit, Error> {
    Verb::new(global, "upgrade", &args.change)?.to(&args.to).go(args.plan)
}

struct Verb<'a> {
    global: &'a Global,
    loaded: Loaded,
    playbook: Playbook,
    wish: Wish,
    scope: Scope,
    change: &'a Change,
    mode: Mode,
}

impl<'a> Verb<'a> {
    /// Everything that can be wrong before anything is contacted.
    fn new(global: &'a Global, verb: &str, change: &'a Change) -> Result<Self, Error> {
        // What is about to be an error is not said as a warning first.
        let loaded = context::inventory_with(global, |loaded| {
            verb != "bootstrap" || !inventory::check_for_bootstrap(&loaded.checked).has_errors()
        })?;
        let steps: Vec<&str> = STEPS.iter().map(|s| s.name).collect();
        check_faults(&loaded, &steps)?;
        let playbook = Playbooks::open(global.playbooks.as_deref())?.load(verb, &steps)?;
        if let Some(until) = &change.until {
            check_until(&playbook, until)?;
        }
        let wish = Wish {
            verb: verb.into(),
            target: None,
            only: global.on.iter().cloned().collect(),
            to: None,
            wipe: change.wipe_disk.iter().cloned().collect(),
            destroy_osd: change.destroy_osd.iter().cloned().collect(),
            packages: None,
            wait_for: change.wait_for.clone(),
        };
        check_wait_for(&wish, &loaded.inventory)?;
        if change.bundle.is_some() && loaded.inventory.simulated() {
            return Err(Error::usage(
                "simulated machines are installed out of nothing, and not from a bundle",
                "leave --bundle out, or name the inventory of real machines",
            ));
        }
        check_disks(&loaded, &wish)?;
        check_targets(&playbook, verb)?;
        let scope = Scope { only: wish.only.clone(), until: change.until.clone() };
        Ok(Self { global, loaded, playbook, wish, scope, change, mode: context::mode(global) })
    }

    fn target(mut self, name: &NodeName) -> Result<Self, Error> {
        let Some(node) = self.loaded.inventory.node(name) else {
            return Err(context::unknown_node(&self.loaded.inventory, name));
        };
        let named = self.wish.wipe.iter().chain(self.wish.destroy_osd.keys());
        if let Some(serial) = named.clone().find(|s| !node.disks.ceph.contains(s)) {
            return Err(Error::usage(
                format!("{serial} is no disk of {name}"),
                "`join-node` clears disks of the node that joins, and no others",
            ));
        }
        if !self.global.on.is_empty() {
            return Err(Error::usage(
                format!("`{}` names its node itself", self.wish.verb),
                "leave --on out",
            ));
        }
        self.wish.target = Some(name.clone());
        Ok(self)
    }

    fn to(mut self, version: &Version) -> Self {
        self.wish.to = Some(version.clone());
        self
    }

    fn order(&self, run: String, fleet: &Fleet) -> Order<'_> {
        let packages = fleet.supply.as_ref().and_then(|releases| releases.packages.as_deref());
        let packages = packages.and_then(crate::supply::package_set);
        Order {
            inventory: &self.loaded.inventory,
            playbook: &self.playbook,
            wish: Wish { packages, ..self.wish.clone() },
            scope: self.scope.clone(),
            force_lease: self.change.take_lease,
            expect_plan: self.change.expect_plan.clone(),
            parallel: self.global.parallel.into(),
            command: context::command_line(),
            run,
        }
    }

    fn fleet(&self, dir: &StateDir, keep: bool) -> Result<Fleet, Error> {
        let mut fleet = context::fleet(self.global, &self.loaded, dir, keep)?;
        if let Some(bundle) = &self.change.bundle {
            fleet.supply = Some(context::bundled(bundle, &self.loaded)?);
        }
        Ok(fleet)
    }

    fn go(self, plan_only: bool) -> Result<Exit, Error> {
        if plan_only { self.plan() } else { self.run() }
    }

    /// An even number of control planes is no way to begin; a cluster that is there may pass through it.
    fn check_birth(&self, ledger: &Ledger) -> Result<(), Error> {
        let born = ledger.identity().is_some();
        if self.wish.verb == "bootstrap" && !born {
            let found = inventory::check_for_bootstrap(&self.loaded.checked);
            if found.has_errors() {
                return Err(Error::findings(found));
            }
        }
        Ok(())
    }

    fn plan(self) -> Result<Exit, Error> {
        let cluster = &self.loaded.inventory.cluster.name;
        let dir = StateDir::at(&self.global.state_dir);
        let loaded = state::read(&dir, cluster)?;
        let ledger = Ledger::fold(&loaded);
        self.check_birth(&ledger)?;
        let fleet = self.fleet(&dir, false)?;
        let order = self.order(String::new(), &fleet);
        let planned = fleet.runtime.block_on(conduct::plan_only(
            &order,
            fleet.connector.clone(),
            fleet.clock,
            &ledger,
            &fleet.supply,
            &desk(&self.loaded, Redactor::default()),
        ));
        let plan = planned.map_err(|failures| Error::failures(failures, None))?;
        self.show(&plan);
        if !plan.refusals.is_empty() {
            if self.mode == Mode::Json {
                return Ok(Exit::of(&plan.refusals));
            }
            return Err(Error::failures(plan.refusals, None));
        }
        if let Some(expected) = &self.change.expect_plan
            && !conduct::is_hash(&plan.hash, expected)
        {
            return Err(Error::text(
                Exit::Refused,
                format!("the plan is {} now, {expected} was expected", plan.hash),
                Some("expect the plan that is shown here, if it is what you want".into()),
            ));
        }
        Ok(if plan.counts().change == 0 { Exit::Done } else { Exit::Changes })
    }

    fn show(&self, plan: &Plan) {
        if self.mode == Mode::Json {
            output::json(&plan::render::json(plan));
        } else {
            let shown = Shown { color: output::color(), all: self.global.verbose > 0 };
            output::out(&plan::render::text(plan, shown));
        }
    }

    fn run(self) -> Result<Exit, Error> {
        let simulated = self.loaded.inventory.simulated();
        let asks = !self.global.yes && !simulated;
        if asks && !std::io::stdin().is_terminal() {
            return Err(Error::usage(
                format!(
                    "`{}` changes machines, and there is no terminal to ask on",
                    self.wish.verb
                ),
                "look at it with --plan first, then add -y",
            ));
        }
        let dir = StateDir::open(&self.global.state_dir)?;
        if let Some(warning) = dir.warning()
            && self.mode != Mode::Json
        {
            output::err(&format!("warning: {warning}\n"));
        }
        let fleet = self.fleet(&dir, true)?;
        let cluster = &self.loaded.inventory.cluster.name;
        let now_ms = fleet.clock.now_ms();
        let mut rng = context::rng(&self.loaded.inventory, now_ms);
        let opening = Opening::new(cluster, self.wish.verb.as_str(), now_ms, &mut rng);
        let runtime = &fleet.runtime;
        let Opened { ledger, writer, torn } =
            runtime.block_on(async { Writer::open(&dir, &opening) })?;
        self.check_birth(&ledger)?;
        let run = format!(
            "{}-{}",
            state::utc(now_ms).replace([' ', ':', '-'], "").replace("UTC", ""),
            &opening.holder[..4]
        );
        let redactor = Redactor::default();
        let log_file = log_file(self.global.log_file.clone(), &dir, &run)?;
        let screen = self.screen(&ledger, &redactor, &log_file.0);
        let log = Box::new(ui::Log::new(redactor.clone(), Box::new(log_file.1)));
        let folds: Arc<Mutex<ui::Tee>> =
            Arc::new(Mutex::new(ui::Tee::default().with(screen).with(log)));
        let watching = folds.clone();
        let watcher: Watcher = Box::new(move |stamped| {
            watching.lock().unwrap_or_else(PoisonError::into_inner).event(stamped)
        });
        // Before the ledger too, and not only before the screen.
        let mut cleaner = ui::Cleaner::new(redactor.clone());
        let clean = Box::new(move |stamped| cleaner.event(&stamped));
        let recorder = Recorder::new(fleet.clock, writer, clean, vec![watcher]);
        if let Some(torn) = torn {
            recorder.emit(Event::Note {
                level: Level::Warning,
                node: None,
                text: format!(
                    "the ledger's last line was torn by a crash, and cut off: line {}, {} bytes",
                    torn.line, torn.bytes
                ),
                hint: None,
            });
        }
        if self.wish.verb == "reset"
            && let Some(cell) = &fleet.sim
        {
            cell.expect_teardown(self.scope.only.is_empty());
        }
        let order = self.order(run, &fleet);
        let means = Means {
            connector: fleet.connector.clone(),
            clock: fleet.clock,
            ledger,
            recorder,
            keeper: Arc::new(context::snapshots(&self.loaded.inventory, &dir, fleet.clock)?),
            desk: desk(&self.loaded, redactor),
            interrupts: interrupts(runtime),
            supply: fleet.supply.clone(),
        };
        let asked = |plan: &Plan| !asks || self.ask(plan);
        let outcome =
            runtime.block_on(watched(&fleet, &folds, conduct::conduct(&order, means, asked)));
        {
            // The made-up clock is the runtime's: outside it, time would be the wall's.
            let _inside = runtime.enter();
            folds.lock().unwrap_or_else(PoisonError::into_inner).finish();
            // Told, but not in the run's place: how that ended is what counts.
            if let Some(cell) = &fleet.sim
                && let Err(error) = sim::leave(cell, &dir.sim())
            {
                Error::from(error).show(self.mode);
            }
        }
        match outcome {
            None => Err(Error::text(
                Exit::Failed,
                "the simulated controller was killed, as the inventory asks for",
                Some(format!("the same command goes on: {}", order.command)),
            )),
            Some(Outcome::Stopped(failures)) => {
                // What was refused is refused again: there is nothing to go on with.
                let refused = failures.iter().all(|f| f.refusal.is_some());
                Err(Error::failures(failures, (!refused).then_some(order.command)))
            }
            Some(Outcome::Declined) => {
                output::err("nothing was changed\n");
                Ok(Exit::Interrupted)
            }
            Some(Outcome::Ran(_, run)) => Ok(run.result.into()),
        }
    }

    fn screen(
        &self,
        ledger: &Ledger,
        redactor: &Redactor,
        log_file: &std::path::Path,
    ) -> Box<dyn Fold> {
        let mut known: BTreeMap<PhaseName, u64> = BTreeMap::new();
        for phase in &self.playbook.phases {
            if let Some(ms) = ledger.expected_ms(&self.wish.verb, &phase.name) {
                known.insert(phase.name.clone(), ms);
            }
        }
        let expected = move |_: &str, phase: &str| {
            known.iter().find(|(name, _)| name.as_str() == phase).map(|(_, ms)| *ms)
        };
        let options = ui::Options {
            color: output::color(),
            verbose: self.global.verbose,
            size: ui::Size::of_stdout(),
            expected: Box::new(expected),
            log_file: Some(log_file.to_path_buf()),
            redactor: redactor.clone(),
        };
        ui::fold(self.mode, options, Box::new(std::io::stdout()))
    }

    fn ask(&self, plan: &Plan) -> bool {
        self.show(plan);
        output::out("\nGo on? [y/N] ");
        context::said_yes()
    }
}

fn check_until(playbook: &Playbook, until: &PhaseName) -> Result<(), Error> {
    let names: Vec<&str> = playbook.phases.iter().map(|p| p.name.as_str()).collect();
    if names.contains(&until.as_str()) {
        return Ok(());
    }
    let hint = match crate::toml_read::closest(until.as_str(), &names) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("its phases are {}", crate::toml_read::list(&names, "and")),
    };
    Err(Error::usage(format!("playbook `{}` has no phase `{until}`", playbook.name), hint))
}

/// A fault in a step that does not exist would never strike, and nobody would know why.
fn check_faults(loaded: &Loaded, steps: &[&str]) -> Result<(), Error> {
    let faults = loaded.inventory.sim.iter().flat_map(|sim| &sim.faults);
    for step in faults.filter_map(|fault| fault.step.as_deref()) {
        if !steps.contains(&step) {
            let hint = match crate::toml_read::closest(step, steps) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "`slipway playbook list --steps` names them all".into(),
            };
            let message = format!("[[sim.fault]] names the step `{step}`, which does not exist");
            return Err(Error::usage(message, hint));
        }
    }
    Ok(())
}

/// `target` means a node only where the verb names one.
fn check_targets(playbook: &Playbook, verb: &str) -> Result<(), Error> {
    let targeted = |p: &&Phase| matches!(p.nodes, Selector::Target | Selector::Remaining);
    let names_one = matches!(verb, "join-node" | "remove-node");
    match playbook.phases.iter().find(targeted) {
        Some(phase) if !names_one => Err(Error::usage(
            format!(
                "phase `{}` is for the node that a verb names, and `{verb}` names none",
                phase.name
            ),
            "use another value of `nodes` in that playbook",
        )),
        _ => Ok(()),
    }
}

/// What only a hand-off can wait for.
fn check_wait_for(wish: &Wish, inventory: &Inventory) -> Result<(), Error> {
    if wish.wait_for.is_empty() {
        return Ok(());
    }
    if wish.verb != "bootstrap" {
        let why = format!("`{}` hands nothing off: --wait-for has no meaning for it", wish.verb);
        return Err(Error::usage(why, "leave it out; `slipway bootstrap` takes it"));
    }
    if inventory.gitops.is_none() {
        return Err(Error::usage(
            "there is no [gitops] in the inventory, and so no hand-off to wait for",
            "leave --wait-for out",
        ));
    }
    if wish.wait_for.iter().any(|name| name.trim().is_empty()) {
        return Err(Error::usage(
            "--wait-for names an application without a name",
            "write `--wait-for platform,storage`, or `NAMESPACE/NAME` where names are not enough",
        ));
    }
    Ok(())
}

/// A serial that is nobody's Ceph disk approves nothing; most likely it is a slip.
fn check_disks(loaded: &Loaded, wish: &Wish) -> Result<(), Error> {
    let inventory = &loaded.inventory;
    let approves = !wish.wipe.is_empty() || !wish.destroy_osd.is_empty();
    if approves && matches!(wish.verb.as_str(), "upgrade" | "remove-node") {
        return Err(Error::usage(
            format!("`{}` clears no disks, so there is nothing to approve", wish.verb),
            "`slipway reset --on NODE --wipe-disk SERIAL` clears a disk of a node that has left",
        ));
    }
    let ceph: BTreeSet<_> = inventory.nodes.iter().flat_map(|n| &n.disks.ceph).collect();
    for serial in wish.wipe.iter().chain(wish.destroy_osd.keys()) {
        if ceph.contains(serial) {
            continue;
        }
        if let Some(node) = inventory.nodes.iter().find(|n| n.disks.os == *serial) {
            return Err(Error::text(
                Exit::Refused,
                format!("{serial} is the OS disk of {}; it is never cleared", node.name),
                Some("name a Ceph disk of the inventory".into()),
            ));
        }
        let known: Vec<&str> = ceph.iter().map(|s| s.as_str()).collect();
        let hint = match crate::toml_read::closest(serial.as_str(), &known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "only Ceph disks of the inventory can be cleared".into(),
        };
        return Err(Error::usage(format!("the inventory has no Ceph disk `{serial}`"), hint));
    }
    Ok(())
}

/// Runs a verb while bars are kept moving and a simulated controller may be killed. None then.
async fn watched(
    fleet: &Fleet,
    folds: &Arc<Mutex<ui::Tee>>,
    verb: impl Future<Output = Outcome>,
) -> Option<Outcome> {
    let ticking = async {
        // Under a clock that jumps, a ticker would only make it jump in small steps.
        if fleet.hurried {
            std::future::pending::<()>().await;
        }
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            folds.lock().unwrap_or_else(PoisonError::into_inner).tick();
        }
    };
    let killed = async {
        let Some(cell) = &fleet.sim else { return std::future::pending().await };
        if cell.controller_was_killed().wait_for(|k| k.then_some(())).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let outcome = tokio::select! {
            biased;
        () = killed => None,
        outcome = verb => Some(outcome),
        () = ticking => None,
    };
    if outcome.is_none()
        && let Some(cell) = &fleet.sim
    {
        // Ops that run come to their end on their nodes; nobody is there to see it.
        cell.hang_up();
        fleet.clock.sleep_ms(60_000).await;
    }
    outcome
}

fn log_file(named: Option<PathBuf>, dir: &StateDir, run: &str) -> Result<(PathBuf, File), Error> {
    let path = match named {
        Some(path) => path,
        None => dir.make(dir.logs())?.join(format!("{run}.log")),
    };
    let file =
        OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(|e| {
            Error::text(
                Exit::Usage,
                format!("cannot write the log file `{}`: {e}", path.display()),
                Some("name another one with --log-file".into()),
            )
        })?;
    Ok((path, file))
}

/// A message for every Ctrl-C, or SIGTERM.
fn interrupts(runtime: &tokio::runtime::Runtime) -> mpsc::Receiver<()> {
    let (send, receive) = mpsc::channel(4);
    runtime.spawn(async move {
        let kind = tokio::signal::unix::SignalKind::terminate();
        let Ok(mut terminate) = tokio::signal::unix::signal(kind) else { return };
        // The terminal was closed: the same as being asked to stop.
        let kind = tokio::signal::unix::SignalKind::hangup();
        let Ok(mut hangup) = tokio::signal::unix::signal(kind) else { return };
        loop {
            tokio::select! {
            biased;
                ctrl_c = tokio::signal::ctrl_c() => if ctrl_c.is_err() { return },
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            if send.send(()).await.is_err() {
                return;
            }
        }
    });
    receive
}
