//! Names of nodes, phases and steps.

use std::{fmt, str::FromStr, sync::Arc};

use super::{BadName, string_newtype};

/// A node's name: what Kubernetes accepts as a Node object's name and a hostname in one label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Arc<str>);

impl NodeName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for NodeName {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        label(text, 63)?;
        Ok(Self(text.into()))
    }
}

string_newtype!(NodeName, "NodeName", "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$");

macro_rules! word {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                label(text, 63)?;
                Ok(Self(text.into()))
            }
        }

        string_newtype!($name, stringify!($name), "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$");
    };
}

word!(
    /// A phase of a playbook, such as `host-prep`.
    PhaseName
);
word!(
    /// A step of a phase, such as `sysctls`.
    StepName
);

/// One DNS label (RFC 1123): the strictest of the rules that these names meet later.
fn label(text: &str, max_len: usize) -> Result<(), BadName> {
    let fail = |why: String| Err(BadName(why));
    if text.is_empty() {
        return fail("must not be empty".into());
    }
    if text.len() > max_len {
        return fail(format!("is {} characters long, at most {max_len} are allowed", text.len()));
    }
    if let Some(bad) =
        text.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-'))
    {
        let shown = bad.escape_debug();
        return fail(format!("contains `{shown}`; lowercase letters, digits and `-` are allowed"));
    }
    if text.starts_with('-') || text.ends_with('-') {
        return fail("must start and end with a letter or digit".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_names_are_dns_labels() {
        for good in ["a", "node-a", "n1", "1n", &"x".repeat(63)] {
            assert!(good.parse::<NodeName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "Node", "a_b", "a.b", "ä", &"x".repeat(64)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad}");
        }
    }
}
