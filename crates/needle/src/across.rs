use crate::breaks::Joined;
use crate::{Hit, Needles};

/// A value may stand in so many times its own length: each of its characters in a colour of its own takes about twenty bytes.
const STRETCH_MAX: usize = 32;

impl Needles {
    /// The occurrences that [`find`](Self::find) cannot see, since something stands within them that is no part of the value:
    /// line ends with the indentation behind them, also as they are escaped in strings, continued lines, codes for a terminal.
    ///
    /// Makes a copy of the haystack, which is overwritten afterwards; none where nothing parts it.
    pub fn find_across(&self, haystack: &[u8], on_hit: &mut impl FnMut(Hit)) {
        let Some(joined) = Joined::of(haystack) else { return };
        let span_max = self.span_max();
        self.find(&joined.bytes, &mut |hit| {
            if joined.spans_a_break(hit.start, hit.end) {
                let (start, last) = (joined.in_text(hit.start), joined.in_text(hit.end - 1));
                if last < start + span_max {
                    on_hit(Hit { start, end: last + 1, ..hit });
                }
            }
        });
    }

    /// The most bytes of a text in which one occurrence is looked for, with all that stands within it.
    pub fn span_max(&self) -> usize {
        self.longest().saturating_mul(STRETCH_MAX)
    }
}
