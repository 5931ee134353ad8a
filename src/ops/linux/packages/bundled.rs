//! pacman, with a repository that was brought along: the only one of that transaction, and gone after
//! it.
//!
//! The node's own configuration is not touched: one of our own is made of its options and that one
//! repository. Its options count, so what the node demands of signatures is demanded of these packages
//! too: they come with those of the distribution. Only the database need not be signed: it is made of
//! the distribution's own descriptions, is held to the bundle's checksum on its way, and names the
//! checksum of each package.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::pacman::{Pacman, explained};
use crate::ops::{
    packages::PackageSet,
    sys::{SysError, SysResult},
};

/// The node's own options, and our repository in the place of all others.
pub fn configuration(own: &str, name: &str, dir: &Path) -> String {
    let mut text = String::new();
    let mut options = true;
    for line in own.lines() {
        let section = line.trim().strip_prefix('[').and_then(|l| l.strip_suffix(']'));
        options = section.map_or(options, |section| section == "options");
        // The packages lie where we say.
        if options && !line.trim_start().starts_with("CacheDir") {
            text.push_str(line);
            text.push('\n');
        }
    }
    format!("{text}\n[{name}]\nSigLevel = DatabaseOptional\nServer = file://{}\n", dir.display())
}

/// Moved to where pacman's own user for downloads can read them.
fn unpack(set: &PackageSet, incoming: &Path, dir: &Path) -> io::Result<()> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    for name in &set.files {
        let (from, to) = (incoming.join(name), dir.join(name));
        if fs::rename(&from, &to).is_err() {
            // Another filesystem.
            fs::copy(&from, &to).map_err(|e| io::Error::new(e.kind(), format!("{name}: {e}")))?;
            fs::remove_file(&from)?;
        }
        fs::set_permissions(&to, fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// Whatever happens, nothing of it stays.
struct Guest {
    paths: Vec<PathBuf>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        for path in &self.paths {
            let _ = fs::remove_file(path);
            let _ = fs::remove_dir_all(path);
        }
    }
}

impl Pacman {
    /// Installs from what lies in `incoming`, by way of `dir`.
    pub async fn install_from(
        &self,
        names: &[String],
        set: &PackageSet,
        (incoming, dir): (&Path, &Path),
    ) -> SysResult<()> {
        self.unlocked().await?;
        let failed = |what: &str, e: io::Error| SysError::other(format!("{what}: {e}"));
        let stem = set.database.trim_end_matches(".db");
        // A name of its own, so that no repository of the node's is mistaken for it.
        let name = format!("bundle-{stem}");
        let (conf, own) = (dir.with_extension("conf"), self.config_file());
        let sync = self.db().join("sync");
        let _guest = Guest {
            paths: vec![
                dir.to_path_buf(),
                conf.clone(),
                sync.join(format!("{name}.db")),
                sync.join(format!("{name}.db.sig")),
            ],
        };
        unpack(set, incoming, dir).map_err(|e| failed("put the bundle's packages in place", e))?;
        fs::rename(dir.join(&set.database), dir.join(format!("{name}.db")))
            .map_err(|e| failed("put the bundle's database in place", e))?;
        let own =
            fs::read_to_string(&own).map_err(|e| failed(&format!("read {}", own.display()), e))?;
        fs::write(&conf, configuration(&own, &name, dir))
            .map_err(|e| failed(&format!("write {}", conf.display()), e))?;
        // All that the bundle has newer goes along: half of it would be a partial upgrade.
        let install = self.pacman_with(&conf, dir, &["-Syu", "--needed", "--"]);
        let done = install.args(names.iter().map(String::as_str)).done().await;
        done.map(drop).map_err(|error| {
            if error.output.iter().any(|l| l.contains("target not found")) {
                let message = format!("a package is not in the bundle ({})", error.message);
                return SysError { message, ..error }.hint(
                    "make the bundle anew from this inventory, or add what it names with `host.packages`",
                );
            }
            explained(error)
        })
    }
}
