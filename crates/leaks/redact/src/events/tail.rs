use std::collections::BTreeMap;
use std::ops::Range;

use crate::events::frame::EventFrame;
use crate::events::known_schemas::{EventLeaf, EventMeaning, LIST, STEP, UNKNOWN};
use crate::json::parse::JsonKind;
use crate::json::text::quoted;

/// The largest structure of an event that is kept to send the end of a text, bytes.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// Longer fields are not repeated with the end of a text, bytes.
const LEAF_BYTES_MAX: usize = 1024;

/// From this length on no more fields are repeated, bytes.
const BESIDE_BYTES_MAX: usize = FORM_BYTES_MAX / 2;

/// An event that contains only the end of one text.
pub(crate) struct TailEvent {
    frame: EventFrame,
    before: Vec<u8>,
    behind: Vec<u8>,
    /// Whether the data are the text itself.
    plain: bool,
}

/// The fields beside a piece, by the path of their parent.
pub(crate) struct SiblingFields<'e> {
    data: &'e [u8],
    edits: &'e [(Range<usize>, Vec<u8>)],
    leaves: BTreeMap<&'e str, Vec<(&'e str, &'e EventLeaf)>>,
}

impl TailEvent {
    /// For an event whose data are the text.
    pub(crate) fn plain(frame: &EventFrame) -> Option<Self> {
        let small = frame.bytes() <= FORM_BYTES_MAX;
        small.then(|| Self { frame: frame.again(), before: Vec::new(), behind: Vec::new(), plain: true })
    }

    /// For the piece at this path: keeps the fields that identify the text, but none that a client would append or
    /// execute again, such as the name and id of a tool call. `None` if it is too long or the path is incomplete.
    pub(crate) fn of(frame: &EventFrame, path: &str, beside: &SiblingFields<'_>) -> Option<Self> {
        if path.contains(UNKNOWN) {
            return None;
        }
        let (mut before, mut behind) = (Vec::new(), Vec::new());
        let mut at = 0;
        for step in path.split(STEP).filter(|_| !path.is_empty()) {
            let parent = path.get(..at.max(1) - 1)?;
            if step.starts_with(LIST) {
                before.push(b'[');
                behind.push(b']');
            } else {
                before.push(b'{');
                beside.push(parent, &mut before);
                before.extend(quoted(step.as_bytes()));
                before.push(b':');
                behind.push(b'}');
            }
            at += step.len() + STEP.len_utf8();
        }
        behind.reverse();
        let small = before.len() + behind.len() + frame.bytes() <= FORM_BYTES_MAX;
        small.then(|| Self { frame: frame.again(), before, behind, plain: false })
    }

    /// Whether its data are JSON.
    pub(crate) fn is_json(&self) -> bool {
        !self.plain
    }

    /// The event with this text.
    pub(crate) fn with(&self, text: &[u8]) -> Vec<u8> {
        let text = if self.plain { text.to_vec() } else { quoted(text) };
        self.frame.with(&[self.before.as_slice(), &text, &self.behind].concat())
    }
}

impl<'e> SiblingFields<'e> {
    /// The fields of an event, with the replacements of its leaves, in order.
    pub(crate) fn of(
        data: &'e [u8],
        leaves: &'e [EventLeaf],
        meaning: &EventMeaning,
        edits: &'e [(Range<usize>, Vec<u8>)],
    ) -> Self {
        let mut beside = Self { data, edits, leaves: BTreeMap::new() };
        for (number, leaf) in leaves.iter().enumerate() {
            let Some(path) = leaf.path().filter(|_| !leaf.of_tokens && !meaning.pieces.contains_key(&number))
            else {
                continue;
            };
            let (parent, name) = path.rsplit_once(STEP).unwrap_or(("", path));
            let told = parent.is_empty()
                || leaf.kind == JsonKind::Scalar && name.to_ascii_lowercase().ends_with("index")
                || leaf.kind == JsonKind::Text && name == "type";
            if told && !name.starts_with(LIST) && !path.contains(UNKNOWN) {
                beside.leaves.entry(parent).or_default().push((name, leaf));
            }
        }
        beside
    }

    /// Writes the fields of an object, each with a comma. Leaves out long ones: they do not identify a text.
    fn push(&self, parent: &str, out: &mut Vec<u8>) {
        for (name, leaf) in self.leaves.get(parent).into_iter().flatten() {
            let new = self.edits.binary_search_by_key(&leaf.span.start, |(span, _)| span.start).ok();
            let new = new.and_then(|new| self.edits.get(new)).map(|(_, new)| new.as_slice());
            let Some(value) = new.or(self.data.get(leaf.span.clone())) else { continue };
            if value.len() > LEAF_BYTES_MAX || out.len() > BESIDE_BYTES_MAX {
                continue;
            }
            out.extend(quoted(name.as_bytes()));
            out.push(b':');
            out.extend_from_slice(value);
            out.push(b',');
        }
    }
}
