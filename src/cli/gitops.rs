//! `slipway gitops`: the repository that the cluster is handed over to.

use std::{fs, path::Path};

use super::{
    args::{Gitops as Args, GitopsInit, GitopsVerb, Global},
    context, deploy_key,
    exit::{Error, Exit},
    output, password,
};
use crate::{
    gitops::{Change, Held, Input, Manifest, Starter, State, Trouble},
    text_diff,
    ui::Mode,
};

/// A release manifest of Argo CD has two.
const MOST_MANIFEST_MB: u64 = 16;

pub fn gitops(global: &Global, args: &Args) -> Result<Exit, Error> {
    match &args.what {
        GitopsVerb::Init(args) => init(global, args),
        GitopsVerb::Key(args) => deploy_key::key(global, args),
        GitopsVerb::Password(args) => password::password(global, args),
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        let (exit, failure) = match trouble {
            Trouble::Usage(failure) => (Exit::Usage, failure),
            Trouble::Failed(failure) => (Exit::Failed, failure),
        };
        let mut error = Error::failures(vec![failure], None);
        error.exit = exit;
        error
    }
}

fn init(global: &Global, args: &GitopsInit) -> Result<Exit, Error> {
    let loaded = context::inventory(global)?;
    let inventory = &loaded.inventory;
    let mut input = Input { pool: args.metallb_pool.clone(), ..Input::default() };
    for (manifest, file) in [
        (Manifest::Argocd, &args.argocd_manifest),
        (Manifest::Flux, &args.flux_manifest),
        (Manifest::GatewayApi, &args.gateway_api_manifest),
    ] {
        if let Some(file) = file {
            input.manifests.insert(manifest, Held::Text(read(file)?));
        }
    }
    let starter = Starter::prepare(inventory, &args.dir, input)?;
    if !args.check {
        starter.write()?;
    }
    if context::mode(global) == Mode::Json {
        output::json(&json(&starter, args.check));
    } else {
        output::out(&text(&starter, args, global.verbose > 0));
        let simulated = if inventory.simulated() { "SIMULATED inventory\n" } else { "" };
        let notes = starter.notes.iter().map(|note| format!("note: {note}\n"));
        output::err(&(simulated.to_string() + &notes.collect::<String>()));
    }
    if let Some(refused) = starter.refused {
        return Err(Error::from(Trouble::Failed(refused)));
    }
    let changes = args.check && starter.changes.iter().any(|c| c.state.writes());
    Ok(if changes { Exit::Changes } else { Exit::Done })
}

fn read(file: &Path) -> Result<String, Error> {
    let wrong = |why: String| {
        let message = format!("cannot read the manifest `{}`: {why}", file.display());
        Error::text(Exit::Usage, message, None)
    };
    let found = fs::metadata(file).map_err(|e| wrong(e.to_string()))?;
    if !found.is_file() || found.len() > MOST_MANIFEST_MB << 20 {
        return Err(wrong(format!("it is no file of at most {MOST_MANIFEST_MB} MB")));
    }
    fs::read_to_string(file).map_err(|e| wrong(e.to_string()))
}

fn json(starter: &Starter, check: bool) -> serde_json::Value {
    let files: Vec<_> = starter
        .changes
        .iter()
        .map(|c| serde_json::json!({ "path": c.path, "state": c.state.word() }))
        .collect();
    serde_json::json!({ "version": 1, "check": check, "files": files, "notes": starter.notes })
}

fn text(starter: &Starter, args: &GitopsInit, verbose: bool) -> String {
    let mut out = String::new();
    for change in &starter.changes {
        let Some(line) = line(change, args.check) else { continue };
        out.push_str(&format!("{line}\n"));
        let differs = matches!(change.state, State::Updated | State::Edited);
        if verbose && differs {
            out.push_str(&diff(change));
        }
    }
    let count = |state| starter.changes.iter().filter(|c| c.state == state).count();
    let states = [State::Created, State::Updated, State::Unchanged, State::Edited, State::Foreign];
    let counts: Vec<String> = states
        .into_iter()
        .filter(|state| count(*state) > 0)
        .map(|state| format!("{} {}", count(state), state.word()))
        .collect();
    let would = if args.check { " (nothing was written)" } else { "" };
    out.push_str(&format!("{}: {}{would}\n", args.dir.display(), counts.join(", ")));
    if !starter.changes.iter().any(|c| c.state.writes()) {
        out.push_str("nothing to change\n");
    }
    out
}

fn line(change: &Change, check: bool) -> Option<String> {
    let path = &change.path;
    let (added, removed) = counted(change);
    Some(match change.state {
        State::Unchanged => return None,
        State::Created if check => format!("would create  {path}"),
        State::Updated if check => format!("would update  {path} (+{added} -{removed})"),
        State::Created => format!("created   {path}"),
        State::Updated => format!("updated   {path} (+{added} -{removed})"),
        State::Edited => format!(
            "kept      {path}: edited; the inventory would have it otherwise (+{added} -{removed}, \
             -v shows it)"
        ),
        State::Foreign => format!("kept      {path}: not written by Slipway"),
        State::Leftover => {
            format!("left over {path}: no longer part of it; remove it if you agree")
        }
    })
}

fn counted(change: &Change) -> (usize, usize) {
    if !matches!(change.state, State::Updated | State::Edited) {
        return (0, 0);
    }
    text_diff::counts(&change.before, &change.after)
}

fn diff(change: &Change) -> String {
    let diff = text_diff::unified(&change.before, &change.after, None);
    diff.lines().map(|line| format!("    {line}\n")).collect()
}
