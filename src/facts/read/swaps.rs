//! Swap: what is in use, and what would bring it back at boot.

/// Devices and files of /proc/swaps.
pub fn active(proc_swaps: &str) -> Vec<String> {
    proc_swaps
        .lines()
        .skip(1)
        .filter_map(|line| line.split_ascii_whitespace().next())
        .map(|path| path.replace("\\040", " "))
        .collect()
}

/// Whether a line of fstab brings swap.
fn is_swap(line: &str) -> bool {
    let mut fields = line.split_ascii_whitespace();
    let first = fields.next().unwrap_or("#");
    !first.starts_with('#') && fields.nth(1) == Some("swap")
}

pub fn in_fstab(fstab: &str) -> Vec<String> {
    let first = |line: &str| line.split_ascii_whitespace().next().unwrap_or_default().to_string();
    fstab.lines().filter(|l| is_swap(l)).map(first).collect()
}

/// fstab with its swap lines commented out; everything else stays byte for byte. None when there is
/// none.
pub fn without(fstab: &str) -> Option<String> {
    if !fstab.lines().any(is_swap) {
        return None;
    }
    let mut text = String::with_capacity(fstab.len() + 64);
    for line in fstab.split_inclusive('\n') {
        if is_swap(line) {
            text.push_str("# slipway, no swap: ");
        }
        text.push_str(line);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FSTAB: &str = "# /etc/fstab\nUUID=1 / ext4 rw 0 1\n#UUID=2 none swap defaults 0 0\n\tUUID=3\tnone\tswap\tdefaults 0 0\n/swap\\040file none swap sw 0 0";

    #[test]
    fn fstab_keeps_the_rest() {
        assert_eq!(in_fstab(FSTAB), ["UUID=3", "/swap\\040file"]);
        let without = without(FSTAB).unwrap();
        assert_eq!(in_fstab(&without), Vec::<String>::new());
        assert_eq!(without.replace("# slipway, no swap: ", ""), FSTAB);
        assert_eq!(super::without(&without), None);
    }

    #[test]
    fn what_is_in_use() {
        let proc = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/zram0                              partition\t4194300\t\t0\t\t100\n/swap\\040file file 1 0 -2\n";
        assert_eq!(active(proc), ["/dev/zram0", "/swap file"]);
        assert_eq!(active(""), Vec::<String>::new());
    }
}
