use std::sync::Arc;

use keyroll_needle::{Needles, Piece, Redactor};

use crate::rules_stream::RuleStream;
use crate::sought::marker;
use crate::{Report, Sought};

/// What every stream goes through: known values are replaced by `[redacted:<name>]`, then what rules find by
/// `[redacted:<rule id>]`. Does no IO; nothing is lost in a crash but what was [held back](Self::held_back).
///
/// Known values: the output is that of the whole stream however it is cut, but for heads of at most five bytes of a value that are
/// shown before its marker ([`Redactor`]). Rules: but for the beginnings that everybody knows; in text that is longer than 4 KiB
/// without a blank more of a value may be cut off and replaced on its own, never shown. What is held back is at most the longest
/// form of a value, and behind that 4 KiB, in a private key 16 KiB.
pub struct Shield {
    known: Redactor,
    rules: Option<RuleStream>,
    report: Report,
}

impl Shield {
    /// At the beginning of a stream.
    pub fn new(sought: &Sought) -> Self {
        Self {
            known: sought.known().another(),
            rules: sought.rules().map(RuleStream::new),
            report: Report::default(),
        }
    }

    /// Takes a piece of the stream; what may be shown is put behind `out`.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let Self { known, rules, report } = self;
        let needles = Arc::clone(known.needles());
        known.push_to(input, &mut |piece| pass(&needles, rules.as_mut(), report, piece, out));
    }

    /// Known values that have ended are replaced now, and not only when it is sure that no other overlaps them.
    pub(crate) fn close(&mut self, out: &mut Vec<u8>) {
        let Self { known, rules, report } = self;
        let needles = Arc::clone(known.needles());
        known.close_to(&mut |piece| pass(&needles, rules.as_mut(), report, piece, out));
    }

    /// For rules what comes is a text of its own; known values may go over both.
    pub(crate) fn part(&mut self, out: &mut Vec<u8>) {
        if let Some(rules) = &mut self.rules {
            rules.push_marker(Vec::new(), &mut self.report, out);
        }
    }

    /// Ends the stream: what was held back is decided now. The next piece begins another stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let Self { known, rules, report } = self;
        let needles = Arc::clone(known.needles());
        known.finish_to(&mut |piece| pass(&needles, rules.as_mut(), report, piece, out));
        if let Some(rules) = rules {
            rules.finish(report, out);
        }
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
        if let Some(rules) = &mut self.rules {
            rules.look_for(&mut known.another(), &mut |id| marker(known.needles(), id, &mut self.report));
        }
    }

    /// How many bytes were taken and neither shown nor replaced.
    pub fn held_back(&self) -> usize {
        self.known.held_back() + self.rules.as_ref().map_or(0, RuleStream::held_back)
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

fn pass(
    needles: &Needles,
    rules: Option<&mut RuleStream>,
    report: &mut Report,
    piece: Piece<'_>,
    out: &mut Vec<u8>,
) {
    match (piece, rules) {
        (Piece::Text(text), None) => out.extend_from_slice(text),
        (Piece::Text(text), Some(rules)) => rules.push(text, report, out),
        (Piece::Value(id), None) => out.extend(marker(needles, id, report)),
        (Piece::Value(id), Some(rules)) => {
            let marker = marker(needles, id, report);
            rules.push_marker(marker, report, out);
        }
    }
}
