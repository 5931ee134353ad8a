//! Kept, restored with other programs, and damaged.

use std::{fs, io::Read, os::unix::fs::PermissionsExt, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::*;
use crate::{
    age::{Decryptor, Identity},
    clock::Clock,
    engine::keep::{Keeper, Kept},
    inventory::{self, Inventory},
    names::hex,
    ops::sys::{KeyFile, SnapshotInfo},
    secret::Sealed,
};

fn database() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..300 * 512).map(|n| (n % 251) as u8).collect();
    bytes.extend(Sha256::digest(&bytes));
    bytes
}

fn snapshot(bytes: &[u8]) -> SnapshotInfo {
    let key = |name: &str| KeyFile {
        name: name.into(),
        content: Sealed::new(STANDARD.encode(format!("the content of {name}"))),
    };
    SnapshotInfo {
        revision: 42,
        sha256: hex(&Sha256::digest(bytes)),
        bytes: bytes.len() as u64,
        file: "etcd-1.db".into(),
        keys: ["pki/ca.key", "pki/etcd/ca.key", "encryption.yaml"].map(key).into(),
    }
}

fn sim() -> Inventory {
    inventory::parse("sim", inventory::SIM).unwrap().inventory
}

#[tokio::main(flavor = "current_thread")]
async fn clock() -> Clock {
    Clock::simulated(1_000, 1)
}

fn kept(store: &Store, info: &SnapshotInfo, bytes: &[u8]) -> Result<Kept, crate::events::Failure> {
    let mut coming = store.begin(&"node-a".parse().unwrap(), info)?;
    for part in bytes.chunks(10_000) {
        coming.part(part)?;
    }
    coming.done()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_kept_can_be_restored_from() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(&sim(), dir.path().into(), clock());
    let bytes = database();
    let info = snapshot(&bytes);
    let first = kept(&store, &info, &bytes).unwrap();
    assert!(first.note.unwrap().0.contains("identity.txt"));
    assert_eq!(kept(&store, &info, &bytes).unwrap().note, None, "said once");
    let name = format!("node-a-r42-{}.age", &info.sha256[..12]);
    assert_eq!(names(dir.path()), [IDENTITY_FILE.to_string(), name.clone()]);
    for name in names(dir.path()) {
        let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let sealed = fs::read(dir.path().join(&name)).unwrap();
    let shows = |part: &[u8]| sealed.windows(part.len()).any(|w| w == part);
    assert!(!shows(b"the content of") && !shows(&bytes[..64]));
    let identity = read_identity(&dir.path().join(IDENTITY_FILE)).unwrap();
    let manifest = verify(&dir.path().join(&name), &identity).unwrap();
    assert_eq!((manifest.revision, manifest.files.len()), (42, 4));
    assert!(manifest.has_encryption_key() && manifest.simulated);
    // As `age -d -i identity.txt FILE | tar -x` would.
    let mut plain = Vec::new();
    Decryptor::new(&sealed[..], &identity).unwrap().read_to_end(&mut plain).unwrap();
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(dir.path().join("x.tar"), plain).unwrap();
    let mut tar = std::process::Command::new("tar");
    let tar = tar.arg("-xf").arg(dir.path().join("x.tar")).arg("-C").arg(&out).status().unwrap();
    assert!(tar.success());
    assert_eq!(fs::read(out.join("snapshot.db")).unwrap(), bytes);
    let key = out.join("pki/etcd/ca.key");
    assert_eq!(fs::read_to_string(&key).unwrap(), "the content of pki/etcd/ca.key");
    assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_is_not_as_promised_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut inventory = sim();
    inventory.backup.recipients = vec![Identity::generate().unwrap().recipient().to_string()];
    let store = Store::new(&inventory, dir.path().into(), clock());
    let bytes = database();
    let info = snapshot(&bytes);
    let mut other = bytes.clone();
    other[7] ^= 1;
    for (what, sent) in [
        ("cut", &bytes[..bytes.len() - 512]),
        ("changed", &other[..]),
        ("longer", &[&bytes[..], &bytes[..]].concat()),
        ("nothing", &[][..]),
    ] {
        assert!(kept(&store, &info, sent).is_err(), "{what}");
        assert!(names(dir.path()).is_empty(), "{what}: nothing is left");
    }
    let huge = SnapshotInfo { bytes: 1 << 60, ..info.clone() };
    let full = store.begin(&"node-a".parse().unwrap(), &huge).err().unwrap();
    assert!(full.causes[0].contains("MB are free"), "{full}");
    assert!(kept(&store, &info, &bytes).unwrap().note.is_none(), "no key was made");
    assert_eq!(names(dir.path()).len(), 1);
}

#[test]
fn damage_is_found_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::generate().unwrap();
    let mut inventory = sim();
    inventory.backup.recipients = vec![identity.recipient().to_string()];
    let file = dir.path().join("s.age");
    let store = Store::new(&inventory, dir.path().into(), clock()).into_file(file.clone());
    let bytes = database();
    kept(&store, &snapshot(&bytes), &bytes).unwrap();
    verify(&file, &identity).unwrap();
    let whole = fs::read(&file).unwrap();
    for at in (0..whole.len()).step_by(9_973) {
        let mut other = whole.clone();
        other[at] ^= 1;
        fs::write(&file, &other).unwrap();
        assert!(verify(&file, &identity).is_err(), "changed at {at}");
        fs::write(&file, &whole[..at]).unwrap();
        assert!(verify(&file, &identity).is_err(), "cut at {at}");
    }
    fs::write(&file, &whole).unwrap();
    let stranger = verify(&file, &Identity::generate().unwrap()).unwrap_err();
    assert!(stranger.hint.unwrap().contains("--identity"));
    assert!(verify(&dir.path().join("none"), &identity).is_err());
}
