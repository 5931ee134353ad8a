//! Tables with an entry more, and power that goes in the middle of a change.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests make files, start sfdisk, and print their figures"
)]

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use rand::{SeedableRng, rngs::StdRng};

use super::{
    super::media::mortal::{Kept, Mortal},
    *,
};

const MIB: u64 = 1 << 20;
const UUID: [u8; 16] = [7; 16];
/// Kind, first sector, sectors, name.
type Part = ([u8; 16], u64, u64, &'static str);
/// An installed system: an ESP, its root, and what is free behind them.
const INSTALLED: &[Part] = &[(ESP, 2048, 20480, "esp"), (LINUX, 22528, 40960, "the root")];

/// A file with the table that any partitioner makes, both of them.
fn made(dir: &Path, bytes: u64, parts: &[Part]) -> PathBuf {
    let path = dir.join("disk");
    let file = File::create(&path).unwrap();
    file.set_len(bytes).unwrap();
    let last = bytes / 512 - 1;
    let mut mbr = [0; 512];
    mbr[446 + 4] = 0xee;
    mbr[446 + 8..446 + 16].copy_from_slice(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    mbr[510..].copy_from_slice(&[0x55, 0xaa]);
    Media::write(&file, &mbr, 0).unwrap();
    let mut header = vec![0; 512];
    header[..8].copy_from_slice(SIGNATURE);
    for (at, number) in [(8, 0x10000u32), (12, 92), (80, 128), (84, 128)] {
        header[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    for (at, number) in [(24, 1), (32, last), (40, 2048), (48, last - 33), (72, 2)] {
        header[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    header[56..72].copy_from_slice(&[9; 16]);
    let mut entries = vec![0; 128 * 128];
    for (raw, (n, (kind, first, count, name))) in
        entries.chunks_exact_mut(128).zip(parts.iter().enumerate())
    {
        raw[..16].copy_from_slice(kind);
        raw[16..32].copy_from_slice(&[n as u8 + 1; 16]);
        raw[32..40].copy_from_slice(&first.to_le_bytes());
        raw[40..48].copy_from_slice(&(first + count - 1).to_le_bytes());
        // An attribute, which nobody may lose.
        raw[55] = 0x10;
        write_name(raw, name);
    }
    let table = Table { sector: 512, header, entries };
    table.settle(&file).unwrap();
    path
}

/// What sfdisk says of it, where there is one.
fn sfdisk(args: &[&str], path: &Path) -> Option<String> {
    let done = Command::new("sfdisk").args(args).arg(path).output().ok()?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{text}{}", String::from_utf8_lossy(&done.stderr));
    Some(text + &String::from_utf8_lossy(&done.stderr))
}

fn open(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

#[test]
fn a_partition_more_and_all_else_is_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let path = made(dir.path(), 100 * MIB, INSTALLED);
    let (file, before) = (open(&path), std::fs::read(&path).unwrap());
    let table = Table::read(&file, 100 * MIB, 512).unwrap();
    let found = table.entries();
    assert_eq!(found.len(), 2);
    assert!(found[0].is_esp && !found[1].is_esp);
    assert_eq!(found[1].name, "the root");
    assert_eq!((found[1].start, found[1].bytes), (11 * MIB, 20 * MIB));
    assert_eq!(table.gaps(), [(31 * MIB, 68 * MIB)]);

    let making = table.with("slipway-etcd~", &UUID, 30 * MIB - 5).unwrap();
    making.commit(&file).unwrap();
    let made = Table::read(&file, 100 * MIB, 512).unwrap();
    assert!(!made.is_unfinished());
    assert_eq!(made.entries(), making.entries());
    made.renamed(3, "slipway-etcd").unwrap().commit(&file).unwrap();
    let added = &Table::read(&file, 100 * MIB, 512).unwrap().entries()[2];
    assert_eq!((added.start, added.bytes), (31 * MIB, 30 * MIB));
    assert_eq!((added.name.as_str(), &added.uuid), ("slipway-etcd", &uuid_text(&UUID)));

    // Both tables are equal, and but for the third entry, sums and free space every byte is the same.
    let after = std::fs::read(&path).unwrap();
    let end = after.len();
    assert_eq!(after[1024..1024 + 16384], after[end - 512 - 16384..end - 512]);
    let may = |at: usize| {
        let header = |from: usize| {
            (from + 16..from + 20).contains(&at) || (from + 88..from + 92).contains(&at)
        };
        let entry = |from: usize| (from + 256..from + 384).contains(&at);
        let aside = (31 * MIB as usize..end - 512 - 16384).contains(&at);
        header(512) || header(end - 512) || entry(1024) || entry(end - 512 - 16384) || aside
    };
    let odd = (0..end).find(|at| before[*at] != after[*at] && !may(*at));
    assert_eq!(odd, None, "a byte that is nobody's business here was changed");
    if let Some(verified) = sfdisk(&["--verify"], &path) {
        assert!(verified.contains("No errors detected"), "{verified}");
    }
}

#[test]
fn what_is_no_whole_gpt_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let read = |path: &Path, bytes| Table::read(&open(path), bytes, 512).map(drop).unwrap_err();
    let path = dir.path().join("blank");
    File::create(&path).unwrap().set_len(MIB).unwrap();
    assert!(read(&path, MIB).to_string().contains("no GPT"));
    let path = made(dir.path(), 100 * MIB, INSTALLED);
    assert!(read(&path, 90 * MIB).to_string().contains("larger disk"));
    let flip = |at: u64, says: &str| {
        let mut byte = [0];
        open(&path).read(&mut byte, at).unwrap();
        let file = open(&path);
        Media::write(&file, &[byte[0] ^ 1], at).unwrap();
        let error = read(&path, 100 * MIB).to_string();
        assert!(error.contains(says), "{error}");
        Media::write(&file, &byte, at).unwrap();
    };
    flip(512 + 40, "header");
    flip(1024 + 130, "entries");
    // A hybrid: somebody's MBR partition beside the GPT.
    flip(446 + 16 + 4, "hybrid");
}

#[test]
fn a_full_disk_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = made(dir.path(), 64 * MIB, &[(LINUX, 2048, 128_991, "all")]);
    let table = Table::read(&open(&path), 64 * MIB, 512).unwrap();
    assert!(table.with("x", &UUID, MIB).unwrap_err().to_string().contains("free space"));
    // Renaming wants a place for the entries as well.
    let aside = table.renamed(1, "x").unwrap().aside();
    assert!(aside.unwrap_err().to_string().contains("16 KiB"));
}

/// Bytes of a file, in a disk that forgets.
fn mortal(path: &Path, sector: u64) -> Kept {
    let (file, bytes) = (open(path), open(path).metadata().unwrap().len());
    let mut kept = Kept::of_units(sector);
    let mut some = vec![0; sector as usize];
    for at in (0..bytes).step_by(sector as usize) {
        file.read(&mut some, at).unwrap();
        if some.iter().any(|b| *b != 0) {
            kept.put(at, &some);
        }
    }
    kept.keep();
    kept
}

#[test]
fn wherever_the_power_goes_the_table_is_the_old_one_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = 100 * MIB;
    let path = made(dir.path(), bytes, INSTALLED);
    let whole = mortal(&path, 512);
    let old = Table::read(&open(&path), bytes, 512).unwrap();
    let new = old.with("slipway-etcd~", &UUID, 30 * MIB).unwrap();
    // What every run does: finish what was cut off, then what is missing.
    let change = |kept: Kept, writes_left: u32| {
        let media = Mortal::that_dies(kept, writes_left);
        let all = || {
            let found = Table::read(&media, bytes, 512)?;
            if found.is_unfinished() {
                found.settle(&media)?;
            }
            if found.entries() == old.entries() { new.commit(&media) } else { Ok(()) }
        };
        (all(), media.state.into_inner())
    };
    let (done, end) = change(whole.clone(), u32::MAX);
    done.unwrap();
    let writes = u32::MAX - end.writes_left;
    let (mut cuts, mut olds, mut news, mut aside) = (0, 0, 0, 0);
    for (n, lot) in (0..writes).flat_map(|n| (0..8).map(move |lot| (n, lot))) {
        let (done, state) = change(whole.clone(), n);
        assert!(done.is_err());
        let state = state.after_a_cut(&mut StdRng::seed_from_u64(u64::from(n) * 8 + lot));
        let media = Mortal { state: state.clone().into() };
        let found = Table::read(&media, bytes, 512);
        let found = found.unwrap_or_else(|e| panic!("{n} writes of {writes}, lot {lot}: {e}"));
        let is_new = found.entries() == new.entries();
        assert!(is_new || found.entries() == old.entries(), "neither, after {n} writes");
        (olds, news) = (olds + u32::from(!is_new), news + u32::from(is_new));
        aside += u32::from(found.is_unfinished());
        let (done, state) = change(state, u32::MAX);
        done.unwrap();
        let media = Mortal { state: state.into() };
        let found = Table::read(&media, bytes, 512).unwrap();
        assert!(!found.is_unfinished() && found.entries() == new.entries());
        cuts += 1;
    }
    assert!(olds > 0 && news > 0 && aside > 0, "{olds} {news} {aside}");
    println!(
        "{cuts} power cuts while a partition was added: {olds} left the old table, {news} the new one ({aside} with its entries aside), none a broken one"
    );
}
