use std::ops::Range;

use zeroize::Zeroizing;

use crate::json::lenient;

/// The byte order mark.
const BOM: &[u8] = "\u{feff}".as_bytes();

/// The fields of an event stream; other lines have no meaning.
const FIELDS: [&[u8]; 4] = [b"data", b"event", b"id", b"retry"];

/// The longest event name that is used, bytes.
const NAME_BYTES_MAX: usize = 128;

/// A parsed event (`text/event-stream`), without its data. Source:
/// <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>
#[derive(Clone)]
pub(crate) struct EventFrame {
    /// The lines before the data.
    head: Vec<u8>,
    /// `data:` as it was written, with its space.
    field: Vec<u8>,
    line_end: Vec<u8>,
    /// The other lines after the data.
    tail: Vec<u8>,
}

impl EventFrame {
    /// `None` for an event without data.
    pub(crate) fn of(event: &[u8]) -> Option<(Self, Zeroizing<Vec<u8>>)> {
        let mut frame = Self { head: Vec::new(), field: Vec::new(), line_end: Vec::new(), tail: Vec::new() };
        let mut data = Zeroizing::new(Vec::with_capacity(event.len()));
        let first = lines(event).next().and_then(|(line, _)| event.get(line)).unwrap_or_default();
        let (mut any, alone) = (false, json_at(first).is_some());
        for (line, end) in lines(event) {
            let (line, end) = (event.get(line.clone())?, event.get(line.end..end)?);
            let json = json_at(line).filter(|_| alone).and_then(|at| line.get(at..));
            let Some(value) = json.or_else(|| data_of(line)) else {
                let other = if any { &mut frame.tail } else { &mut frame.head };
                other.extend_from_slice(line);
                other.extend_from_slice(end);
                continue;
            };
            if any {
                data.push(b'\n');
            } else {
                any = true;
                frame.field = line.get(..line.len() - value.len())?.to_vec();
                // A field without a colon is empty, and would merge with new data.
                if frame.field.ends_with(b"data") {
                    frame.field.push(b':');
                }
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
            // The first space after the colon is not part of the data.
            if line.starts_with(b" ") && field.ends_with(b":") {
                event.push(b' ');
            }
            event.extend_from_slice(line);
            event.extend_from_slice(&self.line_end);
        }
        event.extend_from_slice(&self.tail);
        event
    }

    /// The frame for a later event, without a byte order mark.
    pub(crate) fn again(&self) -> Self {
        let mut again = self.clone();
        for part in [&mut again.head, &mut again.field] {
            if part.starts_with(BOM) {
                part.drain(..BOM.len());
            }
        }
        again
    }

    /// The name in the event's own field; the last one counts.
    pub(crate) fn name(&self) -> Option<&str> {
        let lines = [&self.head, &self.tail]
            .into_iter()
            .flat_map(|part| part.split(|byte| matches!(byte, b'\n' | b'\r')));
        let name = lines.filter_map(|line| line.strip_prefix(b"event:")).next_back()?;
        std::str::from_utf8(name.strip_prefix(b" ").unwrap_or(name))
            .ok()
            .filter(|name| name.len() <= NAME_BYTES_MAX)
    }

    /// The length without data, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.head.len() + self.field.len() + self.line_end.len() + self.tail.len()
    }
}

/// Where JSON begins in a line: after spaces, a byte order mark, or a record separator (RFC 7464). `None` if it is
/// not JSON; a list or a text must end with the line, because `[` and `"` also begin other lines. A JSON line is an
/// event of its own; an event stream ignores it.
pub(crate) fn json_at(line: &[u8]) -> Option<usize> {
    let mut rest = line;
    loop {
        rest = match rest {
            [0xEF, 0xBB, 0xBF, rest @ ..] | [b' ' | b'\t' | 0x1E, rest @ ..] => rest,
            [b'{', ..] => break,
            [b'[' | b'"', ..] if lenient::looks_like_it(rest) && memchr::memchr(b'"', rest).is_some() => {
                break;
            }
            _ => return None,
        };
    }
    Some(line.len() - rest.len())
}

/// Whether a line is a field of an event stream.
pub(crate) fn is_field(line: &[u8]) -> bool {
    let line = line.strip_prefix(BOM).unwrap_or(line);
    let name = memchr::memchr(b':', line).and_then(|colon| line.get(..colon)).unwrap_or(line);
    FIELDS.contains(&name)
}

/// The data in a line.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    match line.strip_prefix(BOM).unwrap_or(line).strip_prefix(b"data")? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

/// The lines, each with the end of its line end.
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
