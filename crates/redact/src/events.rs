use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use keyroll_needle::Needles;
use zeroize::Zeroizing;

use crate::deltas::{End, Key, Leaf, Meaning};
use crate::frame::{Frame, is_field, json_at};
use crate::json::{apply, before, decode, edit, hides, quoted, visit};
use crate::loose;
use crate::rest::{Beside, Form};
use crate::rules_stream::append;
use crate::text::{Manner, Text};
use crate::tokens::{empty_tokens, without_tokens};
use crate::{Report, Sought};

/// The longest event, bytes: 1 MiB.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// The most texts that are sent in pieces at a time.
pub const STREAMS_MAX: usize = 1000;

/// So many of these are texts that nothing says of that they come in pieces; more of them are looked at each by itself.
const PERHAPS_MAX: usize = STREAMS_MAX / 2;

/// How a stream ends that cannot be looked at.
pub(crate) const WITHHELD: &[u8] = b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"withheld\",\"message\":\"the rest of this answer was withheld: it could not be checked for credentials\"}}\n\n";

/// Replaces in a stream of events (`text/event-stream`) of a model, or of lines of which each is JSON (`application/x-ndjson`): a line
/// in which an object, a list or a text begins behind blanks, where no field of an event stands before it. Does no IO.
///
/// Texts that are sent in pieces are joined, each for itself (by choice, content block, tool call), and go through a
/// [`Shield`](crate::Shield) of their own: a value that is split over events is found. Which these are is known of chat completions and
/// responses of OpenAI's form and of messages of Anthropic's; of all others names and places say it, no deeper than 16 steps. Any other
/// text is looked at by itself, and for known values that go on in the next event at the same place. What a shield holds back stands in
/// the next event with a piece of the same text, or in an event before the one that ends the text, which has nothing of the last one
/// but what says of which text it is. Where each event repeats the text so far, each is looked at as a whole, and its end is held back.
///
/// Then the bytes of the event are looked at as they are sent. An event of which nothing is replaced stays byte for byte. Where a piece
/// is not sent as it came the `logprobs` of its event are emptied. Data that are nearly JSON are read as it; data that are none are
/// pieces of one text.
///
/// Of texts that only look as if they came in pieces the oldest that hold nothing back are forgotten where there are too many.
///
/// Fails closed: an event of more than [`EVENT_BYTES_MAX`] or deeper than
/// [`JSON_DEPTH_MAX`](crate::JSON_DEPTH_MAX), more than [`STREAMS_MAX`] texts at a time, a value that goes over texts and
/// signs of an event, or is seen only where the escapes of what is no JSON are undone, end the stream with an event that says that
/// the rest was withheld; nothing that comes behind is shown.
pub struct EventShield {
    sought: Sought,
    /// The event that is not complete.
    event: Zeroizing<Vec<u8>>,
    ends: Ends,
    texts: BTreeMap<Key, Text>,
    /// How many pieces there were.
    pieces: u64,
    report: Report,
    withheld: bool,
}

/// Where in the lines of the stream it is.
#[derive(Default)]
struct Ends {
    /// Where the line begins in the event.
    line: usize,
    /// A line of the event says something in a stream of events.
    field: bool,
    /// The last byte was the first half of a line's end, or all of it.
    half: bool,
    /// An empty line ended the event, and the second half of its end may come.
    complete: bool,
}

impl EventShield {
    /// At the beginning of a stream.
    pub fn new(sought: &Sought) -> Self {
        Self {
            sought: sought.clone(),
            event: Zeroizing::default(),
            ends: Ends::default(),
            texts: BTreeMap::new(),
            pieces: 0,
            report: Report::default(),
            withheld: false,
        }
    }

    /// Looks for these values from here on: [`Shield::look_for`].
    pub fn look_for(&mut self, needles: Arc<Needles>) {
        self.sought = self.sought.with(needles);
        for text in self.texts.values_mut() {
            text.look_for_sought(&self.sought);
        }
    }

    /// What was replaced so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Whether the stream was ended since it could not be looked at.
    pub fn is_withheld(&self) -> bool {
        self.withheld
    }

    /// Takes a piece of the stream, cut anywhere; complete events are put behind `out`.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        for byte in input {
            if self.withheld {
                return;
            }
            let second = self.ends.half && *byte == b'\n';
            if self.ends.complete && !second {
                self.complete(out);
            }
            append(&mut self.event, &[*byte]);
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

    /// A line has ended, with so many bytes that are no more of it. Whether the event has, too: what is JSON alone is an event of its
    /// own, and lines before it that say nothing are another one.
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

    /// Ends the stream: what was held back is decided and sent, also of an event that is not complete.
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
        self.end(&BTreeSet::from([End::All]), &mut rest);
        if open && !rest.is_empty() {
            out.extend_from_slice(b"\n\n");
        }
        out.extend(rest);
    }

    fn complete(&mut self, out: &mut Vec<u8>) {
        self.ends = Ends { half: self.ends.half, ..Ends::default() };
        let event = std::mem::take(&mut self.event);
        let Some((frame, data)) = Frame::of(&event) else { return self.send(&event, false, out) };
        if data.as_slice() == b"[DONE]" {
            self.end(&BTreeSet::from([End::All]), out);
            return self.send(&event, false, out);
        }
        if loose::is_too_deep(&data) {
            return self.withhold(out);
        }
        let mut leaves = Vec::new();
        let strict = visit(&data, &mut |way, kind, span| leaves.push(Leaf::new(way, kind, span)));
        let mut read = strict;
        if !strict {
            leaves.clear();
            read = loose::visit(&data, &mut |way, kind, span| leaves.push(Leaf::new(way, kind, span)));
        }
        // A number alone is a piece of a plain text, as any other word; so is a name with what it names.
        let fragment = !strict && data.trim_ascii_start().starts_with(b"\"");
        if !read || fragment || !loose::looks_like_it(&data) {
            return self.plain(&event, &frame, &data, out);
        }
        let meaning = Meaning::of(&data, frame.name(), &leaves);
        let Some(edits) = self.edits(&data, &leaves, &meaning) else { return self.withhold(out) };
        self.end(&meaning.ends, out);
        self.keep_forms(&frame, &data, &leaves, &meaning, &edits);
        if edits.is_empty() {
            self.send(&event, strict, out);
        } else {
            self.send(&frame.with(&apply(&data, 0..data.len(), &edits)), strict, out);
        }
    }

    /// Data that are no JSON at all are a piece of one text, and sent as they are.
    fn plain(&mut self, event: &[u8], frame: &Frame, data: &[u8], out: &mut Vec<u8>) {
        let key = Key { group: "plain".to_owned(), field: frame.name().unwrap_or_default().to_owned() };
        let Some(shown) = self.piece(&key, Manner::Likely, (&[], data), false) else {
            return self.withhold(out);
        };
        if let Some(text) = self.texts.get_mut(&key).filter(|text| text.holds_back()) {
            text.form = Form::plain(frame);
        }
        if shown == data { self.send(event, false, out) } else { self.send(&frame.with(&shown), false, out) }
    }

    /// What is written in the place of leaves, in their order. `None` = there are too many texts.
    fn edits(
        &mut self,
        data: &[u8],
        leaves: &[Leaf],
        meaning: &Meaning,
    ) -> Option<Vec<(Range<usize>, Vec<u8>)>> {
        let mut edits = Vec::new();
        for (number, leaf) in leaves.iter().enumerate() {
            let piece = meaning.pieces.get(&number).filter(|(key, manner)| {
                *manner != Manner::Perhaps || self.texts.len() < PERHAPS_MAX || self.texts.contains_key(key)
            });
            let Some((key, manner)) = piece else {
                edits.extend(edit(&self.sought, data, leaf.kind, leaf.span.clone(), &mut self.report));
                continue;
            };
            let Some(piece) = data.get(leaf.span.clone()).map(decode) else { continue };
            let near = before(data, &leaf.span);
            let shown = self.piece(key, *manner, (&near, &piece), meaning.ends(key))?;
            if shown != piece.as_slice() {
                edits.push((leaf.span.clone(), quoted(&shown)));
            }
        }
        // Whatever was masked: a list of its tokens tells it again.
        if !edits.is_empty() {
            let tokens = leaves.iter().filter(|leaf| leaf.of_tokens);
            let tokens = tokens.map(|leaf| (leaf.kind, leaf.span.clone())).collect();
            empty_tokens(data, tokens, &mut edits);
        }
        Some(edits)
    }

    /// How the event was, for texts that hold something back.
    fn keep_forms(
        &mut self,
        frame: &Frame,
        data: &[u8],
        leaves: &[Leaf],
        meaning: &Meaning,
        edits: &[(Range<usize>, Vec<u8>)],
    ) {
        let mut beside = None;
        for (number, (key, _)) in &meaning.pieces {
            let held = self.texts.get_mut(key).filter(|text| text.holds_back());
            if let (Some(text), Some(path)) = (held, leaves.get(*number).and_then(Leaf::path)) {
                let beside = beside.get_or_insert_with(|| Beside::of(data, leaves, meaning, edits));
                text.form = Form::of(frame, path, beside);
            }
        }
    }

    /// A piece of a text: what of it, and of what was held back, may be shown now. `None` = there are too many texts.
    fn piece(&mut self, key: &Key, manner: Manner, piece: (&[u8], &[u8]), ends: bool) -> Option<Vec<u8>> {
        if !self.texts.contains_key(key) {
            if self.texts.len() >= STREAMS_MAX {
                self.forget_oldest()?;
            }
            self.texts.insert(key.clone(), Text::new(&self.sought, manner));
        }
        self.pieces += 1;
        let text = self.texts.get_mut(key)?;
        text.used = self.pieces;
        let shown = text.push(&self.sought, piece, ends, &mut self.report);
        if ends {
            self.texts.remove(key);
        }
        Some(shown)
    }

    /// Some servers give each event an id of its own, and so each text. `None` = all may go on.
    fn forget_oldest(&mut self) -> Option<()> {
        let ended = self.texts.iter().filter(|(_, text)| text.may_have_ended());
        let oldest = ended.min_by_key(|(_, text)| text.used)?.0.clone();
        self.texts.remove(&oldest).map(|_| ())
    }

    /// What texts that end hold back is sent, each in an event of its own.
    fn end(&mut self, ends: &BTreeSet<End>, out: &mut Vec<u8>) {
        if ends.is_empty() {
            return;
        }
        let ended = |key: &&Key| ends.contains(&End::All) || ends.contains(&End::Group(key.group.clone()));
        let keys: Vec<Key> = self.texts.keys().filter(ended).cloned().collect();
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

    /// Looks at the bytes of an event, and sends it. JSON must stay JSON.
    fn send(&mut self, event: &[u8], json: bool, out: &mut Vec<u8>) {
        if self.withheld {
            return;
        }
        let wire = self.sought.replace_again(event, &mut self.report);
        // What only the bytes show is told by its tokens as well.
        let again =
            |wire: &[u8]| Frame::of(wire).and_then(|(frame, data)| Some(frame.with(&without_tokens(&data)?)));
        let wire = wire.map(|wire| again(&wire).unwrap_or(wire));
        let valid = |wire: &Vec<u8>| Frame::of(wire).is_some_and(|(_, data)| visit(&data, &mut |_, _, _| {}));
        let sent = wire.as_deref().unwrap_or(event);
        let bad = if json {
            wire.as_ref().is_some_and(|wire| !valid(wire))
        } else {
            hides(&self.sought, sent, &mut self.report)
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
