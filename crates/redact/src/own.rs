use std::collections::VecDeque;
use std::ops::Range;

/// What rules find in pieces of a stream, each by itself, by its place in the stream; until it is told.
#[derive(Default)]
pub(crate) struct Own(VecDeque<Found>);

struct Found {
    span: Range<usize>,
    rule: &'static str,
    /// Its beginning was told.
    begun: bool,
}

/// A part of what is told, within what a rule found or beside it.
pub(crate) enum Within {
    Nothing,
    /// The rule, where the part is the first one of it.
    Found(Option<&'static str>),
}

impl Own {
    /// They are in their order.
    pub(crate) fn push(&mut self, span: Range<usize>, rule: &'static str) {
        self.0.push_back(Found { span, rule, begun: false });
    }

    /// A text that is told at this place, in parts.
    pub(crate) fn text(&mut self, mut at: usize, text: &[u8], to: &mut dyn FnMut(&[u8], Within)) {
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

    /// What is told at this place, where one goes over all of it.
    pub(crate) fn over(&mut self, place: Range<usize>) -> Within {
        while self.0.pop_front_if(|found| found.span.end <= place.start).is_some() {}
        match self.0.front_mut() {
            Some(found) if found.span.start <= place.start && place.end <= found.span.end => {
                let begun = std::mem::replace(&mut found.begun, true);
                Within::Found((!begun).then_some(found.rule))
            }
            Some(_) | None => Within::Nothing,
        }
    }
}
