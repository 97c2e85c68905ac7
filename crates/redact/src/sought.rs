use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

use keyroll_leak::{Finding, Rule, Rules};
use keyroll_needle::{NeedleId, Needles, Piece, Redactor, VALUE_BYTES_MIN};
use memchr::memmem;
use zeroize::Zeroizing;

use crate::Report;
use crate::covered::{Part, merged, parts};
use crate::rules_stream::{RuleStream, begin_of};

/// What is looked for: known values, and credentials by rule. A copy costs nothing.
#[derive(Clone)]
pub struct Sought {
    /// At the beginning of a stream; each stream takes another one.
    known: Arc<Redactor>,
    rules: Option<&'static Rules>,
}

impl Sought {
    /// These values; with rules, what they find as well.
    pub fn new(needles: Arc<Needles>, rules: Option<&'static Rules>) -> Self {
        Self { known: Arc::new(Redactor::new(needles)), rules }
    }

    /// The same rules and other values.
    pub fn with(&self, needles: Arc<Needles>) -> Self {
        Self::new(needles, self.rules)
    }

    /// The same values; of rules only what they find in a piece by itself.
    pub(crate) fn each_alone(&self) -> Self {
        static NONE: OnceLock<Option<Rules>> = OnceLock::new();
        let none = || NONE.get_or_init(|| Rules::read(&[]).ok()).as_ref();
        Self { known: Arc::clone(&self.known), rules: self.rules.and_then(|_| none()) }
    }

    /// What rules find in a whole text behind another one, in its order, where it is more than a known value behind a beginning.
    pub(crate) fn by_rule(&self, before: &[u8], text: &[u8]) -> Vec<(Range<usize>, &'static str)> {
        let (Some(rules), mut found) = (self.rules, Vec::new()) else { return Vec::new() };
        rules.find(&joined(before, text), &mut |Finding { rule, span }| {
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
            // They are in order, and none overlaps another.
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

    /// Replaces in a whole text; `None` = nothing in it is to be replaced.
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

    /// As [`replace`](Self::replace), for a text behind another one: what rules find is told by both.
    pub(crate) fn replace_behind(&self, before: &[u8], text: &[u8], report: &mut Report) -> Option<Vec<u8>> {
        match self.rules.filter(|_| !before.is_empty()) {
            Some(rules) => self.by_rules(rules, before, text, &[], report),
            None => self.replace(text, report),
        }
    }

    /// Replaces in a text that markers of this report stand in: no rule looks at them.
    pub(crate) fn replace_again(&self, text: &[u8], report: &mut Report) -> Option<Vec<u8>> {
        let Some(rules) = self.rules.filter(|_| !report.is_empty()) else {
            return self.replace(text, report);
        };
        let names = report.values.keys().chain(report.rules.keys());
        let markers: Vec<Vec<u8>> = names.map(|name| marker_of(name)).collect();
        self.by_rules(rules, &[], text, &markers, report)
    }

    /// What a part of a text is replaced by where what stands before it in its line says what it is.
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
        let mut pass = Pass { stream: RuleStream::behind(rules, behind), markers, out: Vec::new() };
        let before = report.count();
        let any = parts(needles, text, &mut |part| match part {
            Part::Text(text) => pass.text(text, report),
            Part::Value(id, head, value) => {
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
struct Pass<'m> {
    stream: RuleStream,
    markers: &'m [Vec<u8>],
    out: Vec<u8>,
}

impl Pass<'_> {
    fn text(&mut self, text: &[u8], report: &mut Report) {
        let mut from = 0;
        let places = (!self.markers.is_empty()).then(|| memmem::find_iter(text, MARKER));
        for at in places.into_iter().flatten() {
            let there = text.get(at..).unwrap_or_default();
            // Many texts may look like a marker, and are none.
            let marker = self.markers.iter().find(|marker| at >= from && there.starts_with(marker));
            let Some(marker) = marker else { continue };
            self.stream.push(text.get(from..at).unwrap_or_default(), report, &mut self.out);
            self.stream.push_value(0, &[], marker.clone(), report, &mut self.out);
            from = at + marker.len();
        }
        self.stream.push(text.get(from..).unwrap_or_default(), report, &mut self.out);
    }
}

/// A text behind another one.
fn joined<'t>(before: &[u8], text: &'t [u8]) -> Joined<'t> {
    match before {
        [] => Joined::Same(text),
        _ => Joined::New(Zeroizing::new([before, text].concat())),
    }
}

enum Joined<'t> {
    Same(&'t [u8]),
    New(Zeroizing<Vec<u8>>),
}

impl Deref for Joined<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Same(text) => text,
            Self::New(text) => text,
        }
    }
}

/// What stands for a known value; it is counted.
pub(crate) fn marker(needles: &Needles, id: NeedleId, report: &mut Report) -> Vec<u8> {
    let number = id.0.to_string();
    let name = needles.name(id).unwrap_or(&number);
    report.value(name);
    marker_of(name)
}

/// How markers begin.
const MARKER: &[u8] = b"[redacted:";

pub(crate) fn marker_of(name: &str) -> Vec<u8> {
    [MARKER, name.as_bytes(), b"]"].concat()
}
