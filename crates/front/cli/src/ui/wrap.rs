use std::io::{self, Write as _};

use keyroll_app::redact;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::ui::Look;
use crate::ui::silent::lines;

/// The width of a live line if the terminal's width is unknown.
const COLUMNS_DEFAULT: usize = 80;

/// Shows a sentence from another thread on stderr. It begins a new line, because a question or a live line may be on
/// the present one.
pub(crate) fn aside(look: Look, text: &str) {
    if look.json {
        return;
    }
    let text = if look.live { format!("\n{}", wrapped(text, columns(), 0)) } else { text.to_owned() };
    let _ = io::stderr().write_all(lines(format!("{text}\n")).as_bytes());
}

/// Wraps lines between words to the width of a terminal, and indents them. A line with a command stays whole, so that
/// it can be copied. `before` precedes the first line.
pub(super) fn wrapped(text: &str, columns: usize, before: usize) -> String {
    // The redactor cannot find a value of several words after it was wrapped.
    let text = redact::pass(text);
    let mut all = Vec::new();
    for (at, line) in text.split('\n').enumerate() {
        let used = if at == 0 { before } else { 0 };
        let whole = line.replace('\u{1b}', "").width() + used <= columns;
        if whole || has_command(line) {
            all.push(line.to_owned());
            continue;
        }
        let body = line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit());
        let indent = " ".repeat((line.len() - body.len()).max(2));
        let mut row = line.get(..line.len() - body.len()).unwrap_or_default().to_owned();
        let mut width = row.width() + used;
        let start = width;
        for word in body.split(' ') {
            let long = word.width();
            if width > start && width + 1 + long > columns {
                all.push(std::mem::replace(&mut row, format!("{indent}{word}")));
                width = indent.len() + long;
                continue;
            }
            if width > start {
                row.push(' ');
                width += 1;
            }
            row.push_str(word);
            width += long;
        }
        all.push(row);
    }
    all.join("\n")
}

/// The part of a line that fits into this many columns.
pub(super) fn cut(line: &str, columns: usize) -> String {
    let mut used = 0;
    let fits = |letter: &char| {
        used += letter.width().unwrap_or(0);
        used <= columns
    };
    line.chars().take_while(fits).collect()
}

/// True if a line contains a keyroll command, and not only a folder of that name.
fn has_command(line: &str) -> bool {
    let begins = |at: usize| line.get(..at).is_none_or(|before| !before.ends_with(['/', '.', '-']));
    line.match_indices("keyroll ").any(|(at, _)| begins(at))
}

pub(super) fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    size.map(|size| usize::from(size.ws_col)).ok().filter(|columns| *columns > 0).unwrap_or(COLUMNS_DEFAULT)
}

#[cfg(test)]
mod tests {
    use keyroll_secret::SecretBytes;
    use keyroll_testkit::alphanumeric;

    use super::wrapped;
    use keyroll_app::redact;

    #[test]
    fn a_value_of_several_words_is_cut_out_before_lines_are_broken() {
        let words = [alphanumeric(12), alphanumeric(12), alphanumeric(12)];
        redact::remember(&SecretBytes::from(words.join(" ")));
        let shown = wrapped(&format!("it is called {} there", words.join(" ")), 20, 0);
        let shown = redact::pass(&shown);
        assert!(words.iter().all(|word| !shown.contains(word)), "{shown}");
    }

    #[test]
    fn lines_are_broken_between_words_and_commands_are_not() {
        assert_eq!(wrapped("  3  api: restart it", 12, 0), "  3  api:\n     restart\n     it");
        assert_eq!(wrapped("ab cd ef", 6, 2), "ab\n  cd\n  ef");
        let command = "  next: keyroll resume 1234";
        assert_eq!(wrapped(command, 10, 0), command);
        assert_eq!(wrapped("in /etc/keyroll and", 15, 0), "in /etc/keyroll\n  and");
        assert_eq!(
            wrapped("a-word-that-is-longer-than-that b", 10, 0),
            "a-word-that-is-longer-than-that\n  b"
        );
    }
}
