//! Values are found where they are not known: by keyed fingerprints, in a text that is decoded.

mod builder;
mod digits;
mod entropy;
mod escapes;
mod form;
mod key;
mod label;
mod table;
mod view;
mod wide;

pub use builder::{
    NoKey, NotPrinted, PRINT_ENTROPY_BITS_MIN, PRINT_VALUE_BYTES_MIN, PRINTS_MAX, PrintsBuilder,
};
pub use form::{PRINTS_FILE_BYTES_MAX, PrintsError};
pub use label::{PRINT_NAME_BYTES_MAX, PrintLabel, PrintState};

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::Encoding;
use crate::breaks::Joined;
use escapes::ESCAPE_BYTES_MAX;
use key::PrintKey;
use table::{Print, Table, window_at};
use view::View;

/// A value may stand in so many times its own length, as in [`Needles::find_across`](crate::Needles::find_across).
const STRETCH_MAX: usize = 32;

/// Fingerprints of values that nobody can guess: who has them finds the values in a text, and cannot tell what they are.
///
/// Each set has a key of its own, so two sets of the same values have nothing in common. Of a value it holds a tag of 24 bits (of
/// eight of its bytes, to search with), its length, a keyed hash of 128 bits of the whole, and its label. A guess can only be tried
/// whole; at least 2¹⁰⁴ would have to be.
///
/// Since the file has no encoding of a value, the text is decoded: whatever [`Needles`](crate::Needles) finds in digits, escapes
/// and UTF-16 of what is ASCII is found.
pub struct Prints {
    key: PrintKey,
    labels: Vec<PrintLabel>,
    table: Table,
}

/// One occurrence of a value that a set has a print of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrintHit<'p> {
    /// Which value.
    pub label: &'p PrintLabel,
    /// In which form.
    pub encoding: Encoding,
    /// The offset of its first byte.
    pub start: usize,
    /// The offset after its last byte. Of base64 and base32 only the digits count that hold no bit of a neighbour, as where it is
    /// found by value.
    pub end: usize,
}

/// A hit with its label's number.
struct Found {
    /// All that holds a bit of it.
    start: usize,
    end: usize,
    /// Where it is told to stand.
    told: Range<usize>,
    label: u32,
    encoding: Encoding,
}

impl Found {
    fn at(place: Range<usize>, label: u32, encoding: Encoding) -> Self {
        Self { start: place.start, end: place.end, told: place, label, encoding }
    }
}

impl Prints {
    /// Starts a set with a new key. Errors: no key can be drawn.
    pub fn builder() -> Result<PrintsBuilder, NoKey> {
        PrintsBuilder::new()
    }

    fn new(key: PrintKey, labels: Vec<PrintLabel>, prints: Vec<Print>) -> Self {
        Self { key, labels, table: Table::new(prints) }
    }

    /// What is looked for; a name stands here once for each version. The order means nothing.
    pub fn labels(&self) -> &[PrintLabel] {
        &self.labels
    }

    /// Calls `on_hit` once for every occurrence of every value, in their order; not for what stands within another of the same
    /// label.
    ///
    /// What is decoded of the text is overwritten afterwards; of digits never more than a block at once.
    pub fn find(&self, text: &[u8], on_hit: &mut dyn FnMut(PrintHit<'_>)) {
        self.report(self.search(text), on_hit);
    }

    /// The occurrences that [`find`](Self::find) cannot see, since something stands within them that is no part of the value: line
    /// ends with the indentation behind them, also as they are escaped in strings, continued lines, codes for a terminal.
    ///
    /// Makes a copy of the text, which is overwritten afterwards; none where nothing parts it.
    pub fn find_across(&self, text: &[u8], on_hit: &mut dyn FnMut(PrintHit<'_>)) {
        let Some(joined) = Joined::of(text).filter(|_| self.table.lengths().is_some()) else { return };
        let span_max = self.span_max();
        let parted = |found: &Found| joined.spans_a_break(found.start, found.end);
        let found = self.search(&joined.bytes).into_iter().filter(parted).map(|found| {
            let place = |from: usize, to: usize| joined.begin(from)..joined.in_text(to - 1) + 1;
            let told = place(found.told.start, found.told.end);
            Found { told, ..Found::at(place(found.start, found.end), found.label, found.encoding) }
        });
        self.report(found.filter(|found| found.end - found.start <= span_max).collect(), on_hit);
    }

    /// The most bytes of a text in which one occurrence is looked for, with all that stands within it. 0 where nothing is.
    pub fn span_max(&self) -> usize {
        // Base32 is the longest form.
        self.table.lengths().map_or(0, |(_, longest)| 2 * longest * STRETCH_MAX)
    }

    /// Tells each once: one place may be come by in several ways, and a line of a key stands within the key.
    fn report(&self, mut found: Vec<Found>, on_hit: &mut dyn FnMut(PrintHit<'_>)) {
        found.sort_unstable_by_key(|found| {
            (found.told.start, Reverse(found.told.end), found.label, found.encoding)
        });
        let mut told = BTreeMap::new();
        for Found { told: Range { start, end }, label, encoding, .. } in found {
            if told.get(&label).is_some_and(|told_end| *told_end >= end) {
                continue;
            }
            told.insert(label, end);
            if let Some(label) = self.labels.get(label as usize) {
                on_hit(PrintHit { label, encoding, start, end });
            }
        }
    }

    fn search(&self, text: &[u8]) -> Vec<Found> {
        let mut found = Vec::new();
        let Some((shortest, longest)) = self.table.lengths() else { return found };
        self.table.scan(&self.key, text, &mut |at| self.confirm(text, at, &mut found));
        digits::each(text, shortest, longest, &mut |decoded| {
            self.scan_whole(decoded.bytes, &mut |bytes, label| {
                let told = decoded.own_in_text(bytes.clone());
                let encoding = decoded.encoding(told.clone());
                found.push(Found { told, ..Found::at(decoded.in_text(bytes), label, encoding) });
            });
        });
        wide::each(text, shortest, &mut |wide| {
            self.scan_whole(&wide.view.bytes, &mut |bytes, label| {
                let (start, end) = wide.place(wide.view.from(bytes.start), wide.view.from(bytes.end - 1));
                found.push(Found::at(start..end, label, wide.encoding));
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

    /// Searches where every value that is there stands whole.
    fn scan_whole(&self, bytes: &[u8], on_value: &mut dyn FnMut(Range<usize>, u32)) {
        self.table.scan(&self.key, bytes, &mut |at| {
            let prints = self.table.with_window(&self.key, bytes, at);
            self.values_at(bytes, at, prints, on_value);
        });
    }

    /// The values whose window stands at `at`.
    fn values_at(
        &self,
        bytes: &[u8],
        at: usize,
        prints: &[Print],
        on_value: &mut dyn FnMut(Range<usize>, u32),
    ) {
        // They are in the order of their lengths: those of one length are proven together.
        for same in prints.chunk_by(|one, other| one.length == other.length) {
            let Some(range) = same.first().and_then(|print| around(at, print.length as usize)) else {
                continue;
            };
            let Some(value) = bytes.get(range.clone()) else { continue };
            let mac = self.key.value(value);
            // Who could measure the time of this has the hashes.
            same.iter()
                .filter(|print| print.mac == mac)
                .for_each(|print| on_value(range.clone(), print.label));
        }
    }

    /// A window has a tag: what stands around it, as it is and with its escapes undone.
    #[inline(never)]
    fn confirm(&self, text: &[u8], at: usize, found: &mut Vec<Found>) {
        let prints = self.table.with_window(&self.key, text, at);
        self.values_at(text, at, prints, &mut |range, label| {
            found.push(Found::at(range, label, Encoding::Raw));
        });
        self.confirm_escaped(text, at, prints, found);
    }

    /// What stands around a window that begins at `at`, with its escapes undone.
    fn confirm_escaped(&self, text: &[u8], at: usize, prints: &[Print], found: &mut Vec<Found>) {
        let Some(longest) = prints.last().map(|print| print.length as usize) else { return };
        let Some(before) = window_at(longest) else { return };
        // An escape that is of the value is no further from the window than the value is long.
        let escape = 2 * ESCAPE_BYTES_MAX;
        let near = at.saturating_sub(before + escape)..text.len().min(at + longest - before + escape);
        let mut ways = escapes::ways(text.get(near).unwrap_or_default()).peekable();
        if ways.peek().is_none() {
            return;
        }
        let from = escapes::beginning(text, at.saturating_sub(before * ESCAPE_BYTES_MAX + escape));
        let to = text.len().min(at + (longest - before) * ESCAPE_BYTES_MAX + escape);
        let plain = View::of(text, from, to);
        for way in ways {
            let Some(view) = way.undo(&plain) else { continue };
            for window in view.made_of(at) {
                self.values_at(&view.bytes, window, prints, &mut |range, label| {
                    let (start, end) = (view.from(range.start), view.from(range.end));
                    if end - start > range.len() {
                        found.push(Found::at(start..end, label, way.encoding));
                    }
                });
            }
        }
    }
}

/// Where a value of this length stands whose window begins at `at`.
fn around(at: usize, length: usize) -> Option<Range<usize>> {
    let start = at.checked_sub(window_at(length)?)?;
    Some(start..start + length)
}
