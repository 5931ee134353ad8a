//! Bars for a person at a terminal: draws the board, and prints above it what is worth keeping.
//!
//! The only user of indicatif, which moves the cursor, erases, and keeps from drawing too often.
//! Decides nothing about what is shown; must not know more of a run than the board does.
#![allow(clippy::disallowed_methods, reason = "how old a picture is, is the terminal's own time")]

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::{
    Fold, Options, Size,
    board::Board,
    clean::Cleaner,
    downloads,
    lines::{Weight, narrate},
    paint::{Color, Mark, Row},
    plain::{trailer, unfinished},
    rows::{self, Frame},
};
use crate::events::{Event, PhaseResult, Stamped};

/// Enough for a spinner, little enough for a slow SSH session.
const PICTURES_A_SECOND: u8 = 12;

pub struct Bars {
    cleaner: Cleaner,
    board: Board,
    options: Options,
    color: Color,
    screen: Screen,
    multi: MultiProgress,
    /// All rows are one message of one bar: so a picture is drawn whole or not at all.
    bar: Option<ProgressBar>,
    pictures: usize,
    /// When the newest event came: the board's clock goes on from there between events.
    newest: Instant,
}

impl Bars {
    pub fn new(mut options: Options, out: Box<dyn Write + Send>) -> Self {
        let cleaner = Cleaner::new(options.redactor.clone());
        let expected = std::mem::replace(&mut options.expected, Box::new(|_, _| None));
        let screen = Screen { out: Arc::new(Mutex::new(out)), size: options.size.clone() };
        let target =
            ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), PICTURES_A_SECOND);
        Self {
            cleaner,
            board: Board::new(expected),
            color: if options.color { Color::Always } else { Color::Never },
            options,
            screen,
            multi: MultiProgress::with_draw_target(target),
            bar: None,
            pictures: 0,
            newest: Instant::now(),
        }
    }

    fn draw(&mut self) {
        let (columns, lines) = self.options.size.get();
        let since = u64::try_from(self.newest.elapsed().as_millis()).unwrap_or(u64::MAX);
        let frame = Frame {
            now_ms: self.board.at_ms.saturating_add(since),
            columns: columns.into(),
            lines: lines.into(),
            number: self.pictures,
        };
        let rows = rows::rows(&self.board, frame);
        if rows.is_empty() {
            return self.clear();
        }
        let redactor = self.cleaner.redactor();
        let rows: Vec<String> = rows.iter().map(|row| row.painted(self.color, redactor)).collect();
        let multi = &self.multi;
        let bar = self.bar.get_or_insert_with(|| {
            let bar = multi.add(ProgressBar::no_length());
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            bar
        });
        bar.set_message(rows.join("\n"));
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            self.multi.remove(&bar);
        }
    }

    /// Above the bars, to stay there.
    fn print<'a>(&self, rows: impl IntoIterator<Item = &'a Row>) {
        let redactor = self.cleaner.redactor();
        let lines = rows.into_iter().map(|row| row.painted(self.color, redactor));
        let text: String = lines.map(|line| format!("{}\n", line.trim_end())).collect();
        if text.is_empty() {
            return;
        }
        let screen = &self.screen;
        let write = || {
            let mut out = screen.lock();
            let _ = out.write_all(text.as_bytes());
            let _ = out.flush();
        };
        match &self.bar {
            Some(_) => self.multi.suspend(write),
            None => write(),
        }
    }
}

impl Fold for Bars {
    fn event(&mut self, stamped: &Stamped) {
        let stamped = self.cleaner.event(stamped);
        if let Event::RunStarted(_) = stamped.event {
            self.print(&downloads::fetched(&self.board, stamped.at_ms));
        }
        self.board.apply(&stamped);
        self.newest = Instant::now();
        if let Event::RunFinished(_) = stamped.event {
            self.clear();
        }
        if let Event::PhaseFinished { phase, result, elapsed_ms } = &stamped.event {
            let how = match result {
                PhaseResult::Done => (Mark::Good, "✓"),
                PhaseResult::Failed => (Mark::Bad, "✗"),
                PhaseResult::Interrupted => (Mark::Warn, "■"),
            };
            let row = rows::finished_phase(&self.board, phase.as_str(), how, *elapsed_ms);
            self.print([&row]);
        } else {
            // The rows tell what plain lines tell, until somebody asks for more.
            let most = match self.options.verbose {
                0 => Weight::Headline,
                1 => Weight::Detail,
                _ => Weight::Trace,
            };
            let trailer = trailer(&self.board.view, &self.options);
            let lines = narrate(&self.board.view, &stamped.event, trailer);
            self.print(lines.iter().filter(|line| line.weight <= most).map(|line| &line.row));
        }
        self.draw();
    }

    fn tick(&mut self) {
        self.pictures = self.pictures.wrapping_add(1);
        self.draw();
    }

    fn finish(&mut self) {
        self.clear();
        self.print(&unfinished(&self.board.view, &self.options));
    }
}

/// The given writer as a terminal: indicatif's own would write to the process's stdout.
#[derive(Clone)]
struct Screen {
    out: Arc<Mutex<Box<dyn Write + Send>>>,
    size: Size,
}

impl Screen {
    fn lock(&self) -> MutexGuard<'_, Box<dyn Write + Send>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Errors end here: indicatif panics on some of them, and a closed terminal must not end a run.
    fn put(&self, bytes: &str) -> io::Result<()> {
        let _ = self.lock().write_all(bytes.as_bytes());
        Ok(())
    }

    fn cursor(&self, distance: usize, direction: char) -> io::Result<()> {
        match distance {
            0 => Ok(()),
            n => self.put(&format!("\u{1b}[{n}{direction}")),
        }
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Screen")
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        self.size.get().0
    }

    fn height(&self) -> u16 {
        self.size.get().1
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.cursor(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.cursor(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.cursor(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.cursor(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.put(&format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.put(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.put("\r\u{1b}[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let _ = self.lock().flush();
        Ok(())
    }
}
