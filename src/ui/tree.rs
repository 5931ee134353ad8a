//! What a GitOps engine brings, as a tree below the rows and as words in a line.
//!
//! Pure. Must not know how rows get to the screen.

use super::{
    paint::{Mark, Row},
    words::one_line,
};
use crate::events::AppState;

pub fn mark(app: &AppState) -> Mark {
    match &app.waits {
        None => Mark::Good,
        Some(_) if app.awaited => Mark::Busy,
        Some(_) => Mark::Dim,
    }
}

/// `root: Synced, Progressing at 1111111111: is Progressing`.
pub fn said(app: &AppState) -> String {
    let at = match app.short_revision() {
        "" => String::new(),
        revision => format!(" at {revision}"),
    };
    let waits = app.waits.as_deref().map(|why| format!(": {}", one_line(why)));
    let shown = if app.awaited { "" } else { " (not waited for)" };
    format!("{}: {}{at}{}{shown}", app.name, app.state, waits.unwrap_or_default())
}

/// As many rows as there is room for. Where not all fit, those that are well go first.
pub fn rows(tree: &[AppState], room: usize) -> Vec<Row> {
    let mut shown: Vec<&AppState> = tree.iter().collect();
    if shown.len() > room {
        shown.retain(|app| app.waits.is_some() || app.depth == 0);
        shown.truncate(room.saturating_sub(1));
    }
    let hidden = tree.len() - shown.len();
    let width = shown.iter().map(|a| width(a)).max().unwrap_or(0).min(44);
    let mut rows: Vec<Row> = shown.iter().map(|app| row(app, width)).collect();
    if hidden > 0 && room > 0 {
        let well = tree.iter().filter(|app| app.waits.is_none()).count();
        let text = format!("     … and {hidden} more; {well} of {} are well", tree.len());
        rows.push(Row::new(Mark::Dim, text));
    }
    rows
}

fn width(app: &AppState) -> usize {
    usize::from(app.depth.min(6)) * 2 + app.name.chars().count()
}

fn row(app: &AppState, columns: usize) -> Row {
    let mark = mark(app);
    let glyph = match mark {
        Mark::Good => "✓",
        _ => "·",
    };
    let space = " ".repeat(usize::from(app.depth.min(6)) * 2);
    let pad = " ".repeat(columns.saturating_sub(width(app)));
    let revision = app.short_revision();
    let row = Row::new(Mark::Plain, format!("     {space}"))
        .and(mark, format!("{glyph} "))
        .and(Mark::Plain, format!("{}{pad}", app.name))
        .and(mark, format!("  {}", app.state))
        .and(Mark::Dim, format!("  {revision}"));
    match &app.waits {
        // The state says as much.
        Some(why) if *why != format!("is {}", app.state) => {
            row.and(Mark::Plain, format!("  {}", one_line(why)))
        }
        _ => row,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(name: &str, depth: u16, waits: Option<&str>) -> AppState {
        AppState {
            name: name.into(),
            depth,
            state: if waits.is_none() { "Synced, Healthy" } else { "Synced, Progressing" }.into(),
            revision: "1".repeat(40),
            waits: waits.map(str::to_string),
            awaited: name != "extra",
        }
    }

    fn texts(tree: &[AppState], room: usize) -> Vec<String> {
        rows(tree, room).iter().map(Row::text).collect()
    }

    #[test]
    fn a_tree_stands_in_columns() {
        let tree =
            [app("root", 0, None), app("shop", 1, Some("is Progressing: Deployment web/shop"))];
        assert_eq!(
            texts(&tree, 9),
            [
                "     ✓ root    Synced, Healthy  1111111111",
                "       · shop  Synced, Progressing  1111111111  is Progressing: Deployment web/shop",
            ]
        );
    }

    #[test]
    fn what_is_well_makes_room() {
        let mut tree = vec![app("root", 0, None)];
        tree.extend((0..9).map(|n| app(&format!("a{n}"), 1, None)));
        tree.push(app("late", 1, Some("is not there yet")));
        let rows = texts(&tree, 4);
        assert_eq!(rows.len(), 3, "{rows:?}");
        assert!(rows[1].contains("late"));
        assert_eq!(rows[2], "     … and 9 more; 10 of 11 are well");
        assert!(texts(&tree, 0).is_empty());
    }

    #[test]
    fn a_line_says_it_all() {
        let line = said(&app("shop", 1, Some("is Progressing")));
        assert_eq!(line, "shop: Synced, Progressing at 1111111111: is Progressing");
        assert!(said(&app("extra", 1, Some("is OutOfSync"))).ends_with("(not waited for)"));
    }
}
