use jiff::civil::Date;

use crate::{Accepted, AcceptedBy};

/// The mark of an accepting comment, in any language.
const MARK: &[u8] = b"keyroll:allow";

/// The word before the last day.
const UNTIL: &str = "until";

/// The ends of comments within a line, in various languages.
const ENDS: [&str; 12] = ["*/", "-->", "--%>", "%>", "#}", "--}}", "}}", "*)", "-}", "#>", "|#", "]]"];

/// The longest reason that is kept, bytes.
const REASON_BYTES_MAX: usize = 200;

/// How much of a comment is read, bytes.
const COMMENT_BYTES_MAX: usize = 4 << 10;

/// The effect of a comment on the value in its line: `# keyroll:allow REASON`, with `until=YYYY-MM-DD` before or
/// after the reason if it expires.
pub(crate) enum Allow {
    Accepted(Accepted),
    /// The comment does not count, for this reason.
    Void(String),
}

/// Finds the comment in a line.
pub(crate) fn in_line(line: &[u8], today: Date) -> Option<Allow> {
    let at = memchr::memmem::find(line, MARK)?;
    let rest = line.get(at + MARK.len()..)?;
    let first = rest.first();
    // Another word with the same start.
    if first.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_') {
        return None;
    }
    let text = String::from_utf8_lossy(rest.get(..rest.len().min(COMMENT_BYTES_MAX)).unwrap_or(rest));
    // Without text after the end of the comment.
    let ends = ["*/", "-->", "--%>"].iter().filter_map(|end| text.find(end));
    let text = text.get(..ends.min().unwrap_or(text.len())).unwrap_or_default();
    let Some((reason, until)) = without_days(text.trim_start_matches(':')) else {
        return Some(Allow::Void("its keyroll:allow has no date after until= (YYYY-MM-DD)".to_owned()));
    };
    let reason: String =
        reason.trim().chars().filter(|letter| !letter.is_control()).take(REASON_BYTES_MAX).collect();
    Some(match until {
        _ if reason.is_empty() => Allow::Void("its keyroll:allow has no reason".to_owned()),
        Some(day) if day < today => Allow::Void(format!("its keyroll:allow expired on {day}")),
        until => Allow::Accepted(Accepted { by: AcceptedBy::Comment, reason, until }),
    })
}

/// The reason without its last day, and that day: `until=DAY`, `Until: "DAY"`, `--until DAY`; the earliest of
/// several. `None` if a day is meant but unreadable: otherwise the comment would count for ever.
fn without_days(text: &str) -> Option<(String, Option<Date>)> {
    let (mut reason, mut until) = (String::new(), None::<Date>);
    let mut left = text;
    while let Some((before, word, behind)) = split_at_until(left) {
        let bare = before.strip_suffix("--");
        let head = bare.unwrap_or(before);
        let in_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '-';
        let value = behind.trim_start_matches(|letter: char| between(letter) || "=:(<-_".contains(letter));
        let ends = value.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
        let (day, rest) = value.split_at(ends.unwrap_or(value.len()));
        let dated = value.starts_with(|letter: char| letter.is_ascii_digit());
        let is_word = !head.ends_with(in_word) && (dated || !behind.starts_with(in_word));
        let meant = bare.is_some() || dated;
        match day.parse::<Date>() {
            Ok(day) if is_word => {
                until = Some(until.map_or(day, |other| other.min(day)));
                reason.push_str(head.trim_end_matches(between));
                reason.push(' ');
                left = rest.trim_start_matches(between);
            }
            Err(_) if is_word && (meant || behind.trim_start().starts_with('=')) => return None,
            Ok(_) | Err(_) => {
                reason.push_str(before);
                reason.push_str(word);
                left = behind;
            }
        }
    }
    reason.push_str(left);
    Some((reason, until))
}

/// The text before [`UNTIL`], the word as written, and the text after it.
fn split_at_until(text: &str) -> Option<(&str, &str, &str)> {
    let at = text.to_ascii_lowercase().find(UNTIL)?;
    let (before, rest) = text.split_at_checked(at)?;
    let (word, behind) = rest.split_at_checked(UNTIL.len())?;
    Some((before, word, behind))
}

/// Whether a character separates a day from the reason.
fn between(letter: char) -> bool {
    letter.is_whitespace() || ",;()[]>\"'`\u{2018}\u{2019}\u{201c}\u{201d}".contains(letter)
}

/// Whether a line has only such a comment: then it applies to the next line. Text after the comment's end does not
/// matter.
pub(crate) fn is_alone(line: &[u8]) -> bool {
    let Some(at) = memchr::memmem::find(line, MARK) else { return false };
    let says_nothing = |part: &[u8]| part.iter().all(|byte| !byte.is_ascii_alphanumeric());
    let (before, rest) = line.split_at_checked(at).unwrap_or_default();
    let behind = ENDS.iter().filter_map(|end| memchr::memmem::find(rest, end.as_bytes())).min();
    says_nothing(before) && says_nothing(behind.and_then(|behind| rest.get(behind..)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<Result<(String, Option<String>), String>> {
        in_line(line.as_bytes(), "2026-11-21".parse().unwrap()).map(|allow| match allow {
            Allow::Accepted(one) => Ok((one.reason, one.until.map(|day| day.to_string()))),
            Allow::Void(why) => Err(why),
        })
    }

    #[test]
    fn the_last_day_counts_wherever_it_is_after_the_mark() {
        for written in [
            "until=2026-11-21 of the test",
            "of the test until=2026-11-21",
            "of the test, until=2026-11-21",
            "of the test,until=2026-11-21",
            "of the test (until=2026-11-21)",
            "of the test --until 2026-11-21",
            "of the test --until=2026-11-21",
            "of the test until 2026-11-21",
            "of the test until: 2026-11-21 */ x = 1",
            "of the test until=2026-11-21-->",
            "of the test Until=2026-11-21",
            "of the test UNTIL: 2026-11-21",
            "of the test until \"2026-11-21\"",
            "of the test until='2026-11-21'",
            "of the test, until: \u{201c}2026-11-21\u{201d}",
            "of the test until (2026-11-21)",
            "of the test until <2026-11-21>",
            "of the test until-2026-11-21",
            "until=\"2026-11-21\" of the test",
            "of until=2030-01-01 the test until=2026-11-21",
        ] {
            let on = of(&format!("x # keyroll:allow {written}"));
            assert_eq!(on, Some(Ok(("of the test".into(), Some("2026-11-21".into())))), "{written}");
            let over = of(&format!("x # keyroll:allow {}", written.replace("2026-11-21", "2026-11-20")));
            assert_eq!(over, Some(Err("its keyroll:allow expired on 2026-11-20".into())), "{written}");
        }
        let far = format!("x # keyroll:allow {} until=2026-11-20", "long ".repeat(200));
        assert_eq!(of(&far), Some(Err("its keyroll:allow expired on 2026-11-20".into())));
    }

    #[test]
    fn a_day_that_cannot_be_read_accepts_nothing() {
        for written in [
            "of the test until=soon",
            "of the test, until=",
            "of the test until=2026-13-01",
            "of the test until=2026/12/01",
            "of the test until = 31.12.2026",
            "of the test until 2026-12-32",
            "of the test --until",
            "of the test --until next-year",
            "of the test Until=soon",
            "of the test until \"2026-11-32\"",
            "until=2030-01-01 of the test until=soon",
        ] {
            let said = of(&format!("x # keyroll:allow {written}"));
            assert_eq!(
                said,
                Some(Err("its keyroll:allow has no date after until= (YYYY-MM-DD)".into())),
                "{written}"
            );
        }
        // No day is meant.
        for reason in [
            "until the move",
            "Until \"the\" move",
            "until #12 is closed",
            "valid-until=soon of it",
            "it has an untilX=1",
            "runtil=x",
        ] {
            assert_eq!(of(&format!("x # keyroll:allow {reason}")), Some(Ok((reason.into(), None))));
        }
    }

    #[test]
    fn a_comment_with_text_after_it_is_not_alone() {
        for (begins, ends) in [
            ("/*", "*/"),
            ("<!--", "-->"),
            ("<%--", "--%>"),
            ("<%#", "%>"),
            ("{#", "#}"),
            ("{{!--", "--}}"),
            ("(*", "*)"),
            ("{-", "-}"),
            ("<#", "#>"),
            ("#|", "|#"),
            ("--[[", "]]"),
        ] {
            let alone = format!("  {begins} keyroll:allow why {ends} ;");
            assert!(is_alone(alone.as_bytes()), "{alone}");
            let more = format!("  {begins} keyroll:allow why {ends} a = 1");
            assert!(!is_alone(more.as_bytes()), "{more}");
        }
    }

    #[test]
    fn a_comment_with_a_reason_counts_until_its_day() {
        assert_eq!(of("x = 1 # keyroll:allow made by the test"), Some(Ok(("made by the test".into(), None))));
        assert_eq!(of("x /* keyroll:allow: of a document */"), Some(Ok(("of a document".into(), None))));
        let day = "x // keyroll:allow until=2026-11-21 until the move";
        assert_eq!(of(day), Some(Ok(("until the move".into(), Some("2026-11-21".into())))));
        assert_eq!(
            of("x # keyroll:allow until=2026-11-20 over"),
            Some(Err("its keyroll:allow expired on 2026-11-20".into()))
        );
        assert_eq!(of("x # keyroll:allow"), Some(Err("its keyroll:allow has no reason".into())));
        assert_eq!(of("x <!-- keyroll:allow -->"), Some(Err("its keyroll:allow has no reason".into())));
        assert!(matches!(of("x # keyroll:allow until=soon really"), Some(Err(_))));
        assert_eq!(of("x # keyroll:allowed"), None);
        assert_eq!(of("x"), None);
        assert!(
            is_alone(b"  # keyroll:allow why") && !is_alone(b"x # keyroll:allow why") && !is_alone(b"# x")
        );
    }

    #[test]
    fn a_reason_is_short_and_has_no_terminal_codes() {
        let said = of(&format!("x # keyroll:allow \x1b[31m{}", "é".repeat(900)));
        let Some(Ok((reason, None))) = &said else { panic!("{said:?}") };
        assert!(reason.starts_with("[31mé") && reason.chars().count() == REASON_BYTES_MAX, "{reason}");
    }
}
