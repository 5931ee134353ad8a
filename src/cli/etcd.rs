//! `slipway etcd`: the cluster's data, and how its keepers are.

use std::path::Path;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::json;

use super::{
    args::{Etcd as Args, EtcdVerb, Global},
    context,
    exit::{Error, Exit},
    output,
};
use crate::{
    backup, engine,
    etcd::report::{EtcdReport, MemberReport},
    events::Failure,
    news,
    ops::{
        Op, Output,
        etcd::{EtcdStatus, Snapshot},
    },
    state::{self, StateDir},
    ui::Mode,
};

pub fn etcd(global: &Global, args: &Args) -> Result<Exit, Error> {
    match &args.what {
        EtcdVerb::Status => status(global),
        EtcdVerb::Snapshot { out } => snapshot(global, out.as_deref()),
        EtcdVerb::Verify { file, identity } => verify(global, file, identity.as_deref()),
    }
}

fn one(failure: Failure) -> Error {
    Error::failures(vec![failure], None)
}

fn snapshot(global: &Global, out: Option<&Path>) -> Result<Exit, Error> {
    let loaded = context::inventory(global)?;
    let inventory = &loaded.inventory;
    if let Some(out) = out.filter(|out| out.exists()) {
        return Err(Error::usage(
            format!("`{}` is there already", out.display()),
            "a snapshot replaces no other file: name one that is not there",
        ));
    }
    let nodes = context::control_planes(global, inventory)?;
    let dir = StateDir::open(&global.state_dir)?;
    let fleet = context::fleet(global, &loaded, &dir, false)?;
    let mut store = context::snapshots(inventory, &dir, fleet.clock)?;
    if let Some(out) = out {
        store = store.into_file(out.to_path_buf());
    }
    let op = Op::from(Snapshot {});
    let taken = async {
        let served = engine::served(&fleet.connector, fleet.clock, &nodes, &op).await;
        let (mut session, made) =
            served.map_err(|failures| Error::failures(failures, Some(context::command_line())))?;
        let Output::Snapshot(snapshot) = made else {
            return Err(Error::text(Exit::Failed, "the agent made something else", None));
        };
        let (cancel, cancelled) = news::channel(false);
        let keeping = engine::keep::keep(&mut session, &store, &snapshot, cancelled);
        let interrupted = async {
            if tokio::signal::ctrl_c().await.is_ok() {
                cancel.set(true);
            }
            std::future::pending().await
        };
        let kept = tokio::select! {
            biased;
            kept = keeping => kept.map_err(one)?,
            none = interrupted => none,
        };
        Ok((session.node.clone(), snapshot, kept))
    };
    let (node, snapshot, kept) = fleet.runtime.block_on(taken)?;
    let Some(kept) = kept else {
        output::err("interrupted: no file was written\n");
        return Ok(Exit::Interrupted);
    };
    let encryption_key = snapshot.keys.iter().any(|k| k.name == backup::ENCRYPTION);
    if context::mode(global) == Mode::Json {
        output::json(&json!({
            "version": 1, "cluster": inventory.cluster.name, "simulated": inventory.simulated(),
            "node": node, "revision": snapshot.revision, "sha256": snapshot.sha256,
            "bytes": snapshot.bytes, "keys": snapshot.keys.len(),
            "encryption_key": encryption_key, "file": kept.file,
            "note": kept.note.map(|(text, _)| text),
        }));
        return Ok(Exit::Done);
    }
    let simulated = if inventory.simulated() { " (SIMULATED)" } else { "" };
    output::out(&format!(
        "etcd of {}{simulated} at revision {}, {} from {node}, with {} files of keys: {}\n",
        inventory.cluster.name,
        snapshot.revision,
        megabytes(snapshot.bytes),
        snapshot.keys.len(),
        kept.file
    ));
    if !encryption_key {
        output::err(
            "warning: there is no key of Secrets at rest on that node, and none in the file\n",
        );
    }
    if let Some((text, hint)) = kept.note {
        output::err(&format!("note: {text}\nhint: {hint}\n"));
    }
    Ok(Exit::Done)
}

fn verify(global: &Global, file: &Path, identity: Option<&Path>) -> Result<Exit, Error> {
    let own = StateDir::at(&global.state_dir).snapshots().join(backup::IDENTITY_FILE);
    if identity.is_none() && !own.exists() {
        return Err(Error::usage(
            format!("there is no key in {}", own.display()),
            "name the file with the secret key: --identity FILE",
        ));
    }
    let identity = backup::read_identity(identity.unwrap_or(&own)).map_err(one)?;
    let manifest = backup::verify(file, &identity).map_err(one)?;
    if context::mode(global) == Mode::Json {
        output::json(&json!({ "version": 1, "file": file, "manifest": manifest }));
        return Ok(Exit::Done);
    }
    let simulated = if manifest.simulated { " (SIMULATED)" } else { "" };
    let bytes = manifest.database().map_or(0, |database| database.bytes);
    output::out(&format!(
        "etcd of {}{simulated} at revision {}, {}, taken {} from {}\n",
        manifest.cluster,
        manifest.revision,
        megabytes(bytes),
        state::utc(manifest.taken_ms),
        manifest.node
    ));
    for listed in &manifest.files {
        let short = listed.sha256.get(..12).unwrap_or(&listed.sha256);
        output::out(&format!("  {short}  {}\n", listed.name));
    }
    if !manifest.has_encryption_key() {
        output::err("warning: the key of Secrets at rest is not in it\n");
    }
    output::out("Everything in it is what its list says.\n");
    Ok(Exit::Done)
}

fn status(global: &Global) -> Result<Exit, Error> {
    let loaded = context::inventory(global)?;
    let inventory = &loaded.inventory;
    let fleet = context::fleet(global, &loaded, &StateDir::at(&global.state_dir), false)?;
    let nodes = context::control_planes(global, inventory)?;
    let op = Op::from(EtcdStatus {});
    let served = engine::served(&fleet.connector, fleet.clock, &nodes, &op);
    let (session, made) =
        fleet.runtime.block_on(served).map_err(|failures| Error::failures(failures, None))?;
    let Output::Etcd(report) = made else {
        return Err(Error::text(Exit::Failed, "the agent made something else", None));
    };
    let troubles = report.troubles();
    if context::mode(global) == Mode::Json {
        output::json(&json!({
            "version": 1, "cluster": inventory.cluster.name, "simulated": inventory.simulated(),
            "asked": session.node, "healthy": troubles.is_empty(), "troubles": troubles,
            "cluster_id": report.cluster_id, "leader": report.leader(),
            "revision": report.revision, "hashes_equal": report.hashes_equal(),
            "alarms": report.alarms, "members": report.members,
        }));
    } else {
        let simulated = if inventory.simulated() { " (SIMULATED)" } else { "" };
        let name = &inventory.cluster.name;
        output::out(&format!("etcd of {name}{simulated}, as {} sees it\n\n", session.node));
        output::out(&text(&report, &troubles));
    }
    Ok(if troubles.is_empty() { Exit::Done } else { Exit::Failed })
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn row(member: &MemberReport, leader: Option<&str>) -> Vec<String> {
    let role = match () {
        () if leader == Some(&member.id) => "leader",
        () if member.learner => "learner",
        () => "follower",
    };
    let id = member.id.get(..16).unwrap_or(&member.id).to_string();
    let mut row = vec![member.called().to_string(), id, member.address.clone()];
    match &member.says {
        Some(says) => row.extend([
            role.to_string(),
            says.version.clone(),
            megabytes(says.db_bytes),
            megabytes(says.used_bytes),
            says.revision.to_string(),
        ]),
        None => row.push("no answer".into()),
    }
    row
}

fn text(report: &EtcdReport, troubles: &[String]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["member", "id", "address", "role", "version", "size", "in use", "revision"]);
    for member in &report.members {
        table.add_row(row(member, report.leader()));
    }
    for n in 5..8 {
        if let Some(column) = table.column_mut(n) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text: String = table.lines().map(|l| format!("{}\n", l.trim_end())).collect();
    text += &match report.hashes_equal() {
        Some(true) => format!("\nAll hold the same at revision {}.\n", report.revision),
        _ => "\n".to_string(),
    };
    for trouble in troubles {
        text += &format!("! {trouble}\n");
    }
    if troubles.is_empty() {
        text += "Healthy: a leader, no alarms.\n";
    }
    text
}
