//! Exact versions: never a range, never a tag that moves.

use std::{fmt, str::FromStr};

use super::{BadName, string_newtype};

/// `1.36.4`: three numbers. A leading `v` is accepted and dropped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(semver::Version);

impl Version {
    pub fn major(&self) -> u64 {
        self.0.major
    }

    pub fn minor(&self) -> u64 {
        self.0.minor
    }

    pub fn patch(&self) -> u64 {
        self.0.patch
    }

    /// `1.36`, as compatibility tables and repositories name a release line.
    pub fn line(&self) -> String {
        format!("{}.{}", self.0.major, self.0.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

impl FromStr for Version {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let bare = text.strip_prefix('v').unwrap_or(text);
        match semver::Version::parse(bare) {
            Ok(version) => Ok(Self(version)),
            Err(_) if semver::Version::parse(&format!("{bare}.0")).is_ok() => Err(BadName(
                format!("names a release line, not a version; did you mean `{bare}.0`?"),
            )),
            Err(_) => Err(BadName("is not a version like `1.36.4`".into())),
        }
    }
}

string_newtype!(Version, "Version", r"^v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_exact() {
        assert_eq!("v1.36.4".parse::<Version>().unwrap().to_string(), "1.36.4");
        let why = "1.36".parse::<Version>().unwrap_err().to_string();
        assert!(why.contains("did you mean `1.36.0`"), "{why}");
        assert!("latest".parse::<Version>().is_err());
    }
}
