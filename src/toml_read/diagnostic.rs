//! What is wrong with a file, and where: values, made by readers and checks, shown by `render`.

use std::{fmt, ops::Range, sync::Arc};

use super::render;

/// A byte range of the source.
pub type Span = Range<usize>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// Whether the text is for a terminal that shows colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    Plain,
    Colour,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub message: String,
    pub span: Span,
    /// What the caret says.
    pub label: Option<String>,
    pub hint: Option<String>,
    /// Other places that are part of it.
    pub related: Vec<(Span, String)>,
}

impl Diagnostic {
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span,
            label: None,
            hint: None,
            related: Vec::new(),
        }
    }

    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }
}

/// All findings about one file, together with its text, in the order of the file.
#[derive(Clone, PartialEq, Eq)]
pub struct Diagnostics {
    name: String,
    source: Arc<str>,
    items: Vec<Diagnostic>,
}

/// The text of the file stays out: it is long, and may hold what was masked for showing only.
impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Diagnostics")
            .field("name", &self.name)
            .field("items", &self.items)
            .finish_non_exhaustive()
    }
}

impl Diagnostics {
    /// More than this many errors teach nobody anything.
    pub const SHOWN: usize = 40;

    pub fn new(name: &str, source: &str, mut items: Vec<Diagnostic>) -> Self {
        for item in &mut items {
            item.span = snap(source, &item.span);
            for (span, _) in &mut item.related {
                *span = snap(source, span);
            }
        }
        items.sort_by_key(|d| (d.span.start, d.severity, d.span.end));
        items.dedup();
        Self { name: name.into(), source: source.into(), items }
    }

    /// Blots out a part of the text that must not be shown, such as a password in an address.
    pub fn mask(mut self, span: &Span) -> Self {
        let span = snap(&self.source, span);
        let stars = "*".repeat(span.len());
        let mut text = self.source.to_string();
        text.replace_range(span, &stars);
        self.source = text.into();
        self
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.items.iter()
    }

    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.items.iter().filter(|d| d.severity == Severity::Error)
    }

    pub fn render(&self, paint: Paint) -> String {
        let mut out = String::new();
        // When there are too many, errors are the ones to keep.
        let mut kept: Vec<&Diagnostic> = self.items.iter().collect();
        kept.sort_by_key(|d| d.severity);
        kept.truncate(Self::SHOWN);
        kept.sort_by_key(|d| (d.span.start, d.severity, d.span.end));
        for (i, item) in kept.iter().enumerate() {
            if i > 0 {
                out.push('\n');
            }
            render::one(&mut out, &self.name, &self.source, item, paint);
        }
        let left = self.items.len() - kept.len();
        if left > 0 {
            out.push_str(&format!("\nand {left} more\n"));
        }
        out
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(Paint::Plain).trim_end())
    }
}

/// The same span, inside the text and on character boundaries, whatever made it.
fn snap(source: &str, span: &Span) -> Span {
    let start = source.floor_char_boundary(span.start.min(source.len()));
    let end = source.ceil_char_boundary(span.end.clamp(start, source.len()));
    start..end
}
