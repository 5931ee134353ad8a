//! The ledger's promises: old formats load, damage is noticed, and no crash loses what was durable.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test makes files, prints, and ends by panicking"
)]

use std::path::Path;

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};
use slipway::{
    events::{Event, Failure, Level, OpRef, OpResult, RunResult, Stamped},
    names::NodeName,
    state::{
        Disk, Header, Ledger, LedgerError, Loaded, MemDisk, Opening, StateDir, Tear, Writer, load,
        read, record,
    },
};

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

fn origin() -> &'static Path {
    Path::new("ledger.jsonl")
}

fn opening(seed: u64) -> Opening {
    Opening::new(&name("homelab"), "bootstrap", 1000, &mut StdRng::seed_from_u64(seed))
}

fn op_finished(index: u32, title: &str) -> Event {
    Event::OpFinished {
        op: OpRef {
            phase: "os".parse().unwrap(),
            lane: name("node-a"),
            node: name("node-a"),
            step: "sysctls".parse().unwrap(),
            index,
            title: title.into(),
        },
        result: OpResult::Changed(vec![title.into()]),
        elapsed_ms: u64::from(index),
    }
}

fn stamped(index: u64) -> Stamped {
    Stamped { index, at_ms: 5 * index, event: op_finished(index as u32, "write /etc/hosts") }
}

fn some_event() -> impl Strategy<Value = Event> {
    let text = "\\PC{0,12}|[\"\\\\\n\r\t\u{0}\u{1b}]{0,6}";
    prop_oneof![
        (any::<u32>(), text).prop_map(|(index, title)| op_finished(index, &title)),
        (text, proptest::option::of(text)).prop_map(|(text, hint)| Event::Note {
            level: Level::Warning,
            node: Some(name("node-b")),
            text,
            hint
        }),
        (text, proptest::collection::vec(text, 0..4)).prop_map(|(request, ops)| Event::Intent {
            node: name("node-a"),
            phase: "os".parse().unwrap(),
            request,
            ops
        }),
        (any::<u32>(), text).prop_map(|(number, why)| Event::OpRecovered {
            node: name("node-a"),
            request: "r".into(),
            number,
            result: OpResult::Failed(Failure::new("do it", why)),
        }),
        any::<bool>().prop_map(|leaving_at_once| Event::Interrupted { leaving_at_once }),
    ]
}

fn some_stamped() -> impl Strategy<Value = Stamped> {
    (any::<u64>(), any::<u64>(), some_event()).prop_map(|(index, at_ms, event)| Stamped {
        index,
        at_ms,
        event,
    })
}

fn file_of(events: &[Stamped]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = Header { cluster: name("homelab"), created_ms: 1, holder: "0f".into() };
    record::encode_header(&header, &mut bytes).unwrap();
    for (i, event) in (0..).zip(events) {
        record::encode(i, event, &mut bytes).unwrap();
    }
    bytes
}

/// The line that a byte is in, from 1; its newline is a part of it.
fn line_of(bytes: &[u8], at: usize) -> u64 {
    1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count() as u64
}

fn whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_was_encoded_comes_back(events in proptest::collection::vec(some_stamped(), 0..8)) {
        let bytes = file_of(&events);
        let loaded = load(&bytes, origin()).unwrap();
        prop_assert_eq!(&loaded.events, &events);
        prop_assert_eq!(loaded.torn, None);
        prop_assert_eq!(loaded.whole_bytes, bytes.len() as u64);
        Ledger::fold(&loaded);
    }

    #[test]
    fn a_prefix_of_the_file_is_a_prefix_of_the_events(
        events in proptest::collection::vec(some_stamped(), 0..8),
        cut in any::<prop::sample::Index>(),
        tail in proptest::collection::vec(prop_oneof![Just(0u8), 0x80u8..], 0..20),
    ) {
        let mut bytes = file_of(&events);
        bytes.truncate(cut.index(bytes.len() + 1));
        let whole = whole_lines(&bytes);
        // What lay on the disk before may follow, as long as it does not end a line.
        bytes.extend(tail);
        let loaded = load(&bytes, origin()).unwrap();
        prop_assert_eq!(loaded.header.is_some(), whole > 0);
        prop_assert_eq!(&loaded.events[..], &events[..whole.saturating_sub(1)]);
        prop_assert_eq!(loaded.torn.is_some(), loaded.whole_bytes < bytes.len() as u64);
    }

    #[test]
    fn no_changed_byte_goes_unnoticed(
        events in proptest::collection::vec(some_stamped(), 0..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let mut bytes = file_of(&events);
        if let Some(cut) = cut {
            bytes.truncate(1 + cut.index(bytes.len()));
        }
        let at = at.index(bytes.len());
        let (line, in_tail) = (line_of(&bytes, at), !bytes[at..].contains(&b'\n'));
        let whole = whole_lines(&bytes);
        bytes[at] ^= flip;
        match load(&bytes, origin()) {
            Err(LedgerError::Corrupt { line: found, .. }) => prop_assert_eq!(found, line),
            Err(other) => prop_assert!(false, "{}", other),
            Ok(loaded) => {
                // Only a last line that does not end is forgiven, and it is said which: one that
                // did not end before, or the last that did and now lacks its newline.
                prop_assert!(in_tail || !bytes[at..].contains(&b'\n'));
                prop_assert_eq!(loaded.torn.unwrap().line, line);
                let kept = if in_tail { whole } else { whole - 1 };
                prop_assert_eq!(&loaded.events[..], &events[..kept.saturating_sub(1)]);
            }
        }
    }

    #[test]
    fn no_crash_loses_what_was_durable(seed in any::<u64>()) {
        crash_story(seed);
    }
}

/// A few lives of one ledger, each of which ends by a loss of power at a random call.
fn crash_story(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut disk = MemDisk::new();
    // All that was appended and may be there; of which the first so many must be.
    let mut appended: Vec<Stamped> = Vec::new();
    let mut durable = 0;
    for life in 0..4 {
        disk.die_at(rng.random_range(1..14));
        let runtime =
            tokio::runtime::Builder::new_current_thread().start_paused(true).build().unwrap();
        runtime.block_on(async {
            // It may die as early as over the header.
            let Ok(opened) = Writer::over(Box::new(disk.clone()), &opening(life)) else { return };
            for _ in 0..rng.random_range(1..10) {
                let mut commits = Vec::new();
                for _ in 0..rng.random_range(1..5) {
                    let event = stamped(appended.len() as u64);
                    commits.push((appended.len() + 1, opened.writer.append(&event)));
                    appended.push(event);
                }
                if rng.random_bool(0.2) {
                    tokio::task::yield_now().await;
                }
                for (count, commit) in commits {
                    if rng.random_bool(0.7) {
                        match commit.durable().await {
                            Ok(()) => durable = durable.max(count),
                            Err(error) => assert!(matches!(error, LedgerError::Io { .. })),
                        }
                    }
                }
            }
        });
        drop(runtime);
        let tear = Tear::ALL[rng.random_range(0..Tear::ALL.len())];
        disk = disk.crash(&mut rng, tear);
        let loaded = load(&disk.bytes(), origin()).unwrap();
        assert!(loaded.events.len() >= durable, "seed {seed}: {tear:?} lost a durable record");
        assert_eq!(loaded.events, appended[..loaded.events.len()], "seed {seed}");
        // What was lost is lost: the next life does not know of it.
        appended.truncate(loaded.events.len());
        durable = appended.len();
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_appends_share_syncs() {
    let disk = MemDisk::new();
    let opened = Writer::over(Box::new(disk.clone()), &opening(1)).unwrap();
    let before = disk.syncs();
    let tasks: Vec<_> = (0..100)
        .map(|index| {
            let writer = opened.writer.clone();
            tokio::spawn(async move { writer.append(&stamped(index)).durable().await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(disk.syncs() - before, 1);
    for index in 100..110 {
        opened.writer.append(&stamped(index)).durable().await.unwrap();
    }
    assert_eq!(disk.syncs() - before, 11);
    assert_eq!(load(&disk.bytes(), origin()).unwrap().events.len(), 110);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_fails_everybody_and_leaves_the_file_whole() {
    let disk = MemDisk::new();
    let writer = Writer::over(Box::new(disk.clone()), &opening(1)).unwrap().writer;
    writer.append(&stamped(0)).durable().await.unwrap();
    let whole = disk.bytes();
    disk.set_capacity(Some(whole.len() + 20));
    let (one, two) = (writer.append(&stamped(1)), writer.append(&stamped(2)));
    for commit in [one, two] {
        let error = commit.durable().await.unwrap_err();
        assert!(error.to_string().contains("ledger.jsonl"), "{error}");
        assert!(error.hint().unwrap().contains("full"), "{error}");
    }
    assert_eq!(disk.bytes(), whole);
    // Room comes too late: records would be missing in between.
    disk.set_capacity(None);
    assert!(writer.append(&stamped(3)).durable().await.is_err());
    assert!(writer.flush().await.is_err());
    assert_eq!(disk.bytes(), whole);
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_fails_is_no_durability() {
    let disk = MemDisk::new();
    let writer = Writer::over(Box::new(disk.clone()), &opening(1)).unwrap().writer;
    disk.set_sync_fails(true);
    assert!(writer.append(&stamped(0)).durable().await.is_err());
    assert_eq!(load(&disk.bytes(), origin()).unwrap().events, []);
}

#[tokio::test(start_paused = true)]
async fn what_an_opened_ledger_says_is_durable() {
    // The writer before was killed between its write and its sync; the machine lives on.
    let mut disk = MemDisk::new();
    disk.append(&file_of(&[stamped(0), stamped(1)])).unwrap();
    let opened = Writer::over(Box::new(disk.clone()), &opening(1)).unwrap();
    assert_eq!(opened.torn, None);
    let disk = disk.crash(&mut StdRng::seed_from_u64(1), Tear::Lose);
    assert_eq!(load(&disk.bytes(), origin()).unwrap().events.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn events_for_watchers_are_not_kept() {
    let disk = MemDisk::new();
    let writer = Writer::over(Box::new(disk.clone()), &opening(1)).unwrap().writer;
    let Event::OpFinished { op, .. } = op_finished(0, "t") else { unreachable!() };
    let event = Event::OpOutput { op, line: "hello".into() };
    writer.append(&Stamped { index: 0, at_ms: 0, event }).durable().await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(load(&disk.bytes(), origin()).unwrap().events, []);
}

#[tokio::test(start_paused = true)]
async fn a_real_file_does_not_let_a_paused_clock_run() {
    let root = tempfile::tempdir().unwrap();
    let dir = StateDir::open(root.path().join("s")).unwrap();
    let opened = Writer::open(&dir, &opening(1)).unwrap();
    let timer = tokio::time::sleep(std::time::Duration::from_secs(3600));
    tokio::select! {
        biased;
        () = timer => panic!("the clock ran ahead of the disk"),
        done = opened.writer.append(&stamped(0)).durable() => done.unwrap(),
    }
    assert_eq!(opened.writer.syncs(), 1);
}

#[tokio::test]
async fn one_writer_at_a_time_and_readers_at_any() {
    let root = tempfile::tempdir().unwrap();
    let dir = StateDir::open(root.path().join("s")).unwrap();
    let first = Writer::open(&dir, &opening(1)).unwrap();
    let holder = first.ledger.holder().unwrap().to_string();
    first.writer.append(&stamped(0)).durable().await.unwrap();
    let error = Writer::open(&dir, &opening(2)).unwrap_err();
    assert!(matches!(error, LedgerError::Locked { .. }), "{error}");
    assert_eq!(read(&dir, &name("homelab")).unwrap().events, [stamped(0)]);
    let clone = first.writer.clone();
    first.writer.close().await.unwrap();
    let closed = clone.append(&stamped(1)).durable().await.unwrap_err();
    assert!(matches!(closed, LedgerError::Closed { .. }));

    // A line that was being written when the power went is cut off, by a writer only.
    let mut bytes = std::fs::read(dir.ledger()).unwrap();
    let whole = bytes.clone();
    bytes.extend(b"{\"c\":\"0123\0\0\0");
    std::fs::write(dir.ledger(), &bytes).unwrap();
    let seen = read(&dir, &name("homelab")).unwrap();
    assert_eq!(seen.torn.unwrap().line, 3);
    assert_eq!(std::fs::read(dir.ledger()).unwrap(), bytes);
    let second = Writer::open(&dir, &opening(2)).unwrap();
    assert_eq!(second.torn.unwrap().bytes, 13);
    assert_eq!(std::fs::read(dir.ledger()).unwrap(), whole);
    // The name of the state directory stays.
    assert_eq!(second.ledger.holder(), Some(holder.as_str()));
    second.writer.append(&stamped(1)).durable().await.unwrap();
    assert_eq!(read(&dir, &name("homelab")).unwrap().events.len(), 2);
}

#[tokio::test]
async fn another_clusters_ledger_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let dir = StateDir::open(root.path().join("s")).unwrap();
    Writer::open(&dir, &opening(1)).unwrap().writer.close().await.unwrap();
    let error = read(&dir, &name("other")).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`homelab`, not to `other`"), "{text}");
    let mut other = opening(1);
    other.cluster = name("other");
    let error = Writer::open(&dir, &other).unwrap_err();
    assert!(matches!(error, LedgerError::OtherCluster { .. }));
}

#[test]
fn reading_makes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let dir = StateDir::at(root.path().join("s"));
    assert_eq!(read(&dir, &name("homelab")).unwrap().events, []);
    assert!(!dir.path().exists());
}

#[test]
fn damage_is_told_with_its_line_and_a_way_on() {
    let bytes = file_of(&[stamped(0), stamped(1), stamped(2)]);
    let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let corrupt = |bytes: &[u8]| match load(bytes, origin()).unwrap_err() {
        error @ LedgerError::Corrupt { line, .. } => {
            assert!(error.hint().unwrap().contains("aside"));
            (line, error.to_string())
        }
        other => panic!("{other}"),
    };
    // A line is missing.
    let (line, text) = corrupt(&[lines[0], lines[1], lines[3]].concat());
    assert_eq!(line, 3);
    assert!(text.contains("record 2 where record 1 should be"), "{text}");
    // The header is.
    assert_eq!(corrupt(&lines[1..].concat()).0, 1);
    // A kind of event that is not known here: right checksum, wrong word.
    let mut unknown = Vec::new();
    let rest = br#""i":0,"n":0,"t":0,"e":{"from-the-future":1}}"#;
    unknown.extend(format!("{{\"c\":\"{:08x}\",", crc32fast::hash(rest)).bytes());
    unknown.extend(rest);
    unknown.push(b'\n');
    let (line, text) = corrupt(&[lines[0], &unknown].concat());
    assert_eq!(line, 2);
    assert!(text.contains("from-the-future"), "{text}");
}

/// Format 1, as it was first written. It must load for ever: do not renew the file, add another.
#[test]
fn format_1_loads() {
    let bytes = include_bytes!("ledger/format-1.jsonl");
    let loaded: Loaded = load(bytes, origin()).unwrap();
    assert_eq!(loaded.torn, None);
    let header = loaded.header.as_ref().unwrap();
    assert_eq!((header.cluster.as_str(), header.holder.as_str()), ("homelab", "8c1f0a5be2d94736"));
    let ledger = Ledger::fold(&loaded);
    let run = ledger.last_run().unwrap();
    assert_eq!((run.verb.as_str(), run.finished.unwrap().result), ("bootstrap", RunResult::Failed));
    assert_eq!(ledger.machine_id(&name("node-a")), Some("0b5e6f0c9d2a4c7e8f1a2b3c4d5e6f70"));
    assert_eq!(ledger.identity().unwrap().etcd_cluster_id.as_deref(), Some("cdf818194e3a8c32"));
    let open: Vec<_> = ledger.open_requests().map(|request| request.id.as_str()).collect();
    assert_eq!(open, ["20261103-120000-kqzv/node-b/1"]);
    assert_eq!(ledger.lease_generation(), 3);
    assert_eq!(ledger.expected_ms("bootstrap", &"host-prep".parse().unwrap()), Some(61_250));
    // Every kind that is kept is in the file.
    let text = slipway::state::render::show(&loaded.events);
    assert_eq!(text.lines().count(), loaded.events.len() + 1);
    // It is written the same today, byte by byte.
    let mut again = Vec::new();
    record::encode_header(header, &mut again).unwrap();
    for (i, event) in (0..).zip(&loaded.events) {
        record::encode(i, event, &mut again).unwrap();
    }
    assert_eq!(String::from_utf8(again).unwrap(), String::from_utf8_lossy(bytes));
}
