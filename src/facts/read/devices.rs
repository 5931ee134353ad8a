//! Disks, from what `lsblk -J -b` prints; and the labels that Ceph leaves on them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    facts::{Contents, Disk, Health},
    names::Serial,
};

/// The columns that are asked for.
pub const COLUMNS: &str =
    "NAME,KNAME,TYPE,SERIAL,WWN,MODEL,SIZE,TRAN,FSTYPE,LABEL,PTTYPE,MOUNTPOINTS";

#[derive(Debug, Deserialize)]
struct Listing {
    blockdevices: Vec<Device>,
}

#[derive(Debug, Deserialize)]
struct Device {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    serial: Option<String>,
    wwn: Option<String>,
    model: Option<String>,
    size: Option<u64>,
    #[serde(default)]
    tran: Option<String>,
    fstype: Option<String>,
    label: Option<String>,
    pttype: Option<String>,
    #[serde(default)]
    mountpoints: Vec<Option<String>>,
    #[serde(default)]
    children: Vec<Device>,
}

/// Where a system keeps itself: the disk under any of these is the OS's.
const OS_MOUNTS: [&str; 5] = ["/", "/boot", "/boot/efi", "/efi", "/usr"];

/// Disks that have a name of their own. One without serial and WWN cannot be named, and so is never
/// touched: it is left out. With zram, loops and optical drives.
pub fn disks(json: &str) -> Result<Vec<Disk>, String> {
    let listing: Listing =
        serde_json::from_str(json).map_err(|e| format!("lsblk's output: {e}"))?;
    let disks = listing.blockdevices.into_iter().filter(|d| d.kind == "disk");
    Ok(disks.filter_map(disk).collect())
}

fn named(text: Option<&String>) -> Option<Serial> {
    // NVMe serials come padded.
    text.and_then(|t| t.trim().parse().ok())
}

fn disk(device: Device) -> Option<Disk> {
    let wwn = named(device.wwn.as_ref());
    let serial = named(device.serial.as_ref()).or_else(|| wwn.clone())?;
    let mut disk = Disk {
        serial,
        wwn,
        model: device.model.as_deref().unwrap_or("unknown model").trim().to_string(),
        size_bytes: device.size.unwrap_or(0),
        kernel_name: device.name.clone(),
        mounted: Vec::new(),
        held_by: Vec::new(),
        contents: Vec::new(),
        is_os: false,
        transport: device.tran.clone(),
        health: None,
    };
    if let Some(kind) = &device.pttype {
        let kind = if kind == "dos" { "mbr" } else { kind };
        let partitions = device.children.iter().filter(|c| c.kind == "part").count();
        let partitions = u32::try_from(partitions).unwrap_or(u32::MAX);
        disk.contents.push(Contents::PartitionTable { kind: kind.into(), partitions });
    }
    gather(&device, &mut disk, true);
    disk.is_os = disk.mounted.iter().any(|m| OS_MOUNTS.contains(&m.as_str()));
    Some(disk)
}

fn gather(device: &Device, disk: &mut Disk, top: bool) {
    disk.mounted.extend(device.mountpoints.iter().flatten().cloned());
    if !top && !matches!(device.kind.as_str(), "part" | "disk") {
        // crypt, lvm, raid1, mpath, dm
        disk.held_by.push(format!("{} ({})", device.name, device.kind));
    }
    if let Some(found) = device.fstype.as_deref().and_then(|f| contents(f, device.label.as_ref()))
        && !disk.contents.contains(&found)
    {
        disk.contents.push(found);
    }
    for child in &device.children {
        gather(child, disk, false);
    }
}

#[derive(Debug, Deserialize)]
struct Signatures {
    #[serde(default)]
    signatures: Vec<Signature>,
}

#[derive(Debug, Deserialize)]
struct Signature {
    #[serde(rename = "type")]
    kind: Option<String>,
    label: Option<String>,
}

/// What `wipefs --json` finds on a device; it prints nothing where there is nothing.
pub fn signatures(json: &str) -> Result<Vec<Contents>, String> {
    if json.trim().is_empty() {
        return Ok(Vec::new());
    }
    let found: Signatures =
        serde_json::from_str(json).map_err(|e| format!("wipefs' output: {e}"))?;
    let one = |s: Signature| {
        let kind = s.kind.unwrap_or_else(|| "unknown".into());
        match kind.as_str() {
            "gpt" | "PMBR" => Contents::PartitionTable { kind: "gpt".into(), partitions: 0 },
            "dos" => Contents::PartitionTable { kind: "mbr".into(), partitions: 0 },
            other => contents(other, s.label.as_ref())
                .unwrap_or_else(|| Contents::Member { kind: other.into() }),
        }
    };
    let mut all: Vec<Contents> = found.signatures.into_iter().map(one).collect();
    // A table and its copy, a superblock and its copy.
    let mut seen = Vec::new();
    all.retain(|c| {
        !seen.contains(c) && {
            seen.push(c.clone());
            true
        }
    });
    Ok(all)
}

/// What lies on one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartUse {
    pub filesystem: Option<String>,
    /// It, or something on it.
    pub mounted: Vec<String>,
}

/// What lies on the partitions of a disk, by their kernel names.
pub fn partitions(json: &str, kernel_name: &str) -> Result<BTreeMap<String, PartUse>, String> {
    let listing: Listing =
        serde_json::from_str(json).map_err(|e| format!("lsblk's output: {e}"))?;
    let disk = listing.blockdevices.into_iter().find(|d| d.name == kernel_name);
    let parts = disk.into_iter().flat_map(|d| d.children).filter(|d| d.kind == "part");
    let part = |device: Device| {
        let mut mounted: Vec<String> = device.mountpoints.iter().flatten().cloned().collect();
        for child in below(&device) {
            mounted.extend(child.mountpoints.iter().flatten().cloned());
        }
        (device.name.clone(), PartUse { filesystem: device.fstype, mounted })
    };
    Ok(parts.map(part).collect())
}

/// What is mounted at a directory, from the kernel's list of mounts: the source of the last one.
pub fn mounted_at(mountinfo: &str, directory: &str) -> Option<String> {
    let source = |line: &str| {
        // ID, parent, device, root, place, options, tags of any number, a dash, type, source.
        let (before, after) = line.split_once(" - ")?;
        let place = before.split(' ').nth(4)?;
        (place == directory).then(|| after.split(' ').nth(1).map(String::from))?
    };
    mountinfo.lines().filter_map(source).next_back()
}

/// What `nvme smart-log -o json` or `smartctl --json -H -A` says of a disk.
pub fn health(json: &str) -> Option<Health> {
    let whole: serde_json::Value = serde_json::from_str(json).ok()?;
    let log = whole.get("nvme_smart_health_information_log").unwrap_or(&whole);
    let number = |names: &[&str]| {
        let found = names.iter().find_map(|name| log.get(name))?;
        // Newer ones take the warning's bits apart, and keep their sum beside them.
        found.as_u64().or_else(|| found.get("value")?.as_u64())
    };
    let percent = |names: &[&str]| Some(u32::try_from(number(names)?).unwrap_or(u32::MAX));
    Some(Health {
        used_percent: percent(&["percent_used", "percentage_used"])?,
        spare_percent: percent(&["avail_spare", "available_spare"])?,
        spare_least_percent: percent(&["spare_thresh", "available_spare_threshold"])?,
        warns: number(&["critical_warning"])? != 0,
        media_errors: number(&["media_errors"]).unwrap_or(0),
    })
}

/// What sits on a disk, and has to go before the disk can: dm, LVM, md.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub name: String,
    pub kind: String,
    /// Another disk that it lies on.
    pub also_on: Option<String>,
}

/// Everything that holds a disk, what is on top first.
pub fn holders(json: &str, kernel_name: &str) -> Result<Vec<Holder>, String> {
    let listing: Listing =
        serde_json::from_str(json).map_err(|e| format!("lsblk's output: {e}"))?;
    let is_holder = |d: &Device| !matches!(d.kind.as_str(), "part" | "disk");
    let (mine, others): (Vec<&Device>, Vec<&Device>) =
        listing.blockdevices.iter().partition(|d| d.name == kernel_name);
    let elsewhere = |name: &str| {
        others
            .iter()
            .find(|disk| below(disk).iter().any(|d| d.name == name))
            .map(|d| d.name.clone())
    };
    let mut found: Vec<Holder> = Vec::new();
    for device in mine.iter().flat_map(|disk| below(disk)).filter(|d| is_holder(d)) {
        // One that lies on two partitions of the disk is listed under each.
        if found.iter().all(|h| h.name != device.name) {
            let (name, kind) = (device.name.clone(), device.kind.clone());
            found.push(Holder { also_on: elsewhere(&name), name, kind });
        }
    }
    Ok(found)
}

/// All devices below one, the farthest first.
fn below(device: &Device) -> Vec<&Device> {
    let mut all: Vec<&Device> = device.children.iter().flat_map(below).collect();
    all.extend(&device.children);
    all
}

fn contents(fstype: &str, label: Option<&String>) -> Option<Contents> {
    let member = |kind: &str| Some(Contents::Member { kind: kind.into() });
    match fstype {
        "" => None,
        "LVM2_member" | "LVM1_member" => member("lvm"),
        "crypto_LUKS" => member("luks"),
        "linux_raid_member" | "isw_raid_member" | "ddf_raid_member" => member("mdraid"),
        "zfs_member" => member("zfs"),
        "swap" => member("swap"),
        // Its own labels say more.
        "ceph_bluestore" => None,
        kind => Some(Contents::Filesystem { kind: kind.into(), label: label.cloned() }),
    }
}

/// Where BlueStore keeps its labels, in GiB.
pub const LABELS_AT_GIB: [u32; 5] = [0, 1, 10, 100, 1000];
/// What of the device has to be read there.
pub const LABEL_BYTES: usize = 4096;

const MAGIC: &[u8] = b"bluestore block device\n";

/// The label in a block, if there is one. Its cluster's id stands in a map of strings, each behind
/// its length; without it the OSD's own id, right behind the magic, has to do.
pub fn osd_label(block: &[u8], at_gib: u32) -> Option<Contents> {
    let rest = block.strip_prefix(MAGIC)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_ascii_lowercase();
    let key = b"ceph_fsid\x24\0\0\0";
    let of_cluster = rest.windows(key.len()).position(|w| w == key).and_then(|at| {
        let from = at + key.len();
        rest.get(from..from + 36)
    });
    let fsid = of_cluster.or_else(|| rest.get(..36)).map_or_else(|| "unknown".into(), text);
    Some(Contents::Osd { fsid, at_gib })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mini-PC with Arch, as util-linux 2.41 prints it.
    const ARCH: &str = include_str!("../../../tests/facts/lsblk-arch.json");

    #[test]
    fn a_mini_pc() {
        let disks = disks(ARCH).unwrap();
        let names: Vec<&str> = disks.iter().map(|d| d.serial.as_str()).collect();
        assert_eq!(names, ["50026B7282D0B3A1", "S7KGNJ0W200001", "S7KGNJ0W200002"]);
        assert!(disks[0].is_os && !disks[1].is_os);
        assert_eq!(disks[0].mounted, ["/boot", "/"]);
        assert_eq!(
            disks[0].evidence(),
            "KINGSTON OM8PGP41024N-A0, 1.0 TB, gpt, 2 partitions + vfat + ext4 \"root\", mounted at /boot, /"
        );
        assert!(disks[1].is_blank());
        assert_eq!(disks[2].held_by, ["vg0-photos (lvm)"]);
        assert_eq!(
            disks[2].evidence(),
            "Samsung SSD 990 PRO 2TB, 2.0 TB, gpt, 1 partition + lvm member + xfs \"photos\", mounted at /srv/photos, held by vg0-photos (lvm)"
        );
    }

    #[test]
    fn rubbish_is_an_error_and_no_panic() {
        for text in ["", "{}", "[]", "{\"blockdevices\": [{}]}", "{\"blockdevices\": 3}"] {
            assert!(disks(text).is_err(), "{text}");
        }
        let odd = "{\"blockdevices\": [{\"name\":\"sda\",\"type\":\"disk\",\"serial\":\"/dev/x\",\"wwn\":null,\"model\":null,\"size\":null,\"fstype\":null,\"label\":null,\"pttype\":null,\"mountpoints\":[null]}]}";
        assert_eq!(disks(odd).unwrap(), []);
    }

    #[test]
    fn signatures_that_udev_has_not_seen() {
        let json = r#"{"signatures":[{"device":"vdb","offset":"0x200","type":"gpt","uuid":"x","label":null},{"device":"vdb","offset":"0x1fe","type":"PMBR","uuid":null,"label":null},{"device":"vdb","offset":"0x438","type":"ext4","uuid":"y","label":"photos"},{"device":"vdb","offset":"0x0","type":"ceph_bluestore","uuid":null,"label":null}]}"#;
        let found: Vec<String> =
            signatures(json).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["empty gpt", "ext4 \"photos\"", "ceph_bluestore member"]);
        assert_eq!(signatures("").unwrap(), []);
        assert!(signatures("rubbish").is_err());
    }

    #[test]
    fn what_lies_on_partitions_and_where_it_is_mounted() {
        let found = partitions(ARCH, "nvme0n1").unwrap();
        let root = found.values().find(|p| p.mounted.contains(&"/".to_string())).unwrap();
        assert_eq!(root.filesystem.as_deref(), Some("ext4"));
        assert!(partitions(ARCH, "nvme9n1").unwrap().is_empty());
        let mounts = "22 1 259:2 / / rw - ext4 /dev/nvme0n1p2 rw\n\
                      36 22 259:3 / /var/lib/etcd rw,noatime shared:5 - ext4 /dev/nvme0n1p3 rw\n\
                      40 22 259:9 / /var/lib/etcd rw - xfs /dev/nvme1n1p1 rw\n";
        assert_eq!(mounted_at(mounts, "/").as_deref(), Some("/dev/nvme0n1p2"));
        assert_eq!(mounted_at(mounts, "/var/lib/etcd").as_deref(), Some("/dev/nvme1n1p1"));
        assert_eq!(mounted_at(mounts, "/var/lib"), None);
        assert_eq!(mounted_at("rubbish - x\n", "/"), None);
    }

    #[test]
    fn what_disks_say_of_themselves() {
        let nvme = r#"{"critical_warning":0,"temperature":310,"avail_spare":100,"spare_thresh":10,"percent_used":3,"media_errors":0}"#;
        let read = health(nvme).unwrap();
        assert_eq!(read.to_string(), "3 % worn, 100 % spare left");
        assert!(!read.warns);
        let newer = nvme.replace(
            r#""critical_warning":0"#,
            r#""critical_warning":{"value":4,"available_spare":0}"#,
        );
        assert!(health(&newer).unwrap().warns);
        let smartctl = r#"{"nvme_smart_health_information_log":{"critical_warning":1,"available_spare":9,"available_spare_threshold":10,"percentage_used":104,"media_errors":2}}"#;
        let read = health(smartctl).unwrap();
        assert_eq!(read.to_string(), "104 % worn, 9 % spare left, 2 media errors, it warns");
        assert_eq!(health("{}"), None);
        assert_eq!(health("No such device"), None);
    }

    #[test]
    fn holders_go_from_the_top() {
        let found = holders(ARCH, "nvme2n1").unwrap();
        let photos = Holder { name: "vg0-photos".into(), kind: "lvm".into(), also_on: None };
        assert!(found.is_empty() || found == [photos], "{found:?}");
        let json = r#"{"blockdevices":[
            {"name":"a","type":"disk","children":[{"name":"a1","type":"part","children":[
                {"name":"md0","type":"raid1","children":[{"name":"luks","type":"crypt"}]}]}]},
            {"name":"b","type":"disk","children":[{"name":"b1","type":"part","children":[
                {"name":"md0","type":"raid1","children":[{"name":"luks","type":"crypt"}]}]}]}]}"#;
        let found = holders(json, "a").unwrap();
        let names: Vec<&str> = found.iter().map(|h| h.name.as_str()).collect();
        assert_eq!(names, ["luks", "md0"]);
        assert!(found.iter().all(|h| h.also_on.as_deref() == Some("b")));
        assert_eq!(holders(json, "c").unwrap(), []);
    }

    #[test]
    fn labels_of_ceph() {
        let mut block = MAGIC.to_vec();
        block.extend(b"11111111-2222-3333-4444-555555555555\n\x02\x01");
        assert!(
            matches!(osd_label(&block, 1), Some(Contents::Osd { fsid, at_gib: 1 }) if fsid.starts_with("1111"))
        );
        block.extend(b"\x09\0\0\0ceph_fsid\x24\0\0\0aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee");
        assert!(
            matches!(osd_label(&block, 0), Some(Contents::Osd { fsid, .. }) if fsid.starts_with("aaaa"))
        );
        assert!(
            matches!(osd_label(MAGIC, 0), Some(Contents::Osd { fsid, .. }) if fsid == "unknown")
        );
        assert_eq!(osd_label(&[0; 64], 0), None);
    }
}
