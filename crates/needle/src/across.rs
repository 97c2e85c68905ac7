use std::ops::Range;

use crate::breaks::{Ends, Joined};
use crate::{Hit, Needles};

/// A value may stand in so many times its own length: each of its characters in a colour of its own takes about twenty bytes.
const STRETCH_MAX: usize = 32;

/// How a code of the terminal begins that has a text of its own.
const COMMAND: &[u8] = b"\x1b]";

/// A text in every way in which what parts it may be left out.
#[derive(Default)]
pub(crate) struct Joins {
    whole: Joined,
    /// With indentations, and with a blank for each line's end: where a form with blanks is looked for.
    indented: Joined,
    blank: Joined,
}

impl Joins {
    /// Those that are not in use are empty.
    pub(crate) fn each(&self) -> [&Joined; 3] {
        [&self.whole, &self.indented, &self.blank]
    }
}

impl Needles {
    /// The occurrences that [`find`](Self::find) sees, and those in which something stands that is no part of the value: line ends
    /// with the indentation behind them, also in UTF-16 and as they are escaped in strings, continued lines, codes for a terminal. Each once.
    /// Where a form has blanks, indentation and a line's end may stand for one.
    ///
    /// Makes copies of the haystack, which are overwritten afterwards; none where nothing parts it.
    pub fn find_all(&self, haystack: &[u8], on_hit: &mut impl FnMut(Hit)) {
        self.find_joined(haystack, &mut Joins::default(), on_hit);
    }

    /// The same in memory that is used again; what is left there is the haystack without what parts it.
    pub(crate) fn find_joined(&self, haystack: &[u8], joins: &mut Joins, on_hit: &mut impl FnMut(Hit)) {
        joins.indented.clear();
        joins.blank.clear();
        if !joins.whole.join(haystack, Ends::Nothing) {
            return self.find(haystack, on_hit);
        }
        if !self.has_spaces() {
            return self.find_parted(haystack, &joins.whole, on_hit);
        }
        // What stands at one place may be read in several ways.
        let mut all = Vec::new();
        self.find_parted(haystack, &joins.whole, &mut |hit| all.push(hit));
        if joins.whole.indented {
            joins.indented.join(haystack, Ends::Indentation);
        }
        joins.blank.join(haystack, Ends::Blank);
        for joined in [&joins.indented, &joins.blank] {
            self.find_with_spaces(&joined.bytes, &mut |hit| all.extend(self.placed(joined, hit)));
        }
        all.sort_unstable();
        all.dedup();
        all.into_iter().for_each(on_hit);
    }

    /// What stands whole, and what something parts.
    fn find_parted(&self, haystack: &[u8], joined: &Joined, on_hit: &mut impl FnMut(Hit)) {
        let whole = self.has_blanks();
        self.find(&joined.bytes, &mut |hit| {
            if joined.spans_a_break(hit.start, hit.end) {
                self.placed(joined, hit).into_iter().for_each(&mut *on_hit);
            } else if !whole && joined.begin(hit.start) == joined.in_text(hit.start) {
                let start = joined.in_text(hit.start);
                on_hit(Hit { start, end: start + hit.end - hit.start, ..hit });
            }
        });
        // What nothing parts stands in the joined text too, unless a part of it was taken for what parts a text.
        if whole {
            self.find(haystack, on_hit);
        } else {
            self.find_over(haystack, &joined.odd, on_hit);
        }
        joined.odd.iter().for_each(|place| self.find_within(haystack, place, on_hit));
    }

    /// The occurrences that something parts within a code that has a text of its own.
    fn find_within(&self, haystack: &[u8], code: &Range<usize>, on_hit: &mut impl FnMut(Hit)) {
        let text = haystack.get(code.clone()).and_then(|code| code.strip_prefix(COMMAND));
        let Some((text, joined)) = text.and_then(|text| Some((text, Joined::of(text)?))) else { return };
        let from = code.end - text.len();
        self.find(&joined.bytes, &mut |hit| {
            if joined.spans_a_break(hit.start, hit.end)
                && let Some(hit) = self.placed(&joined, hit)
            {
                on_hit(Hit { start: hit.start + from, end: hit.end + from, ..hit });
            }
        });
    }

    /// Where in its text an occurrence stands; `None` = over more of it than one is looked for in.
    fn placed(&self, joined: &Joined, hit: Hit) -> Option<Hit> {
        let (start, last) = (joined.begin(hit.start), joined.in_text(hit.end - 1));
        (last < start + self.span_max()).then_some(Hit { start, end: last + 1, ..hit })
    }

    /// The occurrences that reach into one of these places, which are in order.
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

    /// The most bytes of a text in which one occurrence is looked for, with all that stands within it.
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

    /// Every search, each over all of the text.
    fn each_alone(needles: &Needles, text: &[u8]) -> Vec<Hit> {
        let mut all = Vec::new();
        needles.find(text, &mut |hit| all.push(hit));
        let joined = Joined::of(text).unwrap_or_default();
        let parted = |joined: &Joined, from: usize, hit: Hit| {
            let (start, last) = (joined.in_text(hit.start), joined.in_text(hit.end - 1));
            let near = last < start + needles.span_max();
            near.then_some(Hit { start: from + start, end: from + last + 1, ..hit })
        };
        let codes = joined.odd.iter().filter(|code| text[(*code).clone()].starts_with(COMMAND));
        let within = codes.map(|code| code.start + COMMAND.len()..code.end);
        for Range { start, end } in within.chain(std::iter::once(0..text.len())) {
            let Some(joined) = Joined::of(&text[start..end]) else { continue };
            needles.find(&joined.bytes, &mut |hit| {
                let spans = joined.spans_a_break(hit.start, hit.end);
                all.extend(parted(&joined, start, hit).filter(|_| spans));
            });
        }
        for ends in [Ends::Indentation, Ends::Blank] {
            let mut joined = Joined::default();
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

    /// Values of signs that also part texts, and a text of halves of them with what parts texts between.
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
