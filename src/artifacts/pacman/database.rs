//! A pacman repository's database: an archive with a `desc` of each package.

use std::{
    io::{self, BufRead, Read},
    sync::LazyLock,
};

use crate::artifacts::tar::{self, BLOCK};

/// More than a `desc` has: the longest of Arch's have some kilobytes.
const MOST_DESC: u64 = 1 << 20;
/// More than a whole repository's descriptions.
const MOST_DATABASE: u64 = 512 << 20;

/// A package, as its repository describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// Its file beside the database.
    pub file: String,
    pub bytes: u64,
    pub sha256: String,
    pub arch: String,
    pub depends: Vec<String>,
    pub provides: Vec<String>,
    pub groups: Vec<String>,
    /// All of the text, for a database of one's own.
    pub desc: String,
}

fn wrong<T>(why: impl Into<String>) -> Result<T, String> {
    Err(why.into())
}

/// `%NAME%`, its lines, and an empty one; field by field. In words that follow `the description of X`.
pub fn desc(text: &str) -> Result<Package, String> {
    let mut package = Package { desc: text.to_string(), ..Package::default() };
    let mut lines = text.lines();
    while let Some(head) = lines.next() {
        if head.is_empty() {
            continue;
        }
        let Some(field) = head.strip_prefix('%').and_then(|h| h.strip_suffix('%')) else {
            return wrong(format!("has `{head}` where a field should begin"));
        };
        let values: Vec<String> =
            lines.by_ref().take_while(|line| !line.is_empty()).map(String::from).collect();
        let one = || values.first().cloned().unwrap_or_default();
        match field {
            "NAME" => package.name = one(),
            "VERSION" => package.version = one(),
            "FILENAME" => package.file = one(),
            "CSIZE" => {
                package.bytes = one().parse().map_err(|_| format!("has the size `{}`", one()))?;
            }
            "SHA256SUM" => package.sha256 = one().to_lowercase(),
            "ARCH" => package.arch = one(),
            "DEPENDS" => package.depends = values,
            "PROVIDES" => package.provides = values,
            "GROUPS" => package.groups = values,
            _ => {}
        }
    }
    for (field, value) in [("NAME", &package.name), ("VERSION", &package.version)] {
        if value.is_empty() {
            return wrong(format!("has no %{field}%"));
        }
    }
    if !crate::artifacts::store::is_sum(&package.sha256) {
        return wrong("has no SHA-256 checksum");
    }
    let named =
        package.file.contains(".pkg.tar") && crate::artifacts::bundle::is_name(&package.file);
    if !named {
        return wrong(format!("names `{}`, which is no package's file", package.file));
    }
    Ok(package)
}

/// What a header of the archive says.
struct Header {
    kind: u8,
    name: String,
    size: u64,
}

fn octal(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(text, 8).ok()
}

fn header(block: &[u8; BLOCK]) -> Result<Header, String> {
    if octal(&block[148..156]) != Some(u64::from(tar::checksum(block))) {
        return wrong("is damaged: a header's checksum is not right");
    }
    let text = |bytes: &[u8]| {
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    let (base, prefix) = (text(&block[..100]), text(&block[345..500]));
    let posix = &block[257..263] == b"ustar\0";
    let name = if posix && !prefix.is_empty() { format!("{prefix}/{base}") } else { base };
    let Some(size) = octal(&block[124..136]) else {
        return wrong("is damaged: a size is no number");
    };
    Ok(Header { kind: block[156], name, size })
}

/// A long name, in what stands before the header that is too short for it.
fn long_name(extended: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(extended).into_owned();
    text.lines().find_map(|line| Some(line.split_once(" path=")?.1.to_string()))
}

/// Unpacked as it begins: by gzip or zstd, or not at all.
fn unpacked<'a>(mut from: impl BufRead + 'a) -> io::Result<Result<Box<dyn Read + 'a>, String>> {
    static KINDS: LazyLock<[(&[u8], &str); 2]> =
        LazyLock::new(|| [(&[0xfd, b'7', b'z', b'X', b'Z'], "xz"), (b"BZh", "bzip2")]);
    let begins = from.fill_buf()?;
    if let Some((_, kind)) = KINDS.iter().find(|(mark, _)| begins.starts_with(mark)) {
        return Ok(Err(format!("is packed by {kind}, which is not read here")));
    }
    Ok(Ok(if begins.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(from))
    } else if begins.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::stream::read::Decoder::with_buffer(from)?)
    } else {
        Box::new(from)
    }))
}

fn told(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "is cut off".into(),
        _ => format!("is damaged: {error}"),
    }
}

/// All packages of a database. In words that follow its name.
pub fn read(from: impl BufRead) -> Result<Vec<Package>, String> {
    let from = unpacked(from).map_err(|e| told(&e))??;
    let mut from = from.take(MOST_DATABASE);
    let mut packages = Vec::new();
    let mut name = None;
    let mut block = [0; BLOCK];
    loop {
        from.read_exact(&mut block).map_err(|e| told(&e))?;
        if block == [0; BLOCK] {
            // To its very end: only there is the checksum of what it was packed by.
            io::copy(&mut from, &mut io::sink()).map_err(|e| told(&e))?;
            return Ok(packages);
        }
        let found = header(&block)?;
        if found.size > MOST_DESC {
            return wrong(format!("has `{}` with {} bytes", found.name, found.size));
        }
        let mut content = vec![0; usize::try_from(found.size).unwrap_or_default()];
        from.read_exact(&mut content).map_err(|e| told(&e))?;
        from.read_exact(&mut block[..tar::padding(found.size)]).map_err(|e| told(&e))?;
        match found.kind {
            b'x' => name = long_name(&content),
            b'0' | 0 => {
                let called = name.take().unwrap_or(found.name);
                let Some(of) = called.strip_suffix("/desc") else { continue };
                let text = String::from_utf8(content)
                    .map_err(|_| format!("describes {of} in no UTF-8"))?;
                let package =
                    desc(&text).map_err(|why| format!("describes {of}, and that {why}"))?;
                packages.push(package);
            }
            // Directories, and what stands for all that follow.
            _ => name = None,
        }
    }
}
