//! Text that must not be seen: it prints, logs and serialises as `[hidden]`.
//!
//! The one way out over the wire is [`exposed`], which the agent's frames use: a value that is
//! serialised anywhere else (the plan, an event, the ledger) stays hidden, whatever it is part of.

use std::cell::Cell;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What stands where a secret would.
pub const HIDDEN: &str = "[hidden]";

thread_local! {
    static EXPOSE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `encode` with secrets written as they are. Only for bytes that go straight to an agent.
pub fn exposed<T>(encode: impl FnOnce() -> T) -> T {
    struct Reset(bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            EXPOSE.with(|flag| flag.set(self.0));
        }
    }
    let _reset = Reset(EXPOSE.with(|flag| flag.replace(true)));
    encode()
}

/// A secret string: zeroised when dropped, hidden wherever it is shown.
#[derive(Clone)]
pub struct Sealed(SecretString);

impl Sealed {
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The secret itself; each caller is a place to look at twice.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl PartialEq for Sealed {
    fn eq(&self, other: &Self) -> bool {
        self.reveal() == other.reveal()
    }
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(if EXPOSE.with(Cell::get) { self.reveal() } else { HIDDEN })
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(Self::new)
    }
}

/// Where the operator's own secret is read from, on the controller. Itself no secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A variable of the environment.
    Env(String),
    /// A file; relative to the inventory.
    File(String),
    /// A program and its arguments, whose output is the secret.
    Command(Vec<String>),
    /// A file that age encrypted; who can read it is said there, or where SOPS looks for it.
    Age { file: String, identity: Option<Box<Source>> },
    /// One value of a file that SOPS encrypted: `key` is its place, a name a level.
    Sops { file: String, key: Vec<String>, identity: Option<Box<Source>> },
    /// A token that a GitHub App's key is exchanged for. It lives for an hour.
    GithubApp(GithubApp),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GithubApp {
    pub app: u64,
    pub installation: u64,
    pub key: Box<Source>,
    /// `https://api.github.com`, or an enterprise's own.
    pub api: String,
    /// PEM, where the API is known by a CA of its own.
    pub ca: Option<String>,
}

impl Source {
    /// Whether what was read a while ago may be worth nothing any more.
    pub fn is_short_lived(&self) -> bool {
        matches!(self, Source::GithubApp(_))
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Env(name) => write!(f, "${name}"),
            Source::File(path) => write!(f, "the file {path}"),
            Source::Command(words) => write!(f, "the command `{}`", words.join(" ")),
            Source::Age { file, .. } => write!(f, "the age file {file}"),
            Source::Sops { file, key, .. } => {
                write!(f, "`{}` of the SOPS file {file}", key.join("."))
            }
            Source::GithubApp(app) => {
                write!(f, "installation {} of the GitHub App {}", app.installation, app.app)
            }
        }
    }
}

/// A secret that is read just before it is needed: until then only where from is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sourced {
    pub source: Source,
    pub value: Option<Sealed>,
}

impl Sourced {
    pub fn from(source: Source) -> Self {
        Self { source, value: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_unless_exposed() {
        let secret = Sealed::new("abcdef.0123456789abcdef");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"[hidden]\"");
        assert_eq!(format!("{secret:?}"), "[hidden]");
        let wire = exposed(|| serde_json::to_string(&secret).unwrap());
        assert_eq!(wire, "\"abcdef.0123456789abcdef\"");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"[hidden]\"");
    }
}
