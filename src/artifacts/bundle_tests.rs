//! Bundles: there and back, and everything that can be wrong with one.

use std::{fs, io::Read as _, io::Write as _, path::Path};

use sha2::{Digest, Sha256};

use super::*;
use crate::{artifacts::tar, names::hex};

fn sum(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn contents() -> Contents {
    let inputs = Inputs { cluster: "lab".into(), inventory: "0".repeat(64), packages: true };
    Contents::new("1.36.4".parse().unwrap(), inputs)
}

/// Two release files and a package, in a directory of their own.
fn ingredients(dir: &Path) -> Vec<Ingredient> {
    let put = |name: &str, bytes: &[u8]| {
        let file = dir.join(name);
        fs::write(&file, bytes).unwrap();
        file
    };
    let big: Vec<u8> = (0..500_000u32).flat_map(u32::to_le_bytes).collect();
    let kubelet = put("kubelet-1.36.4-linux-amd64", &big);
    let image = put("image-r.io_pause_1.oci.tar", b"image");
    let package = put("tree-2:1.0-1-x86_64.pkg.tar.zst", b"package");
    let mut all = vec![
        Ingredient::of_file("packages/tree-2:1.0-1-x86_64.pkg.tar.zst".into(), &package).unwrap(),
    ];
    all.extend(Ingredient::of_release(&kubelet, &sum(&big), big.len() as u64));
    all.extend(Ingredient::of_release(&image, &sum(b"image"), 5));
    all
}

fn made(dir: &Path) -> Made {
    create(&dir.join("x.slipway"), contents(), ingredients(dir)).unwrap()
}

fn says(bundle: &Path) -> String {
    let failure = verify(bundle).unwrap_err();
    assert!(failure.hint.is_some() && failure.left.is_some(), "{failure}");
    assert!(failure.causes[0].contains(&bundle.display().to_string()), "{failure}");
    // What is not right is not unpacked either.
    let cache = tempfile::tempdir().unwrap();
    assert!(unpack(bundle, cache.path()).is_err());
    let left: Vec<_> =
        fs::read_dir(cache.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().starts_with(".lock-")), "{left:?}");
    failure.causes[0].clone()
}

#[test]
fn there_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let Made { contents, bytes, sha256 } = made(dir.path());
    let bundle = dir.path().join("x.slipway");
    let written = fs::read(&bundle).unwrap();
    assert_eq!((written.len() as u64, sum(&written)), (bytes, sha256.clone()));
    assert!(bytes < 1_500_000, "it is packed: {bytes}");
    let paths: Vec<&str> = contents.files.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "releases/image-r.io_pause_1.oci.tar",
            "releases/image-r.io_pause_1.oci.tar.sha256",
            "releases/kubelet-1.36.4-linux-amd64",
            "releases/kubelet-1.36.4-linux-amd64.sha256",
            "packages/tree-2:1.0-1-x86_64.pkg.tar.zst",
        ]
    );
    assert_eq!(verify(&bundle).unwrap(), contents);
    assert_eq!(made(dir.path()).sha256, sha256, "the same for the same files");
    let parts = fs::read_dir(dir.path()).unwrap();
    assert!(parts.flatten().all(|e| !e.file_name().to_string_lossy().ends_with(".part")));

    let cache = dir.path().join("cache");
    let unpacked = unpack(&bundle, &cache).unwrap();
    assert_eq!(unpacked.contents, contents);
    let store = crate::artifacts::Store::at(&unpacked.releases);
    assert_eq!(store.find("kubelet", &"1.36.4".parse().unwrap()).unwrap().bytes, 2_000_000);
    assert_eq!(store.find_image("r.io/pause:1").unwrap().bytes, 5);
    let package = unpacked.packages.as_ref().unwrap().join("tree-2:1.0-1-x86_64.pkg.tar.zst");
    assert_eq!(fs::read(&package).unwrap(), b"package");
    // Once is enough; what was cut off before its end is not taken for whole.
    fs::remove_file(&package).unwrap();
    assert_eq!(unpack(&bundle, &cache).unwrap(), unpacked);
    assert!(!package.exists());
    fs::remove_file(cache.join(&sha256).join(LIST)).unwrap();
    unpack(&bundle, &cache).unwrap();
    assert!(package.exists());
}

#[test]
fn what_cannot_be_made_leaves_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let before = fs::read(dir.path().join("x.slipway")).unwrap();
    let all = ingredients(dir.path());
    fs::write(dir.path().join("image-r.io_pause_1.oci.tar"), b"other").unwrap();
    let failure = create(&dir.path().join("x.slipway"), contents(), all.clone()).unwrap_err();
    assert!(failure.causes[0].contains("changed while"), "{failure}");
    fs::write(dir.path().join("image-r.io_pause_1.oci.tar"), b"longer than it was").unwrap();
    assert!(create(&dir.path().join("x.slipway"), contents(), all.clone()).is_err());
    assert_eq!(fs::read(dir.path().join("x.slipway")).unwrap(), before);
    assert!(create(&dir.path().join("none/x.slipway"), contents(), all.clone()).is_err());
    let held = fs::File::create(dir.path().join(".x.slipway.part")).unwrap();
    held.lock().unwrap();
    let failure = create(&dir.path().join("x.slipway"), contents(), all).unwrap_err();
    assert!(failure.causes[0].contains("another run"), "{failure}");
}

#[test]
fn a_damaged_file_is_told() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let bundle = dir.path().join("x.slipway");
    let whole = fs::read(&bundle).unwrap();
    for cut in [0, 3, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&bundle, &whole[..cut]).unwrap();
        let why = says(&bundle);
        assert!(why.contains("cut off") || why.contains("damaged"), "{cut}: {why}");
    }
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut other = whole.clone();
        other[at] ^= 0x10;
        fs::write(&bundle, &other).unwrap();
        says(&bundle);
    }
    for more in [&b"x"[..], &[0; 4096], &whole] {
        fs::write(&bundle, [&whole, more].concat()).unwrap();
        assert!(says(&bundle).contains("something after its end"));
    }
    fs::write(&bundle, b"<html>404 not found</html>").unwrap();
    says(&bundle);
    fs::remove_file(&bundle).unwrap();
    says(&bundle);
}

/// Names and what is in them.
type Files = Vec<(String, Vec<u8>)>;

/// An archive of these files, packed as a bundle is.
fn packed(bundle: &Path, files: &Files) {
    let mut archive = tar::Archive::new(Vec::new());
    for (name, bytes) in files {
        archive.file(name, bytes.len() as u64, &bytes[..]).unwrap();
    }
    fs::write(bundle, zstd::encode_all(&archive.finish().unwrap()[..], 1).unwrap()).unwrap();
}

fn unpacked_files(bundle: &Path) -> Files {
    let plain = zstd::decode_all(&fs::read(bundle).unwrap()[..]).unwrap();
    let mut reader = tar::Reader::new(&plain[..]);
    let mut all = Vec::new();
    while let Some(entry) = reader.entry().unwrap() {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        all.push((entry.name, bytes));
    }
    all
}

#[test]
fn a_bundle_is_exactly_what_its_list_says() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let bundle = dir.path().join("x.slipway");
    let files = unpacked_files(&bundle);
    packed(&bundle, &files);
    verify(&bundle).unwrap();
    let with = |change: &dyn Fn(&mut Files)| {
        let mut files = files.clone();
        change(&mut files);
        packed(&bundle, &files);
        says(&bundle)
    };
    assert!(with(&|f| drop(f.pop())).contains("lacks `packages/tree-2"));
    assert!(with(&|f| drop(f.remove(2))).contains("in the place of `releases/image"));
    assert!(with(&|f| f.swap(1, 3)).contains("in the place of"));
    assert!(with(&|f| f.push(("releases/more".into(), vec![]))).contains("its list does not have"));
    assert!(
        with(&|f| f.insert(2, ("releases/x".into(), vec![]))).contains("its list does not have")
    );
    assert!(with(&|f| f[1].1[0] ^= 1).contains("another `releases/image"));
    assert!(with(&|f| f[1].1.push(1)).contains("another `releases/image"));
    assert!(with(&|f| drop(f.remove(0))).contains("it is no bundle"));
    assert!(with(&|f| f.clear()).contains("it is no bundle"));
    let listed = |from: &str, to: &str| {
        let (from, to) = (from.to_string(), to.to_string());
        with(&move |f| {
            let text = String::from_utf8(f[0].1.clone()).unwrap();
            assert!(text.contains(&from));
            f[0].1 = text.replacen(&from, &to, 1).into_bytes();
        })
    };
    assert!(listed("\"format\": 1", "\"format\": 2").contains("has format 2"));
    assert!(listed("\"format\"", "\"fromat\"").contains("cannot be read"));
    let image = "releases/image-r.io_pause_1.oci.tar\"";
    for place in [
        "../x\"",
        "/etc/passwd\"",
        "releases/../../x\"",
        "releases/a/b\"",
        "releases/\"",
        "other/x\"",
        "releases/.x\"",
    ] {
        let why = listed(image, place);
        assert!(why.contains("which no file of a bundle can be called"), "{why}");
    }
    assert!(listed(image, "releases/kubelet-1.36.4-linux-amd64\"").contains("twice"));
    assert!(listed(&sum(b"image"), "0").contains("no checksum"));
}

#[test]
fn links_and_directories_are_no_part_of_a_bundle() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let bundle = dir.path().join("x.slipway");
    let mut plain = zstd::decode_all(&fs::read(&bundle).unwrap()[..]).unwrap();
    // The first file after the list becomes a link.
    let name = b"releases/image-r.io_pause_1.oci.tar\0";
    let at = plain.windows(name.len()).position(|w| w == name).unwrap();
    plain[at + 156] = b'2';
    let seen = u32::from_str_radix(std::str::from_utf8(&plain[at + 148..at + 154]).unwrap(), 8);
    write!(&mut plain[at + 148..at + 154], "{:06o}", seen.unwrap() + 2).unwrap();
    fs::write(&bundle, zstd::encode_all(&plain[..], 1).unwrap()).unwrap();
    assert!(says(&bundle).contains("is not a plain file"));
}
