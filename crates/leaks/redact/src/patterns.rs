use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

use keyroll_leak::{Rule, RuleMatch, Rules};
use keyroll_needle::{Needles, Piece, Redactor, VALUE_BYTES_MIN};
use memchr::memmem;
use zeroize::Zeroizing;

use crate::Report;
use crate::marker::{MARKER_START, marker, marker_of};
use crate::stream::pending_hits::{StreamPart, merged, parts};
use crate::stream::rules::{RuleStream, begin_of};

/// What is redacted: known values, and credentials found by rules. Cheap to clone.
#[derive(Clone)]
pub struct Patterns {
    /// At the start of a stream; each stream clones it.
    known: Arc<Redactor>,
    rules: Option<&'static Rules>,
}

impl Patterns {
    /// Known values, and optionally rules.
    pub fn new(needles: Arc<Needles>, rules: Option<&'static Rules>) -> Self {
        Self { known: Arc::new(Redactor::new(needles)), rules }
    }

    /// The same rules with other values.
    pub fn with(&self, needles: Arc<Needles>) -> Self {
        Self::new(needles, self.rules)
    }

    /// The same values; rules apply only to single pieces.
    pub(crate) fn each_alone(&self) -> Self {
        static NONE: OnceLock<Option<Rules>> = OnceLock::new();
        let none = || NONE.get_or_init(|| Rules::read(&[]).ok()).as_ref();
        Self { known: Arc::clone(&self.known), rules: self.rules.and_then(|_| none()) }
    }

    /// The findings of rules in a whole text after another one, in order. Leaves out those that add only a public
    /// prefix to a known value.
    pub(crate) fn by_rule(&self, before: &[u8], text: &[u8]) -> Vec<(Range<usize>, &'static str)> {
        let (Some(rules), mut found) = (self.rules, Vec::new()) else { return Vec::new() };
        rules.find(&joined(before, text), &mut |RuleMatch { rule, span, .. }| {
            let start = span.start.saturating_sub(before.len());
            if let Some(end) = span.end.checked_sub(before.len()).filter(|end| *end > 0) {
                found.push((start..end, rule));
            }
        });
        if found.is_empty() {
            return Vec::new();
        }
        let known = merged(self.known.needles(), text);
        let more = |(span, rule): &(Range<usize>, &Rule)| {
            let begin = begin_of(rule, text.get(span.clone()).unwrap_or_default());
            // They are in order, without overlaps.
            let first = known.partition_point(|known| known.end < span.end);
            known.get(first).is_none_or(|known| known.start > span.start + begin)
        };
        found.into_iter().filter(more).map(|(span, rule)| (span, rule.id.as_str())).collect()
    }

    pub(crate) fn known(&self) -> &Redactor {
        &self.known
    }

    pub(crate) fn rules(&self) -> Option<&'static Rules> {
        self.rules
    }

    /// Redacts a whole text; `None` if it has no finding.
    pub fn replace(&self, text: &[u8], report: &mut Report) -> Option<Vec<u8>> {
        let needles = self.known.needles();
        let mut out = Vec::new();
        let Some(rules) = self.rules else {
            let any = needles.pieces(text, &mut |piece| match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Value(id) => out.extend(marker(needles, id, report)),
            });
            return any.then_some(out);
        };
        self.by_rules(rules, &[], text, &[], report)
    }

    /// Like [`replace`](Self::replace) for a text after another one, which rules scan together.
    pub(crate) fn replace_behind(&self, before: &[u8], text: &[u8], report: &mut Report) -> Option<Vec<u8>> {
        match self.rules.filter(|_| !before.is_empty()) {
            Some(rules) => self.by_rules(rules, before, text, &[], report),
            None => self.replace(text, report),
        }
    }

    /// Redacts a text that contains markers of this report, which no rule scans.
    pub(crate) fn replace_again(&self, text: &[u8], report: &mut Report) -> Option<Vec<u8>> {
        let Some(rules) = self.rules.filter(|_| !report.is_empty()) else {
            return self.replace(text, report);
        };
        let names = report.values.keys().chain(report.rules.keys());
        let markers: Vec<Vec<u8>> = names.map(|name| marker_of(name)).collect();
        self.by_rules(rules, &[], text, &markers, report)
    }

    /// The marker of a part of a text that a rule finds by the words before it.
    pub(crate) fn replace_by_name(&self, before: &[u8], part: &[u8], report: &mut Report) -> Option<Vec<u8>> {
        let rules = self.rules.filter(|_| part.len() >= VALUE_BYTES_MIN)?;
        let mut id = None;
        rules.find(&joined(before, part), &mut |finding| {
            if finding.span.end > before.len() {
                id = Some(finding.rule.id.as_str());
            }
        });
        report.rule(id?);
        id.map(marker_of)
    }

    fn by_rules(
        &self,
        rules: &'static Rules,
        behind: &[u8],
        text: &[u8],
        markers: &[Vec<u8>],
        report: &mut Report,
    ) -> Option<Vec<u8>> {
        let needles = self.known.needles();
        let mut pass = RulePass { stream: RuleStream::behind(rules, behind), markers, out: Vec::new() };
        let before = report.count();
        let any = parts(needles, text, &mut |part| match part {
            StreamPart::Text(text) => pass.text(text, report),
            StreamPart::Value(id, head, value) => {
                let marker = marker(needles, id, report);
                pass.stream.push_value(head, value, marker, report, &mut pass.out);
            }
        });
        if !any {
            let mut found = false;
            rules.find(&joined(behind, text), &mut |finding| found |= finding.span.end > behind.len());
            if !found {
                return None;
            }
            pass.text(text, report);
        }
        pass.stream.finish(report, &mut pass.out);
        (report.count() > before).then_some(pass.out)
    }
}

/// A text on its way through the rules.
struct RulePass<'m> {
    stream: RuleStream,
    markers: &'m [Vec<u8>],
    out: Vec<u8>,
}

impl RulePass<'_> {
    fn text(&mut self, text: &[u8], report: &mut Report) {
        let mut from = 0;
        let places = (!self.markers.is_empty()).then(|| memmem::find_iter(text, MARKER_START));
        for at in places.into_iter().flatten() {
            let there = text.get(at..).unwrap_or_default();
            // Text that only looks like a marker is not skipped.
            let marker = self.markers.iter().find(|marker| at >= from && there.starts_with(marker));
            let Some(marker) = marker else { continue };
            self.stream.push(text.get(from..at).unwrap_or_default(), report, &mut self.out);
            self.stream.push_value(0, &[], marker.clone(), report, &mut self.out);
            from = at + marker.len();
        }
        self.stream.push(text.get(from..).unwrap_or_default(), report, &mut self.out);
    }
}

/// Two texts, joined only if necessary.
fn joined<'t>(before: &[u8], text: &'t [u8]) -> PrecededText<'t> {
    match before {
        [] => PrecededText::Same(text),
        _ => PrecededText::New(Zeroizing::new([before, text].concat())),
    }
}

enum PrecededText<'t> {
    Same(&'t [u8]),
    New(Zeroizing<Vec<u8>>),
}

impl Deref for PrecededText<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Same(text) => text,
            Self::New(text) => text,
        }
    }
}
