//! Secrets that lie encrypted beside the inventory: files of age's and of SOPS'.

use std::path::Path;

use zeroize::Zeroizing;

use super::secrets::{Resolve, failure, file};
use crate::{
    age::{self, AgeError, Identity},
    events::Failure,
    secret::{Sealed, Source},
    sops::{self, SopsError},
};

/// Where SOPS itself looks.
const VARIABLE: &str = "SOPS_AGE_KEY";
const FILE_VARIABLE: &str = "SOPS_AGE_KEY_FILE";
const USUAL: &str = "~/.config/sops/age/keys.txt";
const MOST: u64 = 4 << 20;

/// Why, and what helps.
pub struct Wrong {
    why: String,
    hint: Option<&'static str>,
}

impl Wrong {
    pub fn about(self, source: &Source) -> Failure {
        let mut failure = failure(source, self.why);
        failure.hint = self.hint.map(str::to_string);
        failure
    }
}

fn wrong(why: impl Into<String>, hint: Option<&'static str>) -> Wrong {
    Wrong { why: why.into(), hint }
}

const OTHER_KEY: &str = "name the key that reads it: [gitops] age_identity = { file = \"...\" }";

/// The keys that SOPS would take, where the inventory names none.
pub fn usual_identity(resolve: &Resolve) -> Result<Sealed, Failure> {
    if let Ok(keys) = std::env::var(VARIABLE)
        && !keys.trim().is_empty()
    {
        return Ok(Sealed::new(keys));
    }
    let named = std::env::var(FILE_VARIABLE).ok().filter(|path| !path.is_empty());
    let path = named.map_or_else(|| resolve(USUAL), Into::into);
    file(&path).map(Sealed::new).map_err(|why| {
        Failure::new("read the key of encrypted secrets", why)
            .left("nothing was sent to the node")
            .hint(format!("name it: [gitops] age_identity = {{ file = \"...\" }}, or {VARIABLE}, or {FILE_VARIABLE}"))
    })
}

/// Every key of a file as `age-keygen` writes it.
fn identities(text: &Sealed) -> Result<Vec<Identity>, Wrong> {
    let lines = text.reveal().lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let all: Result<Vec<Identity>, _> = lines.map(Identity::in_file).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(wrong("there is no secret key to read it with", Some(OTHER_KEY))),
        Err(bad) => Err(wrong(format!("what is to read it {bad}"), Some(OTHER_KEY))),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, Wrong> {
    let told = |error: std::io::Error| wrong(format!("{}: {error}", path.display()), None);
    let meta = std::fs::metadata(path).map_err(told)?;
    if !meta.is_file() || meta.len() > MOST {
        return Err(wrong(format!("{} is no file, or too large for one", path.display()), None));
    }
    std::fs::read(path).map_err(told)
}

pub fn age(path: &Path, identity: &Sealed) -> Result<String, Wrong> {
    let sealed = bytes(path)?;
    let mut not_for_us = None;
    for identity in identities(identity)? {
        match age::decrypt(&sealed, &identity) {
            Ok(plain) => {
                let text = std::str::from_utf8(&plain);
                return text
                    .map(str::to_string)
                    .map_err(|_| wrong("what is in it is no text", None));
            }
            Err(error @ AgeError::NotForUs) => not_for_us = Some(error),
            Err(error) => return Err(wrong(error.to_string(), None)),
        }
    }
    let why = not_for_us.unwrap_or(AgeError::NotForUs).to_string();
    Err(wrong(why, Some(OTHER_KEY)))
}

pub fn sops(path: &Path, key: &[String], identity: &Sealed) -> Result<String, Wrong> {
    let text =
        Zeroizing::new(String::from_utf8(bytes(path)?).map_err(|_| wrong("it is no text", None))?);
    let found = sops::value(&text, key, &identities(identity)?);
    found.map(|value| value.to_string()).map_err(|error| {
        let hint = match error {
            SopsError::NotForUs { .. } => Some(OTHER_KEY),
            SopsError::NoAge => Some(
                "SOPS itself reads files for other kinds of keys: { command = [\"sops\", \"decrypt\", \"--extract\", '[\"a\"][\"b\"]', \"FILE\"] }",
            ),
            SopsError::Missing { .. } | SopsError::NotOne { .. } => {
                Some("`key` is the way to one value, with a dot between levels")
            }
            SopsError::Changed | SopsError::Damaged { .. } => {
                Some("edit it with `sops FILE`, not by hand; the last commit has it as it was")
            }
            _ => None,
        };
        wrong(error.to_string(), hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: &str = include_str!("../../tests/age/identity.txt");

    fn told<T>(result: Result<T, Wrong>) -> String {
        result.err().map(|wrong| wrong.why).unwrap()
    }

    #[test]
    fn an_age_file_is_read_by_any_of_the_keys() {
        let path = Path::new("tests/age/words.age");
        let other = Identity::generate().unwrap().to_text();
        let keys = Sealed::new(format!("{}\n{IDENTITY}", other.reveal()));
        assert_eq!(age(path, &keys).ok().unwrap(), "from age\n");
        let armored = Path::new("tests/secrets/armored.age");
        assert_eq!(age(armored, &keys).ok().unwrap(), "armored\n");
        assert!(told(age(path, &other)).contains("encrypted for other keys"));
        assert!(told(age(path, &Sealed::new("# nothing"))).contains("no secret key"));
        assert!(told(age(Path::new("Cargo.toml"), &other)).contains("no file that age encrypted"));
        assert!(told(age(Path::new("/no/such"), &other)).contains("/no/such"));
    }
}
