//! Files: written whole, atomically, or gone.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Diff, Observed, OpResult, Output};
use super::sys::{Access, Sys};
use crate::secret::Sealed;

/// What a file holds; a secret one is never shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Text {
    Plain(String),
    Secret(Sealed),
}

impl Text {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Text::Plain(text) => text.as_bytes(),
            Text::Secret(sealed) => sealed.reveal().as_bytes(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct File {
    pub path: String,
    pub text: Text,
    pub mode: u32,
    /// `user:group`; whoever has it keeps it, when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

impl File {
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: Text::Plain(text.into()), mode: 0o644, owner: None }
    }

    pub fn owner(mut self, owner: Option<String>) -> Self {
        self.owner = owner;
        self
    }

    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }
}

#[async_trait]
impl Action for File {
    fn title(&self) -> String {
        format!("write {}", self.path)
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let found = sys.read(&self.path).await?;
        let Some(found) = found else {
            return Ok(Observed::Differs(vec![self.diff(None)]));
        };
        let mut differences = Vec::new();
        if found.content != self.text.bytes() {
            differences.push(self.diff(Some(&found.content)));
        }
        let access = (found.mode, found.owner);
        differences.extend(access_differs(&self.path, &access, self.mode, self.owner.as_ref()));
        Ok(if differences.is_empty() { Observed::Holds } else { Observed::Differs(differences) })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        let access = Access { mode: self.mode, owner: self.owner.clone() };
        sys.write_as(&self.path, self.text.bytes(), &access).await?;
        Ok(None)
    }
}

/// What of a path's mode and owner is not as it is wanted.
fn access_differs(
    path: &str,
    (mode, owner): &(u32, String),
    want_mode: u32,
    want_owner: Option<&String>,
) -> Vec<Diff> {
    let mut differences = Vec::new();
    if *mode != want_mode {
        differences.push(Diff::say(format!("mode of {path} from {mode:04o} to {want_mode:04o}")));
    }
    if let Some(want) = want_owner.filter(|want| *want != owner) {
        differences.push(Diff::say(format!("owner of {path} from {owner} to {want}")));
    }
    differences
}

/// A directory, with its mode; what lies in it is nobody's business here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Directory {
    pub path: String,
    pub mode: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

#[async_trait]
impl Action for Directory {
    fn title(&self) -> String {
        format!("directory {}", self.path)
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let differences = match sys.directory(&self.path).await? {
            None => vec![Diff::say(format!("create the directory {}", self.path))],
            Some(found) => {
                let access = (found.mode, found.owner);
                access_differs(&self.path, &access, self.mode, self.owner.as_ref())
            }
        };
        Ok(if differences.is_empty() { Observed::Holds } else { Observed::Differs(differences) })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        let access = Access { mode: self.mode, owner: self.owner.clone() };
        sys.make_directory(&self.path, &access).await?;
        Ok(None)
    }
}

impl File {
    fn diff(&self, old: Option<&[u8]>) -> Diff {
        match &self.text {
            Text::Plain(new) => Diff::File {
                path: self.path.clone(),
                old: old.map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
                new: Some(new.clone()),
            },
            Text::Secret(_) => Diff::say(match old {
                None => format!("create {} (contents hidden)", self.path),
                Some(_) => format!("change {} (contents hidden)", self.path),
            }),
        }
    }
}

/// A file that must not be there, such as a profile that fights with ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Absent {
    pub path: String,
}

#[async_trait]
impl Action for Absent {
    fn title(&self) -> String {
        format!("remove {}", self.path)
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        Ok(match sys.read(&self.path).await? {
            None => Observed::Holds,
            Some(found) => Observed::Differs(vec![Diff::File {
                path: self.path.clone(),
                old: Some(String::from_utf8_lossy(&found.content).into_owned()),
                new: None,
            }]),
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        sys.remove(&self.path).await?;
        Ok(None)
    }
}

/// Slipway's own block in /etc/hosts; what others wrote there stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostsBlock {
    /// Address and names.
    pub entries: Vec<(std::net::Ipv4Addr, Vec<String>)>,
}

const HOSTS: &str = "/etc/hosts";
const BEGIN: &str = "# slipway: begin";
const END: &str = "# slipway: end";

impl HostsBlock {
    /// The file as it should be, from the file as it is.
    pub fn merge(&self, old: &str) -> String {
        let mut outside = String::new();
        let mut inside = false;
        // A block whose end is missing ends with the file's own last line of ours: only lines that
        // look like entries of a block are taken for it.
        for line in old.lines() {
            match line.trim() {
                BEGIN => inside = true,
                END => inside = false,
                _ if inside => {}
                _ => {
                    outside.push_str(line);
                    outside.push('\n');
                }
            }
        }
        if inside {
            // Unfinished block: keep what follows rather than guess which lines were ours.
            outside.clear();
            for line in old.lines().filter(|l| !matches!(l.trim(), BEGIN | END)) {
                outside.push_str(line);
                outside.push('\n');
            }
        }
        if self.entries.is_empty() {
            return outside;
        }
        let mut text = outside;
        text.push_str(BEGIN);
        text.push('\n');
        for (address, names) in &self.entries {
            text.push_str(&format!("{address}\t{}\n", names.join(" ")));
        }
        text.push_str(END);
        text.push('\n');
        text
    }
}

#[async_trait]
impl Action for HostsBlock {
    fn title(&self) -> String {
        "names in /etc/hosts".into()
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let old = self.read(sys).await?;
        let new = self.merge(&old);
        Ok(if new == old {
            Observed::Holds
        } else {
            Observed::Differs(vec![Diff::File {
                path: HOSTS.into(),
                old: (!old.is_empty()).then_some(old),
                new: Some(new),
            }])
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        let new = self.merge(&self.read(sys).await?);
        sys.write(HOSTS, new.as_bytes(), 0o644).await?;
        Ok(None)
    }
}

impl HostsBlock {
    async fn read(&self, sys: &dyn Sys) -> OpResult<String> {
        Ok(match sys.read(HOSTS).await? {
            Some(found) => String::from_utf8_lossy(&found.content).into_owned(),
            None => String::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> HostsBlock {
        HostsBlock {
            entries: vec![("10.0.0.1".parse().unwrap(), vec!["a".into(), "a.lan".into()])],
        }
    }

    #[test]
    fn the_block_is_replaced_and_the_rest_kept() {
        let first = block().merge("127.0.0.1 localhost\n");
        assert_eq!(
            first,
            "127.0.0.1 localhost\n# slipway: begin\n10.0.0.1\ta a.lan\n# slipway: end\n"
        );
        assert_eq!(block().merge(&first), first, "merging again changes nothing");
        assert_eq!(HostsBlock { entries: vec![] }.merge(&first), "127.0.0.1 localhost\n");
    }

    #[test]
    fn an_unfinished_block_loses_no_lines() {
        let merged = block().merge("127.0.0.1 localhost\n# slipway: begin\n10.9.9.9 nas\n");
        assert!(merged.contains("10.9.9.9 nas"), "{merged}");
    }
}
