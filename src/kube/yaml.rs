//! YAML with the place of everything in it, for who edits a text that is somebody else's.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};
use serde_json::Value;

/// More than any kubeconfig has; an alias counts as what it stands for.
const MOST_NODES: usize = 100_000;
const DEEPEST: usize = 64;

/// Why a text cannot be read, or not be worked with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Malformed {
    pub line: usize,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub kind: Kind,
    pub line: usize,
    /// Bytes of the text; space and comments behind it are not its own.
    pub start: usize,
    pub end: usize,
    /// In brackets, as JSON is.
    pub flow: bool,
    size: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Only what is without quotes can be anything but text.
    Text {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Text { text, plain: true }
            if ["", "~", "null", "Null", "NULL"].contains(&text.as_str()))
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        let Kind::Map(entries) = &self.kind else { return None };
        entries.iter().find(|(k, _)| k.text() == Some(key)).map(|(_, value)| value)
    }

    /// What it says.
    pub fn value(&self) -> Value {
        match &self.kind {
            Kind::Text { .. } if self.is_null() => Value::Null,
            Kind::Text { text, plain } => {
                let other = plain.then(|| serde_json::from_str(text).ok()).flatten();
                other.unwrap_or_else(|| Value::String(text.clone()))
            }
            Kind::List(items) => items.iter().map(Node::value).collect(),
            Kind::Map(entries) => {
                let pair = |(key, value): &(Node, Node)| {
                    let key = match key.text() {
                        Some(text) => text.to_string(),
                        None => key.value().to_string(),
                    };
                    (key, value.value())
                };
                Value::Object(entries.iter().map(pair).collect())
            }
        }
    }
}

/// A list or map that has begun and not ended.
struct Open {
    node: Node,
    anchor: usize,
    /// In a map: the key whose value comes next.
    key: Option<Node>,
}

struct Reader<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

/// The documents of a text, in order. An empty one is a null.
pub fn read(text: &str) -> Result<Vec<Node>, Malformed> {
    let begins = text.match_indices('\n').map(|(at, _)| at + 1);
    let mut reader = Reader {
        text,
        lines: std::iter::once(0).chain(begins).collect(),
        documents: Vec::new(),
        open: Vec::new(),
        anchors: BTreeMap::new(),
        nodes: 0,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Malformed {
            line: error.marker().line(),
            why: error.info().to_string(),
        })?;
        let (line, start) = (span.start.line(), reader.byte(&span.start));
        let end = reader.byte(&span.end).max(start);
        reader.take(event, line, start, end)?;
    }
    Ok(reader.documents)
}

/// How much of it is the scalar: behind a quoted one the parser counts a comment in.
fn written(text: &str) -> usize {
    let whole = text.trim_end().len();
    let Some(quote @ ('\'' | '"')) = text.chars().next() else { return whole };
    let mut escaped = false;
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            // Two of them are one of the text's.
            '\'' if quote == '\'' && letters.peek().is_some_and(|(_, next)| *next == '\'') => {
                escaped = true;
            }
            _ if letter == quote => return at + 1,
            _ => {}
        }
    }
    whole
}

impl Reader<'_> {
    /// The parser counts letters.
    fn byte(&self, at: &Marker) -> usize {
        let begin = self.lines.get(at.line().saturating_sub(1)).copied();
        let begin = begin.unwrap_or(self.text.len());
        let rest = &self.text[begin..];
        begin + rest.char_indices().nth(at.col()).map_or(rest.len(), |(n, _)| n)
    }

    fn take(
        &mut self,
        event: Event<'_>,
        line: usize,
        start: usize,
        end: usize,
    ) -> Result<(), Malformed> {
        let flow = self.text[start..].starts_with(['[', '{']);
        let node = |kind, flow| Node { kind, line, start, end, flow, size: 1 };
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let missing = plain && text.is_empty();
                let mut node = node(Kind::Text { text: text.into_owned(), plain }, false);
                if missing {
                    // The place of one that is not there is given as before the colon.
                    let before = self.text[..end].trim_end().len();
                    node.end = before + usize::from(self.text[before..].starts_with(':'));
                    node.start = node.end;
                } else {
                    node.end = start + written(&self.text[start..end]);
                }
                self.add(node, anchor)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(of) => self.add(Node { line, start, end, flow: true, ..of }, 0),
                None => Err(Malformed { line, why: "an alias of something around it".into() }),
            },
            Event::SequenceStart(anchor, _) => {
                self.begin(node(Kind::List(Vec::new()), flow), anchor)
            }
            Event::MappingStart(anchor, _) => self.begin(node(Kind::Map(Vec::new()), flow), anchor),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { mut node, anchor, .. }) = self.open.pop() else { return Ok(()) };
                if node.flow {
                    node.end = end;
                }
                self.add(node, anchor)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, node: Node, anchor: usize) -> Result<(), Malformed> {
        if self.open.len() >= DEEPEST {
            let why = format!("more than {DEEPEST} levels");
            return Err(Malformed { line: node.line, why });
        }
        self.open.push(Open { node, anchor, key: None });
        Ok(())
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Malformed> {
        self.nodes += node.size;
        if self.nodes > MOST_NODES {
            return Err(Malformed { line: node.line, why: "too much for a kubeconfig".into() });
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        let (end, size) = (node.end, node.size);
        match (&mut open.node.kind, open.key.take()) {
            (Kind::List(items), _) => items.push(node),
            (Kind::Map(entries), Some(key)) => entries.push((key, node)),
            (Kind::Map(_), None) => open.key = Some(node),
            (Kind::Text { .. }, _) => {}
        }
        open.node.size += size;
        if !open.node.flow {
            open.node.end = open.node.end.max(end);
        }
        Ok(())
    }
}
