//! The table of nodes: as much of it as fits. Must not know anything but rows.

use comfy_table::{ContentArrangement, Table, presets};
use unicode_width::UnicodeWidthStr;

use super::NodeRow;
use crate::{doctor::clean, inventory::Role};

/// At most so many columns, with `…` where something is missing.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.into();
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if kept.width() >= columns {
            kept.pop();
            break;
        }
    }
    kept + "…"
}

/// How much is said in a row; less where the screen is narrow.
#[derive(Clone, Copy)]
struct Wealth {
    role: bool,
    os: bool,
    kernel: bool,
    disks: bool,
}

const WEALTHS: [Wealth; 5] = [
    Wealth { role: true, os: true, kernel: true, disks: true },
    Wealth { role: false, os: true, kernel: true, disks: true },
    Wealth { role: false, os: true, kernel: false, disks: true },
    Wealth { role: false, os: false, kernel: false, disks: true },
    Wealth { role: false, os: false, kernel: false, disks: false },
];

/// The header's line and one for each node: as much as fits.
pub(super) fn table(rows: &[&NodeRow], width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for wealth in WEALTHS {
        lines = table_with(rows, wealth);
        if lines.iter().all(|line| line.width() <= width) {
            return lines;
        }
    }
    lines.iter().map(|line| cut(line, width)).collect()
}

fn table_with(rows: &[&NodeRow], wealth: Wealth) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    let mut header = vec!["node", "role", "state", "kubelet", "etcd", "address"];
    let system = if wealth.os { "system" } else { "kernel" };
    header.push(system);
    if wealth.disks {
        header.push("Ceph disks");
    }
    table.set_header(header);
    for node in rows {
        table.add_row(cells(node, wealth));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

fn cells(node: &NodeRow, wealth: Wealth) -> Vec<String> {
    let none = || "-".to_string();
    let star = if node.in_inventory { "" } else { "*" };
    let role = match (node.role, wealth.role) {
        (Role::ControlPlane, true) => "control-plane",
        (Role::ControlPlane, false) => "control",
        (Role::Worker, _) => "worker",
    };
    let kernel = node.kernel.as_deref().map(|kernel| {
        // `6.17.8` of `6.17.8-arch1-1`.
        let short = kernel.split('-').next().unwrap_or(kernel);
        clean(if wealth.kernel { kernel } else { short })
    });
    let system = match (&node.os, kernel) {
        (Some(os), Some(kernel)) if wealth.os => format!("{} {kernel}", clean(os)),
        (_, kernel) => kernel.unwrap_or_else(none),
    };
    let mut cells = vec![
        format!("{}{star}", node.name),
        role.into(),
        node.state.word().into(),
        node.kubelet.as_ref().map_or_else(none, ToString::to_string),
        node.etcd.map_or_else(none, |etcd| etcd.word().into()),
        node.address.map_or_else(none, |address| address.to_string()),
        system,
    ];
    if wealth.disks {
        cells.push(node.disks.map_or_else(none, |disks| disks.words()));
    }
    cells
}
