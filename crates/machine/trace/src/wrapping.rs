//! A value in a wrapping: with quotes that its reader did not take off, with a carriage return at its end, with `%%` in
//! place of `%`. It is the same version of the secret, and the wrapping is said: with it the key may not work.

use std::collections::BTreeSet;

use keyroll_secret::SecretBytes;

/// How many layers are taken off: `"'value'"` with a carriage return has three.
const LAYERS_MAX: usize = 4;

/// What is around a value, or between its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrapping {
    Quotes,
    LineEnd,
    Blanks,
    ByteOrderMark,
    /// Each `%` is doubled.
    Percents,
    /// Each `$` is doubled.
    Dollars,
    Backslashes,
}

impl Wrapping {
    /// What the value has, and what that breaks.
    fn words(self) -> &'static str {
        match self {
            Self::Quotes => {
                "in quotes, which `docker run --env-file` and others do not take off: the key is sent with them"
            }
            Self::LineEnd => {
                "with a carriage return or a line end behind it, as a shell reads a line that ends in CR LF: most clients refuse such a header"
            }
            Self::Blanks => "with blanks around it: whoever does not cut them off sends another key",
            Self::ByteOrderMark => "with a byte order mark before it: the key is sent with it",
            Self::Percents => {
                "with each % doubled, as supervisord and systemd want it in their own files: the key is sent so"
            }
            Self::Dollars => "with each $ doubled, as Compose wants it in its own file: the key is sent so",
            Self::Backslashes => {
                "with backslashes that its reader did not take off: the key is sent with them"
            }
        }
    }
}

/// The wrappings in words: what the value has, and what that breaks.
pub(crate) fn words(all: &BTreeSet<Wrapping>) -> String {
    all.iter().map(|one| one.words()).collect::<Vec<_>>().join("; ")
}

/// What a text may be a wrapping of, the innermost first.
pub(crate) fn unwrapped(text: &[u8]) -> Vec<(SecretBytes, BTreeSet<Wrapping>)> {
    let mut all = Vec::new();
    let (mut inner, mut around) = (text, BTreeSet::new());
    for _ in 0..LAYERS_MAX {
        let Some((next, wrapping)) = layer(inner) else { break };
        inner = next;
        around.insert(wrapping);
        all.push((SecretBytes::new(inner.to_vec()), around.clone()));
    }
    for (wrapping, undo) in BETWEEN {
        if let Some(plain) = undo(inner) {
            let mut around = around.clone();
            around.insert(wrapping);
            all.push((plain, around));
        }
    }
    all.retain(|(value, _)| !value.is_empty());
    all.reverse();
    all
}

/// Whether two texts are one value, apart from a wrapping.
pub(crate) fn is_same(one: &SecretBytes, other: &SecretBytes) -> bool {
    let within = |outer: &SecretBytes, inner: &SecretBytes| {
        outer.len() > inner.len() && unwrapped(outer.expose()).iter().any(|(value, _)| value == inner)
    };
    one == other || within(one, other) || within(other, one)
}

/// One layer around a text.
fn layer(text: &[u8]) -> Option<(&[u8], Wrapping)> {
    if let Some(rest) = text.strip_prefix("\u{feff}".as_bytes()) {
        return Some((rest, Wrapping::ByteOrderMark));
    }
    match text {
        [rest @ .., b'\r' | b'\n'] => Some((rest, Wrapping::LineEnd)),
        [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] => Some((rest, Wrapping::Blanks)),
        [open @ (b'"' | b'\'' | b'`'), rest @ .., close] if open == close => Some((rest, Wrapping::Quotes)),
        _ => None,
    }
}

type Undo = fn(&[u8]) -> Option<SecretBytes>;

/// What stands between the bytes of a value, and the value without it.
const BETWEEN: [(Wrapping, Undo); 3] = [
    (Wrapping::Percents, |text| single(text, b'%')),
    (Wrapping::Dollars, |text| single(text, b'$')),
    (Wrapping::Backslashes, without_backslashes),
];

/// The text with one byte in place of two; `None` if it stands there alone, or not at all.
fn single(text: &[u8], of: u8) -> Option<SecretBytes> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        if *byte == of && bytes.next() != Some(&of) {
            drop(SecretBytes::new(out));
            return None;
        }
        out.push(*byte);
    }
    let out = SecretBytes::new(out);
    (out.len() < text.len()).then_some(out)
}

/// The text without the backslashes before marks of a shell.
fn without_backslashes(text: &[u8]) -> Option<SecretBytes> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().peekable();
    while let Some(byte) = bytes.next() {
        let mark = |next: &&u8| b"\\\"'$`#!&".contains(next);
        match bytes.next_if(|next| *byte == b'\\' && mark(next)) {
            Some(next) => out.push(*next),
            None => out.push(*byte),
        }
    }
    let out = SecretBytes::new(out);
    (out.len() < text.len()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_same_in_each_wrapping_and_no_other() {
        let value = keyroll_testkit::alphanumeric(20);
        let of = |text: String| SecretBytes::from(text);
        let own = of(value.clone());
        for text in [
            format!("'{value}'"),
            format!("\"{value}\""),
            format!("`{value}`"),
            format!("{value}\r"),
            format!("{value}\r\n"),
            format!(" {value} "),
            format!("\u{feff}{value}"),
            format!("'{value}'\r"),
            format!("\"'{value}'\""),
        ] {
            assert!(is_same(&of(text.clone()), &own) && is_same(&own, &of(text)));
        }
        for text in [format!("'{value}"), format!("{value}x"), format!("'{value}\""), format!("({value})")] {
            assert!(!is_same(&of(text), &own));
        }
        for (text, plain) in [("a%%2Bb", "a%2Bb"), ("a$$b", "a$b"), ("a\\$b\\\"c", "a$b\"c")] {
            assert!(is_same(&of(text.into()), &of(plain.into())), "{text}");
        }
        assert!(!is_same(&of("a%%b%c".into()), &of("a%b%c".into())), "not every one is doubled");
        assert_eq!(unwrapped(b"''").len(), 0);
    }

    #[test]
    fn what_a_wrapping_breaks_is_said() {
        let [(_, inner), ..] = &unwrapped(b"'value'\r")[..] else { panic!() };
        let said = words(inner);
        assert!(said.contains("quotes") && said.contains("carriage return"), "{said}");
    }
}
