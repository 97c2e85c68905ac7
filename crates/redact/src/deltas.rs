//! Which texts of an event are pieces of a longer one: chat completions and responses as OpenAI sends them, messages as Anthropic.
//! Sources: <https://platform.openai.com/docs/api-reference/chat-streaming>,
//! <https://platform.openai.com/docs/api-reference/responses-streaming>,
//! <https://docs.anthropic.com/en/docs/build-with-claude/streaming>

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use zeroize::Zeroizing;

use crate::json::{Kind, Step, decode};
use crate::text::Manner;
use crate::tokens::is_of_tokens;

/// Pieces stand no deeper.
const DEPTH_MAX: usize = 16;

/// Longer names are told from others no more, bytes.
const NAME_BYTES_MAX: usize = 64;

/// The most characters of an identifier that tell a stream from others.
const ID_CHARS_MAX: usize = 128;

/// Between the steps of a path.
pub(crate) const STEP: char = '\u{1f}';
/// In the place of a name that is too long, or has such signs in it.
pub(crate) const UNKNOWN: char = '\u{1e}';
/// Before the place in a list.
pub(crate) const LIST: char = '\u{1d}';

/// Texts that are sent whole, where pieces are sent.
pub(crate) const WHOLE: [&str; 6] = ["role", "id", "type", "name", "index", "signature"];

/// A name, a text or a scalar of an event.
pub(crate) struct Leaf {
    /// `None` = too deep, or nobody asks where it stands.
    path: Option<Zeroizing<String>>,
    pub(crate) kind: Kind,
    pub(crate) span: Range<usize>,
    /// It tells of the tokens that a piece is made of.
    pub(crate) of_tokens: bool,
}

/// Which stream a piece is of: one ends with all others of its group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) group: String,
    pub(crate) field: String,
}

/// Which streams end with an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    All,
    Group(String),
}

/// What an event says.
#[derive(Default)]
pub(crate) struct Meaning {
    /// Pieces, by the number of their leaf.
    pub(crate) pieces: BTreeMap<usize, (Key, Manner)>,
    pub(crate) ends: BTreeSet<End>,
}

impl Leaf {
    pub(crate) fn new(way: &[Step], kind: Kind, span: Range<usize>) -> Self {
        // Of numbers in a list, of which there may be many, nobody asks.
        let asked = match kind {
            Kind::Name => false,
            Kind::Text => true,
            Kind::Scalar => matches!(way.last(), Some(Step::Name(_))),
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

impl Meaning {
    /// Whether this stream ends with the event.
    pub(crate) fn ends(&self, key: &Key) -> bool {
        self.ends.contains(&End::All) || self.ends.contains(&End::Group(key.group.clone()))
    }

    /// Of an event with this name.
    pub(crate) fn of(data: &[u8], name: Option<&str>, leaves: &[Leaf]) -> Self {
        let paths = leaves.iter().filter_map(|leaf| Some((leaf.path()?, leaf)));
        let event = Event { data, by_path: paths.collect() };
        let mut meaning = Self::default();
        let known = event.text("type").is_some_and(|kind| event.typed(&kind, leaves, &mut meaning));
        event.choices(leaves, &mut meaning);
        if !known {
            event.likely(name, leaves, &mut meaning);
        }
        meaning
    }
}

pub(crate) struct Event<'e> {
    data: &'e [u8],
    pub(crate) by_path: BTreeMap<&'e str, &'e Leaf>,
}

impl Event<'_> {
    /// A short text or number; `None` where there is none, or `null`.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let leaf = self.by_path.get(path)?;
        let raw = self.data.get(leaf.span.clone())?;
        let text = match leaf.kind {
            Kind::Name => return None,
            Kind::Scalar if raw == b"null" => return None,
            Kind::Scalar => String::from_utf8_lossy(raw).chars().take(ID_CHARS_MAX).collect(),
            Kind::Text => String::from_utf8_lossy(&decode(raw)).chars().take(ID_CHARS_MAX).collect(),
        };
        Some(text)
    }

    fn id(&self, path: &str) -> String {
        self.text(path).unwrap_or_default()
    }

    /// Events that say what they are. `false` = none of these forms.
    fn typed(&self, kind: &str, leaves: &[Leaf], meaning: &mut Meaning) -> bool {
        let block = || format!("block {}", self.id("index"));
        let item = |base: &str| {
            // Some servers give one item another id in each event: its place says as much.
            let own = if self.by_path.contains_key("output_index") { "output_index" } else { "item_id" };
            let ids = [own, "content_index", "summary_index"].map(|id| self.id(id));
            format!("{base} {}", ids.join(" "))
        };
        let mut pieces = |inside: &str, is: &dyn Fn(&str) -> bool| {
            for (number, leaf) in leaves.iter().enumerate().filter(|(_, leaf)| leaf.kind == Kind::Text) {
                let field = leaf.path().and_then(|path| path.strip_prefix(inside)?.strip_prefix(STEP));
                if let Some(field) = field.filter(|field| !field.contains(STEP) && is(field)) {
                    let key = Key { group: block(), field: field.to_owned() };
                    meaning.pieces.insert(number, (key, Manner::Pieces));
                }
            }
        };
        match kind {
            "content_block_start" => pieces("content_block", &|field| matches!(field, "text" | "thinking")),
            "content_block_delta" => pieces("delta", &|field| !WHOLE.contains(&field)),
            "content_block_stop" => {
                meaning.ends.insert(End::Group(block()));
            }
            "message_delta"
            | "message_stop"
            | "response.completed"
            | "response.incomplete"
            | "response.failed"
            | "error" => {
                meaning.ends.insert(End::All);
            }
            "message_start" | "ping" => {}
            _ if kind.starts_with("response.") => {}
            _ => return false,
        }
        if let Some(base) = kind.strip_suffix(".delta") {
            let is = |leaf: &&Leaf| leaf.kind == Kind::Text && leaf.path() == Some("delta");
            let piece = leaves.iter().position(|leaf| is(&leaf));
            let key = || Key { group: item(base), field: "delta".to_owned() };
            meaning.pieces.extend(piece.map(|number| (number, (key(), Manner::Pieces))));
        }
        if let Some(base) = kind.strip_suffix(".done") {
            meaning.ends.insert(End::Group(item(base)));
        }
        true
    }

    /// Chat completions: of each choice its delta, of that each text.
    fn choices(&self, leaves: &[Leaf], meaning: &mut Meaning) {
        for (number, leaf) in leaves.iter().enumerate().filter(|(_, leaf)| leaf.kind == Kind::Text) {
            let Some(path) = leaf.path() else { continue };
            let steps: Vec<&str> = path.split(STEP).collect();
            let ["choices", choice, rest @ ..] = steps.as_slice() else { continue };
            let index = self.text(&format!("choices{STEP}{choice}{STEP}index"));
            let group = format!("choice {}", index.as_deref().unwrap_or(choice).trim_start_matches(LIST));
            match rest {
                // Some servers write an empty one in every event.
                ["finish_reason"] => {
                    let said = self.text(path).is_some_and(|reason| !matches!(reason.as_str(), "" | "null"));
                    meaning.ends.extend(said.then_some(End::Group(group)));
                }
                ["text"] => {
                    let key = Key { group, field: "text".to_owned() };
                    meaning.pieces.insert(number, (key, Manner::Pieces));
                }
                ["delta", .., last] if !WHOLE.contains(last) => {
                    let key = Key { group, field: self.field(&steps) };
                    meaning.pieces.insert(number, (key, Manner::Pieces));
                }
                _ => {}
            }
        }
    }

    /// The path behind the choice, with the index that a tool call says in the place of where it stands in its list.
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

fn path(way: &[Step]) -> Zeroizing<String> {
    let room = |step: &Step| match step {
        // More digits no list has.
        Step::At(_) => 10,
        Step::Name(name) => name.len().clamp(1, NAME_BYTES_MAX) + 1,
    };
    let mut path = Zeroizing::new(String::with_capacity(way.iter().map(room).sum()));
    for (number, step) in way.iter().enumerate() {
        if number > 0 {
            path.push(STEP);
        }
        match step {
            Step::At(at) => {
                path.push(LIST);
                path.push_str(&at.to_string());
            }
            Step::Name(name) => match std::str::from_utf8(name) {
                Ok(name) if name.len() <= NAME_BYTES_MAX && !name.contains([STEP, UNKNOWN, LIST]) => {
                    path.push_str(name)
                }
                Ok(_) | Err(_) => path.push(UNKNOWN),
            },
        }
    }
    path
}
