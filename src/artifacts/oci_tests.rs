//! Images from a registry that misbehaves, on loopback.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::artifacts::{
    store::{Release, Store},
    web::{TRIES, Web},
    web_fixture::{Does, Server},
};

const IMAGE: &str = "registry.k8s.io/coredns/coredns:v1.14.2";
const FILE: &str = "image-registry.k8s.io_coredns_coredns_v1.14.2.oci.tar";

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest(bytes), "size": bytes.len() })
}

/// An image as a registry has it: what it answers, by the last part of the address.
struct Image {
    does: Vec<(String, Does)>,
    manifest: Vec<u8>,
    layers: Vec<Vec<u8>>,
}

impl Image {
    fn new() -> Self {
        Self::of(&json!({ "os": "linux", "architecture": "amd64" }))
    }

    fn of(config: &Value) -> Self {
        let config = config.to_string().into_bytes();
        let layer = |seed: u32| (0..200_000u32).flat_map(|n| (n ^ seed).to_le_bytes()).collect();
        let layers: Vec<Vec<u8>> = vec![layer(1), layer(2), b"small".to_vec()];
        let manifest = json!({
            "schemaVersion": 2,
            "config": descriptor("config.v1+json", &config),
            "layers": layers.iter().map(|l| descriptor("layer.v1.tar", l)).collect::<Vec<_>>(),
        });
        let manifest = manifest.to_string().into_bytes();
        let mut does = vec![("v1.14.2".to_string(), Does::Gives(manifest.clone()))];
        for blob in layers.iter().chain([&config]) {
            does.push((digest(blob), Does::Gives(blob.clone())));
        }
        Self { does, manifest, layers }
    }

    /// Behind an index, with another machine's in front of it.
    fn indexed(self, platform: &str) -> Self {
        let (os, architecture) = platform.split_once('/').unwrap();
        let mut other = descriptor("manifest.v1+json", b"another machine's");
        other["platform"] = json!({ "os": "linux", "architecture": "arm64" });
        let mut ours = descriptor("manifest.v1+json", &self.manifest);
        ours["platform"] = json!({ "os": os, "architecture": architecture });
        let index = json!({ "schemaVersion": 2, "manifests": [other, ours] });
        let manifest = self.manifest.clone();
        self.with(&digest(&manifest), Does::Gives(manifest))
            .with("v1.14.2", Does::Gives(index.to_string().into_bytes()))
    }

    fn with(mut self, path: &str, does: Does) -> Self {
        self.does.retain(|(known, _)| known != path);
        self.does.push((path.into(), does));
        self
    }

    fn guarded(mut self, token: &'static str) -> Self {
        for (_, does) in &mut self.does {
            *does = Does::Guarded(token, Box::new(does.clone()));
        }
        self
    }

    async fn server(&self) -> Server {
        let does: Vec<(&str, Does)> =
            self.does.iter().map(|(path, does)| (path.as_str(), does.clone())).collect();
        Server::new(&does).await
    }
}

struct Tried {
    dir: tempfile::TempDir,
    server: Server,
    ended: Result<(), Failure>,
    told: Vec<Progress>,
}

impl Tried {
    fn release(&self) -> Result<Release, Failure> {
        Store::at(self.dir.path()).find_image(IMAGE)
    }

    fn files(&self) -> Vec<String> {
        let all = fs::read_dir(self.dir.path()).unwrap();
        let mut all: Vec<String> =
            all.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        all.sort();
        all
    }

    fn fails(&self, says: &str) {
        let error = self.ended.as_ref().unwrap_err();
        let text = format!("{error} {}", error.causes.join(" "));
        assert!(text.contains(says), "{text}");
        assert!(error.hint.is_some() && error.left.is_some(), "{text}");
        assert!(self.release().is_err(), "nothing that is wrong is in the store");
    }

    fn fails_and_leaves_nothing(&self, says: &str) {
        self.fails(says);
        assert_eq!(self.files(), Vec::<String>::new());
    }
}

fn fetcher(dir: &Path, server: &Server) -> Fetcher {
    let fetcher = Fetcher::new(Store::at(dir), Some(format!("{}/mirror", server.address)));
    Fetcher { web: Web::waiting(Duration::from_millis(1)), ..fetcher }
}

async fn fetch_pinned(image: &Image, pin: Option<String>) -> Tried {
    let dir = tempfile::tempdir().unwrap();
    let server = image.server().await;
    let told = Mutex::new(Vec::new());
    let pins = pin.into_iter().map(|digest| (IMAGE.to_string(), digest)).collect();
    let fetcher = fetcher(dir.path(), &server).pinned(&pins);
    let ended = fetcher.fetch_image(IMAGE, &|p| told.lock().unwrap().push(p)).await;
    Tried { dir, server, ended, told: told.into_inner().unwrap() }
}

async fn fetch(image: &Image) -> Tried {
    fetch_pinned(image, None).await
}

/// What is in an archive, by name.
fn unpacked(file: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut reader = tar::Reader::new(File::open(file).unwrap());
    let mut found = BTreeMap::new();
    while let Some(entry) = reader.entry().unwrap() {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut reader, &mut bytes).unwrap();
        found.insert(entry.name, bytes);
    }
    found
}

#[tokio::test]
async fn an_image_becomes_an_archive_that_runtimes_import() {
    let image = Image::new();
    let tried = fetch(&image).await;
    tried.ended.as_ref().unwrap();
    assert_eq!(tried.files(), [FILE.to_string(), format!("{FILE}.sha256")]);
    let release = tried.release().unwrap();
    let found = unpacked(&release.file);
    assert_eq!(found["oci-layout"], br#"{"imageLayoutVersion":"1.0.0"}"#);
    let index: Value = serde_json::from_slice(&found["index.json"]).unwrap();
    let top = &index["manifests"][0];
    assert_eq!(top["annotations"]["io.containerd.image.name"], IMAGE);
    assert_eq!(top["annotations"]["org.opencontainers.image.ref.name"], "v1.14.2");
    assert_eq!(top["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(top["digest"], digest(&image.manifest).as_str());
    for (name, bytes) in found.iter().filter(|(name, _)| name.starts_with("blobs/")) {
        assert_eq!(*name, format!("blobs/{}", digest(bytes).replace(':', "/")));
    }
    assert_eq!(found.len(), 2 + 1 + 1 + image.layers.len());
    let last = tried.told.last().unwrap();
    assert!(last.done && last.bytes > 1_600_000, "{last:?}");
    // The same image is the same file, whenever it is fetched.
    assert_eq!(fetch(&image).await.release().unwrap().sha256, release.sha256);
    // Behind an index it is known under that one's digest too.
    let indexed = Image::new().indexed("linux/amd64");
    let Does::Gives(index) = &indexed.does.last().unwrap().1 else { panic!() };
    let behind = fetch(&indexed).await;
    let behind_file = behind.release().unwrap().file;
    for (archive, known) in [(&release.file, false), (&behind_file, true)] {
        assert!(has_digest(archive, &digest(&image.manifest)));
        assert_eq!(has_digest(archive, &digest(index)), known);
    }
    assert!(!has_digest(&behind_file, &digest(b"other")));
    assert!(!has_digest(Path::new("/none"), &digest(index)));
}

#[tokio::test]
async fn a_token_is_asked_for_where_one_is_wanted() {
    let grants = Does::Gives(br#"{"token":"t0k3n","expires_in":300}"#.to_vec());
    let image = Image::new().indexed("linux/amd64").guarded("t0k3n").with("token", grants);
    let tried = fetch(&image).await;
    tried.ended.as_ref().unwrap();
    let asked = tried.server.asked();
    assert_eq!(asked.iter().filter(|path| *path == "token").count(), 1, "{asked:?}");

    let other = Does::Gives(br#"{"access_token":"other"}"#.to_vec());
    let tried = fetch(&Image::new().guarded("t0k3n").with("token", other)).await;
    tried.fails_and_leaves_nothing("401");
    assert!(!tried.ended.unwrap_err().to_string().contains("other"), "no token is shown");
    let none = Does::Gives(b"<html>log in</html>".to_vec());
    let tried = fetch(&Image::new().guarded("t0k3n").with("token", none)).await;
    tried.fails_and_leaves_nothing("gives no token");
    fetch(&Image::new().guarded("t0k3n")).await.fails_and_leaves_nothing("404");
    fetch(&Image::new().with("v1.14.2", Does::Answers(401))).await.fails_and_leaves_nothing("401");
}

#[tokio::test]
async fn what_broke_off_is_gone_on_with() {
    let image = Image::new();
    let layer = image.layers[0].clone();
    let path = digest(&layer);
    let tried = fetch(&image.with(&path, Does::Breaks(layer.clone(), 300_000, 2))).await;
    tried.ended.as_ref().unwrap();
    let asked = tried.server.asked();
    for from in ["@300000", "@600000"] {
        assert!(asked.contains(&format!("{path}{from}")), "{asked:?}");
    }
    assert_eq!(tried.files().len(), 2);

    // It does not come further in this run, but it does in the next.
    let stuck = Image::new().with(&path, Does::Answers(503));
    let tried = fetch(&stuck).await;
    tried.fails("503");
    assert!(tried.ended.as_ref().unwrap_err().left.as_ref().unwrap().contains("gone on with"));
    assert_eq!(tried.server.asked().iter().filter(|p| **p == path).count(), TRIES as usize);
    assert_eq!(tried.files().len(), 2, "what came of it, and the lock");
    let server = Image::new().server().await;
    fetcher(tried.dir.path(), &server).fetch_image(IMAGE, &|_| ()).await.unwrap();
    let mut asked = server.asked();
    asked.sort();
    assert_eq!(asked, [path, "v1.14.2".into()], "only what was missing");
    assert_eq!(tried.files().len(), 2, "the image and its checksum");
}

#[tokio::test]
async fn what_is_wrong_is_told_and_nothing_of_it_is_kept() {
    let tag = "v1.14.2";
    let image = Image::new();
    let mut other = image.layers[1].clone();
    other[70_000] ^= 1;
    let path = digest(&image.layers[1]);
    let with = |path: &str, does: Does| Image::new().with(path, does);
    fetch(&with(&path, Does::Gives(other))).await.fails_and_leaves_nothing("not what its checksum");
    let short = image.layers[1][..1000].to_vec();
    fetch(&with(&path, Does::Gives(short))).await.fails_and_leaves_nothing("not what its checksum");
    fetch(&with(&path, Does::Answers(404))).await.fails_and_leaves_nothing("404");
    fetch(&with(&path, Does::Page)).await.fails_and_leaves_nothing("a web page");
    fetch(&with(tag, Does::Answers(404))).await.fails_and_leaves_nothing("404");
    fetch(&with(tag, Does::Answers(403))).await.fails_and_leaves_nothing("403");
    fetch(&with(tag, Does::Page)).await.fails_and_leaves_nothing("<html>log in");
    fetch(&Image::new().indexed("linux/s390x"))
        .await
        .fails_and_leaves_nothing("nothing for linux/amd64, but for linux/arm64, linux/s390x");
    let indexed = Image::new().indexed("linux/amd64");
    let ours = digest(&indexed.manifest);
    let changed = indexed.with(&ours, Does::Gives(b"{}".to_vec()));
    fetch(&changed).await.fails_and_leaves_nothing("gives something else");
    let arm = Image::of(&json!({ "os": "linux", "architecture": "arm64" }));
    fetch(&arm).await.fails_and_leaves_nothing("it is for linux/arm64");
}

#[tokio::test]
async fn a_pinned_image_is_that_one_and_no_other() {
    let image = Image::new().indexed("linux/amd64");
    let Does::Gives(index) = &image.does.last().unwrap().1 else { panic!() };
    for right in [digest(index), digest(&image.manifest)] {
        fetch_pinned(&image, Some(right)).await.ended.unwrap();
    }
    let tried = fetch_pinned(&image, Some(digest(b"other"))).await;
    tried.fails_and_leaves_nothing("is pinned to");
}

#[tokio::test]
async fn one_that_is_named_by_its_digest_is_that_one_whatever_the_tag_says() {
    let indexed = || Image::new().indexed("linux/amd64");
    let Does::Gives(index) = indexed().does.last().unwrap().1.clone() else { panic!() };
    let named = format!("{IMAGE}@{}", digest(&index));
    // What the registry gives for that digest, now that the tag is something else.
    let fetched = async |gives: &[u8]| {
        let moved = indexed().with("v1.14.2", Does::Gives(b"{}".to_vec()));
        let server = moved.with(&digest(&index), Does::Gives(gives.to_vec())).server().await;
        let dir = tempfile::tempdir().unwrap();
        fetcher(dir.path(), &server).fetch_image(&named, &|_| ()).await?;
        let release = Store::at(dir.path()).find_image(&named).unwrap();
        let index = unpacked(&release.file).remove("index.json").unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        Ok::<_, Failure>(index["manifests"][0]["annotations"]["io.containerd.image.name"].clone())
    };
    let (repository, _) = IMAGE.rsplit_once(':').unwrap();
    let name = fetched(&index).await.unwrap();
    assert_eq!(name, format!("{repository}@{}", digest(&index)));
    let other = fetched(&indexed().manifest).await.unwrap_err();
    assert!(other.causes.join(" ").contains("gives something else"), "{other:?}");
}

#[tokio::test]
async fn two_runs_do_not_fetch_into_one_another() {
    let dir = tempfile::tempdir().unwrap();
    let server = Image::new().server().await;
    let run = async || fetcher(dir.path(), &server).fetch_image(IMAGE, &|_| ()).await;
    let (one, other) = futures::future::join(run(), run()).await;
    one.unwrap();
    other.unwrap();
    let path = digest(&Image::new().layers[0]);
    assert_eq!(server.asked().iter().filter(|asked| **asked == path).count(), 1);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "the image and its checksum");
}
