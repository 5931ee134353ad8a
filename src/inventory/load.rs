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

use super::{Checked, Gitops, Host, Inventory, check};
use crate::{
    names::hex,
    toml_read::{self, Diagnostics},
};

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
    NotUtf8 { name: String, line: usize, offset: usize, utf16: bool },
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
            Self::NotUtf8 { utf16: true, .. } => {
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
        let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
        LoadError::NotUtf8 { name: name.clone(), line, offset, utf16 }
    })?;
    parse_beside(&name, &text, Some(path.parent().unwrap_or(Path::new(""))))
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
    #[expect(clippy::disallowed_methods, reason = "opened for reading only")]
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    fit(&file.metadata().map_err(failed)?)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(LoadError::TooLarge { name: path.display().to_string() });
    }
    Ok(bytes)
}

/// Takes the texts of files that the inventory names rather than holds. What cannot be read keeps
/// its source: that is how the checks know; the reasons are returned by place.
fn take_sources(host: &mut Host, directory: Option<&Path>) -> Vec<(String, String)> {
    let mut unread = Vec::new();
    for (i, file) in host.files.iter_mut().enumerate() {
        let Some(source) = file.source.as_deref().filter(|_| file.text.is_none()) else { continue };
        match beside(source, directory) {
            Ok(text) => (file.text, file.source) = (Some(text), None),
            Err(why) => unread.push((format!("host.file.{i}.source"), format!("`{source}` {why}"))),
        }
    }
    unread
}

/// The same for what the Git host is known by.
fn take_access(gitops: &mut Option<Gitops>, directory: Option<&Path>) -> Vec<(String, String)> {
    let mut unread = Vec::new();
    let Some(access) = gitops.as_mut().and_then(|g| g.access.as_mut()) else { return unread };
    for (key, from) in [("known_hosts", &mut access.known_hosts), ("ca", &mut access.ca)] {
        let Some(from) = from else { continue };
        let Some(file) = from.file.as_deref().filter(|_| from.text.is_none()) else { continue };
        match beside(file, directory) {
            Ok(text) => (from.text, from.file) = (Some(text), None),
            Err(why) => unread.push((format!("gitops.access.{key}"), format!("`{file}` {why}"))),
        }
    }
    unread
}

fn beside(source: &str, directory: Option<&Path>) -> Result<String, String> {
    match directory {
        _ if source.is_empty() => Err("names no file".into()),
        _ if source.starts_with(['/', '~']) => Err("is not a path beside the inventory".into()),
        None => Err("cannot be read: this inventory lies in no directory".into()),
        Some(directory) => read_source(&directory.join(source)),
    }
}

fn read_source(path: &Path) -> Result<String, String> {
    let bytes = read(path).map_err(|error| match error {
        LoadError::Missing { .. } => "does not exist".to_string(),
        LoadError::Directory { .. } => "is a directory".into(),
        LoadError::NotAFile { .. } => "is not a regular file".into(),
        LoadError::TooLarge { .. } => format!("is larger than {} KiB", MAX_BYTES / 1024),
        LoadError::Denied { .. } => "may not be read by you".into(),
        LoadError::Unreadable { source, .. } => format!("cannot be read: {source}"),
        other => format!("cannot be read: {other}"),
    })?;
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".into())
}

/// Reads and checks the text of an inventory; `name` is what messages call it.
pub fn parse(name: &str, text: &str) -> Result<Loaded, LoadError> {
    parse_beside(name, text, None)
}

fn parse_beside(name: &str, text: &str, directory: Option<&Path>) -> Result<Loaded, LoadError> {
    if text.len() as u64 > MAX_BYTES {
        return Err(LoadError::TooLarge { name: name.into() });
    }
    let mut document = toml_read::read::<Inventory>(text)
        .map_err(|errors| LoadError::Invalid(Diagnostics::new(name, text, errors)))?;
    let mut unread = take_sources(&mut document.value.host, directory);
    unread.extend(take_access(&mut document.value.gitops, directory));
    let checked = Checked::new(name, text, document);
    let found = check::check(&checked, &unread);
    if found.has_errors() {
        return Err(LoadError::Invalid(found));
    }
    let digest = hex(&Sha256::digest(text));
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn refused(path: &Path) -> LoadError {
        load(path).err().unwrap_or_else(|| panic!("{} was accepted", path.display()))
    }

    #[test]
    fn what_is_no_inventory_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert!(matches!(refused(&at("none.toml")), LoadError::Missing { .. }));
        assert!(matches!(refused(Path::new("/dev/zero")), LoadError::NotAFile { .. }));
        assert!(matches!(refused(Path::new("/dev/null")), LoadError::NotAFile { .. }));
        assert!(matches!(refused(&at("none.toml").join("x")), LoadError::Missing { .. }));

        fs::write(at("x.toml"), SIM).unwrap();
        let directory = refused(dir.path());
        assert!(matches!(&directory, LoadError::Directory { choices, .. } if choices.len() == 1));
        assert!(directory.hint().unwrap().contains("x.toml"));
        assert!(refused(&at("x.toml").join("y")).to_string().contains("cannot read"));

        fs::write(at("latin1.toml"), b"[cluster]\nname = \"caf\xe9\"\n").unwrap();
        let latin1 = refused(&at("latin1.toml"));
        assert!(
            matches!(latin1, LoadError::NotUtf8 { line: 2, offset: 21, utf16: false, .. }),
            "{latin1:?}"
        );
        fs::write(at("utf16.toml"), b"\xff\xfe[\0c\0").unwrap();
        assert!(refused(&at("utf16.toml")).hint().unwrap().contains("UTF-16"));
    }

    #[test]
    fn a_fifo_does_not_hang() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(refused(&fifo), LoadError::NotAFile { .. }));
    }

    #[test]
    fn ten_megabytes_are_refused_fast() {
        let dir = tempfile::tempdir().unwrap();
        let big = dir.path().join("big.toml");
        fs::write(&big, vec![b'#'; 10 << 20]).unwrap();
        let start = Instant::now();
        assert!(matches!(refused(&big), LoadError::TooLarge { .. }));
        assert!(matches!(parse("big", &"#".repeat(10 << 20)), Err(LoadError::TooLarge { .. })));
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    }

    #[test]
    fn texts_of_files_are_taken_from_beside_the_inventory() {
        let dir = tempfile::tempdir().unwrap();
        let inventory = dir.path().join("inventory");
        fs::create_dir_all(&inventory).unwrap();
        fs::write(dir.path().join("motd"), "Mind the step.\n").unwrap();
        let with = |sources: &[&str]| {
            let entry = |(i, s): (usize, &&str)| {
                format!("[[host.file]]\npath = \"/etc/x/{i}\"\nsource = \"{s}\"\n")
            };
            let files: String = sources.iter().enumerate().map(entry).collect();
            fs::write(inventory.join("x.toml"), SIM.replace("[sim]", &format!("{files}[sim]")))
                .unwrap();
            load(&inventory.join("x.toml"))
        };
        let host = with(&["../motd"]).unwrap_or_else(|e| panic!("{e}")).inventory.host;
        assert_eq!(host.files[0].text.as_deref(), Some("Mind the step.\n"));
        assert_eq!(host.files[0].source, None);

        fs::write(inventory.join("binary"), b"\xff").unwrap();
        let Err(LoadError::Invalid(found)) = with(&["none", ".", "binary", "/etc/hosts"]) else {
            panic!("it was accepted")
        };
        let text = found.to_string();
        for why in ["`none` does not exist", "`.` is a dir", "`binary` is not UTF-8", "beside"] {
            assert!(text.contains(why), "{why}: {text}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_mistake() {
        assert_eq!(parse("x", &format!("\u{feff}{SIM}")).unwrap().inventory.nodes.len(), 3);
    }

    #[test]
    fn the_nearest_name_wins_and_the_simulation_is_never_guessed() {
        let dir = tempfile::tempdir().unwrap();
        let cwd = dir.path();
        let cli = || Some(PathBuf::from("cli.toml"));
        let env = || Some(OsString::from("env.toml"));
        assert_eq!(discover(cli(), env(), cwd).unwrap(), Path::new("cli.toml"));
        assert_eq!(discover(None, env(), cwd).unwrap(), Path::new("env.toml"));

        let none = discover(None, Some(OsString::new()), cwd).unwrap_err();
        assert!(none.hint().unwrap().contains("-i FILE"));
        fs::create_dir(cwd.join("inventory")).unwrap();
        fs::write(cwd.join("inventory/sim.toml"), SIM).unwrap();
        fs::write(cwd.join("mine.toml"), SIM).unwrap();
        fs::write(cwd.join("Cargo.toml"), "[package]\n").unwrap();
        let LoadError::NoneNamed { choices } = discover(None, None, cwd).unwrap_err() else {
            panic!()
        };
        assert_eq!(choices, [Path::new("inventory/sim.toml"), Path::new("mine.toml")]);

        fs::write(cwd.join("slipway.toml"), SIM).unwrap();
        assert_eq!(discover(None, Some(OsString::new()), cwd).unwrap(), cwd.join("slipway.toml"));
    }
}
