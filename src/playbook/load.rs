//! Finding and checking playbooks: embedded ones, and files that override them.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use super::{FORMAT, Playbook};
use crate::{
    events::Pace,
    toml_read::{self, Diagnostic, Diagnostics, closest},
};

/// Name and text of every playbook that comes with Slipway.
pub const BUILT_IN: [(&str, &str); 5] = [
    ("bootstrap", include_str!("../../playbooks/bootstrap.toml")),
    ("join-node", include_str!("../../playbooks/join-node.toml")),
    ("upgrade", include_str!("../../playbooks/upgrade.toml")),
    ("remove-node", include_str!("../../playbooks/remove-node.toml")),
    ("reset", include_str!("../../playbooks/reset.toml")),
];

const MAX_BYTES: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("there is no playbook `{name}`")]
    Unknown { name: String, known: Vec<String> },
    #[error("cannot read the playbook `{}`: {why}", .path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("cannot read the playbook directory `{}`: {why}", .path.display())]
    Directory { path: PathBuf, why: String },
    #[error("{0}")]
    Invalid(Diagnostics),
}

impl LoadError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { name, known } => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                Some(match closest(name, &known) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("there are {}", toml_read::list(&known, "and")),
                })
            }
            Self::Directory { .. } => {
                Some("`slipway playbook eject` writes the built-in ones to a directory".into())
            }
            Self::Unreadable { .. } | Self::Invalid(_) => None,
        }
    }
}

/// The embedded playbooks, with those of a directory in front of them.
#[derive(Debug, Default)]
pub struct Playbooks {
    overrides: BTreeMap<String, PathBuf>,
}

impl Playbooks {
    pub fn open(dir: Option<&Path>) -> Result<Self, LoadError> {
        let Some(dir) = dir else { return Ok(Self::default()) };
        let failed =
            |e: std::io::Error| LoadError::Directory { path: dir.into(), why: e.to_string() };
        let mut overrides = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let stem = path.file_stem().and_then(|s| s.to_str());
            if path.extension().is_some_and(|e| e == "toml")
                && let Some(stem) = stem
            {
                overrides.insert(stem.to_string(), path);
            }
        }
        Ok(Self { overrides })
    }

    /// Names, and the file that overrides or adds each, if any.
    pub fn list(&self) -> Vec<(String, Option<&Path>)> {
        let mut all: Vec<_> = BUILT_IN.iter().map(|(n, _)| (n.to_string(), None)).collect();
        for (name, path) in &self.overrides {
            match all.iter_mut().find(|(n, _)| n == name) {
                Some((_, slot)) => *slot = Some(path.as_path()),
                None => all.push((name.clone(), Some(path))),
            }
        }
        all
    }

    /// The text, and what to call it in messages.
    pub fn text(&self, name: &str) -> Result<(String, String), LoadError> {
        if let Some(path) = self.overrides.get(name) {
            return Ok((path.display().to_string(), read(path)?));
        }
        match BUILT_IN.iter().find(|(n, _)| *n == name) {
            Some((_, text)) => Ok((format!("playbooks/{name}.toml"), (*text).into())),
            None => {
                let known = self.list().into_iter().map(|(n, _)| n).collect();
                Err(LoadError::Unknown { name: name.into(), known })
            }
        }
    }

    pub fn load(&self, name: &str, steps: &[&str]) -> Result<Playbook, LoadError> {
        let (origin, text) = self.text(name)?;
        let playbook = parse(&origin, &text, steps).map_err(LoadError::Invalid)?;
        if playbook.name.as_str() != name {
            let at = text.find("name").unwrap_or(0);
            let error = Diagnostic::error(
                at..at,
                format!("this playbook calls itself `{}`", playbook.name),
            )
            .hint(format!("its file is found by the name `{name}`; let the two agree"));
            return Err(LoadError::Invalid(Diagnostics::new(&origin, &text, vec![error])));
        }
        Ok(playbook)
    }
}

fn read(path: &Path) -> Result<String, LoadError> {
    let unreadable = |why: String| LoadError::Unreadable { path: path.into(), why };
    let meta = fs::metadata(path).map_err(|e| unreadable(e.to_string()))?;
    if !meta.is_file() {
        return Err(unreadable("it is not a regular file".into()));
    }
    if meta.len() > MAX_BYTES {
        return Err(unreadable(format!("it is larger than {} KiB", MAX_BYTES / 1024)));
    }
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
        .map_err(|e| unreadable(e.to_string()))?;
    Ok(text)
}

/// Checks a playbook's text against the steps that exist.
pub fn parse(origin: &str, text: &str, steps: &[&str]) -> Result<Playbook, Diagnostics> {
    if let Some(error) = newer_format(text) {
        return Err(Diagnostics::new(origin, text, vec![error]));
    }
    let document =
        toml_read::read::<Playbook>(text).map_err(|e| Diagnostics::new(origin, text, e))?;
    let mut errors = document.errors.clone();
    let spans = &document.spans;
    let playbook = &document.value;
    if playbook.phases.is_empty() && !document.is_hole("phase") {
        errors.push(Diagnostic::error(spans.value("phase"), "this playbook has no phases"));
    }
    for (n, phase) in playbook.phases.iter().enumerate() {
        let at = |key: &str| format!("phase.{n}.{key}");
        if document.is_hole(&at("name")) || document.is_hole(&at("steps")) {
            continue;
        }
        if phase.steps.is_empty() {
            errors.push(
                Diagnostic::error(
                    spans.value(&at("steps")),
                    format!("phase `{}` is empty", phase.name),
                )
                .hint("name at least one step, or take the phase out"),
            );
        }
        if playbook.phases[..n].iter().any(|p| p.name == phase.name) {
            let message = format!("there is already a phase `{}`", phase.name);
            errors.push(Diagnostic::error(spans.value(&at("name")), message));
        }
        if let Some(later) = &phase.others_in {
            let known = playbook.phases[n + 1..].iter().find(|p| p.name == *later);
            let fits = known.is_some_and(|p| p.nodes == phase.nodes && p.run == Pace::Parallel);
            if !fits {
                errors.push(
                    Diagnostic::error(
                        spans.value(&at("others_in")),
                        format!("no later phase `{later}` is for the same nodes, side by side"),
                    )
                    .hint("name one that comes after this one, with the same `nodes` and `run = \"parallel\"`"),
                );
            }
        }
        for (m, step) in phase.steps.iter().enumerate() {
            let span = spans.value(&at(&format!("steps.{m}")));
            if !steps.contains(&step.as_str()) {
                let error = Diagnostic::error(span, format!("there is no step `{step}`"));
                errors.push(match closest(step.as_str(), steps) {
                    Some(meant) => error.hint(format!("did you mean `{meant}`?")),
                    None => error.hint("`slipway playbook list --steps` names them all"),
                });
            } else if phase.steps[..m].contains(step) {
                let message = format!("step `{step}` is named twice in phase `{}`", phase.name);
                errors.push(Diagnostic::error(span, message));
            }
        }
    }
    if errors.is_empty() { Ok(document.value) } else { Err(Diagnostics::new(origin, text, errors)) }
}

/// A newer format is said first: whatever else looks wrong may be right in it.
fn newer_format(text: &str) -> Option<Diagnostic> {
    let table: toml::Table = text.parse().ok()?;
    let found = table.get("format")?.as_integer()?;
    if found == i64::from(FORMAT) {
        return None;
    }
    let at = text.find("format").unwrap_or(0);
    let line_end = text[at..].find('\n').map_or(text.len(), |n| at + n);
    let (message, hint) = if found > i64::from(FORMAT) {
        (
            format!("this playbook has format {found}; this slipway knows formats up to {FORMAT}"),
            "use a newer slipway, or `slipway playbook eject` for playbooks of this one",
        )
    } else {
        (format!("there is no playbook format {found}"), "the format is 1")
    };
    Some(Diagnostic::error(at..line_end, message).hint(hint))
}
