//! One finding as text, in the manner of rustc: the line, the caret, the hint.
//!
//! The text comes from a file that anybody may have written, so nothing of it reaches the terminal
//! unescaped, and no line gets longer than a person can read.

use unicode_width::UnicodeWidthChar;

use super::{Diagnostic, Paint, Severity, Span};

/// Columns of source text that are shown of a longer line.
const WIDTH: usize = 110;
/// Columns kept before the span when a line is cut.
const LEAD: usize = 40;
const TAB: &str = "    ";

pub(super) fn one(out: &mut String, name: &str, source: &str, item: &Diagnostic, paint: Paint) {
    let (word, colour) = match item.severity {
        Severity::Error => ("error", "1;31"),
        Severity::Warning => ("warning", "1;33"),
    };
    let bold = |text: &str, code: &str| match paint {
        Paint::Plain => text.to_owned(),
        Paint::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
    };
    out.push_str(&format!("{}: {}\n", bold(word, colour), escape(&item.message)));
    // What is wrong with the file as a whole is no fault of its first line.
    if item.span == (0..0) && item.related.is_empty() {
        out.push_str(&format!("  {} {}\n", bold("-->", "1;34"), escape(name)));
    } else {
        excerpt(out, name, source, item, &bold, colour);
    }
    if let Some(hint) = &item.hint {
        out.push_str(&format!("{}: {}\n", bold("hint", "1;36"), escape(hint)));
    }
}

fn excerpt(
    out: &mut String,
    name: &str,
    source: &str,
    item: &Diagnostic,
    bold: &dyn Fn(&str, &str) -> String,
    colour: &str,
) {
    let mut marks = vec![Mark::new(source, &item.span, item.label.as_deref(), '^')];
    for (span, label) in &item.related {
        marks.push(Mark::new(source, span, Some(label), '-'));
    }
    let (line, column) = (marks[0].line, marks[0].column);
    marks.sort_by_key(|m| (m.line, m.column));
    let gutter = marks.last().map_or(1, |m| m.line.to_string().len());
    let bar = bold("|", "1;34");
    let pad = " ".repeat(gutter);

    let arrow = bold("-->", "1;34");
    out.push_str(&format!("{pad}{arrow} {}:{line}:{column}\n", escape(name)));
    out.push_str(&format!("{pad} {bar}\n"));
    let mut last: Option<usize> = None;
    for mark in &marks {
        if last != Some(mark.line) || mark.cut {
            if last.is_some_and(|l| l + 1 < mark.line) {
                out.push_str("...\n");
            }
            let number = bold(&format!("{:>gutter$}", mark.line), "1;34");
            out.push_str(format!("{number} {bar} {}", mark.text).trim_end());
            out.push('\n');
        }
        last = Some(mark.line);
        let carets = mark.sign.to_string().repeat(mark.width);
        let said = match &mark.label {
            Some(label) => format!("{carets} {label}"),
            None => carets,
        };
        let code = if mark.sign == '^' { colour } else { "1;34" };
        out.push_str(&format!("{pad} {bar} {}{}\n", " ".repeat(mark.indent), bold(&said, code)));
    }
}

/// One place, laid out: the piece of the line to show and where under it the carets stand.
struct Mark {
    line: usize,
    /// In characters, from one, as editors count.
    column: usize,
    text: String,
    /// Whether `text` is only a piece of the line, so that two marks may show different pieces.
    cut: bool,
    indent: usize,
    width: usize,
    label: Option<String>,
    sign: char,
}

impl Mark {
    fn new(source: &str, span: &Span, label: Option<&str>, sign: char) -> Self {
        let before = &source[..span.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        let rest = &source[line_start..];
        let text = rest[..rest.find('\n').unwrap_or(rest.len())].trim_end_matches('\r');
        let from = (span.start - line_start).min(text.len());
        // A span of several lines is shown by its first.
        let to = (span.end - line_start).clamp(from, text.len());

        let (lead, lead_cut) = tail(&text[..from], LEAD, columns(text) > WIDTH);
        let room = WIDTH.saturating_sub(columns(&lead));
        let (middle, middle_cut) = head(&text[from..to], room);
        let room = room.saturating_sub(columns(&text[from..to]));
        let (trail, trail_cut) =
            if middle_cut { (String::new(), true) } else { head(&text[to..], room) };
        let dots = |cut: bool| if cut { "..." } else { "" };
        Self {
            line,
            column: before[line_start..].chars().count() + 1,
            indent: dots(lead_cut).len() + lead.chars().map(width).sum::<usize>(),
            width: middle.chars().map(width).sum::<usize>().max(1),
            text: format!("{}{lead}{middle}{trail}{}", dots(lead_cut), dots(trail_cut)),
            cut: lead_cut || trail_cut,
            label: label.map(escape),
            sign,
        }
    }
}

/// As much of the start of `text` as fits, escaped; whether something was left out.
fn head(text: &str, room: usize) -> (String, bool) {
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let shown = shown(c);
        used += shown.chars().map(width).sum::<usize>();
        if used > room {
            return (out, true);
        }
        out.push_str(&shown);
    }
    (out, false)
}

/// As much of the end of `text` as fits, when it has to fit at all.
fn tail(text: &str, room: usize, must_fit: bool) -> (String, bool) {
    if !must_fit || columns(text) <= room {
        return (escape(text), false);
    }
    let mut pieces = Vec::new();
    let mut used = 0;
    for c in text.chars().rev() {
        let shown = shown(c);
        used += shown.chars().map(width).sum::<usize>();
        if used > room {
            break;
        }
        pieces.push(shown);
    }
    pieces.reverse();
    (pieces.concat(), true)
}

fn columns(text: &str) -> usize {
    text.chars().flat_map(|c| shown(c).chars().collect::<Vec<_>>()).map(width).sum()
}

fn width(c: char) -> usize {
    c.width().unwrap_or(0)
}

pub(super) fn escape(text: &str) -> String {
    text.chars().map(shown).collect()
}

/// Control characters would move the cursor; the direction marks of Unicode would make the line
/// read as something else than it says.
fn shown(c: char) -> String {
    let hidden = matches!(
        c,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    match c {
        '\t' => TAB.into(),
        c if c.is_control() || hidden => c.escape_default().to_string(),
        c => c.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use crate::toml_read::{Diagnostic, Diagnostics, Paint};

    fn shown(source: &str, item: Diagnostic) -> String {
        Diagnostics::new("a.toml", source, vec![item]).render(Paint::Plain)
    }

    #[test]
    fn carets_stand_under_what_is_meant_whatever_is_before_it() {
        let source = "\t値 = \"x\"\r\nb = 1\n";
        let at = source.find("\"x\"").unwrap();
        let item = Diagnostic::error(at..at + 3, "bad").label("here").hint("other");
        let expected = "error: bad\n --> a.toml:1:6\n  |\n1 |     値 = \"x\"\n  |          ^^^ here\nhint: other\n";
        assert_eq!(shown(source, item), expected);
    }

    #[test]
    fn places_are_shown_in_the_order_of_the_file_with_one_gutter() {
        let source = format!("a = 1{}b = 2\n", "\n".repeat(11));
        let at = source.find('b').unwrap();
        let item = Diagnostic::warning(at..at + 1, "two").related(0..1, "one");
        let expected = "warning: two\n  --> a.toml:12:1\n   |\n 1 | a = 1\n   | - one\n...\n12 | b = 2\n   | ^\n";
        assert_eq!(shown(&source, item), expected);
    }

    #[test]
    fn spans_that_make_no_sense_are_brought_inside() {
        let source = "é = 1";
        for span in [1..1, 4..99, 99..100, 6..6] {
            let text = shown(source, Diagnostic::error(span.clone(), "m").label("l"));
            assert!(text.contains("| é = 1\n") && text.contains('^'), "{span:?}: {text}");
        }
        let over = Diagnostic::error(0..9, "m");
        assert!(shown("ab\ncd\nef", over).ends_with("1 | ab\n  | ^^\n"));
    }

    #[test]
    fn the_file_as_a_whole_has_no_line() {
        assert_eq!(shown("x = 1", Diagnostic::error(0..0, "m")), "error: m\n  --> a.toml\n");
    }

    #[test]
    fn a_span_wider_than_the_screen_is_cut() {
        let source = format!("a = \"{}\" # tail", "x".repeat(500));
        let text = shown(&source, Diagnostic::error(4..506, "m"));
        assert!(text.lines().all(|l| l.chars().count() < 130), "{text}");
        assert!(text.contains("...\n"), "{text}");
    }

    #[test]
    fn colours_are_there_only_when_asked_for_and_never_from_the_file() {
        let found =
            Diagnostics::new("a", "\u{1b}[31m", vec![Diagnostic::error(0..1, "\u{1b}[2J\n")]);
        assert!(!found.render(Paint::Plain).contains('\u{1b}'));
        let coloured = found.render(Paint::Colour);
        assert!(coloured.contains("\u{1b}[1;31merror\u{1b}[0m: \\u{1b}[2J\\n\n"), "{coloured:?}");
    }

    #[test]
    fn what_is_masked_is_not_shown() {
        let found = Diagnostics::new("a", "x = \"sésame\"", vec![Diagnostic::error(0..1, "m")]);
        let text = found.mask(&(5..12)).render(Paint::Plain);
        assert!(text.contains("x = \"*******\"") && !text.contains("same"), "{text}");
    }

    #[test]
    fn errors_are_kept_when_there_are_too_many_findings() {
        let warnings = (0..100).map(|i| Diagnostic::warning(0..1, format!("w{i}")));
        let all = warnings.chain([Diagnostic::error(4..5, "the error")]).collect();
        let text = Diagnostics::new("a", "x = 1", all).render(Paint::Plain);
        assert!(text.contains("the error") && text.ends_with("\nand 61 more\n"), "{text}");
    }
}
