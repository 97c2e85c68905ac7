//! The texts of a host's frame, so that none of them can write to the terminal, or begin a line that looks like keyroll's own.

/// How many bytes `\u` and its digits are.
const ESCAPE_BYTES: usize = 6;

/// What stands for a character that is not shown.
const HIDDEN: &str = "\u{fffd}";

/// The JSON of a frame, in which each line end of a text is a blank and each other control character is hidden. Done on
/// the JSON, so that also a field that is added later is treated; `None` if it is not UTF-8.
pub(crate) fn one_line(body: &[u8]) -> Option<Vec<u8>> {
    let mut rest = std::str::from_utf8(body).ok()?;
    let mut clean = String::with_capacity(rest.len());
    while let Some(at) = rest.find(|one| one == '\\' || is_hidden(one)) {
        let (before, from) = rest.split_at_checked(at)?;
        let (taken, instead) = match from.chars().next()? {
            '\\' => escape(from),
            hidden => (hidden.len_utf8(), Some(HIDDEN)),
        };
        let (part, behind) = from.split_at_checked(taken)?;
        clean.push_str(before);
        clean.push_str(instead.unwrap_or(part));
        rest = behind;
    }
    clean.push_str(rest);
    Some(clean.into_bytes())
}

/// How many bytes the escape at the beginning of this text has, and what is written instead of it.
fn escape(text: &str) -> (usize, Option<&'static str>) {
    match text.as_bytes().get(1) {
        Some(b'n') => (2, Some(" ")),
        Some(b'r' | b't' | b'b' | b'f') => (2, Some(HIDDEN)),
        Some(b'u') => {
            let digits = text.get(2..ESCAPE_BYTES).and_then(|digits| u32::from_str_radix(digits, 16).ok());
            match digits.and_then(char::from_u32) {
                Some('\n') => (ESCAPE_BYTES, Some(" ")),
                Some(one) if is_hidden(one) => (ESCAPE_BYTES, Some(HIDDEN)),
                // Half of a character that has two escapes is none by itself, and is not hidden.
                Some(_) | None => (2, None),
            }
        }
        // What is escaped is not read as the beginning of another escape.
        Some(b'\\' | b'"' | b'/') => (2, None),
        Some(_) | None => (1, None),
    }
}

/// Characters that move the cursor, or the order of what is shown. Line ends of the JSON itself stay.
fn is_hidden(one: char) -> bool {
    (one.is_control() && !matches!(one, '\n' | '\r' | '\t'))
        || matches!(one, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(one, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Frame, Item};
    use crate::wire::{LENGTH_BYTES, decode, encode};

    fn read(text: &str) -> String {
        let items = vec![Item::Sentence(text.to_owned())];
        let bytes = encode(&Frame::Answer { id: 1, items, end: None }).unwrap();
        let Frame::Answer { items, .. } = decode(&one_line(&bytes[LENGTH_BYTES..]).unwrap()).unwrap() else {
            panic!("it is another frame")
        };
        let [Item::Sentence(text)] = &items[..] else { panic!("{items:?}") };
        text.clone()
    }

    #[test]
    fn a_text_of_a_host_has_one_line_and_writes_nothing_to_the_terminal() {
        assert_eq!(read("x\non web-2:\r\n"), "x on web-2:\u{fffd} ");
        assert_eq!(read("a\u{1b}[2Jb\u{9b}c\u{202e}d\u{7f}e\tf\u{8}g"), "a�[2Jb�c�d�e�f�g");
    }

    #[test]
    fn every_other_text_stays_as_it_is() {
        for text in ["", "é 日本 \u{1f511} …", "C:\\new\\read \"q\" \\\\u000a", "a\\", "\\", "/srv/a.env:3"]
        {
            assert_eq!(read(text), text);
        }
    }

    #[test]
    fn a_character_that_is_written_with_digits_is_treated_like_itself() {
        let written = |text: &str| {
            let body =
                format!("{{\"answer\":{{\"id\":1,\"items\":[{{\"sentence\":\"{text}\"}}],\"end\":null}}}}");
            let Ok(Frame::Answer { items, .. }) = decode(&one_line(body.as_bytes()).unwrap()) else {
                panic!("it is no answer")
            };
            items
        };
        let sentence = |text: &str| vec![Item::Sentence(text.to_owned())];
        assert_eq!(written(r"a\u001b[2J\u000Ab\u009bc\u202Ed"), sentence("a�[2J b�c�d"));
        assert_eq!(written(r"\\u000a\u00e9\ud83d\udd11"), sentence("\\u000aé\u{1f511}"));
    }

    #[test]
    fn what_is_no_text_is_no_frame() {
        assert_eq!(one_line(b"\xff"), None);
        for body in ["\\", "\\u", "\\u00", "\\u00é", "\\x"] {
            assert_eq!(one_line(body.as_bytes()), Some(body.as_bytes().to_vec()));
        }
    }
}
