//! Colour, wrapping and cleaning of what is shown. Must not know what a text is about.

use unicode_width::UnicodeWidthStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    Plain,
    Strong,
    Dim,
    Good,
    Warn,
    Bad,
}

pub(crate) fn paint(ink: Ink, text: &str, color: bool) -> String {
    let code = match ink {
        _ if !color => "",
        Ink::Plain => "",
        Ink::Strong => "1",
        Ink::Dim => "2",
        Ink::Good => "32",
        Ink::Warn => "33",
        Ink::Bad => "1;31",
    };
    if code.is_empty() { text.into() } else { format!("\u{1b}[{code}m{text}\u{1b}[0m") }
}

/// A disk's label or a node's error may hold anything: on a terminal it must not do anything.
pub(crate) fn clean(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    one_line.chars().map(|c| if c.is_control() || is_bidi(c) { '\u{fffd}' } else { c }).collect()
}

/// Characters that turn the direction of a line around.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// Lines of at most so many columns, broken between words; a word that is longer stays whole, for a
/// command that is cut cannot be copied. Lines after the first begin with `indent` spaces.
pub(crate) fn wrap(text: &str, columns: usize, indent: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let used = line.width();
        let is_blank = line.trim().is_empty();
        if !is_blank && used + 1 + word.width() > columns {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
        } else if !is_blank {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.trim().is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", 8, 2), ["one two", "  three"]);
        assert_eq!(wrap("extraordinarily long", 4, 2), ["extraordinarily", "  long"]);
        assert!(wrap("  ", 4, 2).is_empty());
    }

    #[test]
    fn texts_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d"), "a\u{fffd}[2Jb c\u{fffd}d");
        assert_eq!(paint(Ink::Bad, "x", false), "x");
        assert_eq!(paint(Ink::Good, "x", true), "\u{1b}[32mx\u{1b}[0m");
    }
}
