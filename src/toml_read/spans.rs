//! Where in the file each value stands, by its path, so that a finding about the decoded values
//! (which carry no spans) can still point at its place.
//!
//! Paths are written `cluster.endpoint.vip` and `node.0.lan.mac`.

use std::collections::BTreeMap;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Span;

#[derive(Debug, Default, Clone)]
pub struct Spans {
    values: BTreeMap<String, Span>,
    keys: BTreeMap<String, Span>,
}

impl Spans {
    pub(super) fn of(root: &DeTable<'_>) -> Self {
        let mut spans = Self::default();
        spans.table("", root);
        spans
    }

    /// The value at `path`; where the file leaves it out, the nearest table around it; else the
    /// start of the file.
    pub fn value(&self, path: &str) -> Span {
        nearest(&self.values, path)
    }

    /// The key at `path`, with the same fallback.
    pub fn key(&self, path: &str) -> Span {
        self.keys.get(path).cloned().unwrap_or_else(|| self.value(path))
    }

    /// Whether the file says something at `path`.
    pub fn has(&self, path: &str) -> bool {
        self.values.contains_key(path)
    }

    fn table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let child = join(path, key.get_ref());
            self.keys.insert(child.clone(), key.span());
            self.value_at(child, value);
        }
    }

    fn value_at(&mut self, path: String, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.table(&path, table),
            DeValue::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.value_at(join(&path, &i.to_string()), item);
                }
            }
            _ => {}
        }
        self.values.insert(path, value.span());
    }
}

fn nearest(spans: &BTreeMap<String, Span>, path: &str) -> Span {
    let mut path = path;
    loop {
        if let Some(span) = spans.get(path) {
            return span.clone();
        }
        match path.rsplit_once('.') {
            Some((parent, _)) => path = parent,
            None => return 0..0,
        }
    }
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
