//! Where text goes. A closed pipe is not an error: whoever reads has read enough.

use std::io::{IsTerminal, Write};

use crate::toml_read::Paint;

pub fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

pub fn err(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

pub fn json(value: &serde_json::Value) {
    out(&format!("{value}\n"));
}

/// Colour, on a terminal that did not ask for none.
pub fn color() -> bool {
    std::io::stdout().is_terminal() && !no_color()
}

pub fn paint() -> Paint {
    if std::io::stderr().is_terminal() && !no_color() { Paint::Colour } else { Paint::Plain }
}

fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
}
