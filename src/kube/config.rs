//! Kubeconfigs: one of our own, and one that somebody keeps, with ours put into it.
//!
//! What is there is edited where it differs and not written anew, so that comments, order and style
//! stay. Before a text is given back it is read again: everything else in it has to say what it said.
//! Must not know where the file lies.

use std::ops::Range;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::yaml::{self, Kind, Node};
use crate::secret::Sealed;

pub use super::yaml::Malformed;

/// Who somebody is to a cluster; all PEM.
pub struct Access {
    /// What cluster, user and context are called.
    pub name: String,
    /// `https://HOST:PORT`
    pub server: String,
    pub ca: String,
    pub certificate: String,
    pub key: Sealed,
}

pub struct Merged {
    pub text: Zeroizing<String>,
    /// The server that the name stood for before, where that was another one.
    pub was: Option<String>,
    pub is_current: bool,
}

/// What of an entry that is replaced stays: how it is reached, and what is somebody's own.
const KEPT_OF_CLUSTER: [&str; 4] =
    ["disable-compression", "extensions", "proxy-url", "tls-server-name"];
const KEPT_OF_CONTEXT: [&str; 2] = ["extensions", "namespace"];
const KEPT_OF_USER: [&str; 1] = ["extensions"];

/// A list of a kubeconfig, and what an item of it holds beside its name.
struct Section {
    list: &'static str,
    item: &'static str,
    kept: &'static [&'static str],
    fields: Value,
}

impl Access {
    fn sections(&self) -> [Section; 3] {
        let encoded = |pem: &str| STANDARD.encode(pem);
        [
            Section {
                list: "clusters",
                item: "cluster",
                kept: &KEPT_OF_CLUSTER,
                fields: json!({
                    "certificate-authority-data": encoded(&self.ca), "server": self.server,
                }),
            },
            Section {
                list: "contexts",
                item: "context",
                kept: &KEPT_OF_CONTEXT,
                fields: json!({ "cluster": self.name, "user": self.name }),
            },
            Section {
                list: "users",
                item: "user",
                kept: &KEPT_OF_USER,
                fields: json!({
                    "client-certificate-data": encoded(&self.certificate),
                    "client-key-data": encoded(self.key.reveal()),
                }),
            },
        ]
    }
}

impl Section {
    /// The item that is to be in the list; `before` is the one that it takes the place of.
    fn wanted(&self, name: &str, before: Option<&Value>) -> Value {
        let mut fields = self.fields.as_object().cloned().unwrap_or_default();
        for key in self.kept {
            if let Some(kept) = before.and_then(|b| b[self.item].get(key)) {
                fields.insert((*key).into(), kept.clone());
            }
        }
        json!({ "name": name, self.item: fields })
    }
}

/// A file of its own.
pub fn whole(access: &Access) -> Zeroizing<String> {
    let mut text = String::from("apiVersion: v1\nkind: Config\n");
    for section in access.sections() {
        let item = block(&section.wanted(&access.name, None), 0);
        text += &format!("{}:\n- {item}\n", section.list);
    }
    text += &format!("current-context: {}\n", scalar(&json!(access.name)));
    Zeroizing::new(text)
}

fn wrong(line: usize, why: impl Into<String>) -> Malformed {
    Malformed { line, why: why.into() }
}

/// Puts an access into a kubeconfig that is there; `make_current` even where it names another
/// context as the current one.
pub fn merge(text: &str, access: &Access, make_current: bool) -> Result<Merged, Malformed> {
    let documents = yaml::read(text)?;
    let root = match documents.as_slice() {
        [] => None,
        [one] if one.is_null() => None,
        [one] => Some(one),
        [_, second, ..] => return Err(wrong(second.line, "a second document begins here")),
    };
    let Some(root) = root else {
        let own = whole(access);
        let text = Zeroizing::new(format!("{text}{}{}", line_end(text), *own));
        return Ok(Merged { text, was: None, is_current: true });
    };
    let Kind::Map(entries) = &root.kind else {
        return Err(wrong(root.line, "this is no kubeconfig: it has no keys"));
    };
    for (at, (key, _)) in entries.iter().enumerate() {
        if entries[..at].iter().any(|(other, _)| other.text() == key.text()) {
            return Err(wrong(key.line, "this key is there twice"));
        }
    }
    if let Some(kind) = root.get("kind").filter(|kind| kind.text() != Some("Config")) {
        return Err(wrong(kind.line, "this is no kubeconfig: its kind is another one"));
    }
    let mut edits = Edits { text, root, edits: Vec::new() };
    let mut expected = root.value();
    let mut was = None;
    for section in access.sections() {
        let (list, before) = (section.list, find(root, section.list, &access.name)?);
        let old = before.map(|(_, node)| node.value());
        let item = section.wanted(&access.name, old.as_ref());
        if list == "clusters" {
            let old = old.as_ref().and_then(|o| o["cluster"]["server"].as_str());
            was = old.filter(|old| *old != access.server).map(str::to_string);
        }
        if !expected[list].is_array() {
            expected[list] = json!([]);
        }
        if let (Some(array), Some((at, _))) = (expected[list].as_array_mut(), before) {
            array[at] = item.clone();
        } else if let Some(array) = expected[list].as_array_mut() {
            array.push(item.clone());
        }
        if old.as_ref() != Some(&item) {
            edits.item(list, before.map(|(at, _)| at), &item)?;
        }
    }
    let current = root.get("current-context");
    let names_none = current.is_none_or(|c| c.is_null() || c.text() == Some(""));
    let is_current = make_current || names_none;
    if is_current {
        expected["current-context"] = json!(access.name);
        edits.scalar("current-context", current, &json!(access.name))?;
    }
    let is_current = is_current || current.and_then(Node::text) == Some(&access.name);
    let same = |found: Vec<Node>| matches!(found.as_slice(), [one] if one.value() == expected);
    match edits.done() {
        Some(text) if yaml::read(&text).is_ok_and(same) => Ok(Merged { text, was, is_current }),
        _ => Err(wrong(root.line, "it is written in a way that cannot be added to safely")),
    }
}

/// The item of that name in a list, and its place.
fn find<'a>(
    root: &'a Node,
    list: &str,
    name: &str,
) -> Result<Option<(usize, &'a Node)>, Malformed> {
    let Some(node) = root.get(list).filter(|node| !node.is_null()) else { return Ok(None) };
    let Kind::List(items) = &node.kind else {
        return Err(wrong(node.line, format!("`{list}` is no list")));
    };
    let named = |(_, item): &(usize, &Node)| item.get("name").and_then(Node::text) == Some(name);
    let mut found = items.iter().enumerate().filter(named);
    let first = found.next();
    match found.next() {
        Some((_, second)) => Err(wrong(second.line, format!("`{list}` has two called `{name}`"))),
        None => Ok(first),
    }
}

/// What ends a text's last line, if nothing does.
fn line_end(text: &str) -> &'static str {
    if text.is_empty() || text.ends_with('\n') { "" } else { "\n" }
}

/// On one line, as both YAML and JSON read it; plain where nothing else could be meant.
fn scalar(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+".contains(c);
    let is_word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
    );
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_plain = begins && text.chars().all(plain) && !text.ends_with(':') && !is_word;
    if is_plain { text.clone() } else { value.to_string() }
}

/// An item of a list, behind its dash in column `indent`.
fn block(item: &Value, indent: usize) -> String {
    let pad = " ".repeat(indent + 2);
    let mut lines = Vec::new();
    for (key, value) in item.as_object().into_iter().flatten() {
        match value {
            Value::Object(fields) => {
                lines.push(format!("{key}:"));
                lines.extend(fields.iter().map(|(k, v)| format!("  {k}: {}", scalar(v))));
            }
            other => lines.push(format!("{key}: {}", scalar(other))),
        }
    }
    lines.join(&format!("\n{pad}"))
}

struct Edits<'a> {
    text: &'a str,
    root: &'a Node,
    edits: Vec<(Range<usize>, String)>,
}

impl Edits<'_> {
    /// Where the line ends that `at` is in.
    fn end_of_line(&self, at: usize) -> usize {
        let rest = &self.text[at..];
        let end = rest.find('\n').unwrap_or(rest.len());
        at + rest[..end].trim_end_matches('\r').len()
    }

    fn column(&self, at: usize) -> usize {
        at - self.text[..at].rfind('\n').map_or(0, |n| n + 1)
    }

    fn put(&mut self, mut at: Range<usize>, text: String) {
        if text.starts_with('\n') {
            let line = self.text[..at.start].trim_end_matches(' ');
            at.start = line.len();
        }
        self.edits.push((at, text));
    }

    /// A key that the file does not have yet.
    fn key(&mut self, key: &str, flow: &str, block: &str) {
        let root = self.root;
        if root.flow {
            let at = root.end - 1;
            let empty = matches!(&root.kind, Kind::Map(entries) if entries.is_empty());
            let first = empty && self.edits.iter().all(|(place, _)| place.start != at);
            let comma = if first { "" } else { ", " };
            self.put(at..at, format!("{comma}\"{key}\": {flow}"));
        } else {
            let at = self.end_of_line(root.end);
            let pad = " ".repeat(self.column(root.start));
            self.put(at..at, format!("\n{pad}{key}:{block}"));
        }
    }

    fn scalar(&mut self, key: &str, old: Option<&Node>, new: &Value) -> Result<(), Malformed> {
        match old {
            None => self.key(key, &new.to_string(), &format!(" {}", scalar(new))),
            Some(old) if matches!(old.kind, Kind::Text { .. }) => {
                let text = if self.root.flow { new.to_string() } else { scalar(new) };
                let gap = if old.start == old.end { " " } else { "" };
                self.put(old.start..old.end, format!("{gap}{text}"));
            }
            Some(old) => return Err(wrong(old.line, format!("`{key}` is no name"))),
        }
        Ok(())
    }

    /// An item of a list, in the place of the one that is there or as its last.
    fn item(&mut self, list: &str, place: Option<usize>, item: &Value) -> Result<(), Malformed> {
        let pad = self.column(self.root.start);
        let fresh = |text: String| format!("\n{}- {text}", " ".repeat(pad));
        let Some(node) = self.root.get(list) else {
            self.key(list, &format!("[{item}]"), &fresh(block(item, pad)));
            return Ok(());
        };
        let Kind::List(items) = &node.kind else {
            let text = if self.root.flow { format!("[{item}]") } else { fresh(block(item, pad)) };
            self.put(node.start..node.end, text);
            return Ok(());
        };
        match (items.last(), place) {
            (None, _) if self.root.flow => self.put(node.start..node.end, format!("[{item}]")),
            (None, _) => self.put(node.start..node.end, fresh(block(item, pad))),
            (Some(_), Some(at)) if node.flow || items[at].flow => {
                self.put(items[at].start..items[at].end, item.to_string());
            }
            (Some(_), Some(at)) => {
                let dash = self.dash(&items[at])?;
                let text = format!("- {}", block(item, self.column(dash)));
                self.put(dash..items[at].end, text);
            }
            (Some(last), None) if node.flow => self.put(last.end..last.end, format!(", {item}")),
            (Some(last), None) => {
                let indent = self.column(self.dash(last)?);
                let at = self.end_of_line(last.end);
                let text = format!("\n{}- {}", " ".repeat(indent), block(item, indent));
                self.put(at..at, text);
            }
        }
        Ok(())
    }

    /// Where the dash of an item is.
    fn dash(&self, item: &Node) -> Result<usize, Malformed> {
        let before = self.text[..item.start].trim_end();
        match before.strip_suffix('-') {
            Some(rest) => Ok(rest.len()),
            None => Err(wrong(item.line, "this is written in a way that cannot be edited safely")),
        }
    }

    /// None where two of them are at the same place: the text is not read right then.
    fn done(mut self) -> Option<Zeroizing<String>> {
        self.edits.sort_by_key(|(at, _)| at.start);
        let mut text = Zeroizing::new(String::with_capacity(self.text.len() + 16_384));
        let mut from = 0;
        for (at, new) in &self.edits {
            text.push_str(self.text.get(from..at.start)?);
            text.push_str(new);
            from = at.end;
        }
        text.push_str(&self.text[from..]);
        let end = line_end(&text);
        text.push_str(end);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access {
            name: "homelab".into(),
            server: "https://k8s-api.lab.home:6443".into(),
            ca: "a CA".into(),
            certificate: "a certificate".into(),
            key: Sealed::new("a key"),
        }
    }

    fn merged(text: &str) -> Merged {
        merge(text, &access(), false).map_err(|e| format!("{e}\n{text}")).unwrap()
    }

    fn value(text: &str) -> Value {
        yaml::read(text).unwrap()[0].value()
    }

    const KUBECTL: &str = "\
# mine
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: eA==
    server: https://10.0.0.1:6443
  name: work   # ümlaut
contexts:
- context:
    cluster: work
    user: me
  name: work
current-context: work
kind: Config
preferences: {}
users:
- name: me
  user:
    exec:
      args: [\"--x\", 'it''s']
      command: |
        two
        lines
# the end
";

    #[test]
    fn a_file_of_its_own() {
        insta::assert_snapshot!(*whole(&access()), @r"
        apiVersion: v1
        kind: Config
        clusters:
        - cluster:
            certificate-authority-data: YSBDQQ==
            server: https://k8s-api.lab.home:6443
          name: homelab
        contexts:
        - context:
            cluster: homelab
            user: homelab
          name: homelab
        users:
        - name: homelab
          user:
            client-certificate-data: YSBjZXJ0aWZpY2F0ZQ==
            client-key-data: YSBrZXk=
        current-context: homelab
        ");
        for empty in ["", "# nothing yet", "---\n", "null\n"] {
            let merged = merge(empty, &access(), false);
            if let Ok(merged) = merged {
                assert!(merged.is_current && merged.text.starts_with(empty));
            }
        }
    }

    #[test]
    fn what_is_there_stays_as_it_was_written() {
        let merged = merged(KUBECTL);
        assert!(!merged.is_current && merged.was.is_none());
        insta::assert_snapshot!(*merged.text, @r#"
        # mine
        apiVersion: v1
        clusters:
        - cluster:
            certificate-authority-data: eA==
            server: https://10.0.0.1:6443
          name: work   # ümlaut
        - cluster:
            certificate-authority-data: YSBDQQ==
            server: https://k8s-api.lab.home:6443
          name: homelab
        contexts:
        - context:
            cluster: work
            user: me
          name: work
        - context:
            cluster: homelab
            user: homelab
          name: homelab
        current-context: work
        kind: Config
        preferences: {}
        users:
        - name: me
          user:
            exec:
              args: ["--x", 'it''s']
              command: |
                two
                lines
        - name: homelab
          user:
            client-certificate-data: YSBjZXJ0aWZpY2F0ZQ==
            client-key-data: YSBrZXk=
        # the end
        "#);
        let again = merge(&merged.text, &access(), false).unwrap();
        assert_eq!(*again.text, *merged.text, "a second time changes nothing");
        let used = merge(&merged.text, &access(), true).unwrap();
        assert_eq!(value(&used.text)["current-context"], "homelab");
        assert_eq!(
            *used.text,
            merged.text.replace("current-context: work", "current-context: homelab")
        );
    }

    #[test]
    fn an_older_one_of_that_name_is_replaced_and_keeps_what_is_its_users() {
        let first = merged(KUBECTL).text;
        let older = first
            .replace(
                "server: https://k8s-api.lab.home:6443",
                "proxy-url: socks5://x:1\n    server: https://old:6443",
            )
            .replace("    user: homelab\n", "    namespace: media\n    user: homelab\n")
            .replace("client-key-data: YSBrZXk=", "token: old");
        let newer = merged(&older);
        assert_eq!(newer.was.as_deref(), Some("https://old:6443"));
        let value = value(&newer.text);
        assert_eq!(value["clusters"][1]["cluster"]["proxy-url"], "socks5://x:1");
        assert_eq!(value["contexts"][1]["context"]["namespace"], "media");
        assert!(value["users"][1]["user"]["token"].is_null());
        assert!(newer.text.ends_with("# the end\n"));
    }

    #[test]
    fn other_ways_to_write_it() {
        let empty = "apiVersion: v1\nclusters: []\ncontexts: null\ncurrent-context: \"\"\nkind: Config\nusers:\n";
        let indented = "clusters:\n  - name: a\n    cluster: {server: x}\n  -\n    name: b\n    cluster:\n      server: y\ncontexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [ ]\n";
        let json = serde_json::to_string_pretty(&value(KUBECTL)).unwrap();
        let compact = "{\"kind\": \"Config\", \"clusters\": null, \"users\": [], \"contexts\": [{\"name\": \"homelab\", \"context\": {}}]}";
        let crlf = KUBECTL.replace('\n', "\r\n");
        let ended = format!("---\n{KUBECTL}...\n");
        for text in [empty, indented, &json, compact, "{}", &crlf, &ended, KUBECTL.trim_end()] {
            let once = merged(text);
            let before = yaml::read(text).unwrap()[0].value();
            let after = value(&once.text);
            for list in ["clusters", "contexts", "users"] {
                let names = |v: &Value| {
                    let items = v[list].as_array().into_iter().flatten();
                    items.map(|i| i["name"].to_string()).collect::<Vec<_>>()
                };
                let mut expected = names(&before);
                if !expected.contains(&"\"homelab\"".to_string()) {
                    expected.push("\"homelab\"".into());
                }
                assert_eq!(names(&after), expected, "{list} of\n{}", *once.text);
            }
            assert_eq!(*merged(&once.text).text, *once.text);
        }
        assert!(merged(empty).text.contains("current-context: homelab\n"));
        assert!(merged(indented).text.contains("\n  - cluster:\n      certificate-authority-data"));
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_line() {
        for (text, line, why) in [
            ("a: b\nc: [d\n\nkind: e\n", 0, ""),
            ("kind: Config\n\tusers: []\n", 0, ""),
            ("a: b\nc d\n", 3, ""),
            ("kind: Config\nclusters:\n- name: [x\n", 0, ""),
            ("just words\n", 1, "no kubeconfig"),
            ("kind: Pod\n", 1, "no kubeconfig"),
            ("kind: Config\nclusters: {}\n", 2, "no list"),
            ("users: []\nusers: []\n", 2, "twice"),
            ("kind: Config\n---\nkind: Config\n", 0, "second document"),
            ("clusters:\n- {name: homelab}\n- {name: homelab}\n", 3, "two called"),
            ("clusters:\n- &a {name: homelab, cluster: {}}\ncopy: *a\n", 0, "safely"),
        ] {
            let found = merge(text, &access(), false).err().unwrap_or_else(|| panic!("{text}"));
            assert!(line == 0 || found.line == line, "{found}: {text}");
            assert!(found.why.contains(why), "{found}: {text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_there_nothing_panics(text in "[-a-z:{}\\[\\], \n\"'#&*|>]{0,60}") {
            if let Ok(merged) = merge(&text, &access(), false) {
                proptest::prop_assert!(merge(&merged.text, &access(), false).is_ok());
            }
        }
    }
}
