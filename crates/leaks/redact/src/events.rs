pub(crate) mod frame;
pub(crate) mod known_schemas;
pub(crate) mod tail;
pub(crate) mod text_mode;
pub(crate) mod text_stream;
pub(crate) mod unknown_schemas;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use keyroll_needle::Needles;
use zeroize::Zeroizing;

use crate::events::frame::{EventFrame, is_field, json_at};
use crate::events::known_schemas::{EventLeaf, EventMeaning, StreamEnd, StreamKey};
use crate::events::tail::{SiblingFields, TailEvent};
use crate::events::text_mode::TextMode;
use crate::events::text_stream::TextStream;
use crate::json::edits::apply;
use crate::json::lenient;
use crate::json::logprobs::{empty_tokens, without_tokens};
use crate::json::parse::visit;
use crate::json::text::{decode, quoted};
use crate::json::{before, edit, hides};
use crate::{Patterns, Report};
use keyroll_needle::append_wiped;

/// The longest event, bytes: 1 MiB.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// The most texts that are streamed at a time.
pub const STREAMS_MAX: usize = 1000;

/// The most texts that are treated as streamed although nothing declares that they are; further ones are scanned piece
/// by piece.
const UNLIKELY_MAX: usize = STREAMS_MAX / 2;

/// The event that ends a stream which cannot be scanned.
pub(crate) const WITHHELD: &[u8] = b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"withheld\",\"message\":\"the rest of this answer was withheld: it could not be checked for credentials\"}}\n\n";

/// Redacts a model's stream of events (`text/event-stream`) or JSON lines (`application/x-ndjson`: a line that
/// begins, after spaces, with an object, a list or a text, without an event field before it). Does no IO.
///
/// Texts that are sent in pieces are joined by choice, content block and tool call, each in its own
/// [`RedactingStream`](crate::RedactingStream): a value that is split between events is found. The schemas of
/// OpenAI's chat completions and responses and Anthropic's messages are known; in others names and positions decide,
/// up to 16 levels deep. Every other text is scanned by itself, and for known values that continue at the same
/// position of the next event. Text that is held back is sent with the next piece of its text, or before the event
/// that ends the text, in an event that only identifies the text. If each event repeats the text so far, each is
/// scanned as a whole, and its end is held back.
///
/// Then the bytes of the event are scanned as they are sent. An event without a replacement stays byte for byte the
/// same. If a piece is changed, the `logprobs` of its event are emptied. Malformed JSON is parsed leniently; other
/// data form one text.
///
/// If there are too many texts that only seem to be streamed, the oldest without held-back bytes are forgotten.
///
/// Fails closed: the stream ends with an event that says so, and nothing after it is shown, if an event has more than
/// [`EVENT_BYTES_MAX`] or is nested deeper than [`JSON_DEPTH_MAX`](crate::JSON_DEPTH_MAX), if more than
/// [`STREAMS_MAX`] texts are streamed at a time, or if a value spans several texts of an event or is found only after
/// unescaping malformed JSON.
pub struct RedactingEvents {
    patterns: Patterns,
    /// The incomplete event at the end.
    event: Zeroizing<Vec<u8>>,
    ends: LineState,
    texts: BTreeMap<StreamKey, TextStream>,
    /// The number of pieces so far.
    pieces: u64,
    report: Report,
    withheld: bool,
}

/// The parser's position in the lines of the stream.
#[derive(Default)]
struct LineState {
    /// The start of the line in the event.
    line: usize,
    /// Whether a line of the event is an event field.
    field: bool,
    /// Whether the last byte may be the first half of a line end.
    half: bool,
    /// Whether an empty line ended the event, so that the second half of its line end may follow.
    complete: bool,
}

impl RedactingEvents {
    /// Starts a stream.
    pub fn new(patterns: &Patterns) -> Self {
        Self {
            patterns: patterns.clone(),
            event: Zeroizing::default(),
            ends: LineState::default(),
            texts: BTreeMap::new(),
            pieces: 0,
            report: Report::default(),
            withheld: false,
        }
    }

    /// Replaces the known values, as [`RedactingStream::set_needles`] does.
    pub fn set_needles(&mut self, needles: Arc<Needles>) {
        self.patterns = self.patterns.with(needles);
        for text in self.texts.values_mut() {
            text.set_patterns(&self.patterns);
        }
    }

    /// The replacements so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Whether the stream was ended because it could not be scanned.
    pub fn is_withheld(&self) -> bool {
        self.withheld
    }

    /// Takes a piece of the stream, cut anywhere; appends complete events to `out`.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        for byte in input {
            if self.withheld {
                return;
            }
            let second = self.ends.half && *byte == b'\n';
            if self.ends.complete && !second {
                self.complete(out);
            }
            append_wiped(&mut self.event, &[*byte]);
            if self.event.len() > EVENT_BYTES_MAX {
                self.withhold(out);
                return;
            }
            let ends = &mut self.ends;
            ends.half = *byte == b'\r';
            match byte {
                b'\n' if second => {
                    ends.line = self.event.len();
                    if ends.complete {
                        self.complete(out);
                    }
                }
                b'\r' | b'\n' => {
                    self.ends.complete = self.line_ends(1, out);
                    if self.ends.complete && *byte == b'\n' {
                        self.complete(out);
                    }
                }
                _ => {}
            }
        }
    }

    /// Handles the end of a line. Returns whether it ends the event: a JSON line is an event of its own, and so are
    /// lines without a field before it.
    fn line_ends(&mut self, end: usize, out: &mut Vec<u8>) -> bool {
        let begin = std::mem::replace(&mut self.ends.line, self.event.len());
        let line = self.event.get(begin..self.event.len() - end).unwrap_or_default();
        let (empty, alone) = (line.is_empty(), !self.ends.field && json_at(line).is_some());
        self.ends.field |= is_field(line);
        if alone && begin > 0 {
            let line = Zeroizing::new(self.event.split_off(begin));
            self.complete(out);
            if self.withheld {
                return false;
            }
            self.ends.line = line.len();
            self.event = line;
        }
        empty || alone
    }

    /// Ends the stream: sends the bytes that were held back, and an incomplete event.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.withheld {
            return;
        }
        let open = !self.event.is_empty() && !self.ends.complete;
        if open {
            self.line_ends(0, out);
        }
        if !self.event.is_empty() {
            self.complete(out);
        }
        let mut rest = Vec::new();
        self.end(&BTreeSet::from([StreamEnd::All]), &mut rest);
        if open && !rest.is_empty() {
            out.extend_from_slice(b"\n\n");
        }
        out.extend(rest);
    }

    fn complete(&mut self, out: &mut Vec<u8>) {
        self.ends = LineState { half: self.ends.half, ..LineState::default() };
        let event = std::mem::take(&mut self.event);
        let Some((frame, data)) = EventFrame::of(&event) else { return self.send(&event, false, out) };
        if data.as_slice() == b"[DONE]" {
            self.end(&BTreeSet::from([StreamEnd::All]), out);
            return self.send(&event, false, out);
        }
        if lenient::is_too_deep(&data) {
            return self.withhold(out);
        }
        let mut leaves = Vec::new();
        let strict = visit(&data, &mut |way, kind, span| leaves.push(EventLeaf::new(way, kind, span)));
        let mut read = strict;
        if !strict {
            leaves.clear();
            read = lenient::visit(&data, &mut |way, kind, span| leaves.push(EventLeaf::new(way, kind, span)));
        }
        // In plain text, a number is a piece like any other word; so is a name with its value.
        let fragment = !strict && data.trim_ascii_start().starts_with(b"\"");
        if !read || fragment || !lenient::looks_like_it(&data) {
            return self.plain(&event, &frame, &data, out);
        }
        let meaning = EventMeaning::of(&data, frame.name(), &leaves);
        let Some(edits) = self.edits(&data, &leaves, &meaning) else { return self.withhold(out) };
        self.end(&meaning.ends, out);
        self.keep_forms(&frame, &data, &leaves, &meaning, &edits);
        if edits.is_empty() {
            self.send(&event, strict, out);
        } else {
            self.send(&frame.with(&apply(&data, 0..data.len(), &edits)), strict, out);
        }
    }

    /// Handles data that are not JSON: they are pieces of one text, sent as they are.
    fn plain(&mut self, event: &[u8], frame: &EventFrame, data: &[u8], out: &mut Vec<u8>) {
        let key = StreamKey { group: "plain".to_owned(), field: frame.name().unwrap_or_default().to_owned() };
        let Some(shown) = self.piece(&key, TextMode::Likely, (&[], data), false) else {
            return self.withhold(out);
        };
        if let Some(text) = self.texts.get_mut(&key).filter(|text| text.holds_back()) {
            text.form = TailEvent::plain(frame);
        }
        if shown == data { self.send(event, false, out) } else { self.send(&frame.with(&shown), false, out) }
    }

    /// The replacements of leaves, in order. `None`: there are too many texts.
    fn edits(
        &mut self,
        data: &[u8],
        leaves: &[EventLeaf],
        meaning: &EventMeaning,
    ) -> Option<Vec<(Range<usize>, Vec<u8>)>> {
        let mut edits = Vec::new();
        for (number, leaf) in leaves.iter().enumerate() {
            let piece = meaning.pieces.get(&number).filter(|(key, mode)| {
                *mode != TextMode::Unlikely || self.texts.len() < UNLIKELY_MAX || self.texts.contains_key(key)
            });
            let Some((key, mode)) = piece else {
                edits.extend(edit(&self.patterns, data, leaf.kind, leaf.span.clone(), &mut self.report));
                continue;
            };
            let Some(piece) = data.get(leaf.span.clone()).map(decode) else { continue };
            let near = before(data, &leaf.span);
            let shown = self.piece(key, *mode, (&near, &piece), meaning.ends(key))?;
            if shown != piece.as_slice() {
                edits.push((leaf.span.clone(), quoted(&shown)));
            }
        }
        // A list of tokens would repeat the replaced text.
        if !edits.is_empty() {
            let tokens = leaves.iter().filter(|leaf| leaf.of_tokens);
            let tokens = tokens.map(|leaf| (leaf.kind, leaf.span.clone())).collect();
            empty_tokens(data, tokens, &mut edits);
        }
        Some(edits)
    }

    /// Keeps the event's structure for the texts that hold bytes back.
    fn keep_forms(
        &mut self,
        frame: &EventFrame,
        data: &[u8],
        leaves: &[EventLeaf],
        meaning: &EventMeaning,
        edits: &[(Range<usize>, Vec<u8>)],
    ) {
        let mut beside = None;
        for (number, (key, _)) in &meaning.pieces {
            let held = self.texts.get_mut(key).filter(|text| text.holds_back());
            if let (Some(text), Some(path)) = (held, leaves.get(*number).and_then(EventLeaf::path)) {
                let beside = beside.get_or_insert_with(|| SiblingFields::of(data, leaves, meaning, edits));
                text.form = TailEvent::of(frame, path, beside);
            }
        }
    }

    /// Redacts a piece of a text; returns what may be sent now. `None`: there are too many texts.
    fn piece(
        &mut self,
        key: &StreamKey,
        mode: TextMode,
        piece: (&[u8], &[u8]),
        ends: bool,
    ) -> Option<Vec<u8>> {
        if !self.texts.contains_key(key) {
            if self.texts.len() >= STREAMS_MAX {
                self.forget_oldest()?;
            }
            self.texts.insert(key.clone(), TextStream::new(&self.patterns, mode));
        }
        self.pieces += 1;
        let text = self.texts.get_mut(key)?;
        text.used = self.pieces;
        let shown = text.push(&self.patterns, piece, ends, &mut self.report);
        if ends {
            self.texts.remove(key);
        }
        Some(shown)
    }

    /// Forgets the oldest finished text: some servers give each event an id of its own, and so each text. `None`:
    /// every text may continue.
    fn forget_oldest(&mut self) -> Option<()> {
        let ended = self.texts.iter().filter(|(_, text)| text.may_have_ended());
        let oldest = ended.min_by_key(|(_, text)| text.used)?.0.clone();
        self.texts.remove(&oldest).map(|_| ())
    }

    /// Sends the held-back bytes of the texts that end, each in its own event.
    fn end(&mut self, ends: &BTreeSet<StreamEnd>, out: &mut Vec<u8>) {
        if ends.is_empty() {
            return;
        }
        let ended = |key: &&StreamKey| {
            ends.contains(&StreamEnd::All) || ends.contains(&StreamEnd::Group(key.group.clone()))
        };
        let keys: Vec<StreamKey> = self.texts.keys().filter(ended).cloned().collect();
        for key in keys {
            let Some(mut text) = self.texts.remove(&key) else { continue };
            let rest = text.finish(&mut self.report);
            if self.withheld || rest.is_empty() {
                continue;
            }
            let Some(form) = text.form else { return self.withhold(out) };
            self.send(&form.with(&rest), form.is_json(), out);
        }
    }

    /// Scans the bytes of an event and sends it. JSON must stay JSON.
    fn send(&mut self, event: &[u8], json: bool, out: &mut Vec<u8>) {
        if self.withheld {
            return;
        }
        let wire = self.patterns.replace_again(event, &mut self.report);
        // A list of tokens would repeat the replaced text.
        let again = |wire: &[u8]| {
            EventFrame::of(wire).and_then(|(frame, data)| Some(frame.with(&without_tokens(&data)?)))
        };
        let wire = wire.map(|wire| again(&wire).unwrap_or(wire));
        let valid =
            |wire: &Vec<u8>| EventFrame::of(wire).is_some_and(|(_, data)| visit(&data, &mut |_, _, _| {}));
        let sent = wire.as_deref().unwrap_or(event);
        let bad = if json {
            wire.as_ref().is_some_and(|wire| !valid(wire))
        } else {
            hides(&self.patterns, sent, &mut self.report)
        };
        if bad {
            return self.withhold(out);
        }
        out.extend_from_slice(sent);
    }

    fn withhold(&mut self, out: &mut Vec<u8>) {
        if !self.withheld {
            out.extend_from_slice(WITHHELD);
        }
        self.withheld = true;
        self.event = Zeroizing::default();
        self.texts.clear();
    }
}
