//! `slipway gitops password`: the first way into Argo CD, shown once. The ledger notes that it was
//! shown, and not what.

use serde_json::json;

use super::{
    args::{GitopsPassword, Global},
    context,
    exit::{Error, Exit},
    output,
};
use crate::{
    engine::{self, Recorder},
    events::{Event, Failure},
    inventory::{GitopsEngine, Inventory},
    ops::{Op, Output, access::FirstLogin, sys::EngineLogin},
    secret::Sealed,
    state::{self, Ledger, Opened, Opening, StateDir, Writer},
    ui::{self, Mode, Redactor},
};

const USER: &str = "admin";
const SECRET: &str = "argocd-initial-admin-secret";

pub fn password(global: &Global, args: &GitopsPassword) -> Result<Exit, Error> {
    let loaded = context::inventory(global)?;
    let inventory = &loaded.inventory;
    let engine = inventory.gitops.as_ref().map(|gitops| gitops.engine);
    match engine {
        None => {
            return Err(Error::usage(
                "the inventory has no [gitops], so there is nothing to log in to",
                "`slipway kubeconfig` lets you into the cluster itself",
            ));
        }
        Some(GitopsEngine::Flux) => {
            return Err(Error::usage(
                "Flux has no login of its own",
                "`flux get all -A` and `kubectl` show what it does: `slipway kubeconfig` lets you in",
            ));
        }
        Some(GitopsEngine::Argocd | GitopsEngine::Both) => {}
    }
    let dir = StateDir::at(&global.state_dir);
    let ledger = Ledger::fold(&state::read(&dir, &inventory.cluster.name)?);
    if let Some(at_ms) = ledger.password_shown_ms().filter(|_| !args.again) {
        return Err(Error::text(
            Exit::Refused,
            format!("Argo CD's first password was shown already, on {}", state::utc(at_ms)),
            Some("it should have been changed by now; --again shows it once more, if it is still there".into()),
        ));
    }
    let fleet = context::fleet(global, &loaded, &dir, false)?;
    let nodes = context::control_planes(global, inventory)?;
    let op = Op::from(FirstLogin {});
    let served = engine::served(&fleet.connector, fleet.clock, &nodes, &op);
    let (session, made) = fleet
        .runtime
        .block_on(served)
        .map_err(|failures| Error::failures(failures, Some(context::command_line())))?;
    let Output::EngineLogin(login) = made else {
        return Err(Error::text(Exit::Failed, "the agent made something else", None));
    };
    let Some(password) = &login.password else {
        let failure = Failure::new("show Argo CD's first password", gone(&login)).on(&session.node);
        return Err(Error::failures(vec![failure.hint(match login.installed {
            true => "whoever changed it knows it; `kubectl -n argocd patch secret argocd-secret -p '{\"stringData\": {\"admin.password\": null}}'` and a restart of argocd-server make a new one",
            false => "`slipway bootstrap` installs it, in phase gitops",
        })], None));
    };
    // First noted, then shown: what cannot be noted would be shown twice.
    note(global, inventory, &fleet)?;
    say(global, inventory, password, &login);
    Ok(Exit::Done)
}

fn gone(login: &EngineLogin) -> String {
    if login.installed {
        format!(
            "the Secret argocd/{SECRET} is gone: the password was changed, or another login is used"
        )
    } else {
        "Argo CD is not installed there".into()
    }
}

fn note(global: &Global, inventory: &Inventory, fleet: &context::Fleet) -> Result<(), Error> {
    let dir = StateDir::open(&global.state_dir)?;
    let now_ms = fleet.clock.now_ms();
    let mut rng = context::rng(inventory, now_ms);
    let opening = Opening::new(&inventory.cluster.name, "gitops password", now_ms, &mut rng);
    fleet
        .runtime
        .block_on(async {
            let Opened { writer, .. } = Writer::open(&dir, &opening)?;
            let mut cleaner = ui::Cleaner::new(Redactor::default());
            let clean = Box::new(move |stamped| cleaner.event(&stamped));
            let recorder = Recorder::new(fleet.clock, writer, clean, Vec::new());
            Ok::<_, state::LedgerError>(recorder.emit_durably(Event::PasswordShown {}).await)
        })?
        .map_err(|failure| Error::failures(vec![failure], None))
}

fn say(global: &Global, inventory: &Inventory, password: &Sealed, login: &EngineLogin) {
    let forward = "kubectl -n argocd port-forward service/argocd-server 8080:443";
    if context::mode(global) == Mode::Json {
        output::json(&json!({
            "version": 1, "simulated": inventory.simulated(), "user": USER,
            "password": password.reveal(), "addresses": login.addresses, "port_forward": forward,
        }));
        return;
    }
    if inventory.simulated() {
        output::err("SIMULATED: there is nothing to log in to\n");
    }
    output::out(&format!("user:     {USER}\npassword: {}\n", password.reveal()));
    let addresses: String = login.addresses.iter().map(|a| format!("  {a}\n")).collect();
    let at =
        if addresses.is_empty() { String::new() } else { format!("Argo CD is at\n{addresses}") };
    output::err(&format!(
        "{at}From here: {forward}\n           and then https://localhost:8080\nChange it there (User Info, Update Password), then\n           kubectl -n argocd delete secret {SECRET}\nIt is not shown a second time; the ledger notes that it was.\n"
    ));
}
