//! Whose a file is. What Slipway writes says so in its first line, with a checksum of the rest: as
//! long as it is right nobody has edited the file, and it may be written again.
//!
//! So nothing has to be remembered beside the repository, and a clone knows as much. Pure.

use sha2::{Digest, Sha256};

use crate::names::hex;

const YAML: (&str, &str) = ("# ", "");
const MARKDOWN: (&str, &str) = ("<!-- ", " -->");
const WRITTEN: &str = "Written by `slipway gitops init` (sha256 ";
const AFTER: &str = "). Edit the file and it is yours: it is left alone then.";

/// What is to happen with a file, given what lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing lies there.
    Created,
    /// It is as Slipway left it, and no longer what the inventory says.
    Updated,
    Unchanged,
    /// Somebody edited it: it stays.
    Edited,
    /// Slipway never wrote it: it stays.
    Foreign,
    /// Slipway wrote it once, and would not any more: it stays too, for somebody to remove.
    Leftover,
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Edited => "edited",
            Self::Foreign => "foreign",
            Self::Leftover => "left over",
        }
    }

    pub fn writes(self) -> bool {
        matches!(self, Self::Created | Self::Updated)
    }
}

fn digest(body: &str) -> String {
    let mut digest = hex(&Sha256::digest(body.as_bytes()));
    digest.truncate(16);
    digest
}

/// The file as it is written.
pub fn sealed(path: &str, body: &str) -> String {
    let (before, after) = if path.ends_with(".md") { MARKDOWN } else { YAML };
    format!("{before}{WRITTEN}{}{AFTER}{after}\n{body}", digest(body))
}

/// The checksum in a first line, where there is one.
fn seal(line: &str) -> Option<&str> {
    let line = line.trim_end();
    let rest = line.strip_prefix(YAML.0).or_else(|| line.strip_prefix(MARKDOWN.0))?;
    rest.strip_prefix(WRITTEN)?.get(..16)
}

/// Whether this was written by Slipway, edited since or not.
pub fn is_ours(text: &str) -> bool {
    text.lines().next().and_then(seal).is_some()
}

/// A file without its first line, if that is Slipway's.
pub fn body(text: &str) -> &str {
    match text.split_once('\n') {
        Some((first, body)) if seal(first).is_some() => body,
        _ => text,
    }
}

/// What becomes of the file that lies there; None is nothing there.
pub fn judge(there: Option<&str>, wanted: &str) -> State {
    let Some(there) = there else { return State::Created };
    // Git may have written it out with the line ends of another system.
    let there = there.replace("\r\n", "\n");
    let Some(sum) = there.lines().next().and_then(seal) else { return State::Foreign };
    let found = body(&there);
    if found == wanted {
        State::Unchanged
    } else if digest(found) == sum {
        State::Updated
    } else {
        State::Edited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_whose_it_is() {
        let written = sealed("a.yaml", "a: 1\n");
        assert_eq!(judge(None, "a: 1\n"), State::Created);
        assert_eq!(judge(Some(&written), "a: 1\n"), State::Unchanged);
        assert_eq!(judge(Some(&written.replace('\n', "\r\n")), "a: 1\n"), State::Unchanged);
        assert_eq!(judge(Some(&written), "a: 2\n"), State::Updated);
        assert_eq!(judge(Some(&written.replace("a: 1", "a: 3")), "a: 2\n"), State::Edited);
        assert_eq!(judge(Some("a: 1\n"), "a: 1\n"), State::Foreign);
        assert_eq!(judge(Some(""), "a: 1\n"), State::Foreign);
        let markdown = sealed("a.md", "# A\n");
        assert!(is_ours(&markdown) && markdown.starts_with("<!-- ") && markdown.contains(" -->\n"));
        assert_eq!((body(&markdown), body("x\ny\n")), ("# A\n", "x\ny\n"));
    }
}
