use std::collections::BTreeMap;
use std::sync::Arc;

use keyroll_needle::{Needles, half_letter};
use zeroize::Zeroizing;

use crate::deltas::{End, Key, Leaf, Meaning};
use crate::frame::Frame;
use crate::json::{apply, decode, edit, quoted, visit};
use crate::rules_stream::append;
use crate::tokens::empty_tokens;
use crate::{Report, Shield, Sought};

/// The longest event, bytes: 1 MiB.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// The most texts that are sent in pieces at a time.
pub const STREAMS_MAX: usize = 1000;

/// The most that is kept of an event to send the rest of its text in another one, bytes.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// How a stream ends that cannot be looked at.
pub(crate) const WITHHELD: &[u8] = b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"withheld\",\"message\":\"the rest of this answer was withheld: it could not be checked for credentials\"}}\n\n";

/// Replaces in a stream of events (`text/event-stream`) of a model: chat completions and responses of OpenAI's form, messages of
/// Anthropic's. Does no IO.
///
/// Texts that are sent in pieces are joined, each for itself (by choice, content block, tool call), and go through a [`Shield`] of
/// their own: a value that is split over events is found. What a shield holds back stands in the next event with a piece of the same
/// text, or in an event of that form before the one that ends the text. All other texts of an event are looked at by themselves, then
/// the bytes of the event as they are sent. An event of which nothing is replaced stays byte for byte. An event whose data are no JSON
/// is looked at as it is sent. Where a piece is not sent as it came the `logprobs` of its event are emptied.
///
/// Fails closed: an event of more than [`EVENT_BYTES_MAX`], more than [`STREAMS_MAX`] texts at a time, a value that goes over texts and
/// signs of an event end the stream with an event that says that the rest was withheld; nothing that comes behind is shown.
pub struct EventShield {
    sought: Sought,
    /// The event that is not complete.
    event: Zeroizing<Vec<u8>>,
    ends: Ends,
    texts: BTreeMap<Key, Text>,
    report: Report,
    withheld: bool,
}

/// Where in the lines of the stream it is.
#[derive(Default)]
struct Ends {
    /// The line has bytes.
    begun: bool,
    /// The last byte was the first half of a line's end, or all of it.
    half: bool,
    /// An empty line ended the event, and the second half of its end may come.
    complete: bool,
}

/// A text that comes in pieces.
struct Text {
    shield: Shield,
    /// The beginning of a letter of several bytes.
    letter: Zeroizing<Vec<u8>>,
    /// How its last event was, where something is held back. `None` then = too long.
    form: Option<Form>,
}

/// An event around the piece of one text.
struct Form {
    frame: Frame,
    before: Vec<u8>,
    behind: Vec<u8>,
}

impl EventShield {
    /// At the beginning of a stream.
    pub fn new(sought: &Sought) -> Self {
        Self {
            sought: sought.clone(),
            event: Zeroizing::default(),
            ends: Ends::default(),
            texts: BTreeMap::new(),
            report: Report::default(),
            withheld: false,
        }
    }

    /// Looks for these values from here on: [`Shield::look_for`].
    pub fn look_for(&mut self, needles: Arc<Needles>) {
        self.sought = self.sought.with(needles);
        for text in self.texts.values_mut() {
            text.shield.look_for_sought(&self.sought);
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
                    if ends.complete {
                        self.complete(out);
                    }
                }
                b'\r' | b'\n' => {
                    let empty = !std::mem::replace(&mut ends.begun, false);
                    ends.complete = empty;
                    if empty && *byte == b'\n' {
                        self.complete(out);
                    }
                }
                _ => ends.begun = true,
            }
        }
    }

    /// Ends the stream: what was held back is decided and sent, also of an event that is not complete.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.withheld {
            return;
        }
        let open = !self.event.is_empty() && !self.ends.complete;
        if !self.event.is_empty() {
            self.complete(out);
        }
        let mut rest = Vec::new();
        self.end(&End::All, &mut rest);
        if open && !rest.is_empty() {
            out.extend_from_slice(b"\n\n");
        }
        out.extend(rest);
    }

    fn complete(&mut self, out: &mut Vec<u8>) {
        self.ends.complete = false;
        let event = std::mem::take(&mut self.event);
        let Some((frame, data)) = Frame::of(&event) else { return self.send(&event, false, out) };
        if data.as_slice() == b"[DONE]" {
            self.end(&End::All, out);
            return self.send(&event, false, out);
        }
        let mut leaves = Vec::new();
        if !visit(&data, &mut |way, kind, span| leaves.push(Leaf::new(way, kind, span))) {
            return self.send(&event, false, out);
        }
        let meaning = Meaning::of(&data, &leaves);
        let mut edits = Vec::new();
        for (number, leaf) in leaves.iter().enumerate() {
            let Some(key) = meaning.pieces.get(&number) else {
                edits.extend(edit(&self.sought, &data, leaf.kind, leaf.span.clone(), &mut self.report));
                continue;
            };
            let Some(piece) = data.get(leaf.span.clone()).map(decode) else { continue };
            let Some(shown) = self.piece(key, &piece, meaning.ends(key)) else { return self.withhold(out) };
            if shown != piece.as_slice() {
                edits.push((leaf.span.clone(), quoted(&shown)));
            }
        }
        // Whatever was masked: a list of its tokens tells it again.
        if !edits.is_empty() {
            let tokens = leaves.iter().filter(|leaf| leaf.of_tokens);
            let tokens = tokens.map(|leaf| (leaf.kind, leaf.span.clone())).collect();
            empty_tokens(&data, tokens, &mut edits);
        }
        for end in &meaning.ends {
            self.end(end, out);
        }
        for (number, key) in &meaning.pieces {
            let held = self.texts.get_mut(key).filter(|text| text.holds_back());
            if let (Some(text), Some(leaf)) = (held, leaves.get(*number)) {
                text.form = form(&frame, &data, leaf, &leaves, &meaning, &edits);
            }
        }
        if edits.is_empty() {
            self.send(&event, true, out);
        } else {
            self.send(&frame.with(&apply(&data, 0..data.len(), &edits)), true, out);
        }
    }

    /// A piece of a text: what of it, and of what was held back, may be shown now. `None` = there are too many texts.
    fn piece(&mut self, key: &Key, piece: &[u8], ends: bool) -> Option<Vec<u8>> {
        if !self.texts.contains_key(key) {
            if self.texts.len() >= STREAMS_MAX {
                return None;
            }
            let shield = Shield::new(&self.sought);
            self.texts.insert(key.clone(), Text { shield, letter: Zeroizing::default(), form: None });
        }
        let text = self.texts.get_mut(key)?;
        text.form = None;
        let mut shown = text.push(piece);
        if ends {
            shown.extend(text.finish());
        }
        self.report.add(&text.shield.take_report());
        if ends {
            self.texts.remove(key);
        }
        Some(shown)
    }

    /// What texts that end hold back is sent, each in an event of its own.
    fn end(&mut self, end: &End, out: &mut Vec<u8>) {
        let ended = |key: &Key| match end {
            End::All => true,
            End::Group(group) => key.group == *group,
        };
        let keys: Vec<Key> = self.texts.keys().filter(|key| ended(key)).cloned().collect();
        for key in keys {
            let Some(mut text) = self.texts.remove(&key) else { continue };
            let rest = text.finish();
            self.report.add(&text.shield.take_report());
            if self.withheld || rest.is_empty() {
                continue;
            }
            let Some(form) = text.form else { return self.withhold(out) };
            let data = [form.before.as_slice(), &quoted(&rest), &form.behind].concat();
            self.send(&form.frame.with(&data), true, out);
        }
    }

    /// Looks at the bytes of an event, and sends it. JSON must stay JSON.
    fn send(&mut self, event: &[u8], json: bool, out: &mut Vec<u8>) {
        if self.withheld {
            return;
        }
        let Some(wire) = self.sought.replace_again(event, &mut self.report) else {
            out.extend_from_slice(event);
            return;
        };
        let valid = || Frame::of(&wire).is_some_and(|(_, data)| visit(&data, &mut |_, _, _| {}));
        if json && !valid() {
            return self.withhold(out);
        }
        out.extend(wire);
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

impl Text {
    fn holds_back(&self) -> bool {
        self.shield.held_back() > 0 || !self.letter.is_empty()
    }

    /// Whole letters.
    fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut out = std::mem::take(&mut *self.letter);
        self.shield.push(piece, &mut out);
        let half = half_letter(&out);
        *self.letter = out.split_off(out.len() - half);
        out
    }

    fn finish(&mut self) -> Vec<u8> {
        let mut out = std::mem::take(&mut *self.letter);
        self.shield.finish(&mut out);
        out
    }
}

/// The event as it is sent, around the piece of one text, and with no piece of another.
fn form(
    frame: &Frame,
    data: &[u8],
    leaf: &Leaf,
    leaves: &[Leaf],
    meaning: &Meaning,
    edits: &[(std::ops::Range<usize>, Vec<u8>)],
) -> Option<Form> {
    let pieces = meaning.pieces.keys().filter_map(|number| leaves.get(*number));
    let empty: Vec<_> = pieces.map(|leaf| (leaf.span.clone(), b"\"\"".to_vec())).collect();
    let mut all: Vec<_> =
        edits.iter().filter(|(span, _)| empty.iter().all(|(piece, _)| piece != span)).cloned().collect();
    all.extend(empty);
    all.sort_by_key(|(span, _)| span.start);
    let before = apply(data, 0..leaf.span.start, &all);
    let behind = apply(data, leaf.span.end..data.len(), &all);
    let small = before.len() + behind.len() + frame.bytes() <= FORM_BYTES_MAX;
    small.then(|| Form { frame: frame.clone(), before, behind })
}
