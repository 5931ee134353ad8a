//! The key that is made where the inventory names none.

use std::{io::Write, path::Path};

use crate::{
    age::{Identity, Recipient},
    events::Failure,
    private::Part,
};

pub const FILE: &str = "identity.txt";
const WHAT: &str = "read the key of the snapshots";

pub fn read(path: &Path) -> Result<Identity, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::new(WHAT, format!("cannot read `{}`: {e}", path.display())))?;
    Identity::in_file(&text)
        .map_err(|why| Failure::new(WHAT, format!("`{}` {why}", path.display())))
}

/// The one in this directory, and whether it was made just now.
pub fn of(snapshots: &Path) -> Result<(Recipient, bool), Failure> {
    let path = snapshots.join(FILE);
    if path.exists() {
        return Ok((read(&path)?.recipient(), false));
    }
    let make = || {
        let identity = Identity::generate()?;
        let mut part = Part::beside(&path)?;
        let text = identity.to_text();
        writeln!(part, "# public key: {}\n{}", identity.recipient(), text.reveal())?;
        // Another run may have made one meanwhile.
        part.keep_new(&path)
    };
    let made = make().map_err(|e: std::io::Error| {
        let why = format!("cannot write `{}`: {e}", path.display());
        Failure::new("make a key for the snapshots", why)
    })?;
    Ok((read(&path)?.recipient(), made))
}
