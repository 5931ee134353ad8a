//! Whose data it is: the first records of etcd's write-ahead log say which member of which cluster
//! wrote it, also while no etcd runs.

/// A member and its cluster, as etcd numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub member: u64,
    pub cluster: u64,
}

const METADATA: u64 = 1;
/// It stands second, behind a checksum; further on there is no point in looking.
const RECORDS: usize = 4;

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The number and the bytes of protobuf's fields, by their numbers; others are passed by.
fn fields(mut message: &[u8]) -> Option<([u64; 4], &[u8])> {
    let (mut numbers, mut data) = ([0; 4], &[][..]);
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let field = usize::try_from(key >> 3).ok()?;
        match key & 7 {
            0 => {
                let number = varint(&mut message)?;
                if let Some(place) = numbers.get_mut(field) {
                    *place = number;
                }
            }
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                data = message.get(..length)?;
                message = message.get(length..)?;
            }
            _ => return None,
        }
    }
    Some((numbers, data))
}

/// From the beginning of a file of the log; None where it is none, or torn.
pub fn owner(mut log: &[u8]) -> Option<Owner> {
    for _ in 0..RECORDS {
        let head = u64::from_le_bytes(log.get(..8)?.try_into().ok()?);
        // The top byte says how many bytes of padding follow the record.
        let length = usize::try_from(head & !(0xff << 56)).ok()?;
        let padding = if head >> 63 == 1 { usize::try_from(head >> 56 & 7).ok()? } else { 0 };
        let (kind, data) = fields(log.get(8..8usize.checked_add(length)?)?)?;
        if kind[1] == METADATA {
            let (ids, _) = fields(data)?;
            return (ids[1] != 0 && ids[2] != 0)
                .then_some(Owner { member: ids[1], cluster: ids[2] });
        }
        log = log.get(8 + length + padding..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    // The first 128 bytes of the log of an etcd 3.6.8 that called itself member 8e9e05c52164694d of
    // cluster cdf818194e3a8c32.
    const LOG: &[u8] = include_bytes!("../../tests/facts/etcd.wal");

    #[test]
    fn a_log_that_etcd_wrote() {
        let owner = owner(LOG).unwrap();
        assert_eq!(format!("{:x}", owner.member), "8e9e05c52164694d");
        assert_eq!(format!("{:x}", owner.cluster), "cdf818194e3a8c32");
    }

    #[test]
    fn what_is_torn_is_nobodys() {
        assert_eq!(owner(&[]), None);
        assert_eq!(owner(&[0; 128]), None);
        assert_eq!(owner(&[0xff; 128]), None);
        for length in 0..40 {
            assert_eq!(owner(&LOG[..length]), None, "cut at {length}");
        }
    }
}
