//! From a path to a checked inventory: the only part of this module that reads files.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};

use super::{Checked, Inventory, check};
use crate::toml_read::{self, Diagnostics};

/// A fleet of a thousand nodes needs a third of this.
pub const MAX_BYTES: u64 = 1 << 20;

/// The inventory of the simulated fleet, for trying. Only ever used when asked for by name.
pub const SIM: &str = include_str!("../../inventory/sim.toml");

/// An inventory that can be worked with, and how it was come by.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub inventory: Inventory,
    /// Findings that do not stand in the way.
    pub warnings: Diagnostics,
    pub path: PathBuf,
    /// SHA-256 of the file, in hex.
    pub digest: String,
    /// Kept for checks that only some verbs make (`check_for_bootstrap`).
    pub checked: Checked,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("no inventory at `{}`", .path.display())]
    Missing { path: PathBuf },
    #[error("`{}` is a directory, not an inventory", .path.display())]
    Directory { path: PathBuf, choices: Vec<PathBuf> },
    #[error("`{}` is not a regular file", .path.display())]
    NotAFile { path: PathBuf },
    #[error("no permission to read the inventory `{}`", .path.display())]
    Denied { path: PathBuf },
    #[error("cannot read the inventory `{}`", .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the inventory `{name}` is not UTF-8: line {line}, byte {offset} of the file")]
    NotUtf8 { name: String, line: usize, offset: usize, utf16: Option<()> },
    #[error("the inventory `{name}` is larger than {} KiB", MAX_BYTES / 1024)]
    TooLarge { name: String },
    #[error("no inventory was named, and there is no ./slipway.toml")]
    NoneNamed { choices: Vec<PathBuf> },
    #[error("{0}")]
    Invalid(Diagnostics),
}

impl LoadError {
    /// What to do about it. Findings in the file carry their own hints.
    pub fn hint(&self) -> Option<String> {
        let one_of = |choices: &[PathBuf]| {
            let shown: Vec<String> =
                choices.iter().map(|c| format!("  -i {}", c.display())).collect();
            (!shown.is_empty())
                .then(|| format!("these look like inventories:\n{}", shown.join("\n")))
        };
        match self {
            Self::Missing { .. } => {
                Some("`slipway init` writes one from the machines it finds".into())
            }
            Self::Directory { choices, .. } => {
                one_of(choices).or_else(|| Some("name a file in it".into()))
            }
            Self::NotAFile { .. } => Some("write the inventory to an ordinary file first".into()),
            Self::Denied { path } => {
                Some(format!("look at its owner and mode with `ls -l {}`", path.display()))
            }
            Self::NotUtf8 { utf16: Some(()), .. } => {
                Some("it looks like UTF-16; save it as UTF-8".into())
            }
            Self::NotUtf8 { .. } => Some("save it as UTF-8".into()),
            Self::TooLarge { .. } => Some("is it an inventory at all?".into()),
            Self::NoneNamed { choices } => one_of(choices).or_else(|| {
                Some(
                    "name one with `-i FILE` or SLIPWAY_INVENTORY; `slipway init` writes one"
                        .into(),
                )
            }),
            Self::Unreadable { .. } | Self::Invalid(_) => None,
        }
    }
}

/// Reads and checks the inventory at `path`.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let name = path.display().to_string();
    let bytes = read(path)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let line = bytes[..offset].iter().filter(|b| **b == b'\n').count() + 1;
        let utf16 =
            (bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff])).then_some(());
        LoadError::NotUtf8 { name: name.clone(), line, offset, utf16 }
    })?;
    parse(&name, &text)
}

/// The bytes of a regular file of sensible size. Nothing else is even opened: a FIFO would hang, a
/// device might act on being opened.
fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => LoadError::Missing { path: path.into() },
        io::ErrorKind::PermissionDenied => LoadError::Denied { path: path.into() },
        _ => LoadError::Unreadable { path: path.into(), source },
    };
    let fit = |meta: &fs::Metadata| {
        if meta.is_dir() {
            let choices = candidates(&[path.to_owned()]);
            return Err(LoadError::Directory { path: path.into(), choices });
        }
        if !meta.is_file() {
            return Err(LoadError::NotAFile { path: path.into() });
        }
        if meta.len() > MAX_BYTES {
            return Err(LoadError::TooLarge { name: path.display().to_string() });
        }
        Ok(())
    };
    fit(&fs::metadata(path).map_err(failed)?)?;
    // The file may have been exchanged since: hence not blocking, and looking again.
    let flags = OFlag::O_NONBLOCK.bits();
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    fit(&file.metadata().map_err(failed)?)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(LoadError::TooLarge { name: path.display().to_string() });
    }
    Ok(bytes)
}

/// Reads and checks the text of an inventory; `name` is what messages call it.
pub fn parse(name: &str, text: &str) -> Result<Loaded, LoadError> {
    if text.len() as u64 > MAX_BYTES {
        return Err(LoadError::TooLarge { name: name.into() });
    }
    let document = toml_read::read::<Inventory>(text)
        .map_err(|errors| LoadError::Invalid(Diagnostics::new(name, text, errors)))?;
    let checked = Checked::new(name, text, document);
    let found = check::check(&checked);
    if found.has_errors() {
        return Err(LoadError::Invalid(found));
    }
    let digest: String = Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect();
    let inventory = checked.inventory().clone();
    Ok(Loaded { inventory, warnings: found, path: name.into(), digest, checked })
}

/// Which inventory is meant: the one named on the command line, else in the environment, else
/// ./slipway.toml. There is no further guess; least of all the simulated fleet.
pub fn discover(
    cli: Option<PathBuf>,
    env: Option<OsString>,
    cwd: &Path,
) -> Result<PathBuf, LoadError> {
    let named = cli.or_else(|| env.filter(|v| !v.is_empty()).map(PathBuf::from));
    if let Some(path) = named {
        return Ok(path);
    }
    let default = cwd.join("slipway.toml");
    if fs::symlink_metadata(&default).is_ok() {
        return Ok(default);
    }
    Err(LoadError::NoneNamed { choices: candidates(&[cwd.join("inventory"), cwd.to_owned()]) })
}

/// Files in these directories that look like inventories, as one would name them from there.
fn candidates(directories: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for directory in directories {
        let Ok(entries) = fs::read_dir(directory) else { continue };
        // A directory of many thousand files is not one of inventories.
        for entry in entries.take(1000).flatten() {
            let path = entry.path();
            let toml = path.extension().is_some_and(|e| e == "toml");
            if toml && read(&path).is_ok_and(|bytes| has_cluster(&bytes)) {
                found.push(path);
            }
        }
    }
    // The last directory is the one the others lie in.
    let base = directories.last().map(PathBuf::as_path).unwrap_or(Path::new(""));
    if directories.len() > 1 {
        found = found.iter().map(|p| p.strip_prefix(base).unwrap_or(p).to_owned()).collect();
    }
    found.sort();
    found
}

fn has_cluster(bytes: &[u8]) -> bool {
    let header = |line: &str| line.trim_start().starts_with("[cluster]");
    std::str::from_utf8(bytes).is_ok_and(|text| text.lines().any(header))
}
