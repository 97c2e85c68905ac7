use std::ops::Range;
use std::sync::Arc;

use keyroll_leak::Rules;
use keyroll_needle::{Needles, Piece, Redactor};

use crate::covered::{Covered, Part, Spans};
use crate::own::{Own, Within};
use crate::rules_stream::{PIECE_BYTES_MAX, RuleStream};
use crate::sought::marker;
use crate::{Report, Sought};

/// A matcher, asked for one or for the last time, and who is told.
type Tells<'t> = dyn FnMut(&mut Redactor, &mut dyn FnMut(Piece<'_>)) + 't;

/// What every stream goes through: known values are replaced by `[redacted:<name>]`, then what rules find by
/// `[redacted:<rule id>]`. Does no IO; nothing is lost in a crash but what was [held back](Self::held_back).
///
/// Known values: the output is that of the whole stream however it is cut, but for heads of at most five bytes of a value that are
/// shown before its marker ([`Redactor`]). Rules: but for the beginnings that everybody knows; in text that is longer than 4 KiB
/// without a blank more of a value may be cut off and replaced on its own, never shown. Rules look at known values, too: where one
/// finds more than a known value, all of it is replaced under the rule's name. What is held back is at most the longest
/// form of a value, and behind that 4 KiB, in a private key 16 KiB.
pub struct Shield {
    known: Redactor,
    rules: Option<Ruled>,
    report: Report,
}

/// What rules look at: also known values, of which a credential may be made in part.
struct Ruled {
    stream: RuleStream,
    covered: Covered,
    /// What they found in a piece by itself.
    own: Own,
    /// What stands before this place in the stream came to them, though the matcher may tell it again.
    told: usize,
}

impl Ruled {
    fn new(rules: &'static Rules) -> Self {
        Self { stream: RuleStream::new(rules), covered: Covered::default(), own: Own::default(), told: 0 }
    }
}

impl Shield {
    /// At the beginning of a stream.
    pub fn new(sought: &Sought) -> Self {
        Self {
            known: sought.known().another(),
            rules: sought.rules().map(Ruled::new),
            report: Report::default(),
        }
    }

    /// Takes a piece of the stream; what may be shown is put behind `out`.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        for piece in input.chunks(PIECE_BYTES_MAX) {
            if let Some(Ruled { covered, .. }) = &mut self.rules {
                covered.push(piece);
            }
            self.tell(&mut |known, to| known.push_to(piece, to), out);
        }
    }

    /// Known values that have ended are replaced now, and not only when it is sure that no other overlaps them.
    pub(crate) fn close(&mut self, out: &mut Vec<u8>) {
        self.tell(&mut |known, to| known.close_to(to), out);
    }

    /// What this rule finds there in the next piece is replaced, whatever stands before the piece. In their order.
    pub(crate) fn find_alone(&mut self, span: &Range<usize>, rule: &'static str) {
        if let Some(Ruled { covered, own, .. }) = &mut self.rules {
            own.push(covered.end() + span.start..covered.end() + span.end, rule);
        }
    }

    /// Ends the stream: what was held back is decided now. The next piece begins another stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.tell(&mut |known, to| known.finish_to(to), out);
        if let Some(rules) = &mut self.rules {
            rules.stream.finish(&mut self.report, out);
            (rules.covered, rules.own, rules.told) = <(Covered, Own, usize)>::default();
        }
    }

    /// What the matcher tells goes through the rules.
    fn tell(&mut self, known_tells: &mut Tells<'_>, out: &mut Vec<u8>) {
        let Self { known, rules, report } = self;
        let needles = Arc::clone(known.needles());
        let Some(Ruled { stream, covered, own, told }) = rules else {
            return known_tells(known, &mut |piece| match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Value(id) => out.extend(marker(&needles, id, report)),
            });
        };
        let mut spans = Spans::default();
        known_tells(known, &mut |piece| {
            let place = covered.place();
            let from = place.max(*told);
            match covered.part(&needles, &mut spans, piece) {
                Part::Text(text) => {
                    let text = text.get(from - place..).unwrap_or_default();
                    own.text(from, text, &mut |part, within| match within {
                        Within::Nothing => stream.push(part, report, out),
                        Within::Found(rule) => stream.push_found(part, rule, report, out),
                    });
                }
                // It was shown, before anybody knew it.
                Part::Value(_, _, value) if place < from && place + value.len() <= from => {}
                Part::Value(id, head, value) => {
                    let marker = marker(&needles, id, report);
                    let end = place + value.len();
                    let value = value.get(from - place..).unwrap_or_default();
                    match own.over(from..end) {
                        Within::Found(rule) if from < end => stream.push_found(value, rule, report, out),
                        Within::Found(_) | Within::Nothing => {
                            stream.push_value(head + from - place, value, marker, report, out)
                        }
                    }
                }
            }
        });
        stream.settle(report, out);
        covered.forget(known.held_back());
    }

    /// Looks for these values from here on, in what is held back too; in place of those that were looked for, so a rotation gives
    /// both the old and the new. What an id stands for must stay the same. Of a value that had begun
    /// before, the end alone is not found: its beginning must be held back still.
    pub fn look_for(&mut self, needles: Arc<Needles>) {
        self.look_for_same(&Redactor::new(needles));
    }

    /// As [`look_for`](Self::look_for), with what was prepared already; the rules stay.
    pub fn look_for_sought(&mut self, sought: &Sought) {
        self.look_for_same(sought.known());
    }

    fn look_for_same(&mut self, known: &Redactor) {
        self.known.look_for_same(known);
        let Some(rules) = &mut self.rules else { return };
        rules.stream.look_for(known.needles(), &mut |id| marker(known.needles(), id, &mut self.report));
        // A value may begin in what the rules hold back: the matcher must see both.
        if !rules.covered.has_all() {
            return;
        }
        let Some((given, shown)) = rules.stream.give_back() else { return };
        let input = rules.covered.again(&given);
        rules.told = rules.covered.place() + shown;
        self.known = known.another();
        self.tell(&mut |known, to| known.push_to(&input, to), &mut Vec::new());
        self.rules.iter_mut().for_each(|rules| rules.stream.goes_on());
    }

    /// How many bytes were taken and neither shown nor replaced.
    pub fn held_back(&self) -> usize {
        self.known.held_back() + self.rules.as_ref().map_or(0, |rules| rules.stream.held_back())
    }

    /// What was replaced so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// What was replaced since the last time.
    pub fn take_report(&mut self) -> Report {
        std::mem::take(&mut self.report)
    }
}
