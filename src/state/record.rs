//! One line of the ledger: its bytes, and back.
//!
//! A line is pure JSON, so that `jq` and `grep` read it. Its first field is a CRC-32 of all that
//! follows that field, in eight lowercase hex digits. Must not know of files, or what events mean.

use std::io::Write;

use serde::{Deserialize, Serialize};

use crate::{
    events::{Event, Stamped},
    names::NodeName,
};

/// The newest format that is understood here; raised when an older slipway must not read on.
/// A new kind of event needs no new format, but one that changes its meaning does.
pub const FORMAT: u64 = 1;

/// `{"c":"xxxxxxxx",`: the same length in every format, so that any slipway can check any line.
const PREFIX_LEN: usize = 16;

/// The first line: whose ledger it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub cluster: NodeName,
    pub created_ms: u64,
    /// A random name of this state directory: the holder of the leases that it takes.
    pub holder: String,
}

#[derive(Serialize, Deserialize)]
struct HeaderLine {
    #[serde(rename = "slipway-ledger")]
    format: u64,
    cluster: NodeName,
    created: u64,
    holder: String,
}

/// Only what every format has.
#[derive(Deserialize)]
struct AnyHeader {
    #[serde(rename = "slipway-ledger")]
    format: u64,
}

#[derive(Deserialize)]
struct RecordLine {
    i: u64,
    n: u64,
    t: u64,
    e: Event,
}

/// Why a header was not read.
#[derive(Debug, PartialEq, Eq)]
pub enum BadHeader {
    Damaged(String),
    Newer(u64),
}

/// Adds a header's line; on an error `out` is as it was.
pub fn encode_header(header: &Header, out: &mut Vec<u8>) -> serde_json::Result<()> {
    seal(out, |out| {
        let line = HeaderLine {
            format: FORMAT,
            cluster: header.cluster.clone(),
            created: header.created_ms,
            holder: header.holder.clone(),
        };
        let start = out.len();
        serde_json::to_writer(&mut *out, &line)?;
        // The checksum's field has opened the object already.
        out.remove(start);
        Ok(())
    })
}

/// Adds an event's line: `i` is its place in the ledger, from 0 and without gaps, so that a line
/// that went missing is noticed; `n` is its place in its run's stream, of which the ledger keeps
/// only a part.
pub fn encode(i: u64, stamped: &Stamped, out: &mut Vec<u8>) -> serde_json::Result<()> {
    seal(out, |out| {
        write!(out, r#""i":{i},"n":{},"t":{},"e":"#, stamped.index, stamped.at_ms)
            .map_err(serde_json::Error::io)?;
        serde_json::to_writer(&mut *out, &stamped.event)?;
        out.push(b'}');
        Ok(())
    })
}

/// Puts checksum and newline around what `rest` writes.
fn seal(
    out: &mut Vec<u8>,
    rest: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>,
) -> serde_json::Result<()> {
    let start = out.len();
    out.extend_from_slice(br#"{"c":"--------","#);
    if let Err(error) = rest(out) {
        out.truncate(start);
        return Err(error);
    }
    let crc = crc32fast::hash(&out[start + PREFIX_LEN..]);
    out[start + 6..start + 14].copy_from_slice(&hex(crc));
    out.push(b'\n');
    Ok(())
}

/// Reads a header from a line without its newline.
pub fn decode_header(line: &[u8]) -> Result<Header, BadHeader> {
    let damaged = BadHeader::Damaged;
    check(line).map_err(damaged)?;
    let any: AnyHeader = serde_json::from_slice(line)
        .map_err(|error| damaged(format!("it is not a ledger's first line ({error})")))?;
    if any.format > FORMAT {
        return Err(BadHeader::Newer(any.format));
    }
    let line: HeaderLine =
        serde_json::from_slice(line).map_err(|error| damaged(error.to_string()))?;
    Ok(Header { cluster: line.cluster, created_ms: line.created, holder: line.holder })
}

/// Reads the record that must have place `i` from a line without its newline.
pub fn decode(i: u64, line: &[u8]) -> Result<Stamped, String> {
    check(line)?;
    let line: RecordLine = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if line.i != i {
        return Err(format!("it is record {} where record {i} should be", line.i));
    }
    Ok(Stamped { index: line.n, at_ms: line.t, event: line.e })
}

/// Compares the checksum.
fn check(line: &[u8]) -> Result<(), String> {
    let (prefix, rest) =
        line.split_at_checked(PREFIX_LEN).ok_or("it is too short to hold a checksum")?;
    let (open, rest_of_prefix) = prefix.split_at(6);
    let (found, close) = rest_of_prefix.split_at(8);
    if open != br#"{"c":""# || close != br#"","# {
        return Err("it does not begin with a checksum".into());
    }
    // Compared as text: an uppercase digit is a changed byte too.
    let expected = hex(crc32fast::hash(rest));
    if found != expected {
        return Err(format!(
            "its checksum is {}, but its content has {}",
            String::from_utf8_lossy(found).escape_debug(),
            String::from_utf8_lossy(&expected),
        ));
    }
    Ok(())
}

fn hex(crc: u32) -> [u8; 8] {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    std::array::from_fn(|i| DIGITS[(crc >> (28 - 4 * i)) as usize & 0xf])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Stamped {
        Stamped { index: 7, at_ms: 12, event: Event::Interrupted { leaving_at_once: true } }
    }

    #[test]
    fn a_line_is_plain_json() {
        let mut out = Vec::new();
        encode(3, &event(), &mut out).unwrap();
        let text = String::from_utf8(out.clone()).unwrap();
        let crc = format!("{:08x}", crc32fast::hash(&out[16..out.len() - 1]));
        assert_eq!(
            text,
            format!(
                "{{\"c\":\"{crc}\",\"i\":3,\"n\":7,\"t\":12,\"e\":{{\"interrupted\":{{\"leaving_at_once\":true}}}}}}\n"
            )
        );
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["i"], 3);
        assert_eq!(decode(3, &out[..out.len() - 1]).unwrap(), event());
        let why = decode(4, &out[..out.len() - 1]).unwrap_err();
        assert!(why.contains("record 3 where record 4"), "{why}");
    }

    #[test]
    fn a_header_comes_back() {
        let header = Header {
            cluster: "homelab".parse().unwrap(),
            created_ms: 5,
            holder: "00ff00ff00ff00ff".into(),
        };
        let mut out = Vec::new();
        encode_header(&header, &mut out).unwrap();
        assert_eq!(decode_header(out.strip_suffix(b"\n").unwrap()).unwrap(), header);
    }

    #[test]
    fn a_newer_format_is_named() {
        let mut out = Vec::new();
        seal(&mut out, |out| {
            out.extend_from_slice(br#""slipway-ledger":2,"other":[1]}"#);
            Ok(())
        })
        .unwrap();
        out.pop();
        assert_eq!(decode_header(&out), Err(BadHeader::Newer(2)));
        // A damaged one is damaged, whatever number it shows.
        out[34] = b'3';
        assert!(matches!(decode_header(&out), Err(BadHeader::Damaged(_))));
    }
}
