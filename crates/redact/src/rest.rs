use std::collections::BTreeMap;
use std::ops::Range;

use crate::deltas::{LIST, Leaf, Meaning, STEP, UNKNOWN};
use crate::frame::Frame;
use crate::json::{Kind, quoted};

/// The most that is kept of an event to send the rest of its text in another one, bytes.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// What is longer is not sent again beside the rest of a text, bytes.
const LEAF_BYTES_MAX: usize = 1024;

/// When there is so much before the rest of a text nothing is sent again beside it, bytes.
const BESIDE_BYTES_MAX: usize = FORM_BYTES_MAX / 2;

/// An event around the rest of one text.
pub(crate) struct Form {
    frame: Frame,
    before: Vec<u8>,
    behind: Vec<u8>,
    /// The text is the data as they are.
    plain: bool,
}

/// What stands beside a piece, by the path of what it stands in.
pub(crate) struct Beside<'e> {
    data: &'e [u8],
    edits: &'e [(Range<usize>, Vec<u8>)],
    leaves: BTreeMap<&'e str, Vec<(&'e str, &'e Leaf)>>,
}

impl Form {
    /// Of an event whose data are the text.
    pub(crate) fn plain(frame: &Frame) -> Option<Self> {
        let small = frame.bytes() <= FORM_BYTES_MAX;
        small.then(|| Self { frame: frame.again(), before: Vec::new(), behind: Vec::new(), plain: true })
    }

    /// Around the piece at this path: what says which text it is of, and nothing that another event has told and that a client
    /// would join or do again, as the name and the id of a tool call. `None` = too long, or a path that is not known in full.
    pub(crate) fn of(frame: &Frame, path: &str, beside: &Beside<'_>) -> Option<Self> {
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

    /// Whether it is of JSON.
    pub(crate) fn is_json(&self) -> bool {
        !self.plain
    }

    /// The event with this text.
    pub(crate) fn with(&self, text: &[u8]) -> Vec<u8> {
        let text = if self.plain { text.to_vec() } else { quoted(text) };
        self.frame.with(&[self.before.as_slice(), &text, &self.behind].concat())
    }
}

impl<'e> Beside<'e> {
    /// Of an event with what is written in the place of its leaves, in their order.
    pub(crate) fn of(
        data: &'e [u8],
        leaves: &'e [Leaf],
        meaning: &Meaning,
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
                || leaf.kind == Kind::Scalar && name.to_ascii_lowercase().ends_with("index")
                || leaf.kind == Kind::Text && name == "type";
            if told && !name.starts_with(LIST) && !path.contains(UNKNOWN) {
                beside.leaves.entry(parent).or_default().push((name, leaf));
            }
        }
        beside
    }

    /// Writes what stands in an object, each with its comma, but for what is long: that says nothing of which text it is.
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
