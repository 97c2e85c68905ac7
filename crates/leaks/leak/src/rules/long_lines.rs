use std::ops::Range;

/// The longest piece of a long line that is searched by names, bytes.
const PIECE_BYTES_MAX: usize = 4 * 1024;

/// The longest name at which a piece is cut, bytes.
const NAME_BYTES_MAX: usize = 128;

/// Splits a long line into pieces with marks, each once: as in JSON on one line, from a quote after a comma, brace or
/// semicolon to the next; longer pieces, as in a program on one line, from one name before a sign to the next. The
/// cuts depend only on nearby text, so a part of a text has the same ones.
pub(crate) fn pieces(
    text: &[u8],
    line: Range<usize>,
    marks: impl Iterator<Item = usize>,
    take: &mut dyn FnMut(Range<usize>),
) {
    let bytes = text.get(line.clone()).unwrap_or_default();
    let marks: Vec<usize> = marks.collect();
    let quotes = memchr::memchr3_iter(b'"', b'\'', b'`', bytes).filter(|at| is_cut(bytes, *at));
    parted(&line, quotes, &marks, &mut |piece, marks| {
        if piece.len() <= PIECE_BYTES_MAX {
            return take(piece);
        }
        let names = names_in(text.get(piece.clone()).unwrap_or_default());
        parted(&piece, names, marks, &mut |part, _| {
            if part.len() <= PIECE_BYTES_MAX {
                take(part);
            }
        });
    });
}

/// Splits a range at names; reports the parts with these marks. Cuts are relative to its start.
fn parted(
    whole: &Range<usize>,
    cuts: impl Iterator<Item = usize>,
    mut marks: &[usize],
    take: &mut dyn FnMut(Range<usize>, &[usize]),
) {
    let mut cuts = cuts.map(|at| whole.start + at).chain([whole.end]);
    let mut part = whole.start..whole.start;
    while let Some(first) = marks.first() {
        while part.end <= *first {
            let Some(next) = cuts.next() else { return };
            part = part.end..next;
        }
        let count = marks.partition_point(|mark| *mark < part.end);
        let (here, behind) = marks.split_at_checked(count).unwrap_or_default();
        take(part.clone(), here);
        marks = behind;
    }
}

/// Whether a piece may begin at a name. Not at `"value"` with its own name before it:
/// `{"name":"API_KEY","value":"value"}`.
fn is_cut(bytes: &[u8], at: usize) -> bool {
    let (before, behind) = bytes.split_at_checked(at).unwrap_or_default();
    let before = before.strip_suffix(b" ").unwrap_or(before);
    let of_another = behind.get(1..).is_some_and(|word| word.starts_with(b"value\""));
    matches!(before.last(), Some(b',' | b'{' | b';')) && !of_another
}

/// The positions before names that a colon or equals sign follows.
fn names_in(bytes: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memchr2_iter(b':', b'=', bytes).filter_map(|sign| {
        let from = sign.saturating_sub(NAME_BYTES_MAX);
        let before = bytes.get(from..sign)?;
        let before = before.strip_suffix(b" ").unwrap_or(before);
        let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$');
        let lead = before.iter().rposition(|byte| !good(byte))?;
        let parts = before.get(lead).is_some_and(|byte| b" \t,;{(&?".contains(byte));
        (parts && lead + 1 < before.len()).then_some(from + lead)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown<'t>(text: &'t str, line: Range<usize>, words: &[&str]) -> Vec<&'t str> {
        let mut found = Vec::new();
        let mut marks: Vec<usize> =
            words.iter().flat_map(|word| memchr::memmem::find_iter(text.as_bytes(), word)).collect();
        marks.sort_unstable();
        pieces(text.as_bytes(), line, marks.into_iter(), &mut |piece| found.push(&text[piece]));
        found
    }

    #[test]
    fn a_piece_goes_from_one_name_to_the_next() {
        let text = "x\n{\"a\": 1, \"key\": \"one\",\"b\":\"x\",'token':'key'}";
        assert_eq!(shown(text, 2..text.len(), &["key", "token"]), ["\"key\": \"one\",", "'token':'key'}"]);
        let text = r#"[{"name":"TOKEN","value":"one"},{"name":"x","value":"two"}]"#;
        assert_eq!(shown(text, 0..text.len(), &["TOKEN"]), [r#""name":"TOKEN","value":"one"},{"#]);
    }

    #[test]
    fn a_longer_piece_is_split_before_names_that_have_a_sign() {
        let code = "function(e,t){return e[t]}".repeat(200);
        for (part, piece) in [
            ("c={host:h,apiKey:\"one\",x:1}", ",apiKey:\"one\""),
            ("a.key = 'one';b=c", ";a.key = 'one'"),
            ("f?key=one&x=y", "?key=one"),
            (" key=one,token two=x", " key=one,token"),
        ] {
            let text = format!("x;{code};{part};y=z;{code}key");
            assert_eq!(shown(&text, 0..text.len(), &["key=", "apiKey:", "key ="]), [piece], "{part}");
        }
        // A longer piece without names is not split.
        let text = format!("a=b {code} key {code} c=d");
        assert!(shown(&text, 0..text.len(), &["key"]).is_empty());
    }
}
