use std::borrow::Cow;

use crate::redaction::regions::{Region, merge, push_marker};
use crate::{Needles, Piece};

impl Needles {
    /// Replaces overlapping occurrences by `[redacted:<name>]`, also those with [interruptions](Self::find_all);
    /// borrowed if there is none.
    pub fn redact<'i>(&self, input: &'i [u8]) -> Cow<'i, [u8]> {
        let found = self.regions(input);
        if found.is_empty() {
            return Cow::Borrowed(input);
        }
        let mut out = Vec::with_capacity(input.len());
        pieces(input, found, &mut |piece| match piece {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Value(id) => push_marker(self, id, &mut out),
        });
        Cow::Owned(out)
    }

    /// Like [`redact`](Self::redact), but returns text and values separately, in order. Returns false, without a
    /// call, if there is no value.
    pub fn pieces(&self, input: &[u8], to: &mut dyn FnMut(Piece<'_>)) -> bool {
        let found = self.regions(input);
        let any = !found.is_empty();
        if any {
            pieces(input, found, to);
        }
        any
    }

    fn regions(&self, input: &[u8]) -> Vec<Region> {
        let mut found = Vec::new();
        self.find_all(input, &mut |hit| found.push(Region::from(hit)));
        merge(found)
    }

    /// Like [`redact`](Self::redact) for a `str`.
    pub fn redact_text<'i>(&self, input: &'i str) -> Cow<'i, str> {
        match self.redact(input.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(input),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }
}

fn pieces(input: &[u8], found: Vec<Region>, to: &mut dyn FnMut(Piece<'_>)) {
    let mut at = 0;
    for region in found {
        to(Piece::Text(input.get(at..region.start).unwrap_or_default()));
        to(Piece::Value(region.id));
        at = region.end;
    }
    to(Piece::Text(input.get(at..).unwrap_or_default()));
}
