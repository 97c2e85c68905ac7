//! Finds the pieces of streamed texts in events: OpenAI's chat completions and responses, Anthropic's messages.
//! Sources: <https://platform.openai.com/docs/api-reference/chat-streaming>,
//! <https://platform.openai.com/docs/api-reference/responses-streaming>,
//! <https://docs.anthropic.com/en/docs/build-with-claude/streaming>

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use zeroize::Zeroizing;

use crate::events::text_mode::TextMode;
use crate::json::logprobs::is_of_tokens;
use crate::json::parse::{JsonKind, JsonStep};
use crate::json::text::decode;

/// The deepest level at which a text can be a piece.
const DEPTH_MAX: usize = 16;

/// The longest name in a path, bytes; longer ones are not distinguished.
const NAME_BYTES_MAX: usize = 64;

/// The most characters of an id that count.
const ID_CHARS_MAX: usize = 128;

/// Separates the steps of a path.
pub(crate) const STEP: char = '\u{1f}';
/// Replaces a name that is too long or contains one of these characters.
pub(crate) const UNKNOWN: char = '\u{1e}';
/// Precedes the index in a list.
pub(crate) const LIST: char = '\u{1d}';

/// Texts that are sent whole, beside pieces.
pub(crate) const WHOLE: [&str; 6] = ["role", "id", "type", "name", "index", "signature"];

/// A name, text or scalar of an event.
pub(crate) struct EventLeaf {
    /// `None` if it is nested too deep, or the path is not needed.
    path: Option<Zeroizing<String>>,
    pub(crate) kind: JsonKind,
    pub(crate) span: Range<usize>,
    /// Whether it belongs to token details.
    pub(crate) of_tokens: bool,
}

/// The identity of a streamed text; the texts of a group end together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamKey {
    pub(crate) group: String,
    pub(crate) field: String,
}

/// The streams that an event ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StreamEnd {
    All,
    Group(String),
}

/// The meaning of an event.
#[derive(Default)]
pub(crate) struct EventMeaning {
    /// By the number of the leaf.
    pub(crate) pieces: BTreeMap<usize, (StreamKey, TextMode)>,
    pub(crate) ends: BTreeSet<StreamEnd>,
}

impl EventLeaf {
    pub(crate) fn new(way: &[JsonStep], kind: JsonKind, span: Range<usize>) -> Self {
        // The path of a number in a list is not needed, and there may be many.
        let asked = match kind {
            JsonKind::Name => false,
            JsonKind::Text => true,
            JsonKind::Scalar => matches!(way.last(), Some(JsonStep::Name(_))),
        };
        Self {
            path: (asked && way.len() <= DEPTH_MAX).then(|| path(way)),
            kind,
            span,
            of_tokens: is_of_tokens(way),
        }
    }

    pub(crate) fn path(&self) -> Option<&str> {
        self.path.as_ref().map(|path| path.as_str())
    }
}

impl EventMeaning {
    /// Whether the event ends this stream.
    pub(crate) fn ends(&self, key: &StreamKey) -> bool {
        self.ends.contains(&StreamEnd::All) || self.ends.contains(&StreamEnd::Group(key.group.clone()))
    }

    /// Interprets an event with this name.
    pub(crate) fn of(data: &[u8], name: Option<&str>, leaves: &[EventLeaf]) -> Self {
        let paths = leaves.iter().filter_map(|leaf| Some((leaf.path()?, leaf)));
        let event = EventFields { data, by_path: paths.collect() };
        let mut meaning = Self::default();
        let known = event.text("type").is_some_and(|kind| event.typed(&kind, leaves, &mut meaning));
        event.choices(leaves, &mut meaning);
        if !known {
            event.likely(name, leaves, &mut meaning);
        }
        meaning
    }
}

pub(crate) struct EventFields<'e> {
    data: &'e [u8],
    pub(crate) by_path: BTreeMap<&'e str, &'e EventLeaf>,
}

impl EventFields<'_> {
    /// A short text or number; `None` if it is missing or `null`.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let leaf = self.by_path.get(path)?;
        let raw = self.data.get(leaf.span.clone())?;
        let text = match leaf.kind {
            JsonKind::Name => return None,
            JsonKind::Scalar if raw == b"null" => return None,
            JsonKind::Scalar => String::from_utf8_lossy(raw).chars().take(ID_CHARS_MAX).collect(),
            JsonKind::Text => String::from_utf8_lossy(&decode(raw)).chars().take(ID_CHARS_MAX).collect(),
        };
        Some(text)
    }

    fn id(&self, path: &str) -> String {
        self.text(path).unwrap_or_default()
    }

    /// Interprets events with a known `type`. Returns false for another one.
    fn typed(&self, kind: &str, leaves: &[EventLeaf], meaning: &mut EventMeaning) -> bool {
        let block = || format!("block {}", self.id("index"));
        let item = |base: &str| {
            // Some servers change an item's id with each event; its index is stable.
            let own = if self.by_path.contains_key("output_index") { "output_index" } else { "item_id" };
            let ids = [own, "content_index", "summary_index"].map(|id| self.id(id));
            format!("{base} {}", ids.join(" "))
        };
        let mut pieces = |inside: &str, is: &dyn Fn(&str) -> bool| {
            for (number, leaf) in leaves.iter().enumerate().filter(|(_, leaf)| leaf.kind == JsonKind::Text) {
                let field = leaf.path().and_then(|path| path.strip_prefix(inside)?.strip_prefix(STEP));
                if let Some(field) = field.filter(|field| !field.contains(STEP) && is(field)) {
                    let key = StreamKey { group: block(), field: field.to_owned() };
                    meaning.pieces.insert(number, (key, TextMode::Pieces));
                }
            }
        };
        match kind {
            "content_block_start" => pieces("content_block", &|field| matches!(field, "text" | "thinking")),
            "content_block_delta" => pieces("delta", &|field| !WHOLE.contains(&field)),
            "content_block_stop" => {
                meaning.ends.insert(StreamEnd::Group(block()));
            }
            "message_delta"
            | "message_stop"
            | "response.completed"
            | "response.incomplete"
            | "response.failed"
            | "error" => {
                meaning.ends.insert(StreamEnd::All);
            }
            "message_start" | "ping" => {}
            _ if kind.starts_with("response.") => {}
            _ => return false,
        }
        if let Some(base) = kind.strip_suffix(".delta") {
            let is = |leaf: &&EventLeaf| leaf.kind == JsonKind::Text && leaf.path() == Some("delta");
            let piece = leaves.iter().position(|leaf| is(&leaf));
            let key = || StreamKey { group: item(base), field: "delta".to_owned() };
            meaning.pieces.extend(piece.map(|number| (number, (key(), TextMode::Pieces))));
        }
        if let Some(base) = kind.strip_suffix(".done") {
            meaning.ends.insert(StreamEnd::Group(item(base)));
        }
        true
    }

    /// Chat completions: the texts in the delta of each choice.
    fn choices(&self, leaves: &[EventLeaf], meaning: &mut EventMeaning) {
        for (number, leaf) in leaves.iter().enumerate().filter(|(_, leaf)| leaf.kind == JsonKind::Text) {
            let Some(path) = leaf.path() else { continue };
            let steps: Vec<&str> = path.split(STEP).collect();
            let ["choices", choice, rest @ ..] = steps.as_slice() else { continue };
            let index = self.text(&format!("choices{STEP}{choice}{STEP}index"));
            let group = format!("choice {}", index.as_deref().unwrap_or(choice).trim_start_matches(LIST));
            match rest {
                // Some servers write an empty reason in every event.
                ["finish_reason"] => {
                    let said = self.text(path).is_some_and(|reason| !matches!(reason.as_str(), "" | "null"));
                    meaning.ends.extend(said.then_some(StreamEnd::Group(group)));
                }
                ["text"] => {
                    let key = StreamKey { group, field: "text".to_owned() };
                    meaning.pieces.insert(number, (key, TextMode::Pieces));
                }
                ["delta", .., last] if !WHOLE.contains(last) => {
                    let key = StreamKey { group, field: self.field(&steps) };
                    meaning.pieces.insert(number, (key, TextMode::Pieces));
                }
                _ => {}
            }
        }
    }

    /// The path after the choice, with the declared index of a tool call instead of its position in the list.
    fn field(&self, steps: &[&str]) -> String {
        let mut path = String::new();
        let mut field = String::new();
        for (number, step) in steps.iter().enumerate() {
            if number > 0 {
                path.push(STEP);
                field.push(STEP);
            }
            path.push_str(step);
            let listed = number > 2 && step.starts_with(LIST);
            let index = listed.then(|| self.text(&format!("{path}{STEP}index"))).flatten();
            field.push_str(index.as_deref().unwrap_or(step));
        }
        field
    }
}

fn path(way: &[JsonStep]) -> Zeroizing<String> {
    let room = |step: &JsonStep| match step {
        // The digits of the longest index.
        JsonStep::At(_) => 10,
        JsonStep::Name(name) => name.len().clamp(1, NAME_BYTES_MAX) + 1,
    };
    let mut path = Zeroizing::new(String::with_capacity(way.iter().map(room).sum()));
    for (number, step) in way.iter().enumerate() {
        if number > 0 {
            path.push(STEP);
        }
        match step {
            JsonStep::At(at) => {
                path.push(LIST);
                path.push_str(&at.to_string());
            }
            JsonStep::Name(name) => match std::str::from_utf8(name) {
                Ok(name) if name.len() <= NAME_BYTES_MAX && !name.contains([STEP, UNKNOWN, LIST]) => {
                    path.push_str(name)
                }
                Ok(_) | Err(_) => path.push(UNKNOWN),
            },
        }
    }
    path
}
