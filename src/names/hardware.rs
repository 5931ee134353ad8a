//! Names that hardware carries: MAC addresses, disk serials, SSH host keys.

use std::{fmt, str::FromStr};

use super::{BadName, string_newtype};

/// A port's permanent hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName("is not a MAC address like `58:47:ca:00:00:01`".into());
        let mut octets = [0u8; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(bad)?;
            if !part.chars().all(|c| c.is_ascii_hexdigit()) {
                return Err(bad());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() {
            return Err(bad());
        }
        if octets[0] & 1 == 1 {
            return Err(BadName("is a multicast address; no port has one".into()));
        }
        if octets == [0; 6] {
            return Err(BadName("is all zeros; no port has it".into()));
        }
        Ok(Self(octets))
    }
}

string_newtype!(Mac, "Mac", "^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$");

/// A disk's serial number or WWN: the only way a disk is ever named here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(String);

impl Serial {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Serial {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        if text.starts_with("/dev/") || looks_like_kernel_name(text) {
            return Err(BadName(
                "is a kernel device name, which changes between boots; name the disk by its serial"
                    .into(),
            ));
        }
        if text.len() < 3 || text.len() > 64 {
            return Err(BadName("is not a serial: 3 to 64 characters are expected".into()));
        }
        if let Some(bad) = text
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':')))
        {
            return Err(BadName(format!(
                "contains `{}`, which no disk serial has",
                bad.escape_debug()
            )));
        }
        Ok(Self(text.into()))
    }
}

/// `sda`, `vdb`, `nvme1n1`: short, and a trap.
fn looks_like_kernel_name(text: &str) -> bool {
    let after = |p: &str| text.strip_prefix(p);
    if let Some(rest) = after("nvme") {
        let mut split = rest.splitn(2, 'n');
        let digits = |s: Option<&str>| {
            s.is_some_and(|s| !s.is_empty() && s.chars().all(|c| c.is_ascii_digit() || c == 'p'))
        };
        return digits(split.next()) && digits(split.next());
    }
    ["sd", "vd", "hd"].iter().filter_map(|p| after(p)).any(|rest| {
        let letters = rest.trim_end_matches(|c: char| c.is_ascii_digit());
        (1..=2).contains(&letters.len()) && letters.chars().all(|c| c.is_ascii_lowercase())
    })
}

string_newtype!(Serial, "Serial", "^[0-9A-Za-z_.:-]{3,64}$");

/// A host key's fingerprint as `ssh-keygen -l` prints it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostKey(String);

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for HostKey {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let body = text.strip_prefix("SHA256:").unwrap_or_default();
        let ok = body.len() == 43
            && body.chars().all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '/');
        if !ok {
            return Err(BadName(
                "is not a fingerprint as `ssh-keygen -l` prints it (`SHA256:` and 43 characters)"
                    .into(),
            ));
        }
        Ok(Self(text.into()))
    }
}

string_newtype!(HostKey, "HostKey", "^SHA256:[A-Za-z0-9+/]{43}$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_are_folded_to_one_spelling() {
        let mac: Mac = "58-47-CA-00-00-0f".parse().unwrap();
        assert_eq!(mac.to_string(), "58:47:ca:00:00:0f");
        for bad in
            ["", "58:47:ca:00:00", "58:47:ca:00:00:01:02", "zz:47:ca:00:00:01", "+8:47:ca:00:00:01"]
        {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }

    #[test]
    fn kernel_names_are_no_serials() {
        for bad in ["/dev/nvme1n1", "nvme1n1", "sda", "vdb1", "sdaa"] {
            let why = bad.parse::<Serial>().unwrap_err().to_string();
            assert!(why.contains("changes between boots"), "{bad}: {why}");
        }
        assert!("S6XNNS0W100001".parse::<Serial>().is_ok());
        assert!("eui.0025385b21404c5a".parse::<Serial>().is_ok());
    }
}
