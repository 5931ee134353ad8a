//! Partitions of the disk that runs the OS: what is there, and one more in its free space.
//!
//! Nothing that exists is moved, shrunk or written to. A new partition bears [`IN_MAKING`] at the end
//! of its name until its filesystem is made, and only such a one is ever given a filesystem: what a
//! power cut left half made is known for ours. Must not decide what the disk should hold.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::fcntl::{Flock, FlockArg};

use super::{
    Linux,
    command::Command,
    disks::{SECTOR, extent, number, settle},
    files::blocking,
    gpt::{self, Entry, Table},
};
use crate::{
    facts::{Disk, read::devices},
    names::Serial,
    ops::sys::{Disks, IN_MAKING, Kernel, OsPart, OsTable, SysError, SysResult},
};

const LOCK_WAIT: Duration = Duration::from_secs(30);

/// The disk, and what its table said a moment ago.
struct Place {
    disk: Disk,
    path: PathBuf,
    sector: u64,
    table: Table,
}

fn unfit(serial: &Serial) -> impl Fn(io::Error) -> SysError + use<> {
    let serial = serial.clone();
    move |e| {
        SysError::other(format!("the partition table of {serial}: {e}")).hint(
            "`sfdisk --verify` and `gdisk -l` on the node say more; Slipway only adds to a GPT that is whole",
        )
    }
}

/// Takes the disk's lock, which udev and other partitioners heed, for as long as it is held. udev has
/// it for a moment whenever somebody closed the disk.
fn locked(mut file: File) -> io::Result<Flock<File>> {
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Ok(locked),
            Err((_, errno)) if Instant::now() > until => {
                let secs = LOCK_WAIT.as_secs();
                let why = format!("another program has held its lock for {secs} s ({errno})");
                return Err(io::Error::other(why));
            }
            Err((unlocked, _)) => file = unlocked,
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a partition's device is called.
fn device_of(disk: &str, number: u32) -> String {
    let p = if disk.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
    format!("{disk}{p}{number}")
}

impl Linux {
    fn sector(&self, kernel_name: &str) -> u64 {
        let queue = self.path("/sys/block").join(kernel_name).join("queue");
        number(&queue.join("logical_block_size")).unwrap_or(SECTOR)
    }

    async fn place(&self, serial: &Serial) -> SysResult<Place> {
        let disks = self.disks().await?;
        let mut found = disks.into_iter().filter(|d| d.is_named(serial));
        let (Some(disk), None) = (found.next(), found.next()) else {
            return Err(SysError::other(format!("{serial} is not there once, and once only")));
        };
        // Only its own OS disk: every other one is the guard's business.
        if !disk.is_os {
            return Err(SysError::other(format!("this machine does not run from {serial}")));
        }
        let (path, sector) = (self.device(&disk), self.sector(&disk.kernel_name));
        let (from, bytes) = (path.clone(), disk.size_bytes);
        let read = move || Table::read(&File::open(from)?, bytes, sector);
        let fail = unfit(serial);
        let table = blocking(move || read().map_err(fail)).await?;
        Ok(Place { disk, path, sector, table })
    }

    pub(super) async fn table_of(&self, serial: &Serial) -> SysResult<OsTable> {
        let place = self.place(serial).await?;
        let disk = &place.disk.kernel_name;
        let mut uses =
            devices::partitions(&self.listing().await?, disk).map_err(SysError::other)?;
        let part = |entry: Entry| {
            let used = uses.remove(&device_of(disk, entry.number)).unwrap_or_default();
            OsPart {
                name: entry.name,
                uuid: entry.uuid,
                bytes: entry.bytes,
                is_esp: entry.is_esp,
                filesystem: used.filesystem,
                mounted: used.mounted,
            }
        };
        Ok(OsTable {
            gaps: place.table.gaps().into_iter().map(|(_, bytes)| bytes).collect(),
            unfinished: place.table.is_unfinished(),
            parts: place.table.entries().into_iter().map(part).collect(),
        })
    }

    /// Changes the table, if it still is what was read, and reads it back. A change that was cut off
    /// is finished first.
    async fn change_table(
        &self,
        serial: &Serial,
        place: Place,
        change: impl FnOnce(&Table) -> io::Result<Table> + Send + 'static,
    ) -> SysResult<()> {
        let Place { disk, path, sector, table } = place;
        let bytes = disk.size_bytes;
        let all = move || {
            let locked = locked(OpenOptions::new().read(true).write(true).open(path)?)?;
            let file: &File = &locked;
            let found = Table::read(file, bytes, sector)?;
            if found != table {
                return Err(io::Error::other("it was changed by somebody else just now"));
            }
            if found.is_unfinished() {
                found.settle(file)?;
            }
            let wanted = change(&Table::read(file, bytes, sector)?)?;
            if wanted.entries() != found.entries() {
                wanted.commit(file)?;
            }
            let now = Table::read(file, bytes, sector)?;
            if now.entries() == wanted.entries() && !now.is_unfinished() {
                Ok(())
            } else {
                Err(io::Error::other("it does not read as it was written"))
            }
        };
        let fail = unfit(serial);
        blocking(move || all().map_err(fail)).await?;
        settle().await;
        Ok(())
    }

    pub(super) async fn add(&self, serial: &Serial, name: &str, bytes: u64) -> SysResult<()> {
        let place = self.place(serial).await?;
        let random = self.random_bytes(16).await?;
        let random = random.try_into().map_err(|_| SysError::other("no random bytes"))?;
        let (uuid, name) = (gpt::random_uuid(random), format!("{name}{IN_MAKING}"));
        self.change_table(serial, place, move |table| table.with(&name, &uuid, bytes)).await
    }

    pub(super) async fn make(&self, serial: &Serial, name: &str, kind: &str) -> SysResult<()> {
        let mut place = self.place(serial).await?;
        // A change that was cut off has its entries lie in free space, which may be this one's.
        if place.table.is_unfinished() {
            self.finish(serial).await?;
            place = self.place(serial).await?;
        }
        let in_making = format!("{name}{IN_MAKING}");
        let mut ours = place.table.entries().into_iter().filter(|e| e.name == in_making);
        let (Some(entry), None) = (ours.next(), ours.next()) else {
            return Err(SysError::other(format!("{serial} has no partition {in_making}")));
        };
        let device = self.known_to_the_kernel(&place, &entry).await?;
        // Whatever lay in that space before it was free.
        Command::new("wipefs").args(["--all", "--quiet"]).arg(&device).done().await?;
        let uuid = &entry.uuid;
        match kind {
            "xfs" => {
                let make = Command::new("mkfs.xfs").args(["-q", "-f"]);
                make.args(["-m", &format!("uuid={uuid}")]).arg(&device).done().await?;
            }
            _ => {
                let make = Command::new("mkfs.ext4").args(["-q", "-F", "-U", uuid]);
                make.arg(&device).done().await?;
                // kubeadm wants to find etcd's directory empty. e2fsck makes it where it is needed.
                let remove = Command::new("debugfs").args(["-w", "-R", "rmdir lost+found"]);
                remove.arg(&device).done().await?;
            }
        }
        let synced = device.clone();
        blocking(move || {
            let flush = || File::open(&synced)?.sync_all();
            flush().map_err(|e| SysError::other(format!("flush {synced}: {e}")))
        })
        .await?;
        let (number, name) = (entry.number, name.to_string());
        self.change_table(serial, place, move |table| table.renamed(number, &name)).await?;
        // So that udev knows its filesystem before anybody mounts it by that.
        Command::new("udevadm").args(["trigger", "--settle"]).arg(&device).run().await?;
        Ok(())
    }

    pub(super) async fn finish(&self, serial: &Serial) -> SysResult<()> {
        let place = self.place(serial).await?;
        self.change_table(serial, place, |table| Ok(table.clone())).await
    }

    /// Its device. The kernel reads no table anew while any of the disk is in use: it is told of the
    /// one partition.
    async fn known_to_the_kernel(&self, place: &Place, entry: &Entry) -> SysResult<String> {
        let disk = &place.disk.kernel_name;
        let name = device_of(disk, entry.number);
        let dir = self.path("/sys/block").join(disk).join(&name);
        let path = self.path("/dev").join(&name).to_string_lossy().into_owned();
        if !dir.exists() {
            let number = entry.number.to_string();
            let add = Command::new("partx").args(["--add", "--nr", &number]);
            add.arg(place.path.to_string_lossy()).done().await?;
            settle().await;
        }
        if extent(&dir) != Some((entry.start, entry.bytes)) {
            return Err(SysError::other(format!(
                "the kernel takes {name} for something else than the table of {} says",
                place.disk.serial
            ))
            .hint("reboot the node: it reads the table anew then"));
        }
        Ok(path)
    }

    /// What is mounted at a directory, the last one if there are several.
    pub(super) fn mount_of(&self, directory: &str) -> SysResult<Option<String>> {
        let path = self.path("/proc/self/mountinfo");
        let text = fs::read_to_string(&path)
            .map_err(|e| SysError::other(format!("read {}: {e}", path.display())))?;
        Ok(devices::mounted_at(&text, directory))
    }
}
