//! Secrets that must not be seen: those registered while running, and what looks like one.
//!
//! Nothing secret should reach the UI at all (events are redacted where they are made); this is
//! what stands between a mistake there and a screen, a CI log or a file, on the controller and on
//! the nodes. Must not know events.

mod scan;
mod strip;

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use zeroize::Zeroizing;

pub use crate::secret::HIDDEN;
use scan::scan;
use strip::{is_control, strip};

/// Hiding every `a` of a text would not hide that the secret is `a`, and would hide the text.
const SHORTEST: usize = 4;
/// Shorter lines of a secret (`{`, `data:`) are no secrets themselves.
const SHORTEST_LINE: usize = 8;

/// Shared: whoever learns a secret adds it, every fold hides it from then on.
#[derive(Clone, Default)]
pub struct Redactor(Arc<Mutex<Vec<Zeroizing<String>>>>);

impl Redactor {
    /// Registers a secret, each long line of it (output arrives by lines), and how JSON writes it.
    pub fn add(&self, secret: &str) {
        let secret = secret.trim();
        let lines = secret.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE);
        let escaped = Zeroizing::new(serde_json::Value::from(secret).to_string());
        let in_json = escaped.trim_matches('"');
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for form in [secret, in_json].into_iter().chain(lines) {
            if form.len() >= SHORTEST && !known.iter().any(|have| have.as_str() == form) {
                known.push(Zeroizing::new(form.to_owned()));
            }
        }
    }

    pub fn text(&self, text: &str) -> String {
        replace(text, self.ranges(text).0)
    }

    /// Hidden, stripped, and hidden again: taking an escape sequence out may join a secret's halves.
    pub fn clean(&self, text: &mut String) {
        *text = self.text(text);
        if text.chars().any(is_control) {
            *text = self.text(&strip(text));
        }
    }

    /// The same, for lines of which one may go on in the next.
    pub fn clean_lines(&self, lines: &mut [String]) {
        let mut guard = LineGuard::default();
        for line in lines {
            *line = guard.line(self, line);
            self.clean(line);
        }
    }

    pub fn is_clean(&self, text: &str) -> bool {
        self.ranges(text).0.is_empty()
    }

    /// All ranges are found in the text as it came and then replaced at once: replacing one secret
    /// after the other would leave the tail of a longer one that shares its beginning.
    fn ranges(&self, text: &str) -> (Vec<Range<usize>>, bool) {
        let found = scan(text);
        let mut ranges = found.ranges;
        for secret in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let mut from = 0;
            while let Some(at) = text[from..].find(secret.as_str()).map(|at| from + at) {
                ranges.push(at..at + secret.len());
                from = at + text[at..].chars().next().map_or(1, char::len_utf8);
            }
        }
        (merge(ranges), found.open)
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor([hidden])")
    }
}

/// Hides secrets in lines that arrive one after the other: a private key spans many of them, and
/// kubeadm prints a certificate key on the line after the words that announce it.
#[derive(Debug, Default)]
pub struct LineGuard {
    before: Zeroizing<String>,
}

impl LineGuard {
    pub fn line(&mut self, redactor: &Redactor, line: &str) -> String {
        let both = Zeroizing::new(format!("{}\n{line}", self.before.as_str()));
        let start = self.before.len() + 1;
        let (ranges, open) = redactor.ranges(&both);
        let own = ranges
            .into_iter()
            .filter(|range| range.end > start)
            .map(|range| range.start.max(start) - start..range.end - start)
            .collect();
        self.before = Zeroizing::new(if open { scan::PEM_OPEN.into() } else { line.to_owned() });
        replace(line, own)
    }
}

fn merge(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

fn replace(text: &str, ranges: Vec<Range<usize>>) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for range in ranges {
        shown.push_str(&text[from..range.start]);
        shown.push_str(HIDDEN);
        from = range.end;
    }
    shown.push_str(&text[from..]);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_secrets_are_hidden_wherever_they_stand() {
        let redactor = Redactor::default();
        redactor.add("hunter22");
        redactor.clone().add("hunter22-long\n");
        assert_eq!(redactor.text("pw=hunter22, hunter22-long!"), "pw=[hidden], [hidden]!");
        assert_eq!(redactor.text("hunter2"), "hunter2");
        assert!(redactor.is_clean("nothing here"));
        assert_eq!(format!("{redactor:?}"), "Redactor([hidden])");
    }

    #[test]
    fn secrets_that_overlap_leave_nothing_behind() {
        let redactor = Redactor::default();
        redactor.add("abcd1");
        redactor.add("d1xyz");
        redactor.add("aaaa");
        assert_eq!(redactor.text("abcd1xyz aaaaaa"), "[hidden] [hidden]");
    }

    #[test]
    fn short_and_empty_ones_are_not_registered() {
        let redactor = Redactor::default();
        for short in ["", " \n", "abc"] {
            redactor.add(short);
        }
        assert_eq!(redactor.text("abc"), "abc");
    }

    #[test]
    fn escaped_and_line_by_line() {
        let redactor = Redactor::default();
        redactor.add("pass\"word\nsecond line");
        assert_eq!(redactor.text(r#"{"p":"pass\"word\nsecond line"}"#), r#"{"p":"[hidden]"}"#);
        assert_eq!(redactor.text("> pass\"word"), "> [hidden]");
    }

    #[test]
    fn a_secret_behind_an_escape_sequence_is_hidden() {
        let redactor = Redactor::default();
        redactor.add("hunter22");
        let mut text = "pw hunt\u{1b}[0mer22".to_owned();
        redactor.clean(&mut text);
        assert_eq!(text, "pw [hidden]");
    }

    #[test]
    fn a_guard_remembers_the_lines_before() {
        let (redactor, mut guard) = (Redactor::default(), LineGuard::default());
        let mut line = |text: &str| guard.line(&redactor, text);
        assert_eq!(line("-----BEGIN EC PRIVATE KEY-----"), HIDDEN);
        assert_eq!(line("MHcCAQEE"), HIDDEN);
        assert_eq!(line("oUQDQgAE"), HIDDEN);
        assert_eq!(line("-----END EC PRIVATE KEY----- ok"), "[hidden] ok");
        assert_eq!(line("after"), "after");
        assert_eq!(line("Using certificate key:"), "Using certificate key:");
        assert_eq!(line(&"ab".repeat(32)), HIDDEN);
        assert_eq!(line(&"ab".repeat(32)), "ab".repeat(32));
    }
}
