//! Databases as `repo-add` writes them, as a mirror breaks them, and what has to come along.

use std::{collections::BTreeSet, io::Write};

use super::{
    closure::{Asked, closure},
    database::{Package, desc, read},
};

const SUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn text(name: &str, version: &str, more: &str) -> String {
    format!(
        "%FILENAME%\n{name}-{version}-x86_64.pkg.tar.zst\n\n%NAME%\n{name}\n\n%BASE%\n{name}\n\n%VERSION%\n{version}\n\n%DESC%\nOne, with % and spaces\n\n%CSIZE%\n1234\n\n%SHA256SUM%\n{SUM}\n\n%ARCH%\nx86_64\n\n{more}"
    )
}

fn package(name: &str, version: &str, more: &str) -> Package {
    desc(&text(name, version, more)).unwrap()
}

#[test]
fn a_description() {
    let more = "%GROUPS%\nnet\n\n%DEPENDS%\nglibc\nopenssl>=3\n\n%PROVIDES%\niptables-nft\nlibx.so=1-64\n\n";
    let found = package("iptables", "1:1.8.11-2", more);
    assert_eq!((found.name.as_str(), found.version.as_str()), ("iptables", "1:1.8.11-2"));
    assert_eq!(found.file, "iptables-1:1.8.11-2-x86_64.pkg.tar.zst");
    assert_eq!((found.bytes, found.arch.as_str()), (1234, "x86_64"));
    assert_eq!(found.depends, ["glibc", "openssl>=3"]);
    assert_eq!(found.provides, ["iptables-nft", "libx.so=1-64"]);
    assert_eq!(found.groups, ["net"]);
}

#[test]
fn descriptions_that_are_none() {
    let whole = text("a", "1-1", "");
    let says = |text: String| desc(&text).unwrap_err();
    assert!(says(whole.replace(SUM, "abc")).contains("no SHA-256"));
    assert!(says(whole.replace("%NAME%\na\n", "%NAME%\n\n")).contains("no %NAME%"));
    assert!(says(whole.replace("1234", "many")).contains("size `many`"));
    assert!(says(format!("nonsense\n{whole}")).contains("`nonsense`"));
    for file in ["../../etc/passwd", "a.pkg.tar.zst/../x", "readme.txt", "-x.pkg.tar.zst"] {
        let other = whole.replace("a-1-1-x86_64.pkg.tar.zst", file);
        assert!(says(other).contains("no package's file"), "{file}");
    }
}

/// As `repo-add` makes it: directories between the files.
fn archive(packages: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    for name in packages {
        let inside = dir.path().join(format!("{name}-1-1"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("desc"), text(name, "1-1", "")).unwrap();
        std::fs::write(inside.join("files"), "%FILES%\nusr/\n").unwrap();
    }
    let mut tar = std::process::Command::new("tar");
    tar.arg("-C").arg(dir.path()).args(["--format=posix", "-cf", "-"]);
    tar.args(packages.iter().map(|name| format!("{name}-1-1"))).output().unwrap().stdout
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_database_however_it_is_packed() {
    let long = "x".repeat(110);
    let plain = archive(&["a", "b", &long]);
    let zstd = zstd::encode_all(&plain[..], 1).unwrap();
    for bytes in [&plain, &gzip(&plain), &zstd] {
        let names: Vec<String> = read(&bytes[..]).unwrap().into_iter().map(|p| p.name).collect();
        assert_eq!(names, ["a", "b", &long]);
    }
    assert!(read(&b"\xfd7zXZ\0rest"[..]).unwrap_err().contains("packed by xz"));
}

#[test]
fn a_database_that_is_cut_or_damaged_is_none() {
    let plain = archive(&["a", "b"]);
    let packed = gzip(&plain);
    for cut in [0, 1, 100, packed.len() / 2, packed.len() - 9] {
        let why = read(&packed[..cut]).unwrap_err();
        assert!(why.contains("cut off") || why.contains("damaged"), "cut at {cut}: {why}");
    }
    assert!(read(&plain[..700]).unwrap_err().contains("cut off"));
    let mut other = plain.clone();
    other[0] ^= 1;
    assert!(read(&other[..]).unwrap_err().contains("checksum"));
    assert!(read(&b"<html>a portal wants you to log in</html>"[..]).is_err());
    let bad = String::from_utf8(archive(&["a"])).unwrap().replace(SUM, &"z".repeat(64));
    assert!(read(bad.as_bytes()).unwrap_err().contains("a-1-1"));
}

fn names(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|n| n.to_string()).collect()
}

fn chosen(repositories: &[Vec<Package>], asked: &Asked) -> Result<Vec<String>, Vec<String>> {
    let places = closure(repositories, asked)?;
    Ok(places.into_iter().map(|(r, n)| repositories[r][n].name.clone()).collect())
}

#[test]
fn everything_that_something_needs_comes_along() {
    let core = vec![
        package("glibc", "2.42-1", ""),
        package("openssl", "3.5-1", "%DEPENDS%\nglibc\n\n%PROVIDES%\nlibssl.so=3-64\n\n"),
        package("iptables", "1:1.8-2", "%DEPENDS%\nlibnl\n\n%PROVIDES%\niptables-nft\n\n"),
    ];
    let extra = vec![
        package("curl", "8-1", "%DEPENDS%\nlibssl.so=3-64\nca-certificates\n\n"),
        package("ca-certificates-mozilla", "1-1", "%PROVIDES%\nca-certificates=1\n\n"),
        package("libnl", "3-1", "%DEPENDS%\nglibc>=2.40\n\n"),
        package("loop-a", "1-1", "%DEPENDS%\nloop-b\n\n"),
        package("loop-b", "1-1", "%DEPENDS%\nloop-a\n\n"),
        package("one", "1-1", "%GROUPS%\nboth\n\n"),
        package("two", "1-1", "%GROUPS%\nboth\n\n"),
        package("intel-ucode", "1-1", ""),
    ];
    let all = [core, extra];
    let of = |asked: &[&str]| chosen(&all, &Asked { names: names(asked), ..Asked::default() });
    assert_eq!(of(&["curl"]).unwrap(), ["glibc", "openssl", "curl", "ca-certificates-mozilla"]);
    assert_eq!(of(&["iptables-nft"]).unwrap(), ["glibc", "iptables", "libnl"]);
    assert_eq!(of(&["loop-a"]).unwrap(), ["loop-a", "loop-b"]);
    assert_eq!(of(&["both"]).unwrap(), ["one", "two"], "a group is all of it");
    let asked = Asked {
        names: names(&["curl"]),
        perhaps: names(&["intel-ucode", "amd-ucode"]),
        except: names(&["glibc", "ca-certificates"]),
    };
    assert_eq!(chosen(&all, &asked).unwrap(), ["openssl", "curl", "intel-ucode"]);
}

#[test]
fn what_nobody_has_is_told_with_who_wants_it() {
    let all = [vec![
        package("a", "1-1", "%DEPENDS%\nnone\nb>=2\n\n"),
        package("b", "1-1", "%PROVIDES%\nc\n\n"),
        package("d", "1-1", "%DEPENDS%\nc=1\n\n"),
    ]];
    let asked = Asked { names: names(&["a", "d", "nonsense"]), ..Asked::default() };
    let missing = chosen(&all, &asked).unwrap_err();
    assert_eq!(missing, ["nonsense", "none (for a)", "b>=2 (for a)", "c=1 (for d)"]);
}
