//! `slipway playbook`: what there is, what is in it, and how to make it your own.

use std::{fs, path::Path};

use super::{
    args::{Global, Playbook as Args, PlaybookVerb},
    context,
    exit::{Error, Exit},
    output,
};
use crate::{
    playbook::{BUILT_IN, Playbooks},
    steps::{STEPS, Step},
    ui::Mode,
};

pub fn playbook(global: &Global, args: &Args) -> Result<Exit, Error> {
    let playbooks = Playbooks::open(global.playbooks.as_deref())?;
    let json = context::mode(global) == Mode::Json;
    match &args.what {
        PlaybookVerb::List { steps } => list(&playbooks, *steps, json),
        PlaybookVerb::Show { name } => show(&playbooks, name, json),
        PlaybookVerb::Eject { dir, force } => eject(dir, *force),
    }
}

fn names() -> Vec<&'static str> {
    STEPS.iter().map(|s| s.name).collect()
}

fn list(playbooks: &Playbooks, steps: bool, json: bool) -> Result<Exit, Error> {
    let mut rows = Vec::new();
    for (name, path) in playbooks.list() {
        let about = playbooks
            .load(&name, &names())
            .map(|p| p.about)
            .unwrap_or_else(|_| "INVALID: see `playbook show`".into());
        rows.push((name, about, path.map(|p| p.display().to_string())));
    }
    if json {
        let books: Vec<_> = rows
            .iter()
            .map(|(name, about, file)| serde_json::json!({ "name": name, "about": about, "file": file }))
            .collect();
        let steps: Vec<_> =
            STEPS.iter().map(|s| serde_json::json!({ "name": s.name, "about": s.about })).collect();
        output::json(&serde_json::json!({ "version": 1, "playbooks": books, "steps": steps }));
        return Ok(Exit::Done);
    }
    for (name, about, file) in rows {
        let file = file.map(|f| format!("  ({f})")).unwrap_or_default();
        output::out(&format!("{name:<12} {about}{file}\n"));
    }
    if steps {
        output::out("\nsteps:\n");
        for step in STEPS {
            output::out(&format!("  {:<22} {}\n", step.name, step.about));
        }
    }
    Ok(Exit::Done)
}

fn show(playbooks: &Playbooks, name: &str, json: bool) -> Result<Exit, Error> {
    let playbook = playbooks.load(name, &names())?;
    if json {
        output::json(&serde_json::json!({ "version": 1, "playbook": playbook }));
        return Ok(Exit::Done);
    }
    output::out(&format!("{}: {}\n", playbook.name, playbook.about));
    for (n, phase) in playbook.phases.iter().enumerate() {
        let pace = match phase.run {
            crate::events::Pace::Parallel => "all at once",
            crate::events::Pace::Rolling => "one after the other",
            crate::events::Pace::Once => "once",
        };
        output::out(&format!("\n{:>2}. {} ({}, {pace})\n", n + 1, phase.name, phase.nodes.word()));
        for step in &phase.steps {
            let about = Step::find(step).map_or("", |s| s.about);
            output::out(&format!("      {step:<22} {about}\n"));
        }
    }
    Ok(Exit::Done)
}

fn eject(dir: &Path, force: bool) -> Result<Exit, Error> {
    let failed = |what: &str, path: &Path, error: std::io::Error| {
        Error::text(Exit::Usage, format!("cannot {what} `{}`: {error}", path.display()), None)
    };
    fs::create_dir_all(dir).map_err(|e| failed("make", dir, e))?;
    // All or nothing: what differs is looked for before anything is written.
    if !force {
        for (name, text) in BUILT_IN {
            let path = dir.join(format!("{name}.toml"));
            if path.exists() && fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
                return Err(Error::usage(
                    format!("`{}` exists and is not the built-in one", path.display()),
                    "eject to another directory, or overwrite with --force",
                ));
            }
        }
    }
    for (name, text) in BUILT_IN {
        let path = dir.join(format!("{name}.toml"));
        fs::write(&path, text).map_err(|e| failed("write", &path, e))?;
        output::out(&format!("{}\n", path.display()));
    }
    output::err(&format!("use them with --playbooks {}\n", dir.display()));
    Ok(Exit::Done)
}
