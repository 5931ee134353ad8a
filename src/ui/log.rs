//! The log file: every event, also those that nobody looks at, as lines with a time.
//!
//! The caller opens the file (0600) and names it in the options of the screen's fold. Must not know
//! the screen or its verbosity.

use std::io::Write;

use super::{
    Fold, Redactor, clean::Cleaner, failure::Trailer, lines::narrate, run::RunView, words::utc,
};
use crate::events::Stamped;

pub struct Log {
    cleaner: Cleaner,
    view: RunView,
    out: Box<dyn Write + Send>,
}

impl Log {
    pub fn new(redactor: Redactor, out: Box<dyn Write + Send>) -> Self {
        let cleaner = Cleaner::new(redactor);
        Self { cleaner, view: RunView::default(), out }
    }
}

impl Fold for Log {
    fn event(&mut self, stamped: &Stamped) {
        let stamped = self.cleaner.event(stamped);
        self.view.apply(&stamped);
        let command = self.view.started.as_ref().map(|run| run.command.as_str());
        let trailer = Trailer { log_file: None, command };
        let at = utc(stamped.at_ms);
        for line in narrate(&self.view, &stamped.event, trailer) {
            let text = self.cleaner.redactor().text(&line.row.text());
            let _ = writeln!(self.out, "{at} #{:<5} {}", stamped.index, text.trim_end());
        }
        // Flushed at once: the last lines before a crash are the ones that are wanted.
        let _ = self.out.flush();
    }
}
