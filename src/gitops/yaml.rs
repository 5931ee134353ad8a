//! YAML with the line of everything in it: what people commit is answered with its place.
//!
//! A small tree over the parser's events, and no more: what a scalar means is for whoever reads it.
//! It must not know what a file is about.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// More than any file in a repository of this kind has; an alias counts as what it stands for.
const MOST_NODES: usize = 100_000;
const DEEPEST: usize = 64;

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub line: usize,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `plain` is without quotes: only such text can be a number, a boolean or nothing.
    Text {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    /// The key's own line; its value may begin further down.
    pub line: usize,
    pub node: Node,
}

/// Why a text is not YAML, or not such as anybody commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    pub line: usize,
    pub why: String,
}

impl Node {
    /// The entry of that key; what `<<` merges in counts where the map has none of its own.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        let Value::Map(entries) = &self.value else { return None };
        let own = entries.iter().find(|e| e.key == key);
        own.or_else(|| {
            let merged = entries.iter().filter(|e| e.key == "<<");
            merged
                .flat_map(|e| match &e.node.value {
                    Value::List(maps) => maps.iter().collect(),
                    _ => vec![&e.node],
                })
                .find_map(|map| map.entry(key))
        })
    }

    /// What lies below these keys, one in the other.
    pub fn at(&self, path: &[&str]) -> Option<&Entry> {
        let (first, rest) = path.split_first()?;
        let entry = self.entry(first)?;
        if rest.is_empty() { Some(entry) } else { entry.node.at(rest) }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    /// `key:` with nothing behind it, `~`, `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Text { text, plain: true }
            if ["", "~", "null", "Null", "NULL"].contains(&text.as_str()))
    }

    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Text { .. } => 0,
            Value::List(items) => items.iter().map(Node::size).sum(),
            Value::Map(entries) => entries.iter().map(|e| e.node.size()).sum(),
        }
    }

    fn depth(&self) -> usize {
        1 + match &self.value {
            Value::Text { .. } => 0,
            Value::List(items) => items.iter().map(Node::depth).max().unwrap_or(0),
            Value::Map(entries) => entries.iter().map(|e| e.node.depth()).max().unwrap_or(0),
        }
    }
}

/// A list or map that has begun and not ended.
struct Open {
    node: Node,
    anchor: usize,
    /// In a map: the key whose value comes next.
    key: Option<(String, usize)>,
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

/// The documents of a text, in order. An empty one is a null.
pub fn read(text: &str) -> Result<Vec<Node>, Malformed> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Malformed {
            line: error.marker().line(),
            why: error.info().to_string(),
        })?;
        builder.take(event, span.start.line())?;
    }
    Ok(builder.documents)
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Malformed> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let value = Value::Text { text: text.into_owned(), plain };
                self.add(Node { line, value }, anchor)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => self.add(Node { line, value: node.value.clone() }, 0),
                None => wrong(line, "an alias cannot stand inside of what it stands for"),
            },
            Event::SequenceStart(anchor, _) => self.begin(Value::List(Vec::new()), anchor, line),
            Event::MappingStart(anchor, _) => self.begin(Value::Map(Vec::new()), anchor, line),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open { node, anchor, .. }) => self.add(node, anchor),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn begin(&mut self, value: Value, anchor: usize, line: usize) -> Result<(), Malformed> {
        if self.open.len() >= DEEPEST {
            return wrong(line, "it is nested too deep");
        }
        self.open.push(Open { node: Node { line, value }, anchor, key: None });
        Ok(())
    }

    /// A node that is whole: to where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Malformed> {
        let line = node.line;
        // Everything below was counted when it was added itself, but for an alias's.
        self.nodes += node.size();
        if self.nodes > MOST_NODES * DEEPEST || node.size() > MOST_NODES {
            return wrong(line, "it is too large");
        }
        if self.open.len() + node.depth() > DEEPEST {
            return wrong(line, "it is nested too deep");
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        match &mut open.node.value {
            Value::List(items) => items.push(node),
            Value::Map(entries) => match open.key.take() {
                Some((key, line)) => entries.push(Entry { key, line, node }),
                None => {
                    let Value::Text { text, .. } = node.value else {
                        return wrong(line, "a key is a list or a map");
                    };
                    // The second would win without a word.
                    if let Some(first) = entries.iter().find(|e| e.key == text && text != "<<") {
                        return wrong(
                            line,
                            &format!("`{text}` is there already, in line {}", first.line),
                        );
                    }
                    open.key = Some((text, line));
                }
            },
            Value::Text { .. } => {}
        }
        Ok(())
    }
}

fn wrong<T>(line: usize, why: &str) -> Result<T, Malformed> {
    Err(Malformed { line, why: why.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Node {
        read(text).unwrap().remove(0)
    }

    #[test]
    fn everything_has_its_line() {
        let node = one("# a comment\na: 1\nb:\n  c:\n    - x\n    - 'y'\n");
        assert_eq!(node.at(&["a"]).unwrap().line, 2);
        let list = node.at(&["b", "c"]).unwrap();
        assert_eq!((list.line, list.node.line), (4, 5));
        let Value::List(items) = &list.node.value else { panic!() };
        assert_eq!(items[1].line, 6);
        assert_eq!(items[1].value, Value::Text { text: "y".into(), plain: false });
        assert!(node.at(&["a", "c"]).is_none() && one("a:\n").at(&["a"]).unwrap().node.is_null());
    }

    #[test]
    fn aliases_and_merges_are_what_they_stand_for() {
        let node = one("x: &x\n  y: 1\nz: *x\nw:\n  <<: *x\n  v: 2\n");
        assert_eq!(node.at(&["z", "y"]).unwrap().node.text(), Some("1"));
        assert_eq!(node.at(&["w", "y"]).unwrap().node.text(), Some("1"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line) in [
            ("a: 1\na: 2\n", 2),
            ("a: 1\n  b: 2\n", 2),
            ("a: [1\nb: 2\n", 2),
            ("x: &x\n  - *x\n", 2),
        ] {
            assert_eq!(read(text).unwrap_err().line, line, "{text}");
        }
        assert!(read(&"[".repeat(100_000)).is_err());
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for n in 1..12 {
            let of = vec![format!("*a{}", n - 1); 9].join(", ");
            bomb += &format!("a{n}: &a{n} [{of}]\n");
        }
        assert!(read(&bomb).is_err());
    }
}
