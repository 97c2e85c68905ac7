//! A set of prints as a file: lines of text, so that a person sees what is in it and it goes where text goes.
//!
//! ```text
//! keyroll-prints 1
//! key 5f0c…            64 hexadecimal digits
//! print a81c04 77d0… 40 7 current openai
//! end 1 93be…
//! ```
//!
//! A print is its tag, its keyed hash, its length in bytes, and its label: version, state, name. The last line has the number of
//! prints and a keyed hash of everything before it.

use std::collections::BTreeMap;
use std::fmt::Write;

use zeroize::Zeroizing;

use crate::prints::key::{KEY_BYTES, MAC_BYTES, PrintKey, TAG_BITS};
use crate::prints::label::{PRINT_NAME_BYTES_MAX, PrintLabel, PrintState};
use crate::prints::table::{Print, Table};
use crate::{PRINT_VALUE_BYTES_MIN, PRINTS_MAX, Prints, VALUE_BYTES_MAX};

/// What every such file begins with.
const NAME: &str = "keyroll-prints";
/// The form that is written, and the only one that is read.
const VERSION: &str = "1";
/// A line without its name: two words, hashes, numbers.
const FIELDS_BYTES_MAX: usize = 128;
const LINE_BYTES_MAX: usize = FIELDS_BYTES_MAX + PRINT_NAME_BYTES_MAX;
/// A larger file is refused before it is read: every print in the longest line, and as many bytes as three more lines. 38 MB.
pub const PRINTS_FILE_BYTES_MAX: usize = LINE_BYTES_MAX * (PRINTS_MAX + 3);

/// Why a file of prints was not read; nothing of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrintsError {
    /// It has more than [`PRINTS_FILE_BYTES_MAX`].
    #[error("it has {length} bytes; at most {PRINTS_FILE_BYTES_MAX} are read")]
    TooLarge {
        /// In bytes.
        length: usize,
    },
    /// It does not begin as such a file.
    #[error("it does not begin with `{NAME}`")]
    NotPrints,
    /// It was written by another version.
    #[error(
        "it is not in version {VERSION} of its form; export it again, or use the version of keyroll that wrote it"
    )]
    Version,
    /// A line is not as it must be.
    #[error("line {line}: {wrong}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// Its last line is missing: it was cut.
    #[error("its end is missing; export it again")]
    Cut,
    /// It is not what was written.
    #[error("it was changed after it was written; export it again")]
    Changed,
}

impl Prints {
    /// The file. Whoever has it can search for the values and cannot read them: keep it as what only the scanner may read.
    ///
    /// In the order of the tags, which is none that means something.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let prints = self.table.prints();
        // All the room at once: a buffer that grows leaves copies of the key behind.
        let mut text = Zeroizing::new(String::with_capacity(LINE_BYTES_MAX * (prints.len() + 3)));
        text.push_str(NAME);
        text.push(' ');
        text.push_str(VERSION);
        text.push_str("\nkey ");
        push_hex(&mut text, self.key.bytes());
        text.push('\n');
        for print in prints {
            let Some(label) = self.labels().get(print.label as usize) else { continue };
            text.push_str("print ");
            push_hex(&mut text, print.tag.to_be_bytes().get(1..).unwrap_or_default());
            text.push(' ');
            push_hex(&mut text, &print.mac);
            // Writing to a string cannot fail.
            let _ = writeln!(text, " {} {} {} {}", print.length, label.version, label.state, label.name);
        }
        let seal = self.key.file(text.as_bytes());
        let _ = write!(text, "end {} ", prints.len());
        push_hex(&mut text, &seal);
        text.push('\n');
        Zeroizing::new(std::mem::take(&mut *text).into_bytes())
    }

    /// Reads a file. Errors: why nothing of it is used. Memory is bounded by [`PRINTS_FILE_BYTES_MAX`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PrintsError> {
        let length = bytes.len();
        if length > PRINTS_FILE_BYTES_MAX {
            return Err(PrintsError::TooLarge { length });
        }
        let mut lines = Lines { bytes, at: 0, number: 0 };
        let first = lines.next().ok_or(PrintsError::NotPrints)?;
        match first.strip_prefix(NAME.as_bytes()) {
            Some([b' ', version @ ..]) if version == VERSION.as_bytes() => {}
            Some([b' ', ..]) => return Err(PrintsError::Version),
            Some(_) | None => return Err(PrintsError::NotPrints),
        }
        let key = lines.next().ok_or(PrintsError::Cut)?;
        let key = key.strip_prefix(b"key ").and_then(hex::<KEY_BYTES>).map(Zeroizing::new);
        let key = PrintKey::new(&*key.ok_or_else(|| lines.wrong("not a key of 64 hexadecimal digits"))?);
        let (mut prints, mut labels) = (Vec::new(), BTreeMap::new());
        loop {
            let covered = lines.at;
            let line = lines.next().ok_or(PrintsError::Cut)?;
            if let Some(end) = line.strip_prefix(b"end ") {
                let (count, seal) =
                    end_of(end).ok_or_else(|| lines.wrong("not a number and 32 hexadecimal digits"))?;
                if lines.at != length {
                    return Err(lines.wrong("something stands behind the end"));
                }
                let whole = bytes.get(..covered).is_some_and(|covered| key.file(covered) == seal);
                if !whole || count != prints.len() {
                    return Err(PrintsError::Changed);
                }
                break;
            }
            if prints.len() == PRINTS_MAX {
                return Err(lines.wrong("more prints than a set has"));
            }
            let (print, label) = print_of(line).map_err(|wrong| lines.wrong(wrong))?;
            let next = u32::try_from(labels.len()).unwrap_or(u32::MAX);
            prints.push(Print { label: *labels.entry(label).or_insert(next), ..print });
        }
        Ok(Self::read(key, labels, prints))
    }

    fn read(key: PrintKey, labels: BTreeMap<PrintLabel, u32>, prints: Vec<Print>) -> Self {
        let mut labels: Vec<(PrintLabel, u32)> = labels.into_iter().collect();
        labels.sort_unstable_by_key(|(_, number)| *number);
        let labels = labels.into_iter().map(|(label, _)| label).collect();
        Self { key, labels, table: Table::new(prints) }
    }
}

/// The lines of a file, each with its end; a piece behind the last one is none.
struct Lines<'b> {
    bytes: &'b [u8],
    at: usize,
    number: usize,
}

impl<'b> Lines<'b> {
    fn next(&mut self) -> Option<&'b [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let line = rest.get(..memchr::memchr(b'\n', rest)?)?;
        self.at += line.len() + 1;
        self.number += 1;
        Some(line)
    }

    fn wrong(&self, wrong: &'static str) -> PrintsError {
        PrintsError::Line { line: self.number, wrong }
    }
}

fn print_of(line: &[u8]) -> Result<(Print, PrintLabel), &'static str> {
    if line.len() > LINE_BYTES_MAX {
        return Err("longer than any line of a print");
    }
    let line = std::str::from_utf8(line).map_err(|_| "not UTF-8")?;
    let mut fields = line.strip_prefix("print ").ok_or("not a print")?.splitn(6, ' ');
    let mut next = |what| fields.next().ok_or(what);
    let tag = hex::<{ TAG_BITS as usize / 8 }>(next("no tag")?.as_bytes())
        .ok_or("its tag is not 6 hexadecimal digits")?;
    let mac = hex::<MAC_BYTES>(next("no hash")?.as_bytes()).ok_or("its hash is not 32 hexadecimal digits")?;
    let length = decimal(next("no length")?).and_then(|length| u32::try_from(length).ok());
    let length =
        length.filter(|length| (PRINT_VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&(*length as usize)));
    let length = length.ok_or("its length is not one of a value")?;
    let version = decimal(next("no version")?).ok_or("its version is not a number")?;
    let state =
        PrintState::of(next("no state")?).ok_or("its state is not pending, current, previous or retired")?;
    let label = PrintLabel { name: next("no name")?.to_owned(), version, state };
    if !label.is_valid() {
        return Err("its name is empty, too long, or has control characters or a blank at an end");
    }
    let [a, b, c] = tag;
    Ok((Print { tag: u32::from_be_bytes([0, a, b, c]), length, mac, label: 0 }, label))
}

fn end_of(end: &[u8]) -> Option<(usize, [u8; MAC_BYTES])> {
    let (count, seal) = std::str::from_utf8(end).ok()?.split_once(' ')?;
    Some((usize::try_from(decimal(count)?).ok()?, hex(seal.as_bytes())?))
}

/// Digits alone, none too many: one number is written in one way.
fn decimal(text: &str) -> Option<u64> {
    let written = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (written && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok())?
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for nibble in bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
        text.extend(char::from_digit(u32::from(nibble), 16));
    }
}

fn hex<const BYTES: usize>(digits: &[u8]) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    if digits.len() != 2 * BYTES {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = pair.iter().try_fold(0_u8, |byte, digit| match digit {
            b'0'..=b'9' => Some(byte << 4 | (digit - b'0')),
            b'a'..=b'f' => Some(byte << 4 | (digit - b'a' + 10)),
            _ => None,
        })?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use keyroll_secret::SecretBytes;

    use super::*;

    fn label(name: &str) -> PrintLabel {
        PrintLabel { name: name.to_owned(), version: 7, state: PrintState::Retired }
    }

    /// Bytes that nobody chose, different in every run.
    fn value() -> Vec<u8> {
        let mut bytes = vec![0; 24];
        aws_lc_rs::rand::fill(&mut bytes).unwrap();
        bytes
    }

    fn hits(prints: &Prints, text: &[u8]) -> usize {
        let mut count = 0;
        prints.find(text, &mut |_| count += 1);
        count
    }

    #[test]
    fn another_key_finds_nothing() {
        let value = value();
        let mut builder = Prints::builder().unwrap();
        builder.add(label("api"), &SecretBytes::new(value.clone())).unwrap();
        let prints = builder.build();
        assert_eq!(hits(&prints, &value), 1);
        let mut other = *prints.key.bytes();
        other[0] ^= 1;
        let other = Prints::new(PrintKey::new(&other), prints.labels.clone(), prints.table.prints().to_vec());
        assert_eq!(hits(&other, &value), 0);
        // Nor where its window has the tag.
        let print = Print { tag: Print::of(&other.key, &value, 0).unwrap().tag, ..other.table.prints()[0] };
        let other = Prints::new(PrintKey::new(other.key.bytes()), other.labels, vec![print]);
        assert_eq!(hits(&other, &value), 0);
    }

    /// Lines that whoever has a file can write, with a seal that is right.
    fn sealed(lines: &[&str], count: usize) -> Result<Prints, PrintsError> {
        let key = PrintKey::new(&[7; KEY_BYTES]);
        let mut text = format!("{NAME} {VERSION}\nkey {}\n{}", "07".repeat(KEY_BYTES), lines.concat());
        let seal = key.file(text.as_bytes());
        let _ = write!(text, "end {count} ");
        push_hex(&mut text, &seal);
        Prints::from_bytes((text + "\n").as_bytes())
    }

    #[test]
    fn a_line_that_is_wrong_is_named() {
        let good = "print 0123ab 00112233445566778899aabbccddeeff 40 7 current a name\n";
        assert!(sealed(&[good], 1).is_ok_and(|prints| prints.labels()[0].name == "a name"));
        assert!(sealed(&[], 0).is_ok_and(|prints| hits(&prints, b"anything") == 0));
        assert_eq!(sealed(&[good], 2).err(), Some(PrintsError::Changed));
        for (from, to) in [
            ("print ", "other "),
            ("0123ab", "0123a"),
            ("0123ab", "0123AB"),
            ("0123ab", ""),
            ("ccddeeff", "ccddeefg"),
            (" 40 ", " 15 "),
            (" 40 ", " 65537 "),
            (" 40 ", " 4294967336 "),
            (" 40 ", " 040 "),
            (" 40 ", " +40 "),
            (" 40 ", " -1 "),
            (" 7 ", " 18446744073709551616 "),
            (" 7 ", "  "),
            ("current", "Current"),
            ("a name", ""),
            (" a name", ""),
            ("a name", " a"),
            ("a name", "a\u{7}b"),
            ("a name", "a\u{85}b"),
        ] {
            let line = good.replacen(from, to, 1);
            let error = sealed(&[good, &line], 2).err();
            assert!(matches!(error, Some(PrintsError::Line { line: 4, .. })), "{line:?}: {error:?}");
        }
        let long = good.replace("a name", &"x".repeat(PRINT_NAME_BYTES_MAX + 1));
        assert!(matches!(sealed(&[&long], 1).err(), Some(PrintsError::Line { line: 3, .. })));
        assert!(matches!(sealed(&["end 0 00\n"], 1).err(), Some(PrintsError::Line { line: 3, .. })));
        let many: Vec<&str> = std::iter::repeat_n(good, PRINTS_MAX + 1).collect();
        assert!(matches!(sealed(&many, PRINTS_MAX + 1).err(), Some(PrintsError::Line { .. })));
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        for (text, expected) in [
            ("", PrintsError::NotPrints),
            ("keyroll-prints 1", PrintsError::NotPrints),
            ("keyroll-print 1\n", PrintsError::NotPrints),
            ("keyroll-prints 2\n", PrintsError::Version),
            ("keyroll-prints 1\n", PrintsError::Cut),
        ] {
            assert_eq!(Prints::from_bytes(text.as_bytes()).err(), Some(expected), "{text:?}");
        }
        let large = vec![b'\n'; PRINTS_FILE_BYTES_MAX + 1];
        assert_eq!(Prints::from_bytes(&large).err(), Some(PrintsError::TooLarge { length: large.len() }));
    }
}
