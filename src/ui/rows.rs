//! The board as rows of text, cut to the terminal: what the bars draw.
//!
//! Pure. Must not know how rows get to the screen, or events.

use super::{
    board::{Board, Lane, LaneState, PhaseBoard},
    downloads,
    lines::place,
    paint::{Mark, Row},
    tree,
    words::{duration, fit, rough},
};

const SPINNER: [&str; 8] = ["⣾", "⣽", "⣻", "⢿", "⡿", "⣟", "⣯", "⣷"];

pub fn spinner(frame: Frame) -> &'static str {
    SPINNER[frame.number % SPINNER.len()]
}

/// When and where a picture is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    pub now_ms: u64,
    pub columns: usize,
    pub lines: usize,
    /// Which picture this is: turns the spinner.
    pub number: usize,
}

/// A header and one row a lane, at most as many as fit.
pub fn rows(board: &Board, frame: Frame) -> Vec<Row> {
    if board.view.finished {
        return Vec::new();
    }
    if board.view.started.is_none() {
        return cut(downloads::rows(board, frame), frame);
    }
    let mut rows = vec![header(board, frame)];
    if let Some(phase) = &board.phase {
        // One line for the header, one that stays free below, one for what is not shown.
        let room = frame.lines.saturating_sub(2).max(1);
        let (shown, hidden) = choose(board, &phase.lanes, room);
        let layout = Layout::of(&shown, frame.columns);
        rows.extend(shown.iter().map(|lane| lane_row(board, lane, layout, frame)));
        rows.extend((!hidden.is_empty()).then(|| more(board, &hidden)));
        rows.extend(tree::rows(&board.view.tree, frame.lines.saturating_sub(rows.len() + 1)));
    }
    cut(rows, frame)
}

/// One column stays free: some terminals wrap as soon as the last one is written.
fn cut(rows: Vec<Row>, frame: Frame) -> Vec<Row> {
    rows.into_iter().map(|row| row.cut(frame.columns.saturating_sub(1))).collect()
}

/// A phase that is over, on one line.
pub fn finished_phase(board: &Board, phase: &str, how: (Mark, &str), elapsed_ms: u64) -> Row {
    let phases = board.view.started.iter().flat_map(|run| &run.phases);
    let width = phases.map(|p| p.as_str().len()).max().unwrap_or(0).min(32);
    let tally = board.view.tally;
    Row::new(how.0, format!("{} ", how.1)).and(Mark::Plain, format!("{phase:<width$}")).and(
        Mark::Dim,
        format!(
            "  {:>9}   {} changed, {} unchanged",
            duration(elapsed_ms),
            tally.changed,
            tally.unchanged
        ),
    )
}

fn header(board: &Board, frame: Frame) -> Row {
    // First, so that a narrow terminal cannot cut it away.
    let mut row = match board.view.simulated() {
        true => Row::new(Mark::Warn, "SIMULATED "),
        false => Row::default(),
    };
    let run_took = duration(frame.now_ms.saturating_sub(board.started_ms));
    match &board.phase {
        Some(phase) => {
            row = row.and(Mark::Strong, place(&board.view, &phase.name));
            row = row.and(Mark::Dim, format!("  {}", phase_clock(board, phase, frame)));
            let run_left =
                board.run_left_ms(frame.now_ms).map(|ms| format!(", {} left", rough(ms)));
            let run = format!("   whole run {run_took}{}", run_left.unwrap_or_default());
            row = row.and(Mark::Dim, run);
        }
        None => {
            let verb = board.view.started.as_ref().map_or("", |run| run.verb.as_str());
            row = row.and(Mark::Strong, verb).and(Mark::Dim, format!("  {run_took}"));
        }
    }
    match board.interrupted {
        true => row.and(Mark::Warn, "   stopping"),
        false => row,
    }
}

fn phase_clock(board: &Board, phase: &PhaseBoard, frame: Frame) -> String {
    let took = duration(frame.now_ms.saturating_sub(phase.started_ms));
    match (board.phase_left_ms(frame.now_ms), phase.expected_ms) {
        (Some(left), _) => format!("{took}, about {} left", rough(left)),
        (None, Some(usual)) => format!("{took}, usually {}", rough(usual)),
        (None, None) => took,
    }
}

/// All in their order if they fit; else those first that want to be seen.
fn choose<'a>(board: &Board, lanes: &'a [Lane], room: usize) -> (Vec<&'a Lane>, Vec<&'a Lane>) {
    let mut lanes: Vec<&Lane> = lanes.iter().collect();
    if lanes.len() <= room {
        return (lanes, Vec::new());
    }
    lanes.sort_by_key(|lane| board.state(lane).rank());
    let hidden = lanes.split_off(room.saturating_sub(1));
    (lanes, hidden)
}

/// `… and 88 more: 80 done, 8 waiting`.
fn more(board: &Board, hidden: &[&Lane]) -> Row {
    let names = ["failed", "lost", "again", "running", "waiting", "done"];
    let mut counts = [0usize; 6];
    for lane in hidden {
        counts[usize::from(board.state(lane).rank()).min(5)] += 1;
    }
    let counts = names.iter().zip(counts).filter(|(_, n)| *n > 0);
    let counts: Vec<String> = counts.map(|(name, n)| format!("{n} {name}")).collect();
    Row::new(Mark::Dim, format!("  … and {} more: {}", hidden.len(), counts.join(", ")))
}

#[derive(Debug, Clone, Copy)]
struct Layout {
    name: usize,
    bar: usize,
    digits: usize,
}

impl Layout {
    fn of(lanes: &[&Lane], columns: usize) -> Self {
        let name = lanes.iter().map(|lane| lane.node.as_str().len()).max().unwrap_or(0);
        let total = lanes.iter().map(|lane| lane.total).max().unwrap_or(0);
        Self {
            name: name.min(columns / 4),
            bar: bar_columns(columns),
            digits: total.to_string().len(),
        }
    }
}

fn lane_row(board: &Board, lane: &Lane, layout: Layout, frame: Frame) -> Row {
    let state = board.state(lane);
    let (glyph, mark, text) = lane_text(lane, &state, frame);
    let width = layout.digits;
    // Three columns, for ⚡ takes two and all names stand under each other.
    Row::new(mark, format!("  {}", fit(glyph, 3)))
        .and(Mark::Plain, fit(lane.node.as_str(), layout.name))
        .and(mark, bar(u64::from(lane.done), u64::from(lane.total), layout.bar))
        .and(Mark::Dim, format!("  {:>width$}/{:<width$}  ", lane.done, lane.total))
        .and(if mark == Mark::Busy { Mark::Plain } else { mark }, text)
}

fn lane_text(lane: &Lane, state: &LaneState, frame: Frame) -> (&'static str, Mark, String) {
    let title = &lane.title;
    // The reason before the op: the end of a row is what a narrow terminal cuts.
    match state {
        LaneState::Waiting => ("·", Mark::Dim, "waiting".into()),
        LaneState::Running { since_ms } => {
            let took = frame.now_ms.saturating_sub(*since_ms);
            // A time beside everything is noise; beside what is slow it says that the run lives.
            let took = if took < 5000 { String::new() } else { format!("  {}", duration(took)) };
            let through = match lane.acting == lane.node {
                true => String::new(),
                false => format!(" (through {})", lane.acting),
            };
            (spinner(frame), Mark::Busy, format!("{title}{through}{took}"))
        }
        LaneState::Retry { attempt, until_ms, why } => {
            let wait = duration(until_ms.saturating_sub(frame.now_ms));
            ("↻", Mark::Warn, format!("attempt {attempt} in {wait}: {why}: {title}"))
        }
        LaneState::Lost { why } => ("⚡", Mark::Warn, format!("connection lost: {why}")),
        LaneState::Failed { why } => ("✗", Mark::Bad, format!("{why}: {title}")),
        LaneState::Done => ("✓", Mark::Good, String::new()),
    }
}

/// How much of a terminal's width is for a bar.
pub fn bar_columns(columns: usize) -> usize {
    match columns {
        100.. => 20,
        70.. => 12,
        50.. => 6,
        _ => 0,
    }
}

pub fn bar(done: u64, total: u64, columns: usize) -> String {
    if columns == 0 {
        return String::new();
    }
    let full = match total {
        0 => columns,
        total => (columns as u64).saturating_mul(done).checked_div(total).unwrap_or(0) as usize,
    };
    let full = full.min(columns);
    format!("  {}{}", "█".repeat(full), "░".repeat(columns - full))
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;
    use crate::ui::fixture::{self, lost, op, phase, retry, run};

    const FRAME: Frame = Frame { now_ms: 3_000, columns: 80, lines: 24, number: 0 };

    fn texts(board: &Board, frame: Frame) -> String {
        rows(board, frame).iter().map(|row| row.text() + "\n").collect()
    }

    #[test]
    fn a_phase_with_every_state() {
        let mut board = fixture::board(|_, _| Some(60_000));
        let nodes = ["node-a", "node-b", "node-c", "node-d", "node-e"];
        fixture::play(
            &mut board,
            vec![
                run(&nodes, &["first", "second"]),
                phase("first", &nodes, 4),
                op("first", "node-a", 1).done(),
                op("first", "node-a", 2).started(),
                retry(op("first", "node-b", 0), "connection refused"),
                op("first", "node-c", 0).started(),
                lost("node-c", "reset by peer"),
                op("first", "node-d", 0).failed("no space left"),
                op("first", "node-e", 3).done(),
            ],
        );
        insta::assert_snapshot!(texts(&board, FRAME), @r"
        [1/2] first  3.0 s, about 1 m left   whole run 3.0 s, 2 m left
          ⣾  node-a  ██████░░░░░░  2/4  write file 2
          ↻  node-b  ░░░░░░░░░░░░  0/4  attempt 2 in 2.0 s: connection refused: write …
          ⚡ node-c  ░░░░░░░░░░░░  0/4  connection lost: reset by peer
          ✗  node-d  ░░░░░░░░░░░░  0/4  no space left: write file 0
          ✓  node-e  ████████████  4/4
        ");
    }

    #[test]
    fn a_hundred_nodes_show_who_needs_it() {
        let names: Vec<String> = (0..100).map(|n| format!("n{n:02}")).collect();
        let nodes: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut board = fixture::board(|_, _| None);
        let mut events = vec![run(&nodes, &["only"]), phase("only", &nodes, 2)];
        events.extend((0..80).map(|n| op("only", nodes[n], 1).done()));
        events.push(op("only", "n90", 0).failed("no route"));
        events.push(op("only", "n95", 0).started());
        fixture::play(&mut board, events);
        let frame = Frame { columns: 40, lines: 8, ..FRAME };
        insta::assert_snapshot!(texts(&board, frame), @r"
        [1/1] only  3.0 s   whole run 3.0 s
          ✗  n90  0/2  no route: write file 0
          ⣾  n95  0/2  write file 0
          ·  n80  0/2  waiting
          ·  n81  0/2  waiting
          ·  n82  0/2  waiting
          … and 95 more: 15 waiting, 80 done
        ");
    }

    #[test]
    fn no_row_is_wider_or_lower_than_the_terminal() {
        let mut board = fixture::board(|_, _| None);
        let nodes = ["node-a", "node-b", "node-c"];
        let mut wide = op("only", "node-a", 0);
        wide.0.title = "日本語".repeat(40);
        fixture::play(
            &mut board,
            vec![run(&nodes, &["only"]), phase("only", &nodes, 3), wide.started()],
        );
        for columns in 0..120 {
            for lines in 0..8 {
                let rows = rows(&board, Frame { columns, lines, ..FRAME });
                assert!(rows.len() <= lines.max(2));
                assert!(rows.iter().all(|row| row.text().width() <= columns.saturating_sub(1)));
            }
        }
    }
}
