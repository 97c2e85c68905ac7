//! The file of a fingerprint set: lines of text, so that people can read it and any tool can copy it.
//!
//! ```text
//! keyroll-prints 1
//! key 5f0c…            64 hexadecimal digits
//! print a81c04 77d0… 40 7 current openai
//! end 1 93be…
//! ```
//!
//! A fingerprint is its tag, its keyed hash, its length in bytes, and its label: version, state, name. The last line has
//! the number of fingerprints and a keyed hash of everything before it.

use std::collections::BTreeMap;
use std::fmt::Write;

use zeroize::Zeroizing;

use crate::fingerprints::key::{FingerprintFileKey, KEY_BYTES, MAC_BYTES, TAG_BITS};
use crate::fingerprints::label::{FINGERPRINT_NAME_BYTES_MAX, FingerprintLabel, FingerprintState};
use crate::fingerprints::table::{FingerprintTable, ValueFingerprint};
use crate::{FINGERPRINT_VALUE_BYTES_MIN, FINGERPRINTS_MAX, FingerprintSet, VALUE_BYTES_MAX};

/// The first word of every such file.
const NAME: &str = "keyroll-prints";
/// The only version that is written and read.
const VERSION: &str = "1";
/// The longest line without its name, bytes: two words, hashes, numbers.
const FIELDS_BYTES_MAX: usize = 128;
const LINE_BYTES_MAX: usize = FIELDS_BYTES_MAX + FINGERPRINT_NAME_BYTES_MAX;
/// The largest file that is read: the most fingerprints in the longest lines, and three more lines, bytes. 38 MB.
pub const FINGERPRINT_FILE_BYTES_MAX: usize = LINE_BYTES_MAX * (FINGERPRINTS_MAX + 3);

/// Why a fingerprint file was rejected. It is never used in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FingerprintFileError {
    /// It has more than [`FINGERPRINT_FILE_BYTES_MAX`].
    #[error("it has {length} bytes; the limit is {FINGERPRINT_FILE_BYTES_MAX}")]
    TooLarge {
        /// In bytes.
        length: usize,
    },
    /// It has no header of a fingerprint file.
    #[error("it does not begin with `{NAME}`")]
    NotPrints,
    /// It has an unsupported version.
    #[error(
        "its format is not version {VERSION}; export it again, or use the version of keyroll that wrote it"
    )]
    Version,
    /// A line is malformed.
    #[error("line {line}: {wrong}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// The defect.
        wrong: &'static str,
    },
    /// Its last line is missing: it was truncated.
    #[error("its end is missing; export it again")]
    Cut,
    /// Its keyed hash does not match: it was changed.
    #[error("it was changed after it was written; export it again")]
    Changed,
}

impl FingerprintSet {
    /// Writes the file. Anybody who has the file can search for the values, but cannot compute them. Let only the
    /// scanner read it.
    ///
    /// Sorted by tag, an order without meaning.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let prints = self.table.prints();
        // Allocated at once: a buffer that grows leaves copies of the key behind.
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

    /// Parses a file. Errors: why it was rejected. Memory is bounded by [`FINGERPRINT_FILE_BYTES_MAX`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FingerprintFileError> {
        let length = bytes.len();
        if length > FINGERPRINT_FILE_BYTES_MAX {
            return Err(FingerprintFileError::TooLarge { length });
        }
        let mut lines = FileLines { bytes, at: 0, number: 0 };
        let first = lines.next().ok_or(FingerprintFileError::NotPrints)?;
        match first.strip_prefix(NAME.as_bytes()) {
            Some([b' ', version @ ..]) if version == VERSION.as_bytes() => {}
            Some([b' ', ..]) => return Err(FingerprintFileError::Version),
            Some(_) | None => return Err(FingerprintFileError::NotPrints),
        }
        let key = lines.next().ok_or(FingerprintFileError::Cut)?;
        let key = key.strip_prefix(b"key ").and_then(hex::<KEY_BYTES>).map(Zeroizing::new);
        let key =
            FingerprintFileKey::new(&*key.ok_or_else(|| lines.wrong("not a key of 64 hexadecimal digits"))?);
        let (mut prints, mut labels) = (Vec::new(), BTreeMap::new());
        loop {
            let covered = lines.at;
            let line = lines.next().ok_or(FingerprintFileError::Cut)?;
            if let Some(end) = line.strip_prefix(b"end ") {
                let (count, seal) =
                    end_of(end).ok_or_else(|| lines.wrong("not a number and 32 hexadecimal digits"))?;
                if lines.at != length {
                    return Err(lines.wrong("it continues after its end"));
                }
                let whole = bytes.get(..covered).is_some_and(|covered| key.file(covered) == seal);
                if !whole || count != prints.len() {
                    return Err(FingerprintFileError::Changed);
                }
                break;
            }
            if prints.len() == FINGERPRINTS_MAX {
                return Err(lines.wrong("more fingerprints than a set may have"));
            }
            let (print, label) = print_of(line).map_err(|wrong| lines.wrong(wrong))?;
            let next = u32::try_from(labels.len()).unwrap_or(u32::MAX);
            prints.push(ValueFingerprint { label: *labels.entry(label).or_insert(next), ..print });
        }
        Ok(Self::read(key, labels, prints))
    }

    fn read(
        key: FingerprintFileKey,
        labels: BTreeMap<FingerprintLabel, u32>,
        prints: Vec<ValueFingerprint>,
    ) -> Self {
        let mut labels: Vec<(FingerprintLabel, u32)> = labels.into_iter().collect();
        labels.sort_unstable_by_key(|(_, number)| *number);
        let labels = labels.into_iter().map(|(label, _)| label).collect();
        Self { key, labels, table: FingerprintTable::new(prints) }
    }
}

/// The complete lines of a file, each with its end.
struct FileLines<'b> {
    bytes: &'b [u8],
    at: usize,
    number: usize,
}

impl<'b> FileLines<'b> {
    fn next(&mut self) -> Option<&'b [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let line = rest.get(..memchr::memchr(b'\n', rest)?)?;
        self.at += line.len() + 1;
        self.number += 1;
        Some(line)
    }

    fn wrong(&self, wrong: &'static str) -> FingerprintFileError {
        FingerprintFileError::Line { line: self.number, wrong }
    }
}

fn print_of(line: &[u8]) -> Result<(ValueFingerprint, FingerprintLabel), &'static str> {
    if line.len() > LINE_BYTES_MAX {
        return Err("longer than the line of a fingerprint");
    }
    let line = std::str::from_utf8(line).map_err(|_| "not UTF-8")?;
    let mut fields = line.strip_prefix("print ").ok_or("not a fingerprint")?.splitn(6, ' ');
    let mut next = |what| fields.next().ok_or(what);
    let tag = hex::<{ TAG_BITS as usize / 8 }>(next("no tag")?.as_bytes())
        .ok_or("its tag is not 6 hexadecimal digits")?;
    let mac = hex::<MAC_BYTES>(next("no hash")?.as_bytes()).ok_or("its hash is not 32 hexadecimal digits")?;
    let length = decimal(next("no length")?).and_then(|length| u32::try_from(length).ok());
    let length =
        length.filter(|length| (FINGERPRINT_VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&(*length as usize)));
    let length = length.ok_or("its length is not that of a value")?;
    let version = decimal(next("no version")?).ok_or("its version is not a number")?;
    let state = FingerprintState::of(next("no state")?)
        .ok_or("its state is not pending, current, previous or retired")?;
    let label = FingerprintLabel { name: next("no name")?.to_owned(), version, state };
    if !label.is_valid() {
        return Err("its name is empty, too long, or has control characters or a space at an end");
    }
    let [a, b, c] = tag;
    Ok((ValueFingerprint { tag: u32::from_be_bytes([0, a, b, c]), length, mac, label: 0 }, label))
}

fn end_of(end: &[u8]) -> Option<(usize, [u8; MAC_BYTES])> {
    let (count, seal) = std::str::from_utf8(end).ok()?.split_once(' ')?;
    Some((usize::try_from(decimal(count)?).ok()?, hex(seal.as_bytes())?))
}

/// Parses digits without superfluous zeros, so that each number has one spelling.
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

    fn label(name: &str) -> FingerprintLabel {
        FingerprintLabel { name: name.to_owned(), version: 7, state: FingerprintState::Retired }
    }

    /// Random bytes, different in every run.
    fn value() -> Vec<u8> {
        let mut bytes = vec![0; 24];
        aws_lc_rs::rand::fill(&mut bytes).unwrap();
        bytes
    }

    fn hits(prints: &FingerprintSet, text: &[u8]) -> usize {
        let mut count = 0;
        prints.find(text, &mut |_| count += 1);
        count
    }

    #[test]
    fn another_key_finds_nothing() {
        let value = value();
        let mut builder = FingerprintSet::builder().unwrap();
        builder.add(label("api"), &SecretBytes::new(value.clone())).unwrap();
        let prints = builder.build();
        assert_eq!(hits(&prints, &value), 1);
        let mut other = *prints.key.bytes();
        other[0] ^= 1;
        let other = FingerprintSet::new(
            FingerprintFileKey::new(&other),
            prints.labels.clone(),
            prints.table.prints().to_vec(),
        );
        assert_eq!(hits(&other, &value), 0);
        // Nothing is found either where only the window's tag matches.
        let print = ValueFingerprint {
            tag: ValueFingerprint::of(&other.key, &value, 0).unwrap().tag,
            ..other.table.prints()[0]
        };
        let other =
            FingerprintSet::new(FingerprintFileKey::new(other.key.bytes()), other.labels, vec![print]);
        assert_eq!(hits(&other, &value), 0);
    }

    /// Lines that anybody with a file can write, with a valid seal.
    fn sealed(lines: &[&str], count: usize) -> Result<FingerprintSet, FingerprintFileError> {
        let key = FingerprintFileKey::new(&[7; KEY_BYTES]);
        let mut text = format!("{NAME} {VERSION}\nkey {}\n{}", "07".repeat(KEY_BYTES), lines.concat());
        let seal = key.file(text.as_bytes());
        let _ = write!(text, "end {count} ");
        push_hex(&mut text, &seal);
        FingerprintSet::from_bytes((text + "\n").as_bytes())
    }

    #[test]
    fn a_line_that_is_wrong_is_named() {
        let good = "print 0123ab 00112233445566778899aabbccddeeff 40 7 current a name\n";
        assert!(sealed(&[good], 1).is_ok_and(|prints| prints.labels()[0].name == "a name"));
        assert!(sealed(&[], 0).is_ok_and(|prints| hits(&prints, b"anything") == 0));
        assert_eq!(sealed(&[good], 2).err(), Some(FingerprintFileError::Changed));
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
            assert!(matches!(error, Some(FingerprintFileError::Line { line: 4, .. })), "{line:?}: {error:?}");
        }
        let long = good.replace("a name", &"x".repeat(FINGERPRINT_NAME_BYTES_MAX + 1));
        assert!(matches!(sealed(&[&long], 1).err(), Some(FingerprintFileError::Line { line: 3, .. })));
        assert!(matches!(sealed(&["end 0 00\n"], 1).err(), Some(FingerprintFileError::Line { line: 3, .. })));
        let many: Vec<&str> = std::iter::repeat_n(good, FINGERPRINTS_MAX + 1).collect();
        assert!(matches!(sealed(&many, FINGERPRINTS_MAX + 1).err(), Some(FingerprintFileError::Line { .. })));
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        for (text, expected) in [
            ("", FingerprintFileError::NotPrints),
            ("keyroll-prints 1", FingerprintFileError::NotPrints),
            ("keyroll-print 1\n", FingerprintFileError::NotPrints),
            ("keyroll-prints 2\n", FingerprintFileError::Version),
            ("keyroll-prints 1\n", FingerprintFileError::Cut),
        ] {
            assert_eq!(FingerprintSet::from_bytes(text.as_bytes()).err(), Some(expected), "{text:?}");
        }
        let large = vec![b'\n'; FINGERPRINT_FILE_BYTES_MAX + 1];
        assert_eq!(
            FingerprintSet::from_bytes(&large).err(),
            Some(FingerprintFileError::TooLarge { length: large.len() })
        );
    }
}
