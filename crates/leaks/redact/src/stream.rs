pub(crate) mod pending_hits;
pub(crate) mod rule_hits;
pub(crate) mod rules;

use std::ops::Range;
use std::sync::Arc;

use keyroll_leak::Rules;
use keyroll_needle::{Needles, Piece, Redactor};

use crate::marker::marker;
use crate::stream::pending_hits::{PendingHits, StreamPart, ValueRanges};
use crate::stream::rule_hits::{RuleCover, RuleHits};
use crate::stream::rules::{PIECE_BYTES_MAX, RuleStream};
use crate::{Patterns, Report};

/// Runs the matcher once more, with the receiver of its output.
type MatcherRun<'t> = dyn FnMut(&mut Redactor, &mut dyn FnMut(Piece<'_>)) + 't;

/// Redacts a stream: known values become `[redacted:<name>]`, then findings of rules `[redacted:<rule id>]`. Does no
/// IO; a crash loses only the bytes that are [held back](Self::held_back).
///
/// Known values: the output does not depend on how the stream is cut, except for heads of at most five bytes of a
/// value before its marker ([`Redactor`]). Rules: except for public prefixes; in text of more than 4 KiB without a
/// space a value may be cut and replaced in parts, never shown. Rules scan known values too: a finding that contains
/// more than a known value is replaced as a whole, with the rule's marker. At most the longest form of a value is
/// held back, and before it 4 KiB, or 16 KiB in a private key.
pub struct RedactingStream {
    known: Redactor,
    rules: Option<RuleState>,
    report: Report,
}

/// The state of the rules, which also scan known values.
struct RuleState {
    stream: RuleStream,
    covered: PendingHits,
    /// Their findings in single pieces.
    own: RuleHits,
    /// The position in the stream up to which they received it; the matcher may report some of it again.
    told: usize,
}

impl RuleState {
    fn new(rules: &'static Rules) -> Self {
        Self {
            stream: RuleStream::new(rules),
            covered: PendingHits::default(),
            own: RuleHits::default(),
            told: 0,
        }
    }
}

impl RedactingStream {
    /// Starts a stream.
    pub fn new(patterns: &Patterns) -> Self {
        Self {
            known: patterns.known().another(),
            rules: patterns.rules().map(RuleState::new),
            report: Report::default(),
        }
    }

    /// Takes a piece of the stream; appends to `out` what may be shown.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        for piece in input.chunks(PIECE_BYTES_MAX) {
            if let Some(RuleState { covered, .. }) = &mut self.rules {
                covered.push(piece);
            }
            self.tell(&mut |known, to| known.push_to(piece, to), out);
        }
    }

    /// Replaces known values that have ended, without waiting for others that overlap them.
    pub(crate) fn close(&mut self, out: &mut Vec<u8>) {
        self.tell(&mut |known, to| known.close_to(to), out);
    }

    /// Replaces a rule's finding in the next piece, whatever is before the piece. Calls must be in order.
    pub(crate) fn find_alone(&mut self, span: &Range<usize>, rule: &'static str) {
        if let Some(RuleState { covered, own, .. }) = &mut self.rules {
            own.push(covered.end() + span.start..covered.end() + span.end, rule);
        }
    }

    /// Ends the stream: decides on the bytes that were held back. The next piece begins another stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.tell(&mut |known, to| known.finish_to(to), out);
        if let Some(rules) = &mut self.rules {
            rules.stream.finish(&mut self.report, out);
            (rules.covered, rules.own, rules.told) = <(PendingHits, RuleHits, usize)>::default();
        }
    }

    /// Passes the matcher's output through the rules.
    fn tell(&mut self, known_tells: &mut MatcherRun<'_>, out: &mut Vec<u8>) {
        let Self { known, rules, report } = self;
        let needles = Arc::clone(known.needles());
        let Some(RuleState { stream, covered, own, told }) = rules else {
            return known_tells(known, &mut |piece| match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Value(id) => out.extend(marker(&needles, id, report)),
            });
        };
        let mut spans = ValueRanges::default();
        known_tells(known, &mut |piece| {
            let place = covered.place();
            let from = place.max(*told);
            match covered.part(&needles, &mut spans, piece) {
                StreamPart::Text(text) => {
                    let text = text.get(from - place..).unwrap_or_default();
                    own.text(from, text, &mut |part, within| match within {
                        RuleCover::Nothing => stream.push(part, report, out),
                        RuleCover::ByRule(rule) => stream.push_found(part, rule, report, out),
                    });
                }
                // This part was shown before the value was known.
                StreamPart::Value(_, _, value) if place < from && place + value.len() <= from => {}
                StreamPart::Value(id, head, value) => {
                    let marker = marker(&needles, id, report);
                    let end = place + value.len();
                    let value = value.get(from - place..).unwrap_or_default();
                    match own.over(from..end) {
                        RuleCover::ByRule(rule) if from < end => stream.push_found(value, rule, report, out),
                        RuleCover::ByRule(_) | RuleCover::Nothing => {
                            stream.push_value(head + from - place, value, marker, report, out)
                        }
                    }
                }
            }
        });
        stream.settle(report, out);
        covered.forget(known.held_back());
    }

    /// Replaces the known values, also in bytes that are held back; so during a rotation the caller must give both the
    /// old and the new values. Ids must keep their meaning. A value whose start was already shown is not found.
    pub fn set_needles(&mut self, needles: Arc<Needles>) {
        self.set_needles_of(&Redactor::new(needles));
    }

    /// Like [`set_needles`](Self::set_needles), with a prepared index; the rules stay.
    pub fn set_patterns(&mut self, patterns: &Patterns) {
        self.set_needles_of(patterns.known());
    }

    fn set_needles_of(&mut self, known: &Redactor) {
        self.known.set_needles_of(known);
        let Some(rules) = &mut self.rules else { return };
        rules.stream.set_needles(known.needles(), &mut |id| marker(known.needles(), id, &mut self.report));
        // A value may begin in bytes that the rules hold back: the matcher must see both.
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

    /// Bytes of the input that were neither shown nor replaced yet.
    pub fn held_back(&self) -> usize {
        self.known.held_back() + self.rules.as_ref().map_or(0, |rules| rules.stream.held_back())
    }

    /// The replacements so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The replacements since the last call.
    pub fn take_report(&mut self) -> Report {
        std::mem::take(&mut self.report)
    }
}
