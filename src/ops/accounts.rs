//! Users of a host, and the keys that let them in.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Diff, Observed, OpResult, Output};
use super::sys::{Access, Sys, UserState};

/// A person's account. What it has beyond this, it keeps: further groups, further keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct User {
    pub name: String,
    /// Beside its own.
    pub groups: Vec<String>,
    /// Public keys, as lines of authorized_keys.
    pub keys: Vec<String>,
}

/// What makes a key: its kind and its bytes. Comments are anybody's.
fn essence(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_ascii_whitespace();
    Some((words.next()?, words.next()?))
}

impl User {
    fn missing_groups(&self, found: Option<&UserState>) -> Vec<String> {
        let has = |g: &String| found.is_some_and(|f| f.group == *g || f.groups.contains(g));
        self.groups.iter().filter(|g| !has(g)).cloned().collect()
    }

    fn keys_file(found: &UserState) -> String {
        format!("{}/.ssh/authorized_keys", found.home.trim_end_matches('/'))
    }

    /// The file's text as it is, and the keys that it lacks.
    async fn missing_keys(
        &self,
        sys: &dyn Sys,
        found: &UserState,
    ) -> OpResult<(String, Vec<String>)> {
        let file = sys.read(&Self::keys_file(found)).await?;
        let text =
            file.map(|f| String::from_utf8_lossy(&f.content).into_owned()).unwrap_or_default();
        let has = |key: &String| text.lines().any(|line| essence(line) == essence(key));
        let missing = self.keys.iter().filter(|k| !has(k)).cloned().collect();
        Ok((text, missing))
    }
}

#[async_trait]
impl Action for User {
    fn title(&self) -> String {
        format!("user {}", self.name)
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let found = sys.user(&self.name).await?;
        let mut differences = Vec::new();
        if found.is_none() {
            differences.push(Diff::say(format!("make the user {}", self.name)));
        }
        for group in self.missing_groups(found.as_ref()) {
            differences.push(Diff::say(format!("{} into the group {group}", self.name)));
        }
        let keys = match &found {
            Some(found) => self.missing_keys(sys, found).await?.1,
            None => self.keys.clone(),
        };
        for key in keys {
            let comment = key.split_ascii_whitespace().nth(2).unwrap_or("without a comment");
            differences.push(Diff::say(format!("let {} in with the key {comment}", self.name)));
        }
        Ok(if differences.is_empty() { Observed::Holds } else { Observed::Differs(differences) })
    }

    async fn apply(&self, sys: &dyn Sys) -> OpResult<Option<Output>> {
        if sys.user(&self.name).await?.is_none() {
            sys.add_user(&self.name).await?;
        }
        let Some(found) = sys.user(&self.name).await? else { return Ok(None) };
        let groups = self.missing_groups(Some(&found));
        if !groups.is_empty() {
            sys.add_to_groups(&self.name, &groups).await?;
        }
        let (mut text, missing) = self.missing_keys(sys, &found).await?;
        if !missing.is_empty() {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            for key in missing {
                text.push_str(&format!("{key}\n"));
            }
            // sshd looks at no file that others could have written.
            let owner = Some(format!("{}:{}", self.name, found.group));
            let file = Self::keys_file(&found);
            let dir = file.trim_end_matches("/authorized_keys");
            sys.make_directory(dir, &Access { mode: 0o700, owner: owner.clone() }).await?;
            sys.write_as(&file, text.as_bytes(), &Access { mode: 0o600, owner }).await?;
        }
        Ok(None)
    }
}
