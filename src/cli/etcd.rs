//! `slipway etcd`: the cluster's data, and how its keepers are.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::json;

use super::{
    args::{Etcd as Args, EtcdVerb, Global},
    context,
    exit::{Error, Exit},
    output,
};
use crate::{
    engine,
    etcd::report::{EtcdReport, MemberReport},
    ops::{Op, Output, etcd::EtcdStatus},
    state::StateDir,
    ui::Mode,
};

pub fn etcd(global: &Global, args: &Args) -> Result<Exit, Error> {
    match &args.what {
        EtcdVerb::Status => status(global),
    }
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
