//! What a person, or a program, sees of a run: folds of the one event stream.
//!
//! Bars, plain lines, JSON lines and the log file read the same events and nothing else, so they
//! cannot disagree. Must not know where events come from, and must never fail a run: what cannot be
//! written (a closed pipe, a full disk) is dropped.

mod words;

mod clean;

mod failure;
mod lines;
mod paint;
mod run;

mod bars;
mod board;
mod downloads;
#[cfg(test)]
mod fixture;
mod json;
mod log;
mod plain;
mod rows;
mod tree;

use std::{fmt, io::Write, path::PathBuf, str::FromStr, sync::Arc};

pub use self::{
    bars::Bars,
    board::{Board, Lane, LaneState, PhaseBoard},
    clean::Cleaner,
    failure::render as render_failures,
    json::Json,
    log::Log,
    plain::Plain,
    words::{count, duration, list},
};
use crate::events::Stamped;
pub use crate::redact::{HIDDEN, Redactor};

/// One way of looking at the stream.
pub trait Fold: Send {
    fn event(&mut self, stamped: &Stamped);

    /// Time has passed; call it about ten times a second. Only what moves needs it.
    fn tick(&mut self) {}

    /// The stream is over. After a `RunFinished` this has nothing left to say; without one (the
    /// engine itself broke) it shows the failures that were seen.
    fn finish(&mut self) {}
}

/// `--output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Human,
    Plain,
    Json,
}

impl Mode {
    /// The flag if there is one; else bars on a terminal and plain lines off it.
    pub fn choose(flag: Option<Mode>, stdout_is_terminal: bool) -> Mode {
        flag.unwrap_or(if stdout_is_terminal { Mode::Human } else { Mode::Plain })
    }
}

impl FromStr for Mode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "human" => Ok(Mode::Human),
            "plain" => Ok(Mode::Plain),
            "json" => Ok(Mode::Json),
            other => Err(format!("`{other}` is none of human, plain, json")),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Mode::Human => "human",
            Mode::Plain => "plain",
            Mode::Json => "json",
        })
    }
}

/// How long a phase took in earlier runs, in milliseconds: `(verb, phase)`.
pub type Expected = Box<dyn Fn(&str, &str) -> Option<u64> + Send>;

/// The terminal's columns and rows, asked anew for every picture so that a resize is followed.
#[derive(Clone)]
pub struct Size(Arc<dyn Fn() -> (u16, u16) + Send + Sync>);

impl Size {
    pub fn fixed(columns: u16, rows: u16) -> Self {
        Self(Arc::new(move || (columns, rows)))
    }

    pub fn of_stdout() -> Self {
        Self(Arc::new(|| {
            terminal_size::terminal_size_of(std::io::stdout())
                .map_or((80, 24), |(columns, rows)| (columns.0, rows.0))
        }))
    }

    /// Never smaller than what the drawing needs to stay readable.
    pub fn get(&self) -> (u16, u16) {
        let (columns, rows) = (self.0)();
        (columns.max(20), rows.max(4))
    }
}

pub struct Options {
    /// Off when `NO_COLOR` is set: the caller's business. Plain and JSON never colour.
    pub color: bool,
    /// How many `-v`: 1 adds what held and what ops print, 2 adds the bookkeeping.
    pub verbose: u8,
    pub size: Size,
    pub expected: Expected,
    /// Named under a failure. Whoever opens it gives it to a [`Log`].
    pub log_file: Option<PathBuf>,
    pub redactor: Redactor,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            color: false,
            verbose: 0,
            size: Size::fixed(100, 30),
            expected: Box::new(|_, _| None),
            log_file: None,
            redactor: Redactor::default(),
        }
    }
}

/// The fold for a mode. All it prints goes to `out`.
pub fn fold(mode: Mode, options: Options, out: Box<dyn Write + Send>) -> Box<dyn Fold> {
    match mode {
        Mode::Human => Box::new(Bars::new(options, out)),
        Mode::Plain => Box::new(Plain::new(options, out)),
        Mode::Json => Box::new(Json::new(options.redactor, out)),
    }
}

/// Several folds of one stream: the screen and the log file.
#[derive(Default)]
pub struct Tee(Vec<Box<dyn Fold>>);

impl Tee {
    pub fn with(mut self, fold: Box<dyn Fold>) -> Self {
        self.0.push(fold);
        self
    }
}

impl Fold for Tee {
    fn event(&mut self, stamped: &Stamped) {
        self.0.iter_mut().for_each(|fold| fold.event(stamped));
    }

    fn tick(&mut self) {
        self.0.iter_mut().for_each(|fold| fold.tick());
    }

    fn finish(&mut self) {
        self.0.iter_mut().for_each(|fold| fold.finish());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_over_the_terminal() {
        assert_eq!(Mode::choose(None, true), Mode::Human);
        assert_eq!(Mode::choose(None, false), Mode::Plain);
        assert_eq!(Mode::choose(Some(Mode::Json), true), Mode::Json);
        for mode in [Mode::Human, Mode::Plain, Mode::Json] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert_eq!("xml".parse::<Mode>(), Err("`xml` is none of human, plain, json".into()));
    }
}
