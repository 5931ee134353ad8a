//! Packages and all that they need, from a mirror into a directory of this machine.
#![allow(clippy::disallowed_methods, reason = "the cache is this machine's own")]

use std::{
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use flate2::{Compression, write::GzEncoder};
use futures::stream::{self, StreamExt};
use reqwest::StatusCode;
use serde::Deserialize;

use super::{
    closure::{Asked, closure},
    database::{self, Package},
};
use crate::{
    artifacts::{
        fetch::{Fetcher, Progress},
        tar,
        web::{NOTHING_DONE, Question, Stop, alone, for_good, granted, is_whole, unwritable},
    },
    events::Failure,
};

/// The repository in a bundle, and its database.
pub const REPOSITORY: &str = "slipway";
const AT_ONCE: usize = 4;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    url: String,
    arch: String,
    repositories: Vec<String>,
    perhaps: Vec<String>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "embedded at build, covered by a test")]
    toml::from_str(include_str!("../../../assets/packages.toml"))
        .expect("assets/packages.toml is valid")
});

/// A repository's directory on the mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    name: String,
    url: String,
}

impl Mirror {
    /// Those of the distribution, behind the inventory's mirror where it names one.
    pub fn all(mirror: Option<&str>) -> Vec<Self> {
        let one = |name: &String| {
            let url = TABLE.url.replace("{repository}", name).replace("{arch}", &TABLE.arch);
            let url = match mirror {
                Some(mirror) => format!(
                    "{}/{}",
                    mirror.trim_end_matches('/'),
                    url.trim_start_matches("https://")
                ),
                None => url,
            };
            Self { name: name.clone(), url }
        };
        TABLE.repositories.iter().map(one).collect()
    }
}

/// What is taken along where a repository has it.
pub fn perhaps() -> impl Iterator<Item = String> {
    TABLE.perhaps.iter().cloned()
}

/// A file for a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub name: String,
    pub file: PathBuf,
}

/// Hears what is fetched, and how far that is.
pub type Tell<'a> = &'a (dyn Fn(&str, Progress) + Send + Sync);

/// The packages that are asked for and all that they need, with a database of just these.
pub async fn fetch(
    fetcher: &Fetcher,
    mirrors: &[Mirror],
    dir: &Path,
    asked: &Asked,
    tell: Tell<'_>,
) -> Result<Vec<Fetched>, Vec<Failure>> {
    let one = |failure| vec![failure];
    let what = "fetch the packages' databases";
    fs::create_dir_all(dir).map_err(|e| one(unwritable(what, dir, &e)))?;
    let mut repositories = Vec::new();
    for mirror in mirrors {
        repositories.push(database_of(fetcher, mirror, dir, tell).await.map_err(one)?);
    }
    let chosen = closure(&repositories, asked).map_err(|missing| {
        let of: Vec<&str> = mirrors.iter().map(|m| m.name.as_str()).collect();
        let why = format!("{} have no {}", of.join(" and "), missing.join(", no "));
        one(Failure::new("find the packages for the bundle", why)
            .left("no bundle was made")
            .hint("correct `host.packages`; what the machines have from elsewhere is left out with `--leave-out NAME,...`"))
    })?;
    let packages: Vec<(&Mirror, &Package)> =
        chosen.iter().map(|(repo, n)| (&mirrors[*repo], &repositories[*repo][*n])).collect();
    let fetched = stream::iter(packages.iter().map(|(m, p)| package(fetcher, m, p, dir, tell)));
    let (mut files, mut failures) = (Vec::new(), Vec::new());
    for done in fetched.buffered(AT_ONCE).collect::<Vec<_>>().await {
        match done {
            Ok(more) => files.extend(more),
            Err(failure) => failures.push(failure),
        }
    }
    if !failures.is_empty() {
        return Err(failures);
    }
    let of: Vec<&Package> = packages.iter().map(|(_, package)| *package).collect();
    files.push(own_database(&of, dir).map_err(|e| one(unwritable("write a database", dir, &e)))?);
    Ok(files)
}

/// Always anew: it changes from hour to hour, and packages that it no longer names are gone.
async fn database_of(
    fetcher: &Fetcher,
    mirror: &Mirror,
    dir: &Path,
    tell: Tell<'_>,
) -> Result<Vec<Package>, Failure> {
    let name = format!("{}.db", mirror.name);
    let what = format!("fetch {name}");
    let url = format!("{}/{name}", mirror.url);
    let part = dir.join(format!(".part-{name}"));
    let held = alone(&part).await.map_err(|e| unwritable(&what, &part, &e))?;
    let once = async || {
        let response =
            fetcher.web.get(&what, Question { url: &url, ..Question::default() }).await?;
        let told = |progress: Progress| tell(&name, progress);
        fetcher.web.body(&what, &url, response, (&part, 0), &told).await
    };
    fetcher.web.insist(&what, &url, once).await?;
    let place = part.clone();
    let read = tokio::task::spawn_blocking(move || {
        let file = File::open(&place).map_err(|e| format!("cannot be read back: {e}"))?;
        database::read(BufReader::new(file))
    });
    let read = read.await.unwrap_or_else(|e| Err(e.to_string()));
    let _ = fs::remove_file(&part);
    drop(held);
    read.map_err(|why| {
        Failure::new(&what, format!("{url} {why}"))
            .left("no bundle was made")
            .hint("a mirror that is just being renewed does this, and a portal that wants a log-in: try again, or name another one with `[artifacts] mirror`")
    })
}

/// A package and, where the mirror has one, its signature.
async fn package(
    fetcher: &Fetcher,
    mirror: &Mirror,
    package: &Package,
    dir: &Path,
    tell: Tell<'_>,
) -> Result<Vec<Fetched>, Failure> {
    let Package { name, version, file, sha256, .. } = package;
    let what = format!("fetch the package {name} {version}");
    let url = format!("{}/{file}", mirror.url);
    let (target, signature) = (dir.join(file), dir.join(format!("{file}.sig")));
    let part = dir.join(format!(".part-{}", &sha256[..32]));
    let _alone = alone(&part).await.map_err(|e| unwritable(&what, &part, &e))?;
    if target.exists() && is_whole(&what, &target, sha256).await? {
        let _ = fs::remove_file(&part);
    } else {
        let once = async || {
            let have = fs::metadata(&part).map_or(0, |m| m.len());
            let question = Question { url: &url, from: have, ..Question::default() };
            let response = fetcher.web.ask(&what, question).await?;
            if matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::GONE) {
                let why = format!("{}.db names it, and {url} is not there", mirror.name);
                return Err(for_good(Failure::new(&what, why).hint(
                    "the mirror was renewed in between: the same command again takes the newer one; one that stays like this is broken, and another one is `[artifacts] mirror`",
                )));
            }
            let response = granted(&what, question, response)?;
            let told = |progress: Progress| tell(&format!("{name} {version}"), progress);
            fetcher.web.body(&what, &url, response, (&part, have), &told).await
        };
        fetcher.web.whole(&what, &url, (&part, sha256), None, once).await?;
        let _ = fs::remove_file(&signature);
        fs::rename(&part, &target).map_err(|e| unwritable(&what, &target, &e))?;
    }
    let mut files = vec![Fetched { name: file.clone(), file: target }];
    if !signature.exists()
        && let Some(bytes) = signature_of(fetcher, &what, &format!("{url}.sig")).await?
    {
        let new = dir.join(format!(".part-{}.sig", &sha256[..32]));
        fs::write(&new, bytes)
            .and_then(|()| fs::rename(&new, &signature))
            .map_err(|e| unwritable(&what, &signature, &e))?;
    }
    if signature.exists() {
        files.push(Fetched { name: format!("{file}.sig"), file: signature });
    }
    Ok(files)
}

/// None where the mirror has none: whether the machines want one is their own configuration's business.
async fn signature_of(
    fetcher: &Fetcher,
    what: &str,
    url: &str,
) -> Result<Option<Vec<u8>>, Failure> {
    let question = Question { url, ..Question::default() };
    let once = async || {
        let response = fetcher.web.ask(what, question).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let bytes = fetcher.web.text(granted(what, question, response)?).await?;
        if bytes.starts_with(b"<") {
            let why = format!("{url} answers with a web page, and not with a signature");
            return Err(Stop::For(Box::new(Failure::new(what, why).left(NOTHING_DONE))));
        }
        Ok(Some(bytes))
    };
    fetcher.web.insist(what, url, once).await
}

/// A database of exactly these, as their own repositories describe them: with what pacman compares a
/// package with.
fn own_database(packages: &[&Package], dir: &Path) -> std::io::Result<Fetched> {
    let encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut archive = tar::Archive::new(encoder);
    for package in packages {
        let name = format!("{}-{}/desc", package.name, package.version);
        archive.file(&name, package.desc.len() as u64, package.desc.as_bytes())?;
    }
    let bytes = archive.finish()?.finish()?;
    let sum = crate::names::hex(&<sha2::Sha256 as sha2::Digest>::digest(&bytes));
    let file = dir.join(format!(".{REPOSITORY}-{}.db", &sum[..16]));
    fs::write(&file, bytes)?;
    Ok(Fetched { name: format!("{REPOSITORY}.db"), file })
}
