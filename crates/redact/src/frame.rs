use std::ops::Range;

use zeroize::Zeroizing;

/// How a line begins that is JSON, and an event of its own; in a stream of events such a line means nothing.
pub(crate) const ALONE: &[u8] = b"{";

/// Longer names of events are none that mean anything, bytes.
const NAME_BYTES_MAX: usize = 128;

/// An event of a stream (`text/event-stream`) taken apart: its data, and what stands around it.
/// Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>
#[derive(Clone)]
pub(crate) struct Frame {
    /// The lines before the data.
    head: Vec<u8>,
    /// `data:` as it was written, with its blank.
    field: Vec<u8>,
    line_end: Vec<u8>,
    /// The other lines behind.
    tail: Vec<u8>,
}

impl Frame {
    /// `None` = an event without data.
    pub(crate) fn of(event: &[u8]) -> Option<(Self, Zeroizing<Vec<u8>>)> {
        let mut frame = Self { head: Vec::new(), field: Vec::new(), line_end: Vec::new(), tail: Vec::new() };
        let mut data = Zeroizing::new(Vec::with_capacity(event.len()));
        let mut any = false;
        for (line, end) in lines(event) {
            let (line, end) = (event.get(line.clone())?, event.get(line.end..end)?);
            let named = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line).strip_prefix(b"data");
            let value =
                named.and_then(|rest| if rest.is_empty() { Some(rest) } else { rest.strip_prefix(b":") });
            let alone = Some(line).filter(|line| line.starts_with(ALONE) && event.starts_with(ALONE));
            let Some(value) = alone.or(value) else {
                let other = if any { &mut frame.tail } else { &mut frame.head };
                other.extend_from_slice(line);
                other.extend_from_slice(end);
                continue;
            };
            let value = value.strip_prefix(b" ").unwrap_or(value);
            if any {
                data.push(b'\n');
            } else {
                any = true;
                frame.field = line.get(..line.len() - value.len())?.to_vec();
                frame.line_end = if end.is_empty() { b"\n".to_vec() } else { end.to_vec() };
            }
            data.extend_from_slice(value);
        }
        any.then_some((frame, data))
    }

    /// The event with other data.
    pub(crate) fn with(&self, data: &[u8]) -> Vec<u8> {
        let mut event = self.head.clone();
        for (number, line) in data.split(|byte| *byte == b'\n').enumerate() {
            let field = if number == 0 { self.field.as_slice() } else { b"data: " };
            event.extend_from_slice(field);
            event.extend_from_slice(line);
            event.extend_from_slice(&self.line_end);
        }
        event.extend_from_slice(&self.tail);
        event
    }

    /// What the event is called in a line of its own; the last one counts.
    pub(crate) fn name(&self) -> Option<&str> {
        let lines = [&self.head, &self.tail]
            .into_iter()
            .flat_map(|part| part.split(|byte| matches!(byte, b'\n' | b'\r')));
        let name = lines.filter_map(|line| line.strip_prefix(b"event:")).next_back()?;
        std::str::from_utf8(name.strip_prefix(b" ").unwrap_or(name))
            .ok()
            .filter(|name| name.len() <= NAME_BYTES_MAX)
    }

    /// The bytes around the data.
    pub(crate) fn bytes(&self) -> usize {
        self.head.len() + self.field.len() + self.line_end.len() + self.tail.len()
    }
}

/// Lines, and where their ends end.
fn lines(event: &[u8]) -> impl Iterator<Item = (Range<usize>, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = event.get(at..).filter(|rest| !rest.is_empty())?;
        let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let line = at..at + length;
        at = line.end
            + match rest.get(length..).unwrap_or_default() {
                [b'\r', b'\n', ..] => 2,
                [] => 0,
                _ => 1,
            };
        Some((line, at))
    })
}
