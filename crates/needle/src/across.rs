use std::ops::Range;

use crate::breaks::Joined;
use crate::{Hit, Needles};

/// A value may stand in so many times its own length: each of its characters in a colour of its own takes about twenty bytes.
const STRETCH_MAX: usize = 32;

impl Needles {
    /// The occurrences that [`find`](Self::find) sees, and those in which something stands that is no part of the value: line ends
    /// with the indentation behind them, also as they are escaped in strings, continued lines, codes for a terminal. Each once.
    ///
    /// Makes a copy of the haystack, which is overwritten afterwards; none where nothing parts it.
    pub fn find_all(&self, haystack: &[u8], on_hit: &mut impl FnMut(Hit)) {
        self.find_joined(haystack, &mut Joined::default(), on_hit);
    }

    /// The same in memory that is used again; what is left there is the haystack without what parts it. `false` = nothing does.
    pub(crate) fn find_joined(
        &self,
        haystack: &[u8],
        joined: &mut Joined,
        on_hit: &mut impl FnMut(Hit),
    ) -> bool {
        if !joined.join(haystack) {
            self.find(haystack, on_hit);
            return false;
        }
        let span_max = self.span_max();
        let whole = self.has_blanks();
        self.find(&joined.bytes, &mut |hit| {
            if joined.spans_a_break(hit.start, hit.end) {
                let (start, last) = (joined.in_text(hit.start), joined.in_text(hit.end - 1));
                if last < start + span_max {
                    on_hit(Hit { start, end: last + 1, ..hit });
                }
            } else if !whole {
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
        true
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

    /// Both searches, each over all of the text.
    fn twice(needles: &Needles, text: &[u8]) -> Vec<Hit> {
        let mut all = Vec::new();
        needles.find(text, &mut |hit| all.push(hit));
        if let Some(joined) = Joined::of(text) {
            needles.find(&joined.bytes, &mut |hit| {
                let (start, last) = (joined.in_text(hit.start), joined.in_text(hit.end - 1));
                if joined.spans_a_break(hit.start, hit.end) && last < start + needles.span_max() {
                    all.push(Hit { start, end: last + 1, ..hit });
                }
            });
        }
        all.sort_unstable();
        all
    }

    /// Values of signs that also part texts, and a text of halves of them with what parts texts between.
    fn values_and_text() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<u8>)> {
        let letters = |blanks: bool| {
            prop::sample::select(if blanks { b"abn\\[m \n".to_vec() } else { b"abn\\[m".to_vec() })
        };
        let values = any::<bool>().prop_flat_map(move |blanks| {
            prop::collection::vec(prop::collection::vec(letters(blanks), 8..12), 1..4)
        });
        values.prop_flat_map(|values| {
            let part = (prop::sample::select(values.clone()), 0..12_usize, any::<bool>());
            let part = part.prop_map(|(value, cut, head)| {
                let cut = cut.min(value.len());
                if head { value[..cut].to_vec() } else { value[cut..].to_vec() }
            });
            let between =
                prop::sample::select(vec!["", "\n", "\r\n  ", "\\n", "\\\\n", "\x1b[m", "\\\n", "x", "\r"]);
            let pair = (part, between).prop_map(|(part, between)| [&part, between.as_bytes()].concat());
            (Just(values), prop::collection::vec(pair, 0..10).prop_map(|pairs| pairs.concat()))
        })
    }

    proptest! {
        #[test]
        fn one_search_tells_what_both_do_and_each_once((values, text) in values_and_text(), raw in any::<bool>()) {
            let mut builder = Needles::builder();
            for (number, value) in (0..).zip(&values) {
                builder = builder.add(NeedleId(number), &SecretBytes::new(value.clone()));
            }
            let needles = if raw { builder.raw_only() } else { builder }.build().unwrap();
            let mut all = Vec::new();
            needles.find_all(&text, &mut |hit| all.push(hit));
            all.sort_unstable();
            prop_assert_eq!(all, twice(&needles, &text));
        }
    }
}
