//! "did you mean": the nearest of the words that would have been right.

/// The candidate that `word` was probably meant to be; none when all are far.
pub fn closest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let folded = word.to_lowercase().replace('_', "-");
    candidates
        .iter()
        .map(|c| (strsim::damerau_levenshtein(&folded, &c.replace('_', "-")), *c))
        .filter(|(distance, c)| {
            let length = c.chars().count();
            *distance < length && *distance <= length.max(3) / 3
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
        // `controlplane-node`, `master`: too far by letters, but the whole of a word is there.
        .or_else(|| {
            let inside = |c: &&&str| folded.len() >= 4 && c.replace('_', "-").contains(&folded);
            candidates.iter().find(inside).copied()
        })
}

/// `` `a`, `b` or `c` ``.
pub fn list(words: &[&str], last: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|w| format!("`{w}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., tail] => format!("{} {last} {tail}", head.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let keys = ["address", "mac", "pod_cidr", "control-plane"];
        assert_eq!(closest("adress", &keys), Some("address"));
        assert_eq!(closest("podCIDR", &keys), Some("pod_cidr"));
        assert_eq!(closest("pod-cidr", &keys), Some("pod_cidr"));
        assert_eq!(closest("control_plane", &keys), Some("control-plane"));
        assert_eq!(closest("plane", &keys), Some("control-plane"));
        assert_eq!(closest("colour", &keys), None);
        assert_eq!(closest("", &keys), None);
        assert_eq!(closest("z", &["a"]), None);
    }

    #[test]
    fn lists_read_as_a_sentence() {
        assert_eq!(list(&[], "or"), "");
        assert_eq!(list(&["a"], "or"), "`a`");
        assert_eq!(list(&["a", "b", "c"], "and"), "`a`, `b` and `c`");
    }
}
