use std::collections::VecDeque;
use std::ops::Range;

use keyroll_leak::{BLOCK_BYTES_MAX, Finding, MATCH_BYTES_MAX, NEAR_BYTES_MAX, Rule, Rules, ends_run};
use keyroll_needle::{HEAD_BYTES_MAX, NeedleId, Needles};
use zeroize::Zeroizing;

use crate::Report;
use crate::covered::{Part, parts};
use crate::sought::marker_of;

/// So far before a value its word is looked for, bytes, and the byte before that: a word that another letter stands before is none.
pub(crate) const WORD_BYTES_MAX: usize = NEAR_BYTES_MAX + 1;

/// So much of what was shown is remembered, bytes: a value may have begun in it, with a word before it.
const BEFORE_BYTES_MAX: usize = MATCH_BYTES_MAX + WORD_BYTES_MAX;

/// So much stands before what is given back, bytes: a known value may have begun there.
const GIVEN_BEFORE_BYTES_MAX: usize = 256;

/// How much is taken at once, so that memory stays bounded whatever is given, bytes.
pub(crate) const PIECE_BYTES_MAX: usize = 64 * 1024;

/// Replaces what rules find in a stream; does no IO.
///
/// What comes is decided when the caller [says so](Self::settle), or there is much of it: not at each known value, of which thousands
/// may stand in one run.
///
/// A value is decided when the run of bytes that it ends in has ended: with a blank, a quote, a line's end, or the stream. So
/// at the end of a piece its last run is held back, but only where it holds a rule's whole beginning, goes on as a value in which
/// the word is still to come that a rule goes by, or goes on as a value, or is one, at most 64 bytes behind a word of its rule in the
/// same line; and a private key from its first line on. Half a beginning is shown at once, since everybody knows it. A value
/// has at most 4 KiB, a private key 16 KiB: what is held back is less.
///
/// What holds, whatever the cuts, for rules whose values hold no blank and no quote behind their beginning, and for private keys:
/// - The output is that of [`Rules::find`] on the whole text, but for heads: where a cut fell into one it was shown, and the marker
///   stands behind it. A head is what is less than the beginning of a value. Of a rule that goes by what stands within a value it is
///   at most five bytes, or sixteen without a digit whose letters, but for the first, are all small or all capitals; of an address
///   all before that word. Of a rule that goes by a word before it, five bytes.
/// - Nothing is held back where the last run is clean: where no value can come of it, or what might be one is no more than a head.
/// - The end releases everything.
/// - What is kept is bounded, also in a run without end. In a run of more than 4 KiB of several values that overlap another one
///   may be named than in the whole text, each in a marker of its own.
pub(crate) struct RuleStream {
    rules: &'static Rules,
    /// What was shown and is still looked at, and what is held back; with the known values, of which a value may be a part only.
    text: Zeroizing<Vec<u8>>,
    /// So much of it was shown.
    done: usize,
    /// The known values in what is held back, and what rules found in a piece by itself.
    marks: VecDeque<Mark>,
    /// So much came since it was last decided, bytes.
    fresh: usize,
    /// Nothing is decided: what was given back comes again.
    waits: bool,
}

/// A known value, and what stands for it. Its head may have been shown.
struct Mark {
    span: Range<usize>,
    marker: Vec<u8>,
    /// Where it is none: the rule that is told for it.
    rule: Option<&'static str>,
}

impl RuleStream {
    pub(crate) fn new(rules: &'static Rules) -> Self {
        Self::behind(rules, &[])
    }

    /// A stream that begins behind this, of which nothing is shown.
    pub(crate) fn behind(rules: &'static Rules, before: &[u8]) -> Self {
        let text = Zeroizing::new(before.to_vec());
        Self { rules, text, done: before.len(), marks: VecDeque::new(), fresh: 0, waits: false }
    }

    pub(crate) fn held_back(&self) -> usize {
        self.text.len() - self.done
    }

    pub(crate) fn push(&mut self, input: &[u8], report: &mut Report, out: &mut Vec<u8>) {
        for piece in input.chunks(PIECE_BYTES_MAX) {
            append(&mut self.text, piece);
            self.came(piece.len(), report, out);
        }
    }

    /// Shows what can be decided of all that came.
    pub(crate) fn settle(&mut self, report: &mut Report, out: &mut Vec<u8>) {
        self.decide(false, report, out);
    }

    /// So that memory stays bounded whatever comes before the caller says so.
    fn came(&mut self, bytes: usize, report: &mut Report, out: &mut Vec<u8>) {
        self.fresh += bytes;
        if self.fresh >= PIECE_BYTES_MAX {
            self.decide(false, report, out);
        }
    }

    /// Here a known value stood, or a marker whose value is not known any more. Where a rule finds more than the value its own marker
    /// stands for all of it. So many bytes of the value, its head, are the last of the text already.
    pub(crate) fn push_value(
        &mut self,
        head: usize,
        value: &[u8],
        marker: Vec<u8>,
        report: &mut Report,
        out: &mut Vec<u8>,
    ) {
        let bytes = self.mark(head, value, marker, None);
        self.came(bytes, report, out);
    }

    /// Here stands what a rule found in a piece by itself, or a part of it: the first one has the rule.
    pub(crate) fn push_found(
        &mut self,
        part: &[u8],
        rule: Option<&'static str>,
        report: &mut Report,
        out: &mut Vec<u8>,
    ) {
        let bytes = self.mark(0, part, rule.map(marker_of).unwrap_or_default(), rule);
        self.came(bytes, report, out);
    }

    /// Returns how many bytes stand for it.
    fn mark(&mut self, head: usize, value: &[u8], marker: Vec<u8>, rule: Option<&'static str>) -> usize {
        let start = self.text.len().saturating_sub(head);
        // No rule goes over what is longer, nor over a zero byte.
        let kept = if value.len() > BLOCK_BYTES_MAX || value.is_empty() { &[0] } else { value };
        append(&mut self.text, kept);
        self.marks.push_back(Mark { span: start..self.text.len(), marker, rule });
        kept.len()
    }

    /// What was held back goes out; the next piece begins another stream.
    pub(crate) fn finish(&mut self, report: &mut Report, out: &mut Vec<u8>) {
        self.decide(true, report, out);
        self.text = Zeroizing::default();
        self.marks.clear();
        self.done = 0;
    }

    /// Looks for known values in what is held back.
    pub(crate) fn look_for(&mut self, needles: &Needles, marker: &mut dyn FnMut(NeedleId) -> Vec<u8>) {
        let held = Zeroizing::new(self.text.get(self.done..).unwrap_or_default().to_vec());
        let (base, mut from) = (self.done, self.done);
        self.text.truncate(base);
        let mut marks = std::mem::take(&mut self.marks);
        loop {
            let mark = marks.pop_front();
            let upto = mark.as_ref().map_or(base + held.len(), |mark| mark.span.start.max(from));
            let between = held.get(from - base..upto - base).unwrap_or_default();
            let any = parts(needles, between, &mut |part| match part {
                Part::Text(text) => append(&mut self.text, text),
                Part::Value(id, head, value) => {
                    self.mark(head, value, marker(id), None);
                }
            });
            if !any {
                append(&mut self.text, between);
            }
            let Some(Mark { span, marker, rule }) = mark else { return };
            let known = held.get(upto - base..span.end - base).unwrap_or_default();
            self.mark(upto - span.start, known, marker, rule);
            from = span.end;
        }
    }

    /// Gives back what is held behind the last known value: a known value may begin in it. With what stands before it, so many bytes,
    /// which is not to come again. Nothing is decided until it [has come again](Self::goes_on).
    pub(crate) fn give_back(&mut self) -> Option<(Zeroizing<Vec<u8>>, usize)> {
        let from = self.marks.back().map_or(self.done, |mark| mark.span.end.max(self.done));
        let first = from.saturating_sub(GIVEN_BEFORE_BYTES_MAX);
        let given = Zeroizing::new(self.text.get(first..).filter(|_| from < self.text.len())?.to_vec());
        self.text.truncate(from);
        self.waits = true;
        Some((given, from - first))
    }

    /// What was given back has come again.
    pub(crate) fn goes_on(&mut self) {
        self.waits = false;
    }

    fn decide(&mut self, end: bool, report: &mut Report, out: &mut Vec<u8>) {
        if self.waits {
            return;
        }
        self.fresh = 0;
        let length = self.text.len();
        let mut upto = if end { length } else { self.rules.undecided(&self.text, HEAD_BYTES_MAX) };
        if upto <= self.done && !end {
            return;
        }
        let run = behind_last(&self.text, ends_run);
        let mut found = Vec::new();
        self.rules.find(&self.text, &mut |finding: Finding<'static>| found.push(finding));
        for Finding { rule, span } in found {
            if span.end <= self.done {
                continue;
            }
            // What ends where the text does may be longer, whatever its rule is; what ends in its last run may be a part of another.
            let near_end = span.end > run && length - span.start <= MATCH_BYTES_MAX;
            if !end && (span.end == length || near_end) {
                upto = upto.min(span.start.max(self.done));
                break;
            }
            if span.start >= upto {
                break;
            }
            if self.is_known(rule, &span) {
                continue;
            }
            self.show(span.start, report, out);
            if span.end <= self.done {
                continue;
            }
            report.rule(&rule.id);
            out.extend(marker_of(&rule.id));
            self.done = span.end;
            while self.marks.pop_front_if(|mark| mark.span.end <= self.done).is_some() {}
            // Of a known value that begins in this one and goes on behind it nothing is shown.
            self.show(self.done, report, out);
        }
        self.show(upto, report, out);
        self.forget();
    }

    /// Whether a rule says no more than a known value does: what stands before it is how every value of the rule begins.
    fn is_known(&self, rule: &Rule, span: &Range<usize>) -> bool {
        let start = span.start + begin_of(rule, self.text.get(span.clone()).unwrap_or_default());
        // They are in order, and none overlaps another.
        let first = self.marks.partition_point(|mark| mark.span.end < span.end);
        self.marks.get(first).is_some_and(|mark| mark.span.start <= start)
    }

    /// Shows what stands before this place, with the markers in it: a known value that goes over it is replaced, too.
    fn show(&mut self, upto: usize, report: &mut Report, out: &mut Vec<u8>) {
        while let Some(Mark { span, marker, rule }) = self.marks.pop_front_if(|mark| mark.span.start < upto) {
            rule.iter().for_each(|rule| report.rule(rule));
            out.extend_from_slice(self.text.get(self.done..span.start).unwrap_or_default());
            out.extend_from_slice(&marker);
            self.done = self.done.max(span.end);
        }
        out.extend_from_slice(self.text.get(self.done..upto).unwrap_or_default());
        self.done = self.done.max(upto);
    }

    /// Of what was shown only the last run is looked at again, and what stands in its line before it.
    fn forget(&mut self) {
        let shown = self.text.get(..self.done).unwrap_or_default();
        let line = behind_last(shown, |byte| byte == b'\n');
        let run = behind_last(shown, ends_run).saturating_sub(WORD_BYTES_MAX);
        let keep = line.max(run).max(self.done.saturating_sub(BEFORE_BYTES_MAX));
        self.text.drain(..keep);
        self.done -= keep;
        for Mark { span, .. } in &mut self.marks {
            *span = span.start.saturating_sub(keep)..span.end - keep;
        }
    }
}

/// So many bytes of a value are how every value of its rule begins.
pub(crate) fn begin_of(rule: &Rule, value: &[u8]) -> usize {
    let begins = rule.begins.iter().filter(|begin| value.starts_with(begin.as_bytes()));
    begins.map(String::len).max().unwrap_or(0)
}

/// Behind the last byte of which this is true.
fn behind_last(text: &[u8], is: impl Fn(u8) -> bool) -> usize {
    text.iter().rposition(|byte| is(*byte)).map_or(0, |at| at + 1)
}

/// Grows into a new buffer, so that the old one is overwritten and not merely freed.
pub(crate) fn append(held: &mut Zeroizing<Vec<u8>>, input: &[u8]) {
    let needed = held.len() + input.len();
    if needed > held.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two()));
        larger.extend_from_slice(held);
        *held = larger;
    }
    held.extend_from_slice(input);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> RuleStream {
        let rule = "[[rule]]\nid='form'\nprovider='p'\ntitle='t'\nsource='https://x.y'\nbegins=['tok_']\nregex='tok_[a-z0-9]{8,40}'\n";
        RuleStream::new(Box::leak(Box::new(Rules::read(&[("mine", rule)]).unwrap())))
    }

    /// To look at a run again at each of the values in it would take time without end.
    #[test]
    fn a_piece_is_decided_once_and_not_at_each_value_in_it() {
        let (mut stream, mut report, mut out) = (stream(), Report::default(), Vec::new());
        for _ in 0..100 {
            stream.push(b"x ", &mut report, &mut out);
            stream.push_value(0, b"01234567", b"[v]".to_vec(), &mut report, &mut out);
            stream.push_found(b"89", Some("form"), &mut report, &mut out);
        }
        assert!(out.is_empty(), "{}", out.len());
        stream.settle(&mut report, &mut out);
        assert_eq!(out, b"x [v][redacted:form]".repeat(100));
        out.clear();
        for _ in 0..PIECE_BYTES_MAX {
            stream.push_value(0, b"01234567", b"[v]".to_vec(), &mut report, &mut out);
            assert!(stream.text.len() <= 2 * PIECE_BYTES_MAX);
        }
        stream.finish(&mut report, &mut out);
        assert_eq!(out, b"[v]".repeat(PIECE_BYTES_MAX));
    }
}
