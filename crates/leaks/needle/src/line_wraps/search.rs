use std::ops::Range;

use crate::line_wraps::join::{JoinedText, LineEndMode};
use crate::whole_word::stands_alone;
use crate::{Encoding, Hit, Needles};

/// The longest text of one occurrence, as a multiple of the value's length: a colour for each character takes about
/// twenty bytes.
const STRETCH_MAX: usize = 32;

/// The start of a terminal code that contains text.
const COMMAND: &[u8] = b"\x1b]";

/// A text with its interruptions removed, in each possible way.
#[derive(Default)]
pub(crate) struct JoinBuffers {
    whole: JoinedText,
    /// With indentation kept, and with a space for each line end: for forms with spaces.
    indented: JoinedText,
    blank: JoinedText,
}

impl JoinBuffers {
    /// Unused ones are empty.
    pub(crate) fn each(&self) -> [&JoinedText; 3] {
        [&self.whole, &self.indented, &self.blank]
    }
}

impl Needles {
    /// Finds occurrences like [`find`](Self::find), and those with interruptions: line ends with indentation, also in
    /// UTF-16 and as escaped in strings, continued lines, terminal codes. Reports each once. In a form with spaces,
    /// indentation or a line end may stand for one. A value that was added as a word must be a whole one.
    ///
    /// Copies the haystack if it has any of these; the copies are wiped afterwards.
    pub fn find_all(&self, haystack: &[u8], on_hit: &mut impl FnMut(Hit)) {
        self.find_joined(haystack, (&[], true), &mut JoinBuffers::default(), &mut |hit, _| on_hit(hit));
    }

    /// Does the same in reusable memory, where it leaves the haystack without interruptions. `before` is the end of the
    /// text before the haystack, and `ends` whether nothing follows. The flag of an occurrence is false if it depends on
    /// what follows whether it is a whole word.
    pub(crate) fn find_joined(
        &self,
        haystack: &[u8],
        (before, ends): (&[u8], bool),
        joins: &mut JoinBuffers,
        on_hit: &mut impl FnMut(Hit, bool),
    ) {
        self.find_interrupted(haystack, joins, &mut |hit| {
            if hit.encoding != Encoding::Word {
                return on_hit(hit, true);
            }
            let alone = stands_alone(before, haystack, hit.start..hit.end, ends);
            if alone != Some(false) {
                on_hit(hit, alone.is_some());
            }
        });
    }

    fn find_interrupted(&self, haystack: &[u8], joins: &mut JoinBuffers, on_hit: &mut impl FnMut(Hit)) {
        joins.indented.clear();
        joins.blank.clear();
        if !joins.whole.join(haystack, LineEndMode::Nothing) {
            return self.find(haystack, on_hit);
        }
        if !self.has_spaces() {
            return self.find_parted(haystack, &joins.whole, on_hit);
        }
        // Several readings may find the same occurrence.
        let mut all = Vec::new();
        self.find_parted(haystack, &joins.whole, &mut |hit| all.push(hit));
        if joins.whole.indented {
            joins.indented.join(haystack, LineEndMode::Indentation);
        }
        joins.blank.join(haystack, LineEndMode::Blank);
        for joined in [&joins.indented, &joins.blank] {
            self.find_with_spaces(&joined.bytes, &mut |hit| all.extend(self.placed(joined, hit)));
        }
        all.sort_unstable();
        all.dedup();
        all.into_iter().for_each(on_hit);
    }

    /// Finds occurrences without and with interruptions.
    fn find_parted(&self, haystack: &[u8], joined: &JoinedText, on_hit: &mut impl FnMut(Hit)) {
        let whole = self.has_blanks();
        self.find(&joined.bytes, &mut |hit| {
            if joined.spans_a_break(hit.start, hit.end) {
                self.placed(joined, hit).into_iter().for_each(&mut *on_hit);
            } else if !whole && joined.begin(hit.start) == joined.in_text(hit.start) {
                let start = joined.in_text(hit.start);
                on_hit(Hit { start, end: start + hit.end - hit.start, ..hit });
            }
        });
        // The joined text has the former too, unless a part of one looks like an interruption.
        if whole {
            self.find(haystack, on_hit);
        } else {
            self.find_over(haystack, &joined.odd, on_hit);
        }
        joined.odd.iter().for_each(|place| self.find_within(haystack, place, on_hit));
    }

    /// Finds occurrences with interruptions inside a terminal code that contains text.
    fn find_within(&self, haystack: &[u8], code: &Range<usize>, on_hit: &mut impl FnMut(Hit)) {
        let text = haystack.get(code.clone()).and_then(|code| code.strip_prefix(COMMAND));
        let Some((text, joined)) = text.and_then(|text| Some((text, JoinedText::of(text)?))) else { return };
        let from = code.end - text.len();
        self.find(&joined.bytes, &mut |hit| {
            if joined.spans_a_break(hit.start, hit.end)
                && let Some(hit) = self.placed(&joined, hit)
            {
                on_hit(Hit { start: hit.start + from, end: hit.end + from, ..hit });
            }
        });
    }

    /// The location of an occurrence in the text; `None` if it is longer than the limit.
    fn placed(&self, joined: &JoinedText, hit: Hit) -> Option<Hit> {
        let (start, last) = (joined.begin(hit.start), joined.in_text(hit.end - 1));
        (last < start + self.span_max()).then_some(Hit { start, end: last + 1, ..hit })
    }

    /// Finds the occurrences that touch one of these ranges, which are in order.
    fn find_over(&self, haystack: &[u8], places: &[Range<usize>], on_hit: &mut impl FnMut(Hit)) {
        let reach = self.longest();
        let mut rest = places;
        while let Some(first) = rest.first() {
            let start = first.start.saturating_sub(reach);
            let far = |pair: &[Range<usize>]| matches!(pair, [one, next] if next.start > one.end + 2 * reach);
            let count = rest.windows(2).position(far).map_or(rest.len(), |last| last + 1);
            let (near, behind) = rest.split_at_checked(count).unwrap_or_default();
            let end = near.last().map_or(start, |last| haystack.len().min(last.end + reach));
            self.find(haystack.get(start..end).unwrap_or_default(), &mut |hit| {
                let (from, upto) = (hit.start + start, hit.end + start);
                let next = near.partition_point(|place| place.end <= from);
                if near.get(next).is_some_and(|place| place.start < upto) {
                    on_hit(Hit { start: from, end: upto, ..hit });
                }
            });
            rest = behind;
        }
    }

    /// The most bytes of text that one occurrence can have, with interruptions.
    pub fn span_max(&self) -> usize {
        self.longest().saturating_mul(STRETCH_MAX)
    }
}

#[cfg(test)]
mod tests {
    use keyroll_secret::SecretBytes;
    use proptest::prelude::*;

    use super::*;
    use crate::NeedleId;

    /// Runs every search over the whole text.
    fn each_alone(needles: &Needles, text: &[u8]) -> Vec<Hit> {
        let mut all = Vec::new();
        needles.find(text, &mut |hit| all.push(hit));
        let joined = JoinedText::of(text).unwrap_or_default();
        let parted = |joined: &JoinedText, from: usize, hit: Hit| {
            let (start, last) = (joined.in_text(hit.start), joined.in_text(hit.end - 1));
            let near = last < start + needles.span_max();
            near.then_some(Hit { start: from + start, end: from + last + 1, ..hit })
        };
        let codes = joined.odd.iter().filter(|code| text[(*code).clone()].starts_with(COMMAND));
        let within = codes.map(|code| code.start + COMMAND.len()..code.end);
        for Range { start, end } in within.chain(std::iter::once(0..text.len())) {
            let Some(joined) = JoinedText::of(&text[start..end]) else { continue };
            needles.find(&joined.bytes, &mut |hit| {
                let spans = joined.spans_a_break(hit.start, hit.end);
                all.extend(parted(&joined, start, hit).filter(|_| spans));
            });
        }
        for ends in [LineEndMode::Indentation, LineEndMode::Blank] {
            let mut joined = JoinedText::default();
            joined.join(text, ends);
            needles.find(&joined.bytes, &mut |hit| {
                let spaced = joined.bytes[hit.start..hit.end].iter().any(|byte| b" \t".contains(byte));
                all.extend(parted(&joined, 0, hit).filter(|_| spaced));
            });
        }
        all.sort_unstable();
        if needles.has_spaces() {
            all.dedup();
        }
        all
    }

    /// Values of characters that also interrupt texts, and a text of halves of them with interruptions between.
    fn values_and_text() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<u8>)> {
        let letters = |blanks: usize| {
            prop::sample::select([b"abn\\[m".as_slice(), b"abn\\[m\n", b"abn\\[m \n"][blanks].to_vec())
        };
        let values = (0..3_usize).prop_flat_map(move |blanks| {
            prop::collection::vec(prop::collection::vec(letters(blanks), 8..12), 1..4)
        });
        values.prop_flat_map(|values| {
            let part = (prop::sample::select(values.clone()), 0..12_usize, any::<bool>());
            let part = part.prop_map(|(value, cut, head)| {
                let cut = cut.min(value.len());
                if head { value[..cut].to_vec() } else { value[cut..].to_vec() }
            });
            let between = prop::sample::select(vec![
                "", "\n", "\n ", "\r\n  ", "\\n", "\\\\n", "\x1b[m", "\\\n", "x", "\r", "\x1b]", "\x07",
            ]);
            let pair = (part, between).prop_map(|(part, between)| [&part, between.as_bytes()].concat());
            (Just(values), prop::collection::vec(pair, 0..10).prop_map(|pairs| pairs.concat()))
        })
    }

    proptest! {
        #[test]
        fn one_search_tells_what_each_does_alone_and_each_once((values, text) in values_and_text(), raw in any::<bool>()) {
            let mut builder = Needles::builder();
            for (number, value) in (0..).zip(&values) {
                builder = builder.add(NeedleId(number), &SecretBytes::new(value.clone()));
            }
            let needles = if raw { builder.raw_only() } else { builder }.build().unwrap();
            let mut all = Vec::new();
            needles.find_all(&text, &mut |hit| all.push(hit));
            all.sort_unstable();
            prop_assert_eq!(all, each_alone(&needles, &text));
        }
    }
}
