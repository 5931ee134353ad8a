//! A table, read key by key: what is asked for is known, what is left over is unknown.

use std::collections::BTreeSet;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Decode, Diagnostic, Node, Span, Spans, closest, list, spans::join};

/// What reading left behind besides the value.
#[derive(Debug, Default)]
pub struct Context<'a> {
    source: &'a str,
    errors: Vec<Diagnostic>,
    holes: BTreeSet<String>,
}

impl Context<'_> {
    /// The value at `path` could not be read. What stands in for it is no one's word, so checks
    /// must be silent about it (`Document::is_hole`).
    pub fn hole(&mut self, path: &str, error: Diagnostic) {
        self.holes.insert(path.to_owned());
        self.errors.push(error);
    }
}

/// A file, decoded as far as it goes.
#[derive(Debug, Clone)]
pub struct Document<T> {
    /// With stand-ins where there are holes: only to be used further if there are no `errors`.
    pub value: T,
    pub spans: Spans,
    pub errors: Vec<Diagnostic>,
    holes: BTreeSet<String>,
}

impl<T> Document<T> {
    /// Whether what the value says at `path` (or in it, or around it) is a stand-in.
    pub fn is_hole(&self, path: &str) -> bool {
        let inside = format!("{path}.");
        let below =
            self.holes.range(inside.clone()..).next().is_some_and(|h| h.starts_with(&inside));
        let around = inside.match_indices('.').any(|(at, _)| self.holes.contains(&path[..at]));
        below || around
    }
}

/// Reads a whole file. When its syntax is broken there is no telling what belongs where, so then
/// only the syntax errors are returned; keys given twice are the exception.
pub fn read<T: Decode>(source: &str) -> Result<Document<T>, Vec<Diagnostic>> {
    let (root, broken) = DeTable::parse_recoverable(source);
    let torn = broken.iter().any(|e| e.message() != DUPLICATE);
    let mut errors: Vec<Diagnostic> = Vec::new();
    for error in broken.into_iter().take(MOST_SYNTAX_ERRORS) {
        let found = syntax_error(source, &error);
        // One slip makes the parser stumble more than once on the same line.
        let apart = |last: &Diagnostic| {
            source.get(last.span.start..found.span.start).is_none_or(|text| text.contains('\n'))
        };
        if errors.last().is_none_or(apart) {
            errors.push(found);
        }
    }
    if torn {
        return Err(errors);
    }
    let spans = Spans::of(root.get_ref());
    let root = Spanned::new(0..0, DeValue::Table(root.into_inner()));
    let mut cx = Context { source, errors, holes: BTreeSet::new() };
    let value = T::decode(Node { value: &root, key: "", path: "", place: "" }, &mut cx);
    Ok(Document { value, spans, errors: cx.errors, holes: cx.holes })
}

/// A file with more is not one that a person wrote as TOML.
const MOST_SYNTAX_ERRORS: usize = 200;
const DUPLICATE: &str = "duplicate key";

fn syntax_error(source: &str, error: &toml::de::Error) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let text = source.get(span.clone()).unwrap_or_default();
    if error.message() == DUPLICATE {
        return Diagnostic::error(span, format!("`{text}` is given twice"))
            .label("the second time");
    }
    Diagnostic::error(span, format!("this is not TOML: {}", error.message()))
}

pub struct Reader<'a, 'c, 's> {
    cx: &'c mut Context<'s>,
    table: &'a DeTable<'a>,
    span: Span,
    path: String,
    place: String,
    asked: Vec<&'static str>,
    missing: Vec<(&'static str, Diagnostic)>,
}

impl<'a, 'c, 's> Reader<'a, 'c, 's> {
    /// `None`, with the error noted, if the value is no table.
    pub fn open(node: Node<'a, '_>, cx: &'c mut Context<'s>) -> Option<Self> {
        let Some(table) = node.value.get_ref().as_table() else {
            node.wrong_type("a table", cx);
            return None;
        };
        let span = node.value.span();
        let place = node.table_place(cx.source);
        Some(Self {
            cx,
            table,
            span,
            path: node.path.into(),
            place,
            asked: Vec::new(),
            missing: Vec::new(),
        })
    }

    /// The value of a key that must be there.
    pub fn required<T: Decode>(&mut self, key: &'static str) -> T {
        if let Some(value) = self.get(key) {
            return value;
        }
        let (message, hint) = match T::TABLE {
            Some(brackets) => {
                let header = if self.path.is_empty() { key.into() } else { join(&self.path, key) };
                let header = match brackets {
                    1 => format!("[{header}]"),
                    _ => format!("[[{header}]]"),
                };
                (format!("the table {header} is missing"), None)
            }
            None => (
                format!("key `{key}` is missing{}", self.within()),
                T::EXAMPLE.map(|e| format!("for example: {key} = {e}")),
            ),
        };
        let mut error = Diagnostic::error(self.span.clone(), message);
        if !self.place.is_empty() {
            error = error.label(format!("has no `{key}`"));
        }
        error.hint = hint;
        self.cx.holes.insert(join(&self.path, key));
        self.missing.push((key, error));
        T::stand_in()
    }

    /// The value of a key that may be left out.
    pub fn or<T: Decode>(&mut self, key: &'static str, default: T) -> T {
        self.get(key).unwrap_or(default)
    }

    fn get<T: Decode>(&mut self, key: &'static str) -> Option<T> {
        self.asked.push(key);
        let value = self.table.get(key)?;
        let path = join(&self.path, key);
        Some(T::decode(Node { value, key, path: &path, place: &self.place }, self.cx))
    }

    /// Everything that was not asked for is an error.
    pub fn finish(mut self) {
        for (key, value) in self.table {
            let word = key.get_ref().as_ref();
            if self.asked.contains(&word) {
                continue;
            }
            let free: Vec<&str> =
                self.asked.iter().copied().filter(|k| !self.table.contains_key(*k)).collect();
            let meant = closest(word, &free);
            let brackets = value.get_ref().is_table() && self.path.is_empty();
            let kind = if brackets { "table" } else { "key" };
            let mut error =
                Diagnostic::error(key.span(), format!("unknown {kind} `{word}`{}", self.within()))
                    .label(if brackets {
                        "not a table of this file"
                    } else {
                        "not a key of this table"
                    });
            error.hint = Some(match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("the keys here are {}", list(&self.asked, "and")),
            });
            // Then that key is misspelt rather than missing: one mistake, one error.
            self.missing.retain(|(key, _)| Some(*key) != meant);
            self.cx.hole(&join(&self.path, meant.unwrap_or(word)), error);
        }
        self.cx.errors.extend(self.missing.into_iter().map(|(_, error)| error));
    }

    fn within(&self) -> String {
        if self.place.is_empty() { String::new() } else { format!(" in {}", self.place) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toml_read::tables;

    #[derive(Debug, PartialEq)]
    struct Outer {
        inner: Inner,
        list: Vec<Inner>,
        count: u8,
    }
    #[derive(Debug, PartialEq)]
    struct Inner {
        word: String,
    }
    tables! {
        Outer { inner, list as "item" = Vec::new(), count = 3 }
        Inner { word }
    }

    fn messages(text: &str) -> Vec<String> {
        match read::<Outer>(text) {
            Ok(document) => document.errors.into_iter().map(|e| e.message).collect(),
            Err(errors) => errors.into_iter().map(|e| e.message).collect(),
        }
    }

    #[test]
    fn what_is_right_is_read() {
        let found = read::<Outer>("inner.word = \"a\"\n[[item]]\nword = \"b\"\n").unwrap();
        assert_eq!(found.errors, []);
        let inner = |word: &str| Inner { word: word.into() };
        assert_eq!(found.value, Outer { inner: inner("a"), list: vec![inner("b")], count: 3 });
        assert_eq!(found.spans.value("item.0.word"), 33..36);
        assert_eq!(found.spans.value("item.0.nothing"), found.spans.value("item.0"));
    }

    #[test]
    fn everything_wrong_is_said_and_called_by_its_place() {
        assert_eq!(
            messages("count = 300\n[inner]\nwrd = 1\n[[item]]\n[[item]]\nword = 1.5\nx = 1"),
            [
                "unknown key `wrd` in [inner]",
                "key `word` is missing in [[item]]",
                "`word` in [[item]] must be a string, not a float",
                "unknown key `x` in [[item]]",
                "`count` is 300, outside 0 to 255",
            ]
        );
        assert_eq!(messages(""), ["the table [inner] is missing"]);
        assert_eq!(messages("inner = 1"), ["`inner` must be a table, not an integer"]);
        assert_eq!(
            messages("inner = { word = \"a\" }\nitem = { word = \"b\" }"),
            ["`item` is a list of tables: write [[item]]"]
        );
    }

    #[test]
    fn holes_are_known_from_above_and_below_but_not_beside() {
        let found = read::<Outer>("inner = { word = 1 }\ncount = 1").unwrap();
        for path in ["inner.word", "inner", "inner.word.x"] {
            assert!(found.is_hole(path), "{path}");
        }
        for path in ["count", "inner.wor", "inner.words", "item"] {
            assert!(!found.is_hole(path), "{path}");
        }
    }

    #[test]
    fn torn_syntax_is_all_that_is_said() {
        let said = messages("count = \"x\"\ninner = \nitem = [\n");
        assert!(
            said.len() >= 2 && said.iter().all(|m| m.starts_with("this is not TOML")),
            "{said:?}"
        );
    }
}
