//! Disks of a node: what is on them, and clearing one that the guard has let through.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use async_trait::async_trait;

use super::{
    Linux,
    clearing::{Exclusive, MARK, MARK_AT},
    command::Command,
    files::{blocking, failed as failed_at},
};
use crate::{
    facts::{
        Contents, Disk, Health,
        read::devices::{self, Holder},
    },
    names::Serial,
    ops::sys::{ClearPart, Disks, OsTable, SysError, SysResult},
};

const GIB: u64 = 1 << 30;
/// What the kernel counts in, whatever the disk does.
pub(super) const SECTOR: u64 = 512;
/// How long udev may take to notice that a disk was closed.
const FLICKER: std::time::Duration = std::time::Duration::from_millis(200);
const MOST_LOOKS: u32 = 5;
const IN_USE: &str = "something in the kernel";

/// What of Ceph lies on a disk, and whether a clearing was cut off. A disk that cannot be read is
/// taken for one that holds something.
fn labels(path: &Path, size_bytes: u64) -> Vec<Contents> {
    let unreadable = || Contents::Member { kind: "unreadable".into() };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(_) => return vec![unreadable()],
    };
    let mut found = Vec::new();
    for at_gib in devices::LABELS_AT_GIB {
        let at = u64::from(at_gib) * GIB;
        let mut block = vec![0; devices::LABEL_BYTES];
        if at + block.len() as u64 > size_bytes {
            break;
        }
        match file.read_exact_at(&mut block, at) {
            Ok(()) => found.extend(devices::osd_label(&block, at_gib)),
            Err(_) => found.push(unreadable()),
        }
    }
    let mut mark = vec![0; MARK.len()];
    match file.read_exact_at(&mut mark, MARK_AT) {
        Ok(()) if mark == MARK => found.push(Contents::HalfCleared),
        Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => found.push(unreadable()),
        _ => {}
    }
    found
}

/// Whether the kernel uses a disk in a way that no list shows: a Btrfs of several disks, ZFS, bcache.
fn is_claimed(path: &Path) -> bool {
    let opened = OpenOptions::new().read(true).custom_flags(nix::libc::O_EXCL).open(path);
    opened.is_err_and(|e| e.raw_os_error() == Some(nix::libc::EBUSY))
}

impl Linux {
    async fn look(&self) -> SysResult<Vec<Disk>> {
        let mut disks = devices::disks(&self.listing().await?).map_err(SysError::other)?;
        for disk in disks.iter_mut().filter(|d| !d.is_os) {
            let path = self.path("/dev").join(&disk.kernel_name);
            disk.contents.extend(labels(&path, disk.size_bytes));
            if disk.mounted.is_empty() && disk.held_by.is_empty() && is_claimed(&path) {
                disk.mounted.push(IN_USE.into());
            }
            // lsblk goes by what udev has seen. Of a disk that seems blank, the disk itself is asked.
            if disk.contents.is_empty() {
                let asked = Command::new("wipefs").args(["--json", "--no-act"]);
                let asked = asked.arg(path.to_string_lossy()).done().await?;
                disk.contents = devices::signatures(&asked.stdout).map_err(SysError::other)?;
            }
        }
        Ok(disks)
    }

    pub(super) async fn listing(&self) -> SysResult<String> {
        let asked = Command::new("lsblk").args(["-J", "-b", "-o", devices::COLUMNS]).done().await?;
        Ok(asked.stdout)
    }

    /// The disk's own name under /dev/disk/by-id, where udev has made one; else the kernel's.
    pub(super) fn device(&self, disk: &Disk) -> PathBuf {
        let kernel = self.path("/dev").join(&disk.kernel_name);
        let names = fs::read_dir(self.path("/dev/disk/by-id")).into_iter().flatten().flatten();
        let named = |path: &PathBuf| {
            let text = path.file_name().map(|n| n.to_string_lossy().into_owned());
            text.is_some_and(|t| t.contains(disk.serial.as_str()))
                && fs::canonicalize(path).is_ok_and(|real| real == kernel)
        };
        let mut ours: Vec<PathBuf> = names.map(|e| e.path()).filter(named).collect();
        ours.sort();
        ours.into_iter().next().unwrap_or(kernel)
    }

    /// Where its partitions begin and how long they are, as the kernel knows them now.
    fn partitions(&self, disk: &Disk) -> Vec<(u64, u64)> {
        let dir = self.path("/sys/block").join(&disk.kernel_name);
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
        entries
            .map(|e| e.path())
            .filter(|p| p.join("partition").exists())
            .filter_map(|p| extent(&p))
            .collect()
    }

    /// The disk of that name, if it is still the one that was looked at.
    async fn still(&self, serial: &Serial, evidence: &str) -> SysResult<Disk> {
        let disks = self.disks().await?;
        let mut named = disks.into_iter().filter(|d| d.is_named(serial));
        let not = |what: String| {
            Err(SysError::other(format!("{serial} {what}; nothing was written to it")))
        };
        let (Some(disk), None) = (named.next(), named.next()) else {
            return not("is not there once, and once only, any more".into());
        };
        if disk.is_os || !disk.mounted.is_empty() {
            return not(format!("is in use now: {}", disk.evidence()));
        }
        if disk.evidence() != evidence {
            return not(format!(
                "was \"{evidence}\" a moment ago and is \"{}\" now",
                disk.evidence()
            ));
        }
        Ok(disk)
    }

    /// Opens the disk so that nobody else can take it, and looks at it once more: from here on it
    /// stays what it is.
    async fn exclusive(&self, serial: &Serial, evidence: &str) -> SysResult<(Exclusive, Disk)> {
        let disk = self.still(serial, evidence).await?;
        // What was taken down may be up again: udev puts arrays and volumes together that it sees.
        let exclusive = self.freed(&disk).await?;
        // Under its name of today, which is its name for as long as we hold it.
        let again = self.still_held(serial, &disk).await?;
        Ok((exclusive, again))
    }

    async fn still_held(&self, serial: &Serial, was: &Disk) -> SysResult<Disk> {
        let disks = devices::disks(&self.listing().await?).map_err(SysError::other)?;
        let same = |d: &Disk| {
            d.is_named(serial) && d.kernel_name == was.kernel_name && d.size_bytes == was.size_bytes
        };
        disks.into_iter().find(same).ok_or_else(|| {
            SysError::other(format!("{serial} was swapped just now; nothing was written to it"))
        })
    }

    /// Takes down what holds the disk, and opens it before udev puts an array together again.
    async fn freed(&self, disk: &Disk) -> SysResult<Exclusive> {
        let path = self.device(disk);
        let mut tries = 0;
        loop {
            self.take_down(disk).await?;
            match Exclusive::open(&path, disk.size_bytes) {
                Ok(exclusive) => return Ok(exclusive),
                Err(error) if tries == MOST_LOOKS => return Err(in_use(&disk.serial, &error)),
                Err(_) => settle().await,
            }
            tries += 1;
        }
    }

    /// LVM, dm and md on the disk go, top first. What also lies on another disk does not.
    async fn take_down(&self, disk: &Disk) -> SysResult<()> {
        let holders = devices::holders(&self.listing().await?, &disk.kernel_name);
        for Holder { name, kind, also_on } in holders.map_err(SysError::other)? {
            if let Some(other) = also_on {
                return Err(SysError::other(format!("{name} ({kind}) lies on {other} as well"))
                    .hint("take it apart on the node first, if it really is to be lost"));
            }
            let down = match kind.as_str() {
                "lvm" => Command::new("dmsetup").args(["remove", "--retry"]).arg(&name),
                "crypt" => Command::new("cryptsetup").args(["close"]).arg(&name),
                kind if kind.starts_with("raid") || kind == "linear" => {
                    Command::new("mdadm").args(["--stop"]).arg(format!("/dev/{name}"))
                }
                _ => Command::new("dmsetup").args(["remove", "--retry"]).arg(&name),
            };
            down.done().await?;
        }
        Ok(())
    }
}

/// A number that the kernel has in a file.
pub(super) fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Where a partition begins and how long it is, in bytes, by its directory in /sys.
pub(super) fn extent(dir: &Path) -> Option<(u64, u64)> {
    Some((number(&dir.join("start"))? * SECTOR, number(&dir.join("size"))? * SECTOR))
}

/// Whenever a disk that was open for writing is closed, udev looks at it anew, and takes its
/// partitions away for a moment: until it has done so, nothing can be said of the disk.
pub(super) async fn settle() {
    tokio::time::sleep(FLICKER).await;
    // Where there is no udev, nothing has to settle.
    let _ = Command::new("udevadm").args(["settle", "--timeout=20"]).run().await;
}

fn in_use(serial: &Serial, error: &io::Error) -> SysError {
    SysError::other(format!("cannot have {serial} for itself: {error}"))
        .hint("something on the node uses it: `lsblk`, `fuser -v` and `dmsetup ls` there")
}

fn failed(serial: &Serial) -> impl Fn(io::Error) -> SysError + use<> {
    let serial = serial.clone();
    move |e| {
        SysError::other(format!("clear {serial}: {e}")).hint(
            "a disk that does not take what is written is failing: `dmesg`, and its SMART log",
        )
    }
}

#[async_trait]
impl Disks for Linux {
    async fn disks(&self) -> SysResult<Vec<Disk>> {
        let mut found = self.look().await?;
        // One that is being cleared was open a moment ago: looked at until it stays the same.
        for _ in 0..MOST_LOOKS {
            if found.iter().all(|d| !d.contents.contains(&Contents::HalfCleared)) {
                break;
            }
            settle().await;
            let again = self.look().await?;
            let same = again == found;
            found = again;
            if same {
                break;
            }
        }
        Ok(found)
    }

    async fn health(&self, disk: &Disk) -> SysResult<Option<Health>> {
        if disk.transport.as_deref() != Some("nvme") {
            return Ok(None);
        }
        let path = self.path("/dev").join(&disk.kernel_name).to_string_lossy().into_owned();
        for words in [&["nvme", "smart-log", "-o", "json"][..], &["smartctl", "--json", "-H", "-A"]]
        {
            let asked = Command::new(words[0]).args(words[1..].iter().copied()).arg(&path);
            // Neither has to be there: before its packages are installed, a node has no health.
            if let Ok(said) = asked.run().await
                && let Some(health) = devices::health(&said.stdout)
            {
                return Ok(Some(health));
            }
        }
        Ok(None)
    }

    async fn os_table(&self, disk: &Serial) -> SysResult<OsTable> {
        self.table_of(disk).await
    }

    async fn add_partition(&self, disk: &Serial, name: &str, bytes: u64) -> SysResult<()> {
        self.add(disk, name, bytes).await
    }

    async fn make_filesystem(&self, disk: &Serial, name: &str, kind: &str) -> SysResult<()> {
        self.make(disk, name, kind).await
    }

    async fn finish_table(&self, disk: &Serial) -> SysResult<()> {
        self.finish(disk).await
    }

    async fn mounted_at(&self, directory: &str) -> SysResult<Option<String>> {
        self.mount_of(directory)
    }

    async fn holds_anything(&self, directory: &str) -> SysResult<bool> {
        match fs::read_dir(self.path(directory)) {
            Ok(mut entries) => Ok(entries.next().is_some()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(failed_at("look into", &self.path(directory), &e)),
        }
    }

    async fn clear_disk(&self, serial: &Serial, evidence: &str, part: ClearPart) -> SysResult<()> {
        let fail = failed(serial);
        match part {
            ClearPart::Holders => {
                let disk = self.still(serial, evidence).await?;
                // What hung on it is gone then, so it looks different: it has to be the same disk.
                let exclusive = self.freed(&disk).await?;
                self.still_held(serial, &disk).await?;
                blocking(move || exclusive.mark().map_err(fail)).await?;
                settle().await;
                Ok(())
            }
            ClearPart::Signatures => {
                let (exclusive, disk) = self.exclusive(serial, evidence).await?;
                let partitions = self.partitions(&disk);
                blocking(move || exclusive.signatures(&partitions).map_err(fail)).await?;
                // The kernel and udev forget the partitions. Both may have done so by themselves.
                let device = self.device(&disk).to_string_lossy().into_owned();
                let _ = Command::new("partx").args(["--delete"]).arg(&device).run().await;
                settle().await;
                Ok(())
            }
            ClearPart::OsdLabels => {
                let (exclusive, _) = self.exclusive(serial, evidence).await?;
                blocking(move || exclusive.osd_labels().map_err(fail)).await?;
                settle().await;
                Ok(())
            }
            ClearPart::Discard => {
                let (exclusive, disk) = self.exclusive(serial, evidence).await?;
                let device = self.device(&disk).to_string_lossy().into_owned();
                // Not every disk can, and none has to: zeros are written either way. `-f`, for it is
                // held by nobody but us.
                if self.discards(&disk) {
                    let _ = Command::new("blkdiscard").arg("-f").arg(&device).run().await;
                }
                let flush = move || {
                    let flushed = std::process::Command::new("blockdev")
                        .arg("--flushbufs")
                        .arg(&device)
                        .status()?;
                    if flushed.success() {
                        Ok(())
                    } else {
                        Err(io::Error::other("blockdev --flushbufs failed"))
                    }
                };
                blocking(move || exclusive.finish(flush).map_err(fail)).await?;
                settle().await;
                Ok(())
            }
        }
    }

    async fn osd_lives(&self, _: &str) -> SysResult<Option<bool>> {
        // Nobody here can be asked, and so it counts as living.
        Ok(None)
    }
}

impl Linux {
    fn discards(&self, disk: &Disk) -> bool {
        let queue = self.path("/sys/block").join(&disk.kernel_name).join("queue/discard_max_bytes");
        fs::read_to_string(queue).is_ok_and(|text| text.trim() != "0")
    }
}
