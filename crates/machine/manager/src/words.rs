//! Words as systemd writes and reads them: separated by blanks, with quotes and the escapes of C; and `%%`.

use keyroll_secret::SecretBytes;

/// The words of a line. They may hold values: the caller moves them into memory that is wiped.
pub(crate) fn words(line: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return all;
        }
        let (word, behind) = word(rest);
        all.push(word);
        rest = behind;
    }
}

/// The first word, and the rest of the line. `systemctl show` puts `$'…'` around bytes that a shell would not print.
fn word(line: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    let mut quote: Option<u8> = None;
    while let Some((&byte, behind)) = rest.split_first() {
        match (quote, byte) {
            (None, byte) if byte.is_ascii_whitespace() => break,
            (None, b'$') if behind.first() == Some(&b'\'') => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if byte == open => quote = None,
            (_, b'\\') => {
                rest = escaped(behind, &mut out);
                continue;
            }
            (_, byte) => out.push(byte),
        }
        rest = behind;
    }
    (out, rest)
}

/// A text with only its escapes decoded.
pub(crate) fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = if byte == b'\\' { escaped(behind, &mut out) } else { behind };
        if byte != b'\\' {
            out.push(byte);
        }
    }
    out
}

/// A value in which `%%` is a `%`, as systemd reads it; `None` if it has another `%`, which only systemd can expand.
pub(crate) fn without_specifiers(value: &[u8]) -> Option<SecretBytes> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'%' && bytes.next() != Some(&b'%') {
            drop(SecretBytes::new(out));
            return None;
        }
        out.push(*byte);
    }
    Some(SecretBytes::new(out))
}

/// The bytes after a backslash. Source: systemd.syntax(7), "Quoting".
fn escaped<'a>(behind: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let number = |skip: usize, digits: usize, base: u32| {
        let text = std::str::from_utf8(behind.get(skip..skip + digits)?).ok()?;
        let byte = u8::from_str_radix(text, base).ok()?;
        Some((byte, behind.get(skip + digits..)?))
    };
    let plain = |byte: u8| behind.get(1..).map(|rest| (byte, rest));
    let read = match behind.first() {
        Some(b'n') => plain(b'\n'),
        Some(b't') => plain(b'\t'),
        Some(b'r') => plain(b'\r'),
        Some(b's') => plain(b' '),
        Some(b'a') => plain(7),
        Some(b'b') => plain(8),
        Some(b'f') => plain(12),
        Some(b'v') => plain(11),
        Some(b'x') => number(1, 2, 16),
        Some(b'0'..=b'7') => number(0, 3, 8),
        Some(other) => plain(*other),
        None => None,
    };
    let Some((byte, rest)) = read else { return behind };
    out.push(byte);
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_systemd_makes_of_them() {
        let of = |line: &str| -> Vec<String> {
            words(line.as_bytes()).into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
        };
        assert_eq!(of(r#"A=1 "B=two words" 'C=it''s'  D="x y" "#), ["A=1", "B=two words", "C=its", "D=x y"]);
        assert_eq!(of(r#"A=$'a\nb' "B=\"\$\\" C=a\x41\101"#), ["A=a\nb", "B=\"$\\", "C=aAA"]);
        assert_eq!(of("  "), [""; 0]);
        assert_eq!(of("A=\\"), ["A="]);
    }
}
