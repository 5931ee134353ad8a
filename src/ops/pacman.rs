//! pacman's own configuration: what it must leave alone, and which iptables there is.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Diff, Nature, Observed, OpError, OpResult, Output};
use super::sys::Sys;

const CONFIG: &str = "/etc/pacman.conf";
const BEGIN: &str = "# slipway: begin";
const END: &str = "# slipway: end";

/// Packages whose versions Slipway chooses: an update of the distribution must not move them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PacmanIgnores {
    pub names: Vec<String>,
}

impl PacmanIgnores {
    /// The file with our block at the beginning of its options. None where there are no options:
    /// then it is no configuration of pacman's.
    fn merge(&self, old: &str) -> Option<String> {
        let mut text = String::with_capacity(old.len() + 128);
        let (mut ours, mut placed) = (false, false);
        // A block without its end is not ours to guess at: only its first line is dropped.
        let closed = old.lines().any(|l| l.trim() == END);
        for line in old.split_inclusive('\n') {
            match line.trim() {
                BEGIN => ours = closed,
                END => ours = false,
                _ if ours => {}
                trimmed => {
                    text.push_str(line);
                    if trimmed == "[options]" && !placed {
                        placed = true;
                        if !line.ends_with('\n') {
                            text.push('\n');
                        }
                        text.push_str(&format!(
                            "{BEGIN}\nIgnorePkg = {}\n{END}\n",
                            self.names.join(" ")
                        ));
                    }
                }
            }
        }
        placed.then_some(text)
    }

    async fn texts(&self, sys: &dyn Sys) -> OpResult<(String, String)> {
        let found = sys.read(CONFIG).await?;
        let old =
            found.map(|f| String::from_utf8_lossy(&f.content).into_owned()).unwrap_or_default();
        let new = self.merge(&old).ok_or_else(|| {
            OpError::new(self.title(), format!("{CONFIG} has no section [options]"))
                .hint("restore the file from the package pacman")
        })?;
        Ok((old, new))
    }
}

#[async_trait]
impl Action for PacmanIgnores {
    fn title(&self) -> String {
        "pacman leaves pinned packages alone".into()
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let (old, new) = self.texts(sys).await?;
        Ok(if old == new {
            Observed::Holds
        } else {
            Observed::Differs(vec![Diff::File {
                path: CONFIG.into(),
                old: Some(old),
                new: Some(new),
            }])
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        let (_, new) = self.texts(sys).await?;
        sys.write(CONFIG, new.as_bytes(), 0o644).await?;
        Ok(None)
    }
}

/// Which of the kernel's two packet filters `iptables` writes to. Both at once on one host is what
/// nobody finds at midnight: rules that are there, and are not seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Iptables {
    /// `nft` or `legacy`.
    pub backend: String,
}

#[async_trait]
impl Action for Iptables {
    fn title(&self) -> String {
        format!("iptables writes to {}", self.backend)
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: 300, ..Nature::CHANGE }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        Ok(match sys.iptables_backend().await? {
            Some(found) if found == self.backend => Observed::Holds,
            Some(found) => Observed::Differs(vec![Diff::say(format!(
                "iptables from {found} to {}",
                self.backend
            ))]),
            // The packages before this bring it; in a plan it may not be there yet.
            None => Observed::Differs(vec![Diff::say(format!("iptables for {}", self.backend))]),
        })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        sys.set_iptables_backend(&self.backend).await?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_replaced_and_the_rest_kept() {
        let ignores = PacmanIgnores { names: vec!["kubelet".into(), "runc".into()] };
        let old = "# mine\n[options]\nIgnorePkg = linux-zen\n\n[core]\nInclude = x";
        let new = ignores.merge(old).unwrap();
        assert_eq!(
            new,
            "# mine\n[options]\n# slipway: begin\nIgnorePkg = kubelet runc\n# slipway: end\nIgnorePkg = linux-zen\n\n[core]\nInclude = x"
        );
        assert_eq!(ignores.merge(&new).unwrap(), new);
        let other = PacmanIgnores { names: vec!["runc".into()] };
        assert_eq!(ignores.merge(&other.merge(&new).unwrap()).unwrap(), new);
        assert_eq!(ignores.merge("[core]\n"), None);
    }

    #[test]
    fn an_unfinished_block_loses_no_lines() {
        let ignores = PacmanIgnores { names: vec!["runc".into()] };
        let new = ignores.merge("[options]\n# slipway: begin\nArchitecture = auto\n").unwrap();
        assert!(new.contains("Architecture = auto"), "{new}");
    }
}
