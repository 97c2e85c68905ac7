//! Shell quoting. Sources: <https://www.gnu.org/software/bash/manual/bash.html#Quoting>,
//! <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_02>

use zeroize::Zeroizing;

use crate::encoding::escapes::with_room_for;

/// The characters that `printf %q` always escapes.
const SPECIAL: &[u8] = b" \t'\"\\|&;()<>!{},*[]?^$`";

/// Every way to quote a value for a shell: in single quotes that end before each `'`, as bash and as dash and
/// Python's `shlex` do; in double quotes; in `$'…'`, also with octal digits for non-ASCII (`LC_ALL=C`); with
/// backslashes only.
pub(crate) fn all(value: &[u8]) -> [Zeroizing<Vec<u8>>; 6] {
    let single = |instead: &'static [u8]| {
        each(value, |_, byte, out| match byte {
            b'\'' => out.extend_from_slice(instead),
            _ => out.push(byte),
        })
    };
    [
        single(br"'\''"),
        single(br#"'"'"'"#),
        // `declare -p`.
        each(value, |_, byte, out| backslashed(b"\"\\$`".contains(&byte), byte, out)),
        // `set`, `declare -p`.
        each(value, |_, byte, out| ansi(byte, out)),
        each(value, |_, byte, out| if byte.is_ascii() { ansi(byte, out) } else { octal(byte, out) }),
        // `printf %q`.
        each(value, |before, byte, out| {
            // At the start of a word, or of a path in it.
            let first = matches!((before, byte), (None, b'#' | b'~') | (Some(b':' | b'='), b'~'));
            backslashed(first || SPECIAL.contains(&byte), byte, out);
        }),
    ]
}

/// Writes each byte, given the one before it.
fn each(value: &[u8], write: impl Fn(Option<u8>, u8, &mut Vec<u8>)) -> Zeroizing<Vec<u8>> {
    let mut out = with_room_for(value);
    let mut before = None;
    for byte in value {
        write(before, *byte, &mut out);
        before = Some(*byte);
    }
    out
}

fn backslashed(special: bool, byte: u8, out: &mut Vec<u8>) {
    if special {
        out.push(b'\\');
    }
    out.push(byte);
}

/// Writes one byte for `$'…'`.
fn ansi(byte: u8, out: &mut Vec<u8>) {
    let letter = match byte {
        b'\'' | b'\\' => byte,
        0x07 => b'a',
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0b => b'v',
        0x0c => b'f',
        b'\r' => b'r',
        0x1b => b'E',
        0..0x20 | 0x7f => return octal(byte, out),
        _ => return out.push(byte),
    };
    out.extend_from_slice(&[b'\\', letter]);
}

fn octal(byte: u8, out: &mut Vec<u8>) {
    out.push(b'\\');
    out.extend([byte >> 6, byte >> 3, byte].map(|digit| b'0' + digit % 8));
}
