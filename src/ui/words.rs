//! Durations, counts, lists and cut texts: small words that all folds say alike.
//!
//! Must not know events.

use unicode_width::UnicodeWidthStr;

/// `0.2 s`, `12.3 s`, `2 m 03 s`, `1 h 04 m`. Cut, not rounded: a clock that runs never jumps ahead.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds}.{} s", ms % 1000 / 100),
        60..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A time to come, no more precise than a guess is: `5 s`, `40 s`, `3 m`, `1 h 10 m`.
pub fn rough(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    match seconds {
        0..=55 => format!("{} s", seconds.div_ceil(5).max(1) * 5),
        56..3540 => format!("{} m", seconds.div_ceil(60)),
        _ => {
            let tens = seconds.div_ceil(600);
            format!("{} h {:02} m", tens / 6, tens % 6 * 10)
        }
    }
}

/// `1 node`, `3 nodes`.
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// `a`, `a and b`, `a, b and c`, `a, b, c and 97 more`.
pub fn list<T: AsRef<str>>(names: &[T], most: usize) -> String {
    let join = |names: &[T]| names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    // Naming the last one takes no more room than saying that there is one more.
    if names.len() > most.saturating_add(1) {
        return format!("{} and {} more", join(&names[..most.max(1)]), names.len() - most.max(1));
    }
    match names {
        [] => String::new(),
        [one] => one.as_ref().into(),
        [first @ .., last] => format!("{} and {}", join(first), last.as_ref()),
    }
}

/// The beginning of a hash.
pub fn short(hash: &str) -> &str {
    hash.char_indices().nth(8).map_or(hash, |(end, _)| &hash[..end])
}

/// A text of several lines as one.
pub fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// At most `columns` wide, with `…` where something is missing.
pub fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.into();
    }
    let mut kept = String::new();
    // A cell can hold many characters, but not without end.
    for c in text.chars().take(columns.saturating_mul(8)) {
        kept.push(c);
        // Of the whole, for characters join: a heart and a selector are wider than each alone.
        if kept.width() >= columns {
            kept.pop();
            break;
        }
    }
    if columns > 0 {
        kept.push('…');
    }
    kept
}

/// Exactly `columns` wide: cut, or filled with spaces.
pub fn fit(text: &str, columns: usize) -> String {
    let mut text = cut(text, columns);
    text.extend(std::iter::repeat_n(' ', columns.saturating_sub(text.width())));
    text
}

/// `2026-11-21T01:46:03.120Z`.
pub fn utc(at_ms: u64) -> String {
    let (days, ms) = (at_ms / 86_400_000, at_ms % 86_400_000);
    // Howard Hinnant's civil_from_days, for dates after 1970 only.
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        ms / 3_600_000,
        ms / 60_000 % 60,
        ms / 1000 % 60,
        ms % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_a_clock() {
        for (ms, says) in [
            (0, "0.0 s"),
            (249, "0.2 s"),
            (12_345, "12.3 s"),
            (59_999, "59.9 s"),
            (123_000, "2 m 03 s"),
            (3_599_999, "59 m 59 s"),
            (3_840_000, "1 h 04 m"),
            (100 * 3_600_000, "100 h 00 m"),
        ] {
            assert_eq!(duration(ms), says);
        }
    }

    #[test]
    fn guesses_are_rough() {
        for (ms, says) in [
            (0, "5 s"),
            (38_000, "40 s"),
            (56_000, "1 m"),
            (130_000, "3 m"),
            (3_540_000, "1 h 00 m"),
            (4_000_000, "1 h 10 m"),
        ] {
            assert_eq!(rough(ms), says);
        }
    }

    #[test]
    fn lists_are_shortened() {
        assert_eq!(count(1, "node"), "1 node");
        assert_eq!(count(0, "op"), "0 ops");
        assert_eq!(list::<&str>(&[], 3), "");
        assert_eq!(list(&["a"], 3), "a");
        assert_eq!(list(&["a", "b"], 3), "a and b");
        assert_eq!(list(&["a", "b", "c", "d"], 3), "a, b, c and d");
        assert_eq!(list(&["a", "b", "c", "d", "e"], 3), "a, b, c and 2 more");
    }

    #[test]
    fn texts_are_cut_by_columns_not_bytes() {
        assert_eq!(cut("schreibe", 8), "schreibe");
        assert_eq!(cut("schreiben", 8), "schreib…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(fit("日本語", 4), "日… ");
        assert_eq!(cut("abc", 0), "");
        // Two columns only together.
        assert_eq!(cut("a❤\u{fe0f}bc", 3), "a❤…");
        assert_eq!(one_line("a\n\n  b\n"), "a; b");
        assert_eq!(short("5e1c0d2affff"), "5e1c0d2a");
        assert_eq!(short("äöü"), "äöü");
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(utc(1_798_761_599_999), "2026-12-31T23:59:59.999Z");
    }
}
