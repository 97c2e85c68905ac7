use jiff::civil::Date;

use crate::{Accepted, AcceptedBy};

/// What begins such a comment, whatever the language's own sign before it is.
const MARK: &[u8] = b"keyroll:allow";

/// The longest reason that is kept, bytes.
const REASON_BYTES_MAX: usize = 200;

/// What a line says of the value in it: `# keyroll:allow REASON`, with `until=YYYY-MM-DD` before the reason where it ends.
pub(crate) enum Allow {
    Accepted(Accepted),
    /// It does not count, and why.
    Void(String),
}

/// The comment in a line, if there is one.
pub(crate) fn in_line(line: &[u8], today: Date) -> Option<Allow> {
    let at = memchr::memmem::find(line, MARK)?;
    let rest = line.get(at + MARK.len()..)?;
    let first = rest.first();
    // Another word begins like it.
    if first.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_') {
        return None;
    }
    let text = String::from_utf8_lossy(rest.get(..rest.len().min(2 * REASON_BYTES_MAX)).unwrap_or(rest));
    let mut text = text.trim_start_matches(':').trim();
    let mut until = None;
    if let Some(behind) = text.strip_prefix("until=") {
        let (day, reason) = behind.split_once(char::is_whitespace).unwrap_or((behind, ""));
        let Ok(day) = day.parse::<Date>() else {
            return Some(Allow::Void("its keyroll:allow has no date behind until= (YYYY-MM-DD)".to_owned()));
        };
        until = Some(day);
        text = reason.trim();
    }
    // What stands behind the comment is no part of it.
    let ends = ["*/", "-->", "--%>"].iter().filter_map(|end| text.find(end));
    let reason = text.get(..ends.min().unwrap_or(text.len())).unwrap_or_default().trim();
    let reason: String =
        reason.chars().filter(|letter| !letter.is_control()).take(REASON_BYTES_MAX).collect();
    Some(match until {
        _ if reason.is_empty() => Allow::Void("its keyroll:allow has no reason".to_owned()),
        Some(day) if day < today => Allow::Void(format!("its keyroll:allow ended on {day}")),
        until => Allow::Accepted(Accepted { by: AcceptedBy::Comment, reason, until }),
    })
}

/// Whether a line is nothing but such a comment: then it is said of the line behind it.
pub(crate) fn is_alone(line: &[u8]) -> bool {
    let before = memchr::memmem::find(line, MARK).and_then(|at| line.get(..at));
    before.is_some_and(|before| before.iter().all(|byte| !byte.is_ascii_alphanumeric()))
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
    fn a_comment_with_a_reason_counts_until_its_day() {
        assert_eq!(of("x = 1 # keyroll:allow made by the test"), Some(Ok(("made by the test".into(), None))));
        assert_eq!(of("x /* keyroll:allow: of a document */"), Some(Ok(("of a document".into(), None))));
        let day = "x // keyroll:allow until=2026-11-21 until the move";
        assert_eq!(of(day), Some(Ok(("until the move".into(), Some("2026-11-21".into())))));
        assert_eq!(
            of("x # keyroll:allow until=2026-11-20 over"),
            Some(Err("its keyroll:allow ended on 2026-11-20".into()))
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
}
