//! Text without what a terminal would obey.

/// Also the marks that make a terminal write backwards, with which a text can pose as another.
pub fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Without escape sequences and control characters; line ends stay, tabs become spaces.
pub fn strip(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' => kept.push('\n'),
            '\t' => kept.push(' '),
            // A bar that a program draws over itself: each state on its own line.
            '\r' if rest.peek().is_some_and(|next| *next != '\n') => kept.push('\n'),
            '\u{1b}' => match rest.next() {
                // CSI: parameters, then one final byte.
                Some('[') => {
                    rest.by_ref().find(|c| ('@'..='~').contains(c));
                }
                // OSC: to BEL or ESC \.
                Some(']') => {
                    while let Some(c) = rest.next() {
                        if c == '\u{7}' || (c == '\u{1b}' && rest.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                _ => {}
            },
            c if is_control(c) => {}
            c => kept.push(c),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_go_and_text_stays() {
        for (raw, clean) in [
            ("\u{1b}[1;31mred\u{1b}[0m é", "red é"),
            ("\u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{1b}\\", "link"),
            ("10%\r20%\r\n", "10%\n20%\n"),
            ("a\tb\u{8}\u{202e}c\u{1b}", "a bc"),
            ("cut \u{1b}[31", "cut "),
        ] {
            assert_eq!(strip(raw), clean, "{raw:?}");
        }
    }
}
