//! How a value of an env file is spelled so that every reader of the line reads the same.
//!
//! What the readers do, in their own source or manual: a POSIX shell (XCU 2.2 quoting, 2.6.1 tilde expansion);
//! python-dotenv `parser.py` (`\\` and `\'` inside single quotes, `\\[\\'"abfnrtv]` inside double quotes,
//! `${…}` expanded everywhere, ` #` ends an unquoted value); systemd `env-file.c` (no escapes inside single
//! quotes, `\` before `"`, `\`, `` ` `` and `$` inside double ones, UTF-8 without controls); docker
//! `--env-file` (the bytes behind `=` as they stand, quotes too); npm's dotenv and `node --env-file` (no escape inside
//! double quotes but `\n` and `\r`, and the second ends the value at the first `"`).

use keyroll_secret::SecretBytes;

use crate::dialect::{Form, differ};

/// The longest value of a variable, in bytes: docker's reader stops at lines of 64 KiB.
const VARIABLE_BYTES_MAX: usize = 32 * 1024;

/// The quotes around a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Unquoted,
    Single,
    Double,
}

/// The value of a spelling (without its quotes); an error says what readers disagree about.
pub(crate) fn decode(inner: &[u8], style: Style) -> Result<SecretBytes, &'static str> {
    match style {
        Style::Unquoted => Ok(SecretBytes::new(inner.to_vec())),
        Style::Single => match inner.windows(2).any(|pair| pair == b"\\\\" || pair == b"\\'") {
            true => Err(differ(Form::BackslashesSingle)),
            false => Ok(SecretBytes::new(inner.to_vec())),
        },
        Style::Double => match inner.contains(&b'\\') {
            true => Err(differ(Form::BackslashDouble)),
            false => Ok(SecretBytes::new(inner.to_vec())),
        },
    }
}

/// The spelling of `new`, quotes included, instead of `old`, which is spelled in `style`.
///
/// Bytes at both ends that `old` has too are not checked: the readers of the line already read them. The style is kept
/// where it can carry the value. Single and double quotes are exchanged where that helps. Quotes are never added,
/// because docker would read them.
pub(crate) fn spell(old: &SecretBytes, style: Style, new: &SecretBytes) -> Result<SecretBytes, &'static str> {
    let (old, new) = (old.expose(), new.expose());
    let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let shorter = old.len().min(new.len()).saturating_sub(start);
    let end = old.iter().rev().zip(new.iter().rev()).take(shorter).take_while(|(a, b)| a == b).count();
    let brought = start..new.len().saturating_sub(end);
    allowed_anywhere(new)?;
    match (style, allowed(style, old, new, brought)) {
        (_, Ok(())) => Ok(encode(style, new)),
        (Style::Unquoted, Err(why)) => Err(why),
        (Style::Single, Err(why)) => allowed(Style::Double, old, new, 0..new.len())
            .map(|()| encode(Style::Double, new))
            .map_err(|_| why),
        (Style::Double, Err(why)) => allowed(Style::Single, old, new, 0..new.len())
            .map(|()| encode(Style::Single, new))
            .map_err(|_| why),
    }
}

/// Whether every value of these bytes can replace a value that is spelled in this style, at any position.
pub(crate) fn carries(style: Style, alphabet: &[u8], len_max: usize) -> Result<(), &'static str> {
    if len_max > VARIABLE_BYTES_MAX {
        return Err("it may be longer than a line that every reader takes");
    }
    let reference = alphabet.contains(&b'$') && alphabet.contains(&b'{');
    let single = alphabet.iter().all(|&byte| quoted(byte) && byte != b'\'' && byte != b'\\') && !reference;
    let double = alphabet.iter().all(|&byte| quoted(byte) && !matches!(byte, b'$' | b'`' | b'\\' | b'"'))
        && !reference;
    match style {
        Style::Unquoted if alphabet.iter().all(|&byte| plain(byte)) => Ok(()),
        Style::Unquoted => Err("its alphabet has bytes that need quotes, and the present value has none"),
        Style::Single | Style::Double if single || double => Ok(()),
        Style::Single | Style::Double => Err("its alphabet has bytes that no quotes carry for every reader"),
    }
}

fn allowed_anywhere(value: &[u8]) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("it is empty");
    }
    if value.len() > VARIABLE_BYTES_MAX {
        return Err("it is longer than a line that every reader takes");
    }
    let Ok(text) = std::str::from_utf8(value) else {
        return Err("it is not UTF-8");
    };
    let control =
        |c: char| (c.is_control() && c != '\t' && c != '\n') || matches!(c, '\u{2028}' | '\u{2029}');
    match text.chars().any(control) {
        true => Err("it has control characters"),
        false => Ok(()),
    }
}

/// Whether the bytes of `value` in `brought` stand for themselves in this style for every reader.
fn allowed(
    style: Style,
    old: &[u8],
    value: &[u8],
    brought: std::ops::Range<usize>,
) -> Result<(), &'static str> {
    let bytes = value.get(brought.clone()).unwrap_or_default();
    // One more byte at each side: an existing `$` and a new `{` make a reference.
    let around = value.get(brought.start.saturating_sub(1)..(brought.end + 1).min(value.len()));
    if around.unwrap_or_default().windows(2).any(|pair| pair == b"${") {
        return Err("it has ${, which some readers expand even in quotes");
    }
    match style {
        Style::Unquoted => unquoted(old, value, brought),
        Style::Single if bytes.contains(&b'\'') => Err("it has a single quote"),
        Style::Single if bytes.contains(&b'\\') => Err("it has a backslash"),
        Style::Single => Ok(()),
        Style::Double if bytes.contains(&b'$') || bytes.contains(&b'`') => Err("it has $ or `"),
        Style::Double if value.contains(&b'"') || value.contains(&b'\\') => {
            Err("it has a double quote or a backslash")
        }
        Style::Double => Ok(()),
    }
}

fn unquoted(old: &[u8], value: &[u8], brought: std::ops::Range<usize>) -> Result<(), &'static str> {
    let mut before = brought.start.checked_sub(1).and_then(|at| value.get(at)).copied();
    for &byte in value.get(brought).unwrap_or_default() {
        // A shell expands `~` at the start of a value and behind a colon.
        let inside_word =
            before.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        // A shell stops at these marks of a URL. If the old value has one, no shell reads this file.
        let mark = matches!(byte, b'?' | b'&') && old.contains(&byte);
        if !(plain(byte) || mark || byte == b'~' && inside_word) {
            return Err("it has bytes that need quotes, and the present value has none");
        }
        before = Some(byte);
    }
    Ok(())
}

/// Bytes that stand for themselves without quotes, everywhere, for every reader.
fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-./:+=@,%^".contains(&byte)
}

/// Bytes that may stand in some quotes. Single bytes beyond ASCII are refused: only whole characters are text.
fn quoted(byte: u8) -> bool {
    byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t' | b'\n')
}

fn encode(style: Style, value: &[u8]) -> SecretBytes {
    match style {
        Style::Unquoted => SecretBytes::new(value.to_vec()),
        Style::Single => crate::quoted::around(b'\'', value),
        Style::Double => crate::quoted::around(b'"', value),
    }
}
