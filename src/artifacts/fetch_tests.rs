//! Downloads from a server that misbehaves, on loopback.

use std::{sync::Mutex, time::Duration};

use sha2::{Digest, Sha256};
use tokio::net::TcpSocket;

use super::*;
use crate::{
    artifacts::{
        web::TRIES,
        web_fixture::{Does, Server},
    },
    names::hex,
};

fn program() -> Vec<u8> {
    (0..300_000u32).flat_map(|n| n.to_le_bytes()).collect()
}

fn sum(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn sums() -> Does {
    Does::Gives(
        format!("{}  other\n{}  runc.amd64\n", "0".repeat(64), sum(&program())).into_bytes(),
    )
}

struct Tried {
    dir: tempfile::TempDir,
    server: Server,
    ended: Result<(), Failure>,
    told: Vec<Progress>,
}

impl Tried {
    fn release(&self) -> Result<super::super::Release, Failure> {
        Store::at(self.dir.path()).find("runc", &"1.4.3".parse().unwrap())
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
}

/// One that does not wait between its tries.
fn hasty(fetcher: Fetcher) -> Fetcher {
    Fetcher { web: Web::waiting(Duration::from_millis(1)), ..fetcher }
}

async fn fetch(does: &[(&str, Does)], part: Option<&[u8]>) -> Tried {
    let dir = tempfile::tempdir().unwrap();
    if let Some(part) = part {
        let name = format!(".part-{}", &sum(&program())[..32]);
        fs::write(dir.path().join(name), part).unwrap();
    }
    let server = Server::new(does).await;
    let fetcher = Fetcher::new(Store::at(dir.path()), Some(server.address.clone()));
    let fetcher = hasty(fetcher);
    let told = Mutex::new(Vec::new());
    let version = "1.4.3".parse().unwrap();
    let ended = fetcher.fetch("runc", &version, &|p| told.lock().unwrap().push(p)).await;
    Tried { dir, server, ended, told: told.into_inner().unwrap() }
}

#[tokio::test]
async fn a_file_and_its_checksum() {
    let tried =
        fetch(&[("runc.sha256sum", sums()), ("runc.amd64", Does::Gives(program()))], None).await;
    tried.ended.as_ref().unwrap();
    assert_eq!(tried.release().unwrap().sha256, sum(&program()));
    assert_eq!(tried.files(), ["runc-1.4.3-linux-amd64", "runc-1.4.3-linux-amd64.sha256"]);
    let last = tried.told.last().unwrap();
    assert_eq!((last.bytes, last.total, last.done), (1_200_000, Some(1_200_000), true));
}

#[tokio::test]
async fn what_broke_off_is_gone_on_with() {
    let breaks = Does::Breaks(program(), 400_000, 2);
    let tried = fetch(&[("runc.sha256sum", sums()), ("runc.amd64", breaks)], None).await;
    tried.ended.as_ref().unwrap();
    assert_eq!(
        tried.server.asked(),
        ["runc.sha256sum", "runc.amd64", "runc.amd64@400000", "runc.amd64@800000"]
    );
    assert!(tried.release().is_ok());
    // So is what an earlier run left, also where all of it is there.
    let does = [("runc.sha256sum", sums()), ("runc.amd64", Does::Gives(program()))];
    let tried = fetch(&does, Some(&program()[..700_000])).await;
    tried.ended.as_ref().unwrap();
    assert_eq!(tried.server.asked(), ["runc.sha256sum", "runc.amd64@700000"]);
    let tried = fetch(&does, Some(&program())).await;
    tried.ended.as_ref().unwrap();
    assert!(tried.release().is_ok());
    // A server that knows no ranges begins anew.
    let does = [("runc.sha256sum", sums()), ("runc.amd64", Does::FromTheBeginning(program()))];
    let tried = fetch(&does, Some(&program()[..700_000])).await;
    tried.ended.as_ref().unwrap();
    assert!(tried.release().is_ok());
}

#[tokio::test]
async fn a_bad_rest_of_an_earlier_run_does_no_harm() {
    let does = [("runc.sha256sum", sums()), ("runc.amd64", Does::Gives(program()))];
    for part in [vec![7; 500_000], vec![7; 2_000_000]] {
        let tried = fetch(&does, Some(&part)).await;
        tried.ended.as_ref().unwrap();
        assert!(tried.release().is_ok());
        assert_eq!(tried.server.asked().last().unwrap(), "runc.amd64", "from the beginning");
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_and_nothing_of_it_is_kept() {
    let mut other = program();
    other[1_000_000] ^= 1;
    let tried =
        fetch(&[("runc.sha256sum", sums()), ("runc.amd64", Does::Gives(other))], None).await;
    tried.fails("is not what its checksum says");
    assert_eq!(tried.files(), Vec::<String>::new());

    let file = ("runc.amd64", Does::Gives(program()));
    fetch(&[("runc.sha256sum", Does::Answers(404)), file.clone()], None).await.fails("404");
    fetch(&[("runc.sha256sum", sums()), ("runc.amd64", Does::Answers(403))], None)
        .await
        .fails("403");
    fetch(&[("runc.sha256sum", sums()), ("runc.amd64", Does::Page)], None)
        .await
        .fails("a web page");
    fetch(&[("runc.sha256sum", Does::Page), file.clone()], None).await.fails("holds no SHA-256");
    let others = Does::Gives(format!("{}  runc.arm64\n", "0".repeat(64)).into_bytes());
    fetch(&[("runc.sha256sum", others), file], None).await.fails("holds no SHA-256");
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_in_the_end_told() {
    let busy = Does::Busy(3, program());
    let tried = fetch(&[("runc.sha256sum", sums()), ("runc.amd64", busy)], None).await;
    tried.ended.as_ref().unwrap();
    assert_eq!(tried.server.asked().len(), 5);

    let tried = fetch(&[("runc.sha256sum", Does::Answers(502))], None).await;
    tried.fails("502");
    assert_eq!(tried.server.asked().len(), TRIES as usize);

    // It never comes further: what came is kept for the next run.
    let breaks = Does::Breaks(program(), 0, u32::MAX);
    let tried =
        fetch(&[("runc.sha256sum", sums()), ("runc.amd64", breaks)], Some(&program()[..9])).await;
    tried.fails("runc.amd64");
    assert_eq!(tried.files().len(), 1);

    // Nobody is there at all.
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let closed = taken.local_addr().unwrap();
    let fetcher = Fetcher::new(Store::at(dir.path()), Some(format!("http://{closed}")));
    let fetcher = hasty(fetcher);
    let error = fetcher.fetch("kubelet", &"1.36.4".parse().unwrap(), &|_| ()).await.unwrap_err();
    assert!(error.causes[0].contains("cannot connect"), "{error}");
    let fetcher = Fetcher { mirror: Some("nonsense".into()), ..fetcher };
    let error = fetcher.fetch("kubelet", &"1.36.4".parse().unwrap(), &|_| ()).await.unwrap_err();
    assert!(error.causes[0].contains("not an address"), "{error}");
}

#[tokio::test]
async fn two_runs_do_not_fetch_into_one_another() {
    let dir = tempfile::tempdir().unwrap();
    let server =
        Server::new(&[("runc.sha256sum", sums()), ("runc.amd64", Does::Gives(program()))]).await;
    let version: Version = "1.4.3".parse().unwrap();
    let run = async || {
        let fetcher = Fetcher::new(Store::at(dir.path()), Some(server.address.clone()));
        fetcher.fetch("runc", &version, &|_| ()).await
    };
    let (one, other) = futures::future::join(run(), run()).await;
    one.unwrap();
    other.unwrap();
    assert_eq!(server.asked().iter().filter(|asked| *asked == "runc.amd64").count(), 1);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "the file and its checksum");
}

#[tokio::test]
async fn a_digest_that_is_laid_down_takes_the_place_of_the_projects_list() {
    let version: Version = "1.6.1".parse().unwrap();
    let server = Server::new(&[("standard-install.yaml", Does::Gives(program()))]).await;
    let with = |sum: &str, dir: &tempfile::TempDir| {
        let pins = BTreeMap::from([("gateway-api:1.6.1".into(), format!("sha256:{sum}"))]);
        let fetcher = Fetcher::new(Store::at(dir.path()), Some(server.address.clone()));
        hasty(fetcher.pinned(&pins))
    };
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wrong = with(&"0".repeat(64), &other).fetch("gateway-api", &version, &|_| ()).await;
    let wrong = wrong.unwrap_err();
    assert!(wrong.to_string().contains("is not what its checksum says"), "{wrong}");
    assert!(wrong.hint.unwrap().contains("\"gateway-api:1.6.1\" = "));
    with(&sum(&program()), &dir).fetch("gateway-api", &version, &|_| ()).await.unwrap();
    let release = Store::at(dir.path()).find("gateway-api", &version).unwrap();
    assert!(!release.archive);
    assert!(server.asked().iter().all(|asked| asked.starts_with("standard-install.yaml")));
    let later: Version = "1.9.0".parse().unwrap();
    let unpinned = Fetcher::new(Store::at(dir.path()), None).unpinned("gateway-api", &later);
    assert!(unpinned.unwrap().hint.unwrap().contains("[artifacts.digests]"));
    assert!(with("", &dir).unpinned("runc", &version).is_none(), "its project publishes one");
}
