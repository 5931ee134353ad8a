//! What the inventory says, taken together: whether it can be one cluster at all.
//!
//! Split by topic. No check contacts anything or reads a file, and each finding points at its
//! place in the text, and at the other place where two do not go together. What could not be
//! decoded is not judged (see `toml_read::Context::hole`), so that one mistake is one error.

mod backup;
mod cluster;
mod gitops;
mod host;
mod kubeadm;
mod networks;
mod nodes;
mod os_disk;
mod secrets;
mod sim;
mod text;

use std::{collections::BTreeMap, fmt::Display, sync::Arc};

use super::Inventory;
use crate::toml_read::{Diagnostic, Diagnostics, Document, Span};

/// An inventory together with its text, for checks that come later.
#[derive(Debug, Clone)]
pub struct Checked {
    name: String,
    source: Arc<str>,
    document: Document<Inventory>,
}

impl Checked {
    pub(super) fn new(name: &str, source: &str, document: Document<Inventory>) -> Self {
        Self { name: name.into(), source: source.into(), document }
    }

    pub fn inventory(&self) -> &Inventory {
        &self.document.value
    }

    fn findings(&self) -> Findings<'_> {
        Findings {
            document: &self.document,
            source: &self.source,
            found: Vec::new(),
            masks: Vec::new(),
        }
    }

    fn done(&self, found: Vec<Diagnostic>, masks: &[Span]) -> Diagnostics {
        let all = Diagnostics::new(&self.name, &self.source, found);
        masks.iter().fold(all, Diagnostics::mask)
    }
}

/// Everything that is wrong or odd about this inventory, whatever is to be done with it.
/// `unread` says, by place, which texts it names could not be read.
pub(super) fn check(checked: &Checked, unread: &[(String, String)]) -> Diagnostics {
    let mut f = checked.findings();
    let inventory = checked.inventory();
    cluster::check(inventory, &mut f);
    gitops::check(inventory, &mut f);
    networks::check(inventory, &mut f);
    nodes::check(inventory, &mut f);
    host::check(inventory, unread, &mut f);
    os_disk::check(inventory, &mut f);
    kubeadm::check(inventory, &mut f);
    backup::check(inventory, &mut f);
    sim::check(inventory, &mut f);
    let mut found = checked.document.errors.clone();
    found.append(&mut f.found);
    checked.done(found, &f.masks)
}

/// What a cluster may grow or shrink through, but must not be born with.
pub fn check_for_bootstrap(checked: &Checked) -> Diagnostics {
    let mut f = checked.findings();
    if let Some(finding) = nodes::even_control_planes(checked.inventory()) {
        f.add(Finding::error(&finding.path, finding.diagnostic.message).hint(
            "make it one more or one less; further nodes join later, with `slipway join-node`",
        ));
    }
    checked.done(f.found, &f.masks)
}

/// Collects what the checks say, and knows where in the text they mean.
struct Findings<'a> {
    document: &'a Document<Inventory>,
    source: &'a str,
    found: Vec<Diagnostic>,
    masks: Vec<Span>,
}

impl Findings<'_> {
    fn add(&mut self, finding: Finding) {
        let Finding { mut diagnostic, path, on_key, others, silent } = finding;
        let paths = others.iter().map(|(path, _)| path).chain(&silent).chain([&path]);
        if paths.into_iter().any(|path| self.document.is_hole(path)) {
            return;
        }
        let spans = &self.document.spans;
        diagnostic.span = if on_key { spans.key(&path) } else { spans.value(&path) };
        for (path, label) in others {
            diagnostic.related.push((spans.value(&path), label));
        }
        self.found.push(diagnostic);
    }

    /// The text at `path` is a secret: not to be shown, whatever is said about it.
    fn mask(&mut self, span: Span) {
        self.masks.push(span);
    }

    /// How to call the node: by name, or by number where its name cannot be read.
    fn who(&self, i: usize) -> String {
        let number = format!("node number {}", i + 1);
        let nodes = &self.document.value.nodes;
        match nodes.get(i).filter(|_| !self.document.is_hole(&at(i, "name"))) {
            // Where two share a name, it does not tell them apart.
            Some(node) if nodes.iter().filter(|n| n.name == node.name).count() > 1 => {
                format!("`{}` ({number})", node.name)
            }
            Some(node) => format!("`{}`", node.name),
            None => number,
        }
    }

    /// Says so when a value appears twice. The first is remembered in `seen`.
    fn unique<K: Ord>(
        &mut self,
        seen: &mut BTreeMap<K, (String, String)>,
        key: K,
        (path, owner): (String, String),
        message: impl FnOnce(&str) -> String,
    ) {
        if self.document.is_hole(&path) {
            return;
        }
        match seen.get(&key) {
            Some((first, first_owner)) => {
                let finding = Finding::error(&path, message(first_owner)).label("again here");
                self.add(finding.other(first, "first here"));
            }
            None => {
                seen.insert(key, (path, owner));
            }
        }
    }
}

/// A diagnostic that names its places by path.
struct Finding {
    diagnostic: Diagnostic,
    path: String,
    on_key: bool,
    others: Vec<(String, String)>,
    silent: Vec<String>,
}

impl Finding {
    fn error(path: &str, message: impl Into<String>) -> Self {
        Self::of(path, Diagnostic::error(0..0, message))
    }

    fn warning(path: &str, message: impl Into<String>) -> Self {
        Self::of(path, Diagnostic::warning(0..0, message))
    }

    fn of(path: &str, diagnostic: Diagnostic) -> Self {
        let (others, silent) = (Vec::new(), Vec::new());
        Self { diagnostic, path: path.into(), on_key: false, others, silent }
    }

    fn label(mut self, label: impl Into<String>) -> Self {
        self.diagnostic = self.diagnostic.label(label);
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.diagnostic = self.diagnostic.hint(hint);
        self
    }

    /// Points at the key rather than the value.
    fn on_key(mut self) -> Self {
        self.on_key = true;
        self
    }

    /// Another place that is part of it.
    fn other(mut self, path: &str, label: impl Into<String>) -> Self {
        self.others.push((path.into(), label.into()));
        self
    }

    /// Not to be said if this cannot be read.
    fn given(mut self, path: &str) -> Self {
        self.silent.push(path.into());
        self
    }
}

/// The path of something of the `i`th node.
fn at(i: usize, rest: impl Display) -> String {
    format!("node.{i}.{rest}")
}
