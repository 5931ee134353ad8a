//! Pieces of a line and what they mean; colour comes last, if at all.
//!
//! Lines are measured, cut and redacted as plain text. Must not know what a line is about.

use unicode_width::UnicodeWidthStr;

use super::{Redactor, words};

/// What a piece of a line says, not what it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Plain,
    Strong,
    Dim,
    Good,
    Bad,
    Warn,
    Busy,
}

impl Mark {
    fn code(self) -> &'static str {
        match self {
            Mark::Plain => "",
            Mark::Strong => "1",
            Mark::Dim => "2",
            Mark::Good => "32",
            Mark::Bad => "1;31",
            Mark::Warn => "33",
            Mark::Busy => "36",
        }
    }
}

/// One line on the screen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row(Vec<(Mark, String)>);

impl Row {
    pub fn new(mark: Mark, text: impl Into<String>) -> Self {
        Self(vec![(mark, text.into())])
    }

    pub fn and(mut self, mark: Mark, text: impl Into<String>) -> Self {
        self.0.push((mark, text.into()));
        self
    }

    pub fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// At most so many columns, whichever pieces fall away.
    pub fn cut(self, columns: usize) -> Self {
        let mut left = columns;
        let mut kept = Vec::with_capacity(self.0.len());
        for (mark, text) in self.0 {
            let fitting = words::cut(&text, left);
            let whole = fitting == text;
            left = left.saturating_sub(fitting.width());
            kept.push((mark, fitting));
            if !whole {
                break;
            }
        }
        Self(kept)
    }

    /// For the screen. A secret that only shows once the pieces stand together costs the colours.
    pub fn painted(&self, color: Color, redactor: &Redactor) -> String {
        let text = self.text();
        if !redactor.is_clean(&text) {
            return redactor.text(&text);
        }
        match color {
            Color::Never => text,
            Color::Always => self
                .0
                .iter()
                .map(|(mark, text)| match mark.code() {
                    "" => text.clone(),
                    code => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
                })
                .collect(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    Never,
    Always,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_across_pieces() {
        let row = Row::new(Mark::Good, "✓ ").and(Mark::Plain, "node-a").and(Mark::Dim, " x");
        assert_eq!(row.clone().cut(10).text(), "✓ node-a x");
        assert_eq!(row.clone().cut(6).text(), "✓ nod…");
        assert_eq!(row.cut(0).text(), "");
    }

    #[test]
    fn colour_gives_way_to_a_secret() {
        let redactor = Redactor::default();
        let row = Row::new(Mark::Good, "hun").and(Mark::Plain, "ter22");
        assert_eq!(row.painted(Color::Always, &redactor), "\u{1b}[32mhun\u{1b}[0mter22");
        redactor.add("hunter22");
        assert_eq!(row.painted(Color::Always, &redactor), "[hidden]");
    }
}
