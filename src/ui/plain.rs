//! Plain lines for CI logs and files: one an item, no colour, no control characters.
//!
//! Must not know the terminal: the same stream gives the same bytes everywhere.

use std::io::Write;

use super::{
    Fold, Options,
    clean::Cleaner,
    failure::{self, Trailer},
    lines::{Weight, narrate},
    paint::Row,
    run::RunView,
};
use crate::events::Stamped;

pub struct Plain {
    cleaner: Cleaner,
    view: RunView,
    options: Options,
    out: Box<dyn Write + Send>,
}

impl Plain {
    pub fn new(options: Options, out: Box<dyn Write + Send>) -> Self {
        let cleaner = Cleaner::new(options.redactor.clone());
        Self { cleaner, view: RunView::default(), options, out }
    }

    fn print<'a>(&mut self, rows: impl IntoIterator<Item = &'a Row>) {
        for row in rows {
            let text = self.cleaner.redactor().text(&row.text());
            let _ = writeln!(self.out, "{}", text.trim_end());
        }
        let _ = self.out.flush();
    }
}

impl Fold for Plain {
    fn event(&mut self, stamped: &Stamped) {
        let stamped = self.cleaner.event(stamped);
        self.view.apply(&stamped);
        let most = match self.options.verbose {
            0 => Weight::Item,
            1 => Weight::Detail,
            _ => Weight::Trace,
        };
        let lines = narrate(&self.view, &stamped.event, trailer(&self.view, &self.options));
        self.print(lines.iter().filter(|line| line.weight <= most).map(|line| &line.row));
    }

    fn finish(&mut self) {
        let rows = unfinished(&self.view, &self.options);
        self.print(&rows);
    }
}

pub fn trailer<'a>(view: &'a RunView, options: &'a Options) -> Trailer<'a> {
    Trailer {
        log_file: options.log_file.as_deref(),
        command: view.started.as_ref().map(|run| run.command.as_str()),
    }
}

/// The failures of a stream that ended without saying so.
pub fn unfinished(view: &RunView, options: &Options) -> Vec<Row> {
    let failures = view.failures(&[]);
    if view.finished || failures.is_empty() {
        return Vec::new();
    }
    failure::blocks(&failures, trailer(view, options))
}
