use std::collections::VecDeque;
use std::ops::Range;

/// The findings of rules in single pieces, by offset in the stream, until they are reported.
#[derive(Default)]
pub(crate) struct RuleHits(VecDeque<RuleHit>);

struct RuleHit {
    span: Range<usize>,
    rule: &'static str,
    /// Whether its start was reported.
    begun: bool,
}

/// A part of the output, inside or outside of a finding.
pub(crate) enum RuleCover {
    Nothing,
    /// The rule, for the first part of a finding.
    ByRule(Option<&'static str>),
}

impl RuleHits {
    /// Adds a finding; they must be in order.
    pub(crate) fn push(&mut self, span: Range<usize>, rule: &'static str) {
        self.0.push_back(RuleHit { span, rule, begun: false });
    }

    /// Splits a text at this offset.
    pub(crate) fn text(&mut self, mut at: usize, text: &[u8], to: &mut dyn FnMut(&[u8], RuleCover)) {
        let mut rest = text;
        while !rest.is_empty() {
            let end = at + rest.len();
            let within = self.over(at..at);
            let upto = match self.0.front() {
                Some(found) if found.span.start <= at => found.span.end,
                Some(found) => found.span.start,
                None => end,
            };
            let (part, behind) = rest.split_at_checked(upto.min(end) - at).unwrap_or((rest, &[]));
            to(part, within);
            at += part.len();
            rest = behind;
        }
    }

    /// The finding that covers this range completely.
    pub(crate) fn over(&mut self, place: Range<usize>) -> RuleCover {
        while self.0.pop_front_if(|found| found.span.end <= place.start).is_some() {}
        match self.0.front_mut() {
            Some(found) if found.span.start <= place.start && place.end <= found.span.end => {
                let begun = std::mem::replace(&mut found.begun, true);
                RuleCover::ByRule((!begun).then_some(found.rule))
            }
            Some(_) | None => RuleCover::Nothing,
        }
    }
}
