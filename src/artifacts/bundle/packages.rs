//! The distribution's packages, as a pacman repository that somebody made: a directory of packages
//! and their database, taken as it is.

use std::{fs, path::Path};

use super::{Ingredient, PACKAGES, is_name};
use crate::{artifacts::pacman::Fetched, events::Failure};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Package,
    Database,
    /// A signature, the list of all packages' files, and what `repo-add` leaves.
    Beside,
}

fn kind(name: &str) -> Option<Kind> {
    let name = name.strip_suffix(".sig").map_or((name, false), |name| (name, true));
    let of = |mark: &str| name.0.ends_with(mark) || name.0.contains(&format!("{mark}.tar."));
    let kind = if name.0.ends_with(".old") || of(".files") {
        Kind::Beside
    } else if of(".db") {
        Kind::Database
    } else if name.0.contains(".pkg.tar") {
        Kind::Package
    } else {
        return None;
    };
    Some(if name.1 { Kind::Beside } else { kind })
}

/// All of it, read through. Blocks.
pub fn packages(dir: &Path) -> Result<Vec<Ingredient>, Failure> {
    let what = format!("take the packages of {}", dir.display());
    let failed = |why: String| {
        Failure::new(&what, why)
            .left("no bundle was made")
            .hint("a directory with `*.pkg.tar.zst` and the database that `repo-add NAME.db.tar.gz *.pkg.tar.zst` makes, and nothing else")
    };
    let unreadable = |e: std::io::Error| failed(format!("cannot read it: {e}"));
    let (mut all, mut databases, mut found) = (Vec::new(), 0, 0);
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(kind) = kind(&name).filter(|_| is_name(&name)) else {
            return Err(failed(format!("`{name}` is no package, and no part of a repository")));
        };
        // The database is a link to its archive.
        if !fs::metadata(entry.path()).is_ok_and(|m| m.is_file()) {
            return Err(failed(format!("`{name}` is not a file that can be read")));
        }
        if name.ends_with(".old") {
            continue;
        }
        databases += u32::from(kind == Kind::Database);
        found += u32::from(kind == Kind::Package);
        let ingredient = Ingredient::of_file(format!("{PACKAGES}/{name}"), &entry.path());
        all.push(ingredient.map_err(|e| failed(format!("cannot read `{name}`: {e}")))?);
    }
    match (found, databases) {
        (0, _) => Err(failed("there is no package in it".into())),
        (_, 0) => Err(failed("there is no database in it, so pacman would find nothing".into())),
        _ => Ok(all),
    }
}

/// What was fetched from a mirror. Blocks.
pub fn fetched(all: &[Fetched]) -> Result<Vec<Ingredient>, Failure> {
    let one = |Fetched { name, file }: &Fetched| {
        Ingredient::of_file(format!("{PACKAGES}/{name}"), file)
            .map_err(|e| Failure::new(format!("read {}", file.display()), e.to_string()))
    };
    all.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_taken_as_it_is_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str| fs::write(dir.path().join(name), name).unwrap();
        let says = || packages(dir.path()).unwrap_err().causes[0].clone();
        assert!(says().contains("no package in it"));
        put("iptables-1:1.8.11-2-x86_64.pkg.tar.zst");
        put("iptables-1:1.8.11-2-x86_64.pkg.tar.zst.sig");
        assert!(says().contains("no database"));
        put("lab.db.tar.gz");
        put("lab.db.tar.gz.old");
        put("lab.files.tar.gz");
        std::os::unix::fs::symlink("lab.db.tar.gz", dir.path().join("lab.db")).unwrap();
        assert_eq!(packages(dir.path()).unwrap().len(), 5);
        put("README");
        assert!(says().contains("`README` is no package"));
        fs::remove_file(dir.path().join("README")).unwrap();
        fs::create_dir(dir.path().join("x.pkg.tar.zst")).unwrap();
        assert!(says().contains("not a file"));
        assert!(packages(&dir.path().join("none")).is_err());
    }
}
