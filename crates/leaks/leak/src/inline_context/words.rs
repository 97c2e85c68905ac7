use std::ops::Range;

/// Whether a byte is `"`, `'` or a backtick.
pub(crate) fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// Without surrounding quotes.
pub(crate) fn unquoted(line: &[u8], span: &Range<usize>) -> Range<usize> {
    match line.get(span.clone()) {
        Some([open @ (b'"' | b'\''), inner @ .., close]) if open == close => {
            span.start + 1..span.start + 1 + inner.len()
        }
        _ => span.clone(),
    }
}

/// The words between spaces.
pub(crate) fn words(line: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, byte) in line.iter().chain(b"\n").enumerate() {
        if byte.is_ascii_whitespace() || *byte == 0 {
            found.extend(start.take().map(|start| start..at));
        } else {
            start.get_or_insert(at);
        }
    }
    found
}
