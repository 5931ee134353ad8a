//! What is fetched before a run begins: a row for each file that is on its way.
//!
//! Pure, like the rows of a run.

use super::{
    board::Board,
    paint::{Mark, Row},
    rows::{Frame, bar, bar_columns, spinner},
    words::{count, duration, fit},
};
use crate::events::{Download, megabytes};

/// How much of it is here, and in how many files.
fn here(board: &Board) -> (usize, u64) {
    let done = board.downloads.iter().filter(|d| d.done).count();
    (done, board.downloads.iter().fold(0, |sum, d| sum.saturating_add(d.bytes)))
}

pub fn rows(board: &Board, frame: Frame) -> Vec<Row> {
    if board.downloads.is_empty() {
        return Vec::new();
    }
    let under_way: Vec<&Download> = board.downloads.iter().filter(|d| !d.done).collect();
    let (done, bytes) = here(board);
    let took = duration(frame.now_ms.saturating_sub(board.started_ms));
    let rate = under_way.iter().filter_map(|d| d.per_s).fold(0, u64::saturating_add);
    let rate = if rate > 0 { format!(", {}/s", megabytes(rate)) } else { String::new() };
    let header = Row::new(Mark::Strong, "fetching").and(
        Mark::Dim,
        format!("  {took}   {} there, {}{rate}", count(done, "file"), megabytes(bytes)),
    );
    let name = under_way.iter().map(|d| d.what.chars().count()).max().unwrap_or(0);
    let name = name.min(frame.columns / 2);
    // One line for the header, and one that stays free below.
    let room = frame.lines.saturating_sub(2).max(1);
    let rows = under_way.iter().take(room).map(|download| {
        let Download { what, bytes, total, per_s, done: _ } = download;
        let far = match total {
            Some(total) => format!("{:.1} of {}", *bytes as f64 / 1e6, megabytes(*total)),
            None => megabytes(*bytes),
        };
        let rate = per_s.map_or(String::new(), |rate| format!("  {}/s", megabytes(rate)));
        let full =
            total.map_or(String::new(), |total| bar(*bytes, total, bar_columns(frame.columns)));
        Row::new(Mark::Busy, format!("  {}", fit(spinner(frame), 3)))
            .and(Mark::Plain, fit(what, name))
            .and(Mark::Busy, full)
            .and(Mark::Dim, format!("  {far}{rate}"))
    });
    std::iter::once(header).chain(rows).collect()
}

/// What stays of it on the screen.
pub fn fetched(board: &Board, now_ms: u64) -> Option<Row> {
    let (done, bytes) = here(board);
    let took = duration(now_ms.saturating_sub(board.started_ms));
    (done > 0).then(|| {
        let text = format!("fetched {}, {} in {took}", count(done, "file"), megabytes(bytes));
        Row::new(Mark::Good, "✓ ").and(Mark::Plain, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        events::Event,
        ui::fixture::{board, play, run},
    };

    fn download(what: &str, megabytes: u64, total: Option<u64>, done: bool) -> Event {
        let total = total.map(|total| total * 1_000_000);
        let per_s = (!done).then_some(12_100_000);
        Event::Download(Download {
            what: what.into(),
            bytes: megabytes * 1_000_000,
            total,
            per_s,
            done,
        })
    }

    #[test]
    fn what_is_under_way_has_a_row_and_what_came_is_counted() {
        let mut board = board(|_, _| None);
        let frame = Frame { now_ms: 3_000, columns: 80, lines: 24, number: 0 };
        assert!(rows(&board, frame).is_empty() && fetched(&board, 0).is_none());
        play(
            &mut board,
            vec![
                download("kubelet 1.36.4", 40, Some(84), false),
                download("crictl 1.36.0", 10, Some(10), false),
                download("registry.k8s.io/etcd:3.6.8-0", 3, None, false),
                download("crictl 1.36.0", 10, Some(10), true),
            ],
        );
        let text = |board: &Board| -> String {
            rows(board, frame).iter().map(|row| row.text() + "\n").collect()
        };
        insta::assert_snapshot!(text(&board), @r"
        fetching  3.0 s   1 file there, 53.0 MB, 24.2 MB/s
          ⣾  kubelet 1.36.4                █████░░░░░░░  40.0 of 84.0 MB  12.1 MB/s
          ⣾  registry.k8s.io/etcd:3.6.8-0  3.0 MB  12.1 MB/s
        ");
        let narrow = rows(&board, Frame { columns: 30, lines: 3, ..frame });
        assert_eq!(narrow.len(), 2);
        let fetched_row = fetched(&board, 4_000).unwrap().text();
        assert_eq!(fetched_row, "✓ fetched 1 file, 53.0 MB in 4.0 s");
        play(&mut board, vec![run(&["a"], &["p"])]);
        assert!(fetched(&board, 4_000).is_none());
    }
}
