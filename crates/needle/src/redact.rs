use std::borrow::Cow;

use crate::Needles;
use crate::regions::{Region, merge, push_marker};

impl Needles {
    /// Replaces every run of overlapping occurrences, also of those that something [stands within](Self::find_across), by `[redacted:<name>]`; borrowed when there is none.
    pub fn redact<'i>(&self, input: &'i [u8]) -> Cow<'i, [u8]> {
        let mut found = Vec::new();
        self.find(input, &mut |hit| found.push(Region::from(hit)));
        self.find_across(input, &mut |hit| found.push(Region::from(hit)));
        if found.is_empty() {
            return Cow::Borrowed(input);
        }
        let mut out = Vec::with_capacity(input.len());
        let mut at = 0;
        for region in merge(found) {
            out.extend_from_slice(input.get(at..region.start).unwrap_or_default());
            push_marker(self, region.id, &mut out);
            at = region.end;
        }
        out.extend_from_slice(input.get(at..).unwrap_or_default());
        Cow::Owned(out)
    }

    /// Replaces in text; the text is returned as it was when nothing is found.
    pub fn redact_text<'i>(&self, input: &'i str) -> Cow<'i, str> {
        match self.redact(input.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(input),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }
}
