/// A name on one line without control characters, so that it cannot write to a terminal. It is not redacted: that is
/// done where a report is shown or sent.
pub(crate) fn plain(name: &str) -> String {
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let shown = |c: char| match c {
        '\n' => ' ',
        c if hidden(c) => '\u{fffd}',
        c => c,
    };
    name.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn a_name_cannot_write_to_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\r\u{202e}c\nd"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c d");
    }
}
