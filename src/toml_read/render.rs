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
