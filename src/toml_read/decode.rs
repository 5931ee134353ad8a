//! How each kind of value is read. A value that is wrong is noted and stood in for, so that
//! reading goes on and finds everything else that is wrong.

use std::{collections::BTreeMap, fmt::Display, net::Ipv4Addr, str::FromStr};

use toml::{Spanned, de::DeValue};

use super::{Context, Diagnostic, closest, list, spans::join};
use crate::names::{Cidr, HostKey, Mac, NodeName, PhaseName, Serial, StepName, Version};

/// A value on its way to be decoded, with what a message says about where it is.
#[derive(Clone, Copy)]
pub struct Node<'a, 'p> {
    pub value: &'a Spanned<DeValue<'a>>,
    pub key: &'p str,
    /// `node.0.lan.mac`
    pub path: &'p str,
    /// Of the table around it, for people: `[[node]] lan`
    pub place: &'p str,
}

pub trait Decode: Sized {
    /// For tables and lists of tables: how many brackets the header has.
    const TABLE: Option<u8> = None;
    /// Shown where the key is missing.
    const EXAMPLE: Option<&'static str> = None;
    fn decode(node: Node<'_, '_>, cx: &mut Context<'_>) -> Self;
    /// Takes the place of a value that could not be read; nobody sees it (`Context::hole`).
    fn stand_in() -> Self;
}

impl Node<'_, '_> {
    pub(super) fn wrong_type(self, expected: &str, cx: &mut Context<'_>) {
        let found = self.value.get_ref().type_str();
        let an = if matches!(found, "integer" | "array") { "an" } else { "a" };
        self.refuse(format!("must be {expected}, not {an} {found}"), None, cx);
    }

    /// Notes that this value is wrong, in words that follow its key.
    pub fn refuse(self, why: impl Display, hint: Option<String>, cx: &mut Context<'_>) {
        self.note(format!("{} {why}", self.named()), hint, cx);
    }

    /// Notes that this value is wrong, in a clause of its own.
    fn say(self, what: impl Display, hint: Option<String>, cx: &mut Context<'_>) {
        self.note(format!("{}: {what}", self.named()), hint, cx);
    }

    fn note(self, message: String, hint: Option<String>, cx: &mut Context<'_>) {
        let mut error = Diagnostic::error(self.value.span(), message);
        // "did you mean" is worth a line of its own, whoever thought of it.
        if let Some((said, meant)) = error.message.clone().split_once("; did you mean ") {
            error.message = said.to_owned();
            error.hint = Some(format!("did you mean {meant}"));
        }
        error.hint = hint.or(error.hint);
        cx.hole(self.path, error);
    }

    fn named(self) -> String {
        let within = if self.place.is_empty() { "" } else { " in " };
        format!("`{}`{within}{}", self.key, self.place)
    }

    /// The place of this node's own keys: its header where it has one.
    pub(super) fn table_place(self, source: &str) -> String {
        let text = source.get(self.value.span()).unwrap_or_default();
        if text.starts_with('[') {
            return text.to_owned();
        }
        match (self.place, self.key) {
            ("", key) => key.to_owned(),
            (place, "") => place.to_owned(),
            (place, key) => format!("{place} {key}"),
        }
    }

    fn text<'n>(&'n self, what: &str, cx: &mut Context<'_>) -> Option<&'n str> {
        let text = self.value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(what, cx);
        }
        text
    }

    fn parsed<T: FromStr<Err: ToString>>(self, cx: &mut Context<'_>) -> Option<T> {
        let text = self.text("a string", cx)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(why) => {
                let why: String = T::Err::to_string(&why);
                self.say(format!("`{text}` {why}"), None, cx);
                None
            }
        }
    }

    /// One of a closed list of words.
    pub fn word<T: Copy>(self, words: &[(&str, T)], cx: &mut Context<'_>) -> Option<T> {
        let text = self.text("a string", cx)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let hint = match closest(text, &known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("it is {}", list(&known, "or")),
            };
            self.refuse(format!("cannot be `{text}`"), Some(hint), cx);
        }
        found.map(|(_, value)| *value)
    }
}

/// Newtypes that are written as strings and made by parsing.
macro_rules! parsed {
    ($($name:ty: $example:literal),* $(,)?) => { $(
        impl Decode for $name {
            const EXAMPLE: Option<&'static str> = Some(concat!("\"", $example, "\""));
            fn decode(node: Node<'_, '_>, cx: &mut Context<'_>) -> Self {
                node.parsed(cx).unwrap_or_else(Self::stand_in)
            }
            #[allow(clippy::expect_used, reason = "literals, covered by a test")]
            fn stand_in() -> Self {
                $example.parse().expect("an example is well formed")
            }
        }
    )* };
}

parsed! {
    NodeName: "node-a",
    PhaseName: "host-prep",
    StepName: "sysctls",
    Serial: "S6XNNS0W100001",
    Mac: "58:47:ca:00:00:01",
    HostKey: "SHA256:0000000000000000000000000000000000000000000",
    Cidr: "192.168.1.0/24",
    Version: "1.36.4",
}

impl Decode for Ipv4Addr {
    const EXAMPLE: Option<&'static str> = Some("\"192.168.1.11\"");
    fn decode(node: Node<'_, '_>, cx: &mut Context<'_>) -> Self {
        let Some(text) = node.text("a string", cx) else { return Self::stand_in() };
        text.parse().unwrap_or_else(|_| {
            let (why, hint) = match text.split_once('/') {
                Some((address, _)) if address.parse::<Self>().is_ok() => {
                    ("is a network, not an address", Some(format!("did you mean `{address}`?")))
                }
                _ if text.parse::<std::net::Ipv6Addr>().is_ok() => {
                    ("is IPv6; Slipway lays out IPv4 networks only, for now", None)
                }
                _ => ("is not an IPv4 address like `192.168.1.11`", None),
            };
            node.say(format!("`{text}` {why}"), hint, cx);
            Self::stand_in()
        })
    }
    fn stand_in() -> Self {
        Self::UNSPECIFIED
    }
}

impl Decode for String {
    fn decode(node: Node<'_, '_>, cx: &mut Context<'_>) -> Self {
        node.text("a string", cx).unwrap_or_default().to_owned()
    }
    fn stand_in() -> Self {
        Self::new()
    }
}

impl Decode for bool {
    fn decode(node: Node<'_, '_>, cx: &mut Context<'_>) -> Self {
        node.value.get_ref().as_bool().unwrap_or_else(|| {
            node.wrong_type("`true` or `false`", cx);
            false
        })
    }
    fn stand_in() -> Self {
        false
    }
}

macro_rules! integers {
    ($($name:ty),*) => { $(
        impl Decode for $name {
            fn decode(node: Node<'_, '_>, cx: &mut Context<'_>) -> Self {
                let Some(number) = node.value.get_ref().as_integer() else {
                    node.wrong_type("a whole number", cx);
                    return 0;
                };
                // TOML's own integers are i64; a schema, an editor and serde expect that too.
                let value = i64::from_str_radix(number.as_str(), number.radix()).ok();
                value.and_then(|v| Self::try_from(v).ok()).unwrap_or_else(|| {
                    let most = i64::try_from(Self::MAX).unwrap_or(i64::MAX);
                    node.refuse(format!("is {number}, outside 0 to {most}"), None, cx);
                    0
                })
            }
            fn stand_in() -> Self {
                0
            }
        }
    )* };
}

integers!(u8, u16, u32, u64);

impl<T: Decode> Decode for Option<T> {
    fn decode(node: Node<'_, '_>, cx: &mut Context<'_>) -> Self {
        Some(T::decode(node, cx))
    }
    fn stand_in() -> Self {
        None
    }
}

impl<T: Decode> Decode for Vec<T> {
    const TABLE: Option<u8> = match T::TABLE {
        Some(_) => Some(2),
        None => None,
    };
    fn decode(node: Node<'_, '_>, cx: &mut Context<'_>) -> Self {
        let Some(items) = node.value.get_ref().as_array() else {
            if T::TABLE.is_some() && node.value.get_ref().is_table() {
                let why = format!("is a list of tables: write [[{}]]", node.key);
                node.refuse(why, None, cx);
            } else {
                node.wrong_type("an array", cx);
            }
            return Self::new();
        };
        let item = |(i, value): (usize, _)| {
            let path = join(node.path, &i.to_string());
            T::decode(Node { value, path: &path, ..node }, cx)
        };
        items.iter().enumerate().map(item).collect()
    }
    fn stand_in() -> Self {
        Self::new()
    }
}

impl<T: Decode> Decode for BTreeMap<String, T> {
    const TABLE: Option<u8> = Some(1);
    fn decode(node: Node<'_, '_>, cx: &mut Context<'_>) -> Self {
        let Some(table) = node.value.get_ref().as_table() else {
            node.wrong_type("a table", cx);
            return Self::new();
        };
        let place = if node.place.is_empty() {
            node.key.into()
        } else {
            format!("{} {}", node.place, node.key)
        };
        let mut map = Self::new();
        for (key, value) in table {
            let key = key.get_ref().as_ref();
            let path = join(node.path, key);
            map.insert(key.into(), T::decode(Node { value, key, path: &path, place: &place }, cx));
        }
        map
    }
    fn stand_in() -> Self {
        Self::new()
    }
}

/// Structs that are tables: each field is named once, with its default if it may be left out, and
/// with its key where that is another word.
macro_rules! tables {
    ($( $name:ident { $( $field:ident $(as $key:literal)? $(= $default:expr)? ),* $(,)? } )*) => { $(
        impl $crate::toml_read::Decode for $name {
            const TABLE: Option<u8> = Some(1);
            fn decode(
                node: $crate::toml_read::Node<'_, '_>,
                cx: &mut $crate::toml_read::Context<'_>,
            ) -> Self {
                let Some(mut reader) = $crate::toml_read::Reader::open(node, cx) else {
                    return Self::stand_in();
                };
                let value = Self { $(
                    $field: $crate::toml_read::tables!(
                        @read reader, $crate::toml_read::tables!(@key $field $($key)?) $(, $default)?
                    ),
                )* };
                reader.finish();
                value
            }
            fn stand_in() -> Self {
                Self { $( $field: $crate::toml_read::Decode::stand_in(), )* }
            }
        }
    )* };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    (@read $reader:ident, $key:expr) => { $reader.required($key) };
    (@read $reader:ident, $key:expr, $default:expr) => { $reader.or($key, $default) };
}
pub(crate) use tables;

/// Enums that are written as one of a few words; the first stands in.
macro_rules! words {
    ($( $name:ident { $first:ident: $first_word:literal $(, $variant:ident: $word:literal)* $(,)? } )*) => { $(
        impl $crate::toml_read::Decode for $name {
            const EXAMPLE: Option<&'static str> = Some(concat!("\"", $first_word, "\""));
            fn decode(
                node: $crate::toml_read::Node<'_, '_>,
                cx: &mut $crate::toml_read::Context<'_>,
            ) -> Self {
                let words = [($first_word, Self::$first) $(, ($word, Self::$variant))*];
                node.word(&words, cx).unwrap_or(Self::$first)
            }
            fn stand_in() -> Self {
                Self::$first
            }
        }
    )* };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_well_formed() {
        let _ = (NodeName::stand_in(), PhaseName::stand_in(), StepName::stand_in());
        let _ = (Serial::stand_in(), Mac::stand_in(), HostKey::stand_in());
        let _ = (Cidr::stand_in(), Version::stand_in());
    }
}
