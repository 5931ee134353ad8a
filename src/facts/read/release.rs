//! os-release, and the processor's maker.

/// The value of a key of os-release, without its quotes.
pub fn value(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (found, value) = line.trim().split_once('=')?;
        (found == key).then(|| value.trim_matches(['"', '\'']).to_string())
    })
}

/// `ID`; what a distribution without one is called is `linux`, as the specification says.
pub fn id(text: &str) -> String {
    value(text, "ID").unwrap_or_else(|| "linux".into())
}

/// `amd` or `intel`, on hardware of its own: a guest gets its microcode from its host.
pub fn microcode_vendor(cpuinfo: &str) -> Option<String> {
    let field = |name: &str| {
        cpuinfo.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim())
        })
    };
    if field("flags").is_some_and(|flags| flags.split(' ').any(|f| f == "hypervisor")) {
        return None;
    }
    match field("vendor_id")? {
        "AuthenticAMD" => Some("amd".into()),
        "GenuineIntel" => Some("intel".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        let arch = "NAME=\"Arch Linux\"\nPRETTY_NAME=\"Arch Linux\"\nID=arch\nBUILD_ID=rolling\n";
        assert_eq!(id(arch), "arch");
        assert_eq!(id("ID=\"debian\"\nVERSION_ID=\"12\""), "debian");
        assert_eq!(id("garbage"), "linux");
    }

    #[test]
    fn microcode_is_for_hardware() {
        let amd = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD Ryzen AI 9 HX 370\nflags\t\t: fpu vme sse2\n";
        assert_eq!(microcode_vendor(amd).as_deref(), Some("amd"));
        assert_eq!(microcode_vendor(&amd.replace("sse2", "hypervisor")), None);
        assert_eq!(microcode_vendor(""), None);
    }
}
