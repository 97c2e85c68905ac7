//! Finds values by keyed fingerprints, without knowing them, in decoded text.

mod builder;
mod decoded_text;
mod digits;
mod entropy;
mod escapes;
mod file;
mod key;
mod label;
mod table;
mod utf16;

pub use crate::fingerprints::file::{FINGERPRINT_FILE_BYTES_MAX, FingerprintFileError};
pub use builder::{
    FINGERPRINT_ENTROPY_BITS_MIN, FINGERPRINT_VALUE_BYTES_MIN, FINGERPRINTS_MAX, FingerprintSetBuilder,
    NoRandomKey, NotFingerprinted,
};
pub use label::{FINGERPRINT_NAME_BYTES_MAX, FingerprintLabel, FingerprintState};

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::Encoding;
use crate::fingerprints::decoded_text::DecodedText;
use crate::line_wraps::join::JoinedText;
use escapes::ESCAPE_BYTES_MAX;
use key::FingerprintFileKey;
use table::{FingerprintTable, ValueFingerprint, window_at};

/// The longest text of one occurrence, as a multiple of the value's length; the same as in
/// [`Needles::find_across`](crate::Needles::find_across).
const STRETCH_MAX: usize = 32;

/// Fingerprints of values that cannot be guessed. Anybody who has them can find the values in a text, but cannot
/// compute the values.
///
/// Each set has its own key, so two sets of the same values have nothing in common. For each value it has a 24-bit
/// tag (of eight bytes, for the search), the length, a keyed hash of 128 bits of the whole value, and the label. Only
/// a complete guess can be tested; at least 2¹⁰⁴ would be necessary.
///
/// The file has no encodings of values, so the text is decoded: values that [`Needles`](crate::Needles) finds in
/// digits, escapes and UTF-16 of ASCII are found.
pub struct FingerprintSet {
    key: FingerprintFileKey,
    labels: Vec<FingerprintLabel>,
    table: FingerprintTable,
}

/// One occurrence of a value in the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FingerprintHit<'p> {
    /// The label of the value.
    pub label: &'p FingerprintLabel,
    /// The encoding of the value.
    pub encoding: Encoding,
    /// The offset of its first byte.
    pub start: usize,
    /// The offset after its last byte. For base64 and base32 without digits that share bits with a neighbour, as in a
    /// search by value.
    pub end: usize,
}

/// An occurrence with the number of its label.
struct LabelledHit {
    /// The start, with digits that share bits with a neighbour.
    start: usize,
    end: usize,
    /// The reported range.
    told: Range<usize>,
    label: u32,
    encoding: Encoding,
}

impl LabelledHit {
    fn at(place: Range<usize>, label: u32, encoding: Encoding) -> Self {
        Self { start: place.start, end: place.end, told: place, label, encoding }
    }
}

impl FingerprintSet {
    /// Starts a set with a new key. Errors: no key could be generated.
    pub fn builder() -> Result<FingerprintSetBuilder, NoRandomKey> {
        FingerprintSetBuilder::new()
    }

    fn new(key: FingerprintFileKey, labels: Vec<FingerprintLabel>, prints: Vec<ValueFingerprint>) -> Self {
        Self { key, labels, table: FingerprintTable::new(prints) }
    }

    /// The labels of the values, in no order; one for each version of a secret.
    pub fn labels(&self) -> &[FingerprintLabel] {
        &self.labels
    }

    /// Calls `on_hit` once for every occurrence of every value, in order; not for one inside another of the same
    /// label.
    ///
    /// Decoded text is wiped afterwards; at most one block of digits is decoded at once.
    pub fn find(&self, text: &[u8], on_hit: &mut dyn FnMut(FingerprintHit<'_>)) {
        self.report(self.search(text), on_hit);
    }

    /// Finds occurrences with interruptions, which [`find`](Self::find) misses: line ends with indentation, also as
    /// escaped in strings, continued lines, terminal codes.
    ///
    /// Copies the text if it has any of these; the copy is wiped afterwards.
    pub fn find_across(&self, text: &[u8], on_hit: &mut dyn FnMut(FingerprintHit<'_>)) {
        let Some(joined) = JoinedText::of(text).filter(|_| self.table.lengths().is_some()) else { return };
        let span_max = self.span_max();
        let parted = |found: &LabelledHit| joined.spans_a_break(found.start, found.end);
        let found = self.search(&joined.bytes).into_iter().filter(parted).map(|found| {
            let place = |from: usize, to: usize| joined.begin(from)..joined.in_text(to - 1) + 1;
            let told = place(found.told.start, found.told.end);
            LabelledHit {
                told,
                ..LabelledHit::at(place(found.start, found.end), found.label, found.encoding)
            }
        });
        self.report(found.filter(|found| found.end - found.start <= span_max).collect(), on_hit);
    }

    /// The most bytes of text that one occurrence can have, with interruptions. 0 for an empty set.
    pub fn span_max(&self) -> usize {
        // Base32 is the longest form.
        self.table.lengths().map_or(0, |(_, longest)| 2 * longest * STRETCH_MAX)
    }

    /// The most bytes of text that one occurrence without interruptions can have: that much of a text that is searched in
    /// pieces must be kept for the next piece. 0 for an empty set.
    pub fn longest(&self) -> usize {
        // Escaped twice; a character more at each end, of which an escape may begin or end inside the occurrence.
        self.table.lengths().map_or(0, |(_, longest)| (longest + 2) * ESCAPE_BYTES_MAX)
    }

    /// Reports each occurrence once: several decodings may find the same one, and a line of a key is inside the key.
    fn report(&self, mut found: Vec<LabelledHit>, on_hit: &mut dyn FnMut(FingerprintHit<'_>)) {
        found.sort_unstable_by_key(|found| {
            (found.told.start, Reverse(found.told.end), found.label, found.encoding)
        });
        let mut told = BTreeMap::new();
        for LabelledHit { told: Range { start, end }, label, encoding, .. } in found {
            if told.get(&label).is_some_and(|told_end| *told_end >= end) {
                continue;
            }
            told.insert(label, end);
            if let Some(label) = self.labels.get(label as usize) {
                on_hit(FingerprintHit { label, encoding, start, end });
            }
        }
    }

    fn search(&self, text: &[u8]) -> Vec<LabelledHit> {
        let mut found = Vec::new();
        let Some((shortest, longest)) = self.table.lengths() else { return found };
        self.table.scan(&self.key, text, &mut |at| self.confirm(text, at, &mut found));
        digits::each(text, shortest, longest, &mut |decoded| {
            self.scan_whole(decoded.bytes, &mut |bytes, label| {
                let told = decoded.own_in_text(bytes.clone());
                let encoding = decoded.encoding(told.clone());
                found.push(LabelledHit { told, ..LabelledHit::at(decoded.in_text(bytes), label, encoding) });
            });
        });
        utf16::each(text, shortest, &mut |wide| {
            self.scan_whole(&wide.view.bytes, &mut |bytes, label| {
                let (start, end) = wide.place(wide.view.from(bytes.start), wide.view.from(bytes.end - 1));
                found.push(LabelledHit::at(start..end, label, wide.encoding));
            });
        });
        escapes::near(text, shortest, &mut |view| {
            self.table.scan(&self.key, &view.bytes, &mut |at| {
                let prints = self.table.with_window(&self.key, &view.bytes, at);
                self.confirm_escaped(text, view.from(at), prints, &mut found);
            });
        });
        found
    }

    /// Finds values in a text without interruptions.
    fn scan_whole(&self, bytes: &[u8], on_value: &mut dyn FnMut(Range<usize>, u32)) {
        self.table.scan(&self.key, bytes, &mut |at| {
            let prints = self.table.with_window(&self.key, bytes, at);
            self.values_at(bytes, at, prints, on_value);
        });
    }

    /// The values whose window is at `at`.
    fn values_at(
        &self,
        bytes: &[u8],
        at: usize,
        prints: &[ValueFingerprint],
        on_value: &mut dyn FnMut(Range<usize>, u32),
    ) {
        // Sorted by length: one HMAC for all of the same length.
        for same in prints.chunk_by(|one, other| one.length == other.length) {
            let Some(range) = same.first().and_then(|print| around(at, print.length as usize)) else {
                continue;
            };
            let Some(value) = bytes.get(range.clone()) else { continue };
            let mac = self.key.value(value);
            // A plain comparison is enough: anybody who can measure its time already has the hashes.
            same.iter()
                .filter(|print| print.mac == mac)
                .for_each(|print| on_value(range.clone(), print.label));
        }
    }

    /// Tests the text around a window whose tag matches: as it is, and unescaped.
    #[inline(never)]
    fn confirm(&self, text: &[u8], at: usize, found: &mut Vec<LabelledHit>) {
        let prints = self.table.with_window(&self.key, text, at);
        self.values_at(text, at, prints, &mut |range, label| {
            found.push(LabelledHit::at(range, label, Encoding::Raw));
        });
        self.confirm_escaped(text, at, prints, found);
    }

    /// Tests the text around the window at `at`, unescaped.
    fn confirm_escaped(
        &self,
        text: &[u8],
        at: usize,
        prints: &[ValueFingerprint],
        found: &mut Vec<LabelledHit>,
    ) {
        let Some(longest) = prints.last().map(|print| print.length as usize) else { return };
        let Some(before) = window_at(longest) else { return };
        // The window is no further from an escape of the same value than the value is long.
        let escape = 2 * ESCAPE_BYTES_MAX;
        let near = at.saturating_sub(before + escape)..text.len().min(at + longest - before + escape);
        let mut ways = escapes::ways(text.get(near).unwrap_or_default()).peekable();
        if ways.peek().is_none() {
            return;
        }
        let from = escapes::beginning(text, at.saturating_sub(before * ESCAPE_BYTES_MAX + escape));
        let to = text.len().min(at + (longest - before) * ESCAPE_BYTES_MAX + escape);
        let plain = DecodedText::of(text, from, to);
        for way in ways {
            let Some(view) = way.undo(&plain) else { continue };
            for window in view.made_of(at) {
                self.values_at(&view.bytes, window, prints, &mut |range, label| {
                    let (start, end) = (view.from(range.start), view.from(range.end));
                    if end - start > range.len() {
                        found.push(LabelledHit::at(start..end, label, way.encoding));
                    }
                });
            }
        }
    }
}

/// The range of a value of this length whose window is at `at`.
fn around(at: usize, length: usize) -> Option<Range<usize>> {
    let start = at.checked_sub(window_at(length)?)?;
    Some(start..start + length)
}
