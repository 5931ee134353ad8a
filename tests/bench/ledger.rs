//! How fast the ledger loads and takes records: `cargo bench --bench ledger`.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::unwrap_used,
    reason = "a benchmark measures and prints"
)]

use std::{path::Path, time::Instant};

use rand::{SeedableRng, rngs::StdRng};
use slipway::{
    events::{Event, OpRef, OpResult, Stamped},
    state::{Ledger, Opening, StateDir, Writer, load, read},
};

const OPS: u32 = 10_000;
const OPS_PER_REQUEST: u32 = 20;
const WRITERS: u32 = 100;

fn op(at: u32) -> Event {
    Event::OpFinished {
        op: OpRef {
            phase: format!("phase-{}", at / 500).parse().unwrap(),
            lane: "node-a".parse().unwrap(),
            node: "node-a".parse().unwrap(),
            step: "sysctls".parse().unwrap(),
            index: at,
            title: format!("write /etc/sysctl.d/90-slipway-{at}.conf"),
        },
        result: OpResult::Changed(vec![
            "net.ipv4.ip_forward = 1 (was 0)".into(),
            "mode 0644 (was 0600)".into(),
        ]),
        elapsed_ms: 12,
    }
}

fn events() -> Vec<Event> {
    let mut events = Vec::new();
    for at in 0..OPS {
        if at % OPS_PER_REQUEST == 0 {
            events.push(Event::Intent {
                node: "node-a".parse().unwrap(),
                phase: format!("phase-{}", at / 500).parse().unwrap(),
                request: format!("run/node-a/{}", at / OPS_PER_REQUEST),
                ops: (at..at + OPS_PER_REQUEST).map(|op| format!("{op:016x}")).collect(),
            });
        }
        events.push(op(at));
    }
    events
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let root = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
    let cluster = "homelab".parse().unwrap();
    let opening = Opening::new(&cluster, "bench", 0, &mut StdRng::seed_from_u64(1));
    let dir = StateDir::open(root.path().join("state")).unwrap();

    runtime.block_on(async {
        let writer = Writer::open(&dir, &opening).unwrap().writer;
        let start = Instant::now();
        for (index, event) in (0..).zip(events()) {
            drop(writer.append(&Stamped { index, at_ms: 0, event }));
        }
        writer.flush().await.unwrap();
        println!("{OPS} ops written in {:?} with {} syncs", start.elapsed(), writer.syncs());
        writer.close().await.unwrap();
    });

    let bytes = std::fs::read(dir.ledger()).unwrap();
    let mut times: Vec<_> = (0..20)
        .map(|_| {
            let start = Instant::now();
            let ledger = Ledger::fold(&load(&bytes, Path::new("ledger.jsonl")).unwrap());
            assert_eq!(ledger.open_requests().count(), 0);
            start.elapsed()
        })
        .collect();
    times.sort();
    let start = Instant::now();
    let from_file = Ledger::fold(&read(&dir, &cluster).unwrap());
    println!(
        "{OPS} ops ({} KiB) loaded and folded in {:?} (best {:?}, worst {:?}; from the file {:?})",
        bytes.len() / 1024,
        times[times.len() / 2],
        times[0],
        times[times.len() - 1],
        start.elapsed()
    );
    drop(from_file);

    for (how, writers, each) in [("one after the other", 1, 200), ("at once", WRITERS, 20)] {
        let dir = StateDir::open(root.path().join(how.replace(' ', "-"))).unwrap();
        runtime.block_on(async {
            let writer = Writer::open(&dir, &opening).unwrap().writer;
            let start = Instant::now();
            let tasks: Vec<_> = (0..writers)
                .map(|_| {
                    let writer = writer.clone();
                    tokio::spawn(async move {
                        for at in 0..each {
                            let stamped = Stamped { index: u64::from(at), at_ms: 0, event: op(at) };
                            writer.append(&stamped).durable().await.unwrap();
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            let (records, took) = (writers * each, start.elapsed());
            println!(
                "{writers} writers {how}: {records} durable appends in {took:?}, {:.0}/s, {} syncs",
                f64::from(records) / took.as_secs_f64(),
                writer.syncs()
            );
        });
    }
}
