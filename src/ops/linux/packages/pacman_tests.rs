//! pacman's words, and pacman itself in a root of its own with a repository made here.

use std::cell::Cell;
use std::process::Command as Std;
use std::time::UNIX_EPOCH;

use super::*;
use crate::ops::packages::PackageSet;

#[test]
fn what_pacman_lists() {
    let text = "linux 6.17.1.arch1-1 -> 6.17.3.arch1-1\nkubelet 1.34.1-1 -> 1.35.0-1 [ignored]\n\nwarning: x\n";
    assert_eq!(updates(text), ["linux 6.17.1.arch1-1 -> 6.17.3.arch1-1"]);
}

#[test]
fn what_pacman_says_is_explained() {
    let said = |line: &str| {
        let mut error = SysError::other("`pacman -Syu` failed: exit 1");
        error.output = vec![line.into()];
        explained(error)
    };
    let keys = said("error: socat: signature from \"A B <a@b>\" is unknown trust");
    assert!(keys.message.contains("keyring") && keys.hint.is_some());
    assert_eq!(said("error: Partition / too full: 2 blocks needed").kind, SysErrorKind::NoSpace);
    let lag = said(
        "error: failed retrieving file 'socat.pkg.tar.zst' from mirror : The requested URL returned error: 404",
    );
    assert_eq!(lag.kind, SysErrorKind::Passing);
    assert!(said("error: target not found: nonsense").message.contains("repositories"));
    assert_eq!(said("something else").hint, None);
}

#[test]
fn a_lock_is_held_by_who_has_it_open() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("db.lck");
    let file = fs::File::create(&lock).unwrap();
    let lock = lock.canonicalize().unwrap();
    assert_eq!(holder(&lock).map(|(pid, _)| pid), Some(std::process::id()));
    drop(file);
    assert_eq!(holder(&lock), None);
}

/// A root, a repository and a configuration that nobody else uses.
struct Arch {
    dir: tempfile::TempDir,
    published: Cell<u64>,
}

impl Arch {
    /// None where there is no pacman to try it with, or no right to.
    fn fresh() -> Option<Self> {
        let has = |program: &str| Std::new(program).arg("--version").output().is_ok();
        if !has("pacman") || !has("repo-add") || !has("zstd") || !nix::unistd::geteuid().is_root() {
            return None;
        }
        let arch = Self { dir: tempfile::tempdir().unwrap(), published: Cell::new(0) };
        fs::create_dir_all(arch.at("root/var/lib/pacman/local")).unwrap();
        fs::write(arch.at("root/var/lib/pacman/local/ALPM_DB_VERSION"), "9\n").unwrap();
        fs::create_dir_all(arch.at("repo")).unwrap();
        let conf = format!(
            "[options]\nArchitecture = auto\nSigLevel = Never\nIgnorePkg = kubelet\n[t]\nServer = file://{}\n",
            arch.at("repo").display()
        );
        fs::write(arch.at("conf"), conf).unwrap();
        Some(arch)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Puts a version of a package into the repository.
    fn publish(&self, name: &str, version: &str, more: &str) {
        let made = self.at("made");
        fs::create_dir_all(made.join("usr/share").join(name)).unwrap();
        let info = format!(
            "pkgname = {name}\npkgbase = {name}\npkgver = {version}\npkgdesc = x\nurl = x\nbuilddate = 1\npackager = x\nsize = 1\narch = any\n{more}"
        );
        fs::write(made.join(".PKGINFO"), info).unwrap();
        let file = self.at(&format!("repo/{name}-{version}-any.pkg.tar.zst"));
        let done = Std::new("tar")
            .args(["--zstd", "-cf"])
            .arg(&file)
            .args([".PKGINFO", "usr"])
            .current_dir(&made)
            .status();
        assert!(done.unwrap().success());
        fs::remove_dir_all(made).unwrap();
        let mut add = Std::new("repo-add");
        add.arg("-q").arg(self.at("repo/t.db.tar.gz")).arg(file);
        assert!(add.output().unwrap().status.success());
        self.date_anew();
    }

    /// pacman fetches a database only when it is newer by whole seconds, and this repository changes
    /// several times in one: each state of it is a minute newer than the last.
    fn date_anew(&self) {
        self.published.set(self.published.get() + 1);
        let date = UNIX_EPOCH + Duration::from_secs(1_700_000_000 + 60 * self.published.get());
        let db = fs::File::options().write(true).open(self.at("repo/t.db.tar.gz")).unwrap();
        db.set_modified(date).unwrap();
    }

    fn pacman(&self) -> Pacman {
        let at = |path: &str| self.at(path).display().to_string();
        let mut args = Vec::new();
        for (name, path) in [
            ("--root", "root"),
            ("--config", "conf"),
            ("--cachedir", "cache"),
            ("--hookdir", "hooks"),
            ("--gpgdir", "gpg"),
        ] {
            args.extend([name.to_string(), at(path)]);
        }
        Pacman { db: self.at("root/var/lib/pacman"), copy: self.at("copy"), args }
    }

    fn installed(&self, name: &str) -> Option<String> {
        let all = fs::read_dir(self.at("root/var/lib/pacman/local")).unwrap().flatten();
        let names = all.filter_map(|e| e.file_name().into_string().ok());
        names.filter_map(|n| n.strip_prefix(&format!("{name}-")).map(String::from)).next()
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn never_a_part_of_an_update() {
    let Some(arch) = Arch::fresh() else { return };
    for name in ["lib", "kubelet", "socat", "archlinux-keyring"] {
        arch.publish(name, "1-1", "");
    }
    let pacman = arch.pacman();
    pacman.install(&names(&["lib", "kubelet", "archlinux-keyring"])).await.unwrap();
    assert_eq!(pacman.updates().await.unwrap(), Vec::<String>::new());

    for name in ["lib", "kubelet", "socat", "archlinux-keyring"] {
        arch.publish(name, "2-1", "");
    }
    let before = fs::metadata(arch.at("root/var/lib/pacman/sync/t.db")).unwrap().modified();
    pacman.forget_copy();
    let found = pacman.updates().await.unwrap();
    assert_eq!(found, ["archlinux-keyring 1-1 -> 2-1", "lib 1-1 -> 2-1"]);
    let refused = pacman.install(&names(&["socat"])).await.unwrap_err();
    assert!(refused.message.contains("partial upgrade"), "{refused}");
    assert!(refused.hint.is_some());
    let after = fs::metadata(arch.at("root/var/lib/pacman/sync/t.db")).unwrap().modified();
    assert_eq!(before.unwrap(), after.unwrap(), "looking refreshes nothing of the node's");

    pacman.update_all().await.unwrap();
    assert_eq!(arch.installed("lib").as_deref(), Some("2-1"));
    assert_eq!(arch.installed("kubelet").as_deref(), Some("1-1"), "it is pinned");
    assert_eq!(pacman.updates().await.unwrap(), Vec::<String>::new());
    pacman.install(&names(&["socat"])).await.unwrap();
    assert_eq!(arch.installed("socat").as_deref(), Some("2-1"));
}

#[tokio::test]
async fn providers_and_groups_count() {
    let Some(arch) = Arch::fresh() else { return };
    arch.publish("iptables-legacy", "1-1", "provides = iptables\nconflict = iptables\n");
    arch.publish("iptables", "1-1", "provides = iptables-nft\nconflict = iptables-nft\n");
    arch.publish("one", "1-1", "group = both\n");
    arch.publish("two", "1-1", "group = both\n");
    let pacman = arch.pacman();
    pacman.install(&names(&["iptables-legacy", "one"])).await.unwrap();
    let wanted = names(&["iptables", "both", "one"]);
    assert_eq!(pacman.missing(&wanted).await.unwrap(), ["both"]);
    pacman.install(&names(&["both"])).await.unwrap();
    assert_eq!(pacman.missing(&wanted).await.unwrap(), Vec::<String>::new());

    pacman.set_iptables("nft").await.unwrap();
    assert_eq!(arch.installed("iptables").as_deref(), Some("1-1"));
    pacman.set_iptables("legacy").await.unwrap();
    assert_eq!(arch.installed("iptables").as_deref(), Some("legacy-1-1"));
}

#[tokio::test]
async fn a_dead_lock_is_for_a_person() {
    let Some(arch) = Arch::fresh() else { return };
    arch.publish("socat", "1-1", "");
    let lock = arch.at("root/var/lib/pacman/db.lck");
    fs::write(&lock, b"").unwrap();
    let error = arch.pacman().install(&names(&["socat"])).await.unwrap_err();
    assert!(error.message.contains("nobody holds it"), "{error}");
    assert!(error.hint.is_some_and(|h| h.contains("rm ")));
    assert!(lock.exists(), "it is never taken away");
}

#[test]
fn the_nodes_own_options_and_one_repository() {
    let own = "# mine\n[options]\nSigLevel = Required\nCacheDir = /x\nIgnorePkg = kubelet\n[core]\nInclude = /etc/pacman.d/mirrorlist\n\n[options]\nColor\n";
    assert_eq!(
        super::super::bundled::configuration(own, "bundle-slipway", Path::new("/d")),
        "# mine\n[options]\nSigLevel = Required\nIgnorePkg = kubelet\n[options]\nColor\n\n[bundle-slipway]\nSigLevel = DatabaseOptional\nServer = file:///d\n"
    );
}

/// What a controller would have brought: the repository's files, by their names.
fn brought(arch: &Arch) -> PackageSet {
    let incoming = arch.at("incoming");
    fs::create_dir_all(&incoming).unwrap();
    let mut files = vec!["slipway.db".to_string()];
    fs::copy(arch.at("repo/t.db.tar.gz"), incoming.join("slipway.db")).unwrap();
    for entry in fs::read_dir(arch.at("repo")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.contains(".pkg.tar") {
            fs::copy(entry.path(), incoming.join(&name)).unwrap();
            files.push(name);
        }
    }
    PackageSet { database: "slipway.db".into(), files }
}

#[tokio::test]
async fn from_a_bundle_and_from_nowhere_else() {
    let Some(arch) = Arch::fresh() else { return };
    arch.publish("lib", "1-1", "");
    arch.publish("kubelet", "1-1", "");
    let pacman = arch.pacman();
    pacman.install(&names(&["lib", "kubelet"])).await.unwrap();
    arch.publish("lib", "2-1", "");
    arch.publish("kubelet", "2-1", "");
    arch.publish("socat", "1-1", "depend = lib=2\n");
    let set = brought(&arch);
    // Nobody gets anything from the repository any more.
    fs::remove_dir_all(arch.at("repo")).unwrap();
    let own = fs::read(arch.at("conf")).unwrap();
    let (incoming, dir) = (arch.at("incoming"), arch.at("guests"));
    assert!(pacman.install(&names(&["socat"])).await.is_err(), "the mirror is away");
    let from = |wanted: &'static str| {
        let (pacman, set, places) = (&pacman, &set, (incoming.as_path(), dir.as_path()));
        async move { pacman.install_from(&names(&[wanted]), set, places).await }
    };
    from("socat").await.unwrap();
    assert_eq!(arch.installed("socat").as_deref(), Some("1-1"));
    assert_eq!(arch.installed("lib").as_deref(), Some("2-1"), "what it needs comes along");
    assert_eq!(arch.installed("kubelet").as_deref(), Some("1-1"), "what is pinned stays");
    assert_eq!(fs::read(arch.at("conf")).unwrap(), own, "the node's own configuration");
    let left = fs::read_dir(arch.at("root/var/lib/pacman/sync")).unwrap().flatten();
    let left: Vec<_> = left.map(|e| e.file_name().into_string().unwrap()).collect();
    assert_eq!(left, ["t.db"], "nothing of the bundle's");
    assert!(!dir.exists() && !arch.at("guests.conf").exists());
    assert!(fs::read_dir(&incoming).unwrap().next().is_none());

    // What is not in it is said so; and so is a package that is not what its description says.
    fs::create_dir_all(arch.at("repo")).unwrap();
    arch.publish("htop", "1-1", "");
    let set = brought(&arch);
    let places = (incoming.as_path(), dir.as_path());
    let error = pacman.install_from(&names(&["nonsense"]), &set, places).await.unwrap_err();
    assert!(error.message.contains("not in the bundle"), "{error}");
    let set = brought(&arch);
    let file = set.files.iter().find(|f| f.starts_with("htop")).unwrap();
    fs::write(incoming.join(file), b"something else").unwrap();
    assert!(pacman.install_from(&names(&["htop"]), &set, places).await.is_err());
    assert_eq!(arch.installed("htop"), None);
    assert!(!dir.exists());
}
