use std::ops::Range;

/// The longest piece of a long line that is read by name, bytes.
const PIECE_BYTES_MAX: usize = 4 * 1024;

/// Gives the pieces of a long line that have marks, each once: as JSON in one line has them, from one quote behind a comma, a brace or
/// a semicolon to the next. Where it is cut is seen at each place alone, so in a part of a text it is as in the whole.
pub(crate) fn pieces(
    text: &[u8],
    line: Range<usize>,
    marks: impl Iterator<Item = usize>,
    take: &mut dyn FnMut(Range<usize>),
) {
    let bytes = text.get(line.clone()).unwrap_or_default();
    let cuts = memchr::memchr3_iter(b'"', b'\'', b'`', bytes).filter(|at| is_cut(bytes, *at));
    let mut cuts = cuts.chain([bytes.len()]);
    let (mut piece, mut taken) = (0..0, false);
    for mark in marks.map(|mark| mark - line.start) {
        while piece.end <= mark {
            let Some(next) = cuts.next() else { return };
            (piece, taken) = (piece.end..next, false);
        }
        if !taken && piece.len() <= PIECE_BYTES_MAX {
            take(line.start + piece.start..line.start + piece.end);
        }
        taken = true;
    }
}

fn is_cut(bytes: &[u8], at: usize) -> bool {
    let before = bytes.get(..at).unwrap_or_default();
    let before = before.strip_suffix(b" ").unwrap_or(before);
    matches!(before.last(), Some(b',' | b'{' | b';'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_goes_from_one_name_to_the_next() {
        let text = b"x\n{\"a\": 1, \"key\": \"one\",\"b\":\"x\",'token':'key'}";
        let mut found = Vec::new();
        let marks = ["key", "token"].map(|mark| memchr::memmem::find(text, mark.as_bytes()).unwrap());
        let more = [marks[0], marks[1], marks[1] + 8];
        pieces(text, 2..text.len(), more.into_iter(), &mut |piece| {
            found.push(str::from_utf8(&text[piece]).unwrap());
        });
        assert_eq!(found, ["\"key\": \"one\",", "'token':'key'}"]);
    }
}
