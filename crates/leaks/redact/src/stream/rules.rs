use std::collections::VecDeque;
use std::ops::Range;

use keyroll_leak::{
    BLOCK_BYTES_MAX, BLOCK_CONTEXT_BYTES, MATCH_BYTES_MAX, NEAR_BYTES_MAX, Rule, RuleMatch, Rules,
    UndecidedTail, block_context, ends_run,
};
use keyroll_needle::{HEAD_BYTES_MAX, NeedleId, Needles};
use zeroize::Zeroizing;

use crate::Report;
use crate::marker::marker_of;
use crate::stream::pending_hits::{StreamPart, parts};
use keyroll_needle::append_wiped;

/// How far before a value its word is searched, bytes, with one more byte: a letter before it means that it is not
/// the start of a word.
pub(crate) const WORD_BYTES_MAX: usize = NEAR_BYTES_MAX + 1;

/// How much of a line is kept before its last run, bytes: a word, or what is before each line of a block.
const LINE_BYTES_MAX: usize = WORD_BYTES_MAX + BLOCK_CONTEXT_BYTES;

/// Bytes that are kept after they were shown: a value may have begun there, after a word.
const BEFORE_BYTES_MAX: usize = MATCH_BYTES_MAX + LINE_BYTES_MAX;

/// Bytes that are returned before the held-back ones: a known value may have begun there.
const GIVEN_BEFORE_BYTES_MAX: usize = 256;

/// Input is processed in pieces of this size, so that memory stays bounded, bytes.
pub(crate) const PIECE_BYTES_MAX: usize = 64 * 1024;

/// Redacts the findings of rules in a stream; does no IO.
///
/// Input is decided when the caller [asks for it](Self::settle), or if there is much of it; not at each known value,
/// because one run may contain thousands.
///
/// A value is decided when its run of bytes has ended: with a space, a quote, a line end, or the stream. So the last
/// run of a piece is held back, but only if it contains a rule's complete prefix, may become a value whose word is
/// still to come, or may become or be a value at most 64 bytes after a word of its rule in the same line; and a
/// private key from its first line on. If other text is before or after each of its lines, or between them, only the
/// content is held back and replaced. An incomplete public prefix is shown at once. A value has at most 4 KiB, a
/// private key 16 KiB: less is held back.
///
/// Properties for any cuts, for rules whose values contain no space or quote after their prefix, and for private
/// keys:
/// - The output is that of [`Rules::find`] on the whole text, except for heads: a head at the end of a piece was
///   shown, and the marker follows it. A head is shorter than the prefix of a value. For a rule with a word inside
///   its values it has at most five bytes, or sixteen without a digit and with letters of one case except the first;
///   for an address it is everything before that word. For a rule with a word before its values it has five bytes.
/// - Nothing is held back if the last run cannot become a value, or only a head of one.
/// - The end of the stream releases everything.
/// - Memory is bounded, also for a run without end. In a run of more than 4 KiB with several overlapping values,
///   other ones may be reported than in the whole text, each with its own marker.
pub(crate) struct RuleStream {
    rules: &'static Rules,
    /// The bytes that were shown but are still scanned, and those that are held back; with known values, which may be
    /// a part of a finding.
    text: Zeroizing<Vec<u8>>,
    /// How many of them were shown.
    done: usize,
    /// The known values in the held-back bytes, and findings of rules in single pieces.
    marks: VecDeque<KnownValueMark>,
    /// Bytes since the last decision.
    fresh: usize,
    /// Whether decisions are postponed because the returned bytes will come again.
    waits: bool,
}

/// A known value with its marker. Its head may have been shown.
struct KnownValueMark {
    span: Range<usize>,
    marker: Vec<u8>,
    /// The rule, for a finding of a rule.
    rule: Option<&'static str>,
}

impl RuleStream {
    pub(crate) fn new(rules: &'static Rules) -> Self {
        Self::behind(rules, &[])
    }

    /// A stream after this text, which is not output.
    pub(crate) fn behind(rules: &'static Rules, before: &[u8]) -> Self {
        let text = Zeroizing::new(before.to_vec());
        Self { rules, text, done: before.len(), marks: VecDeque::new(), fresh: 0, waits: false }
    }

    pub(crate) fn held_back(&self) -> usize {
        self.text.len() - self.done
    }

    pub(crate) fn push(&mut self, input: &[u8], report: &mut Report, out: &mut Vec<u8>) {
        for piece in input.chunks(PIECE_BYTES_MAX) {
            append_wiped(&mut self.text, piece);
            self.came(piece.len(), report, out);
        }
    }

    /// Outputs everything that can be decided.
    pub(crate) fn settle(&mut self, report: &mut Report, out: &mut Vec<u8>) {
        self.decide(false, report, out);
    }

    /// Bounds memory between calls of `settle`.
    fn came(&mut self, bytes: usize, report: &mut Report, out: &mut Vec<u8>) {
        self.fresh += bytes;
        if self.fresh >= PIECE_BYTES_MAX {
            self.decide(false, report, out);
        }
    }

    /// Adds a known value, or the marker of a value that is no longer known. If a rule's finding contains more than
    /// the value, the rule's marker replaces all of it. The first `head` bytes of the value are the last ones of the
    /// text already.
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

    /// Adds a finding of a rule in a single piece, or a part of it; the first part has the rule.
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

    /// Returns the number of bytes that stand for the value in the text.
    fn mark(&mut self, head: usize, value: &[u8], marker: Vec<u8>, rule: Option<&'static str>) -> usize {
        let start = self.text.len().saturating_sub(head);
        // No rule matches a longer value, or across a zero byte.
        let kept = if value.len() > BLOCK_BYTES_MAX || value.is_empty() { &[0] } else { value };
        append_wiped(&mut self.text, kept);
        self.marks.push_back(KnownValueMark { span: start..self.text.len(), marker, rule });
        kept.len()
    }

    /// Outputs the held-back bytes; the next piece begins another stream.
    pub(crate) fn finish(&mut self, report: &mut Report, out: &mut Vec<u8>) {
        self.decide(true, report, out);
        self.text = Zeroizing::default();
        self.marks.clear();
        self.done = 0;
    }

    /// Finds known values in the held-back bytes.
    pub(crate) fn set_needles(&mut self, needles: &Needles, marker: &mut dyn FnMut(NeedleId) -> Vec<u8>) {
        let held = Zeroizing::new(self.text.get(self.done..).unwrap_or_default().to_vec());
        let (base, mut from) = (self.done, self.done);
        self.text.truncate(base);
        let mut marks = std::mem::take(&mut self.marks);
        loop {
            let mark = marks.pop_front();
            let upto = mark.as_ref().map_or(base + held.len(), |mark| mark.span.start.max(from));
            let between = held.get(from - base..upto - base).unwrap_or_default();
            let any = parts(needles, between, &mut |part| match part {
                StreamPart::Text(text) => append_wiped(&mut self.text, text),
                StreamPart::Value(id, head, value) => {
                    self.mark(head, value, marker(id), None);
                }
            });
            if !any {
                append_wiped(&mut self.text, between);
            }
            let Some(KnownValueMark { span, marker, rule }) = mark else { return };
            let known = held.get(upto - base..span.end - base).unwrap_or_default();
            self.mark(upto - span.start, known, marker, rule);
            from = span.end;
        }
    }

    /// Returns the held-back bytes after the last known value, with some before them, and the number of those: a
    /// known value may begin in them. Nothing is decided until [they came again](Self::goes_on).
    pub(crate) fn give_back(&mut self) -> Option<(Zeroizing<Vec<u8>>, usize)> {
        let from = self.marks.back().map_or(self.done, |mark| mark.span.end.max(self.done));
        let first = from.saturating_sub(GIVEN_BEFORE_BYTES_MAX);
        let given = Zeroizing::new(self.text.get(first..).filter(|_| from < self.text.len())?.to_vec());
        self.text.truncate(from);
        self.waits = true;
        Some((given, from - first))
    }

    /// The returned bytes came again.
    pub(crate) fn goes_on(&mut self) {
        self.waits = false;
    }

    fn decide(&mut self, end: bool, report: &mut Report, out: &mut Vec<u8>) {
        if self.waits {
            return;
        }
        self.fresh = 0;
        let length = self.text.len();
        let UndecidedTail { start: mut upto, context } = match end {
            true => UndecidedTail { start: length, context: length },
            false => self.rules.undecided(&self.text, HEAD_BYTES_MAX),
        };
        if upto <= self.done && !end {
            return;
        }
        let run = behind_last(&self.text, ends_run);
        let mut found = Vec::new();
        self.rules.find(&self.text, &mut |finding: RuleMatch<'static>| found.push(finding));
        for RuleMatch { rule, span, .. } in &found {
            if span.end <= self.done {
                continue;
            }
            // A finding at the end of the text may be longer; one in its last run may be part of another.
            let near_end = span.end > run && length - span.start <= MATCH_BYTES_MAX;
            if !end && (span.end == length || near_end) {
                upto = upto.min(span.start.max(self.done));
                break;
            }
            if span.start >= upto {
                break;
            }
            if self.is_known(rule, span) {
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
            // Hides the rest of a known value that begins in the finding.
            self.show(self.done, report, out);
        }
        self.show(upto, report, out);
        // A finding that waits must be found again: the first line of its block stays, though the block has ended. No
        // more than that stays: a block whose line is cut before it would be read with other text before its lines.
        let waits = found.iter().filter(|finding| finding.span.end > self.done);
        let first = waits.filter_map(|finding| finding.block).min();
        self.forget(first.map_or(context, |block| context.min(block_context(&self.text, block))));
    }

    /// Whether a rule's finding adds only the rule's public prefix to a known value.
    fn is_known(&self, rule: &Rule, span: &Range<usize>) -> bool {
        let start = span.start + begin_of(rule, self.text.get(span.clone()).unwrap_or_default());
        // They are in order, without overlaps.
        let first = self.marks.partition_point(|mark| mark.span.end < span.end);
        self.marks.get(first).is_some_and(|mark| mark.span.start <= start)
    }

    /// Outputs the text before this position, with the markers in it; a known value that extends over it is replaced
    /// too.
    fn show(&mut self, upto: usize, report: &mut Report, out: &mut Vec<u8>) {
        while let Some(KnownValueMark { span, marker, rule }) =
            self.marks.pop_front_if(|mark| mark.span.start < upto)
        {
            rule.iter().for_each(|rule| report.rule(rule));
            out.extend_from_slice(self.text.get(self.done..span.start).unwrap_or_default());
            out.extend_from_slice(&marker);
            self.done = self.done.max(span.end);
        }
        out.extend_from_slice(self.text.get(self.done..upto).unwrap_or_default());
        self.done = self.done.max(upto);
    }

    /// Keeps of the shown bytes only the last run, its line before it, and what is after `context`.
    fn forget(&mut self, context: usize) {
        let shown = self.text.get(..self.done).unwrap_or_default();
        let line = behind_last(shown, |byte| byte == b'\n');
        let run = behind_last(shown, ends_run).saturating_sub(LINE_BYTES_MAX);
        let keep = line.max(run).max(self.done.saturating_sub(BEFORE_BYTES_MAX)).min(context);
        self.text.drain(..keep);
        self.done -= keep;
        for KnownValueMark { span, .. } in &mut self.marks {
            *span = span.start.saturating_sub(keep)..span.end - keep;
        }
    }
}

/// The length of the rule's public prefix in a value.
pub(crate) fn begin_of(rule: &Rule, value: &[u8]) -> usize {
    let begins = rule.begins.iter().filter(|begin| value.starts_with(begin.as_bytes()));
    begins.map(String::len).max().unwrap_or(0)
}

/// The position after the last byte for which `is` holds.
fn behind_last(text: &[u8], is: impl Fn(u8) -> bool) -> usize {
    text.iter().rposition(|byte| is(*byte)).map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> RuleStream {
        let rule = "[[rule]]\nid='form'\nprovider='p'\ntitle='t'\nsource='https://x.y'\nbegins=['tok_']\nregex='tok_[a-z0-9]{8,40}'\n";
        RuleStream::new(Box::leak(Box::new(Rules::read(&[("mine", rule)]).unwrap())))
    }

    /// Scanning a run again at each of its values would take quadratic time.
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
