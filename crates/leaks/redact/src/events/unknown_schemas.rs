//! Finds the possible pieces of streamed texts in events without a known schema, by names and positions: those of
//! Gemini, Cohere, Ollama, Bedrock and OpenAI's assistants among others. Sources:
//! <https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent>,
//! <https://docs.cohere.com/docs/streaming>, <https://github.com/ollama/ollama/blob/main/docs/api.md>,
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>,
//! <https://platform.openai.com/docs/api-reference/assistants-streaming/events>

use crate::events::known_schemas::{
    EventFields, EventLeaf, EventMeaning, LIST, STEP, StreamEnd, StreamKey, UNKNOWN, WHOLE,
};
use crate::events::text_mode::TextMode;
use crate::json::parse::JsonKind;

/// Texts that are sent whole, besides those of the known schemas.
const WHOLE_TOO: [&str; 24] = [
    "model",
    "object",
    "status",
    "event",
    "event_type",
    "event_id",
    "system_fingerprint",
    "service_tier",
    "finish_reason",
    "finishReason",
    "stop_reason",
    "stopReason",
    "done_reason",
    "created_at",
    "createdAt",
    "modelVersion",
    "responseId",
    "toolName",
    "tool_name",
    "toolCallId",
    "tool_call_id",
    "generation_id",
    "mimeType",
    "language",
];

/// Names of texts in pieces, in lower case.
const PIECES: [&str; 24] = [
    "answer",
    "arguments",
    "chunk",
    "completion",
    "content",
    "data",
    "delta",
    "generated_text",
    "generation",
    "input",
    "message",
    "output",
    "output_text",
    "outputtext",
    "partial_json",
    "reasoning",
    "reasoning_content",
    "response",
    "result",
    "text",
    "thinking",
    "token",
    "transcript",
    "value",
];

/// Lists of the parts of one text: the index does not identify a text.
const PARTS: [&str; 3] = ["parts", "content", "contents"];

/// Fields that identify a text.
const IDS: [&str; 10] = [
    "index",
    "output_index",
    "content_index",
    "block_index",
    "contentBlockIndex",
    "id",
    "item_id",
    "message_id",
    "messageId",
    "run_id",
];

/// Fields with the kind of an event.
const KINDS: [&str; 2] = ["type", "event_type"];

/// Endings of the kinds of events that contain a piece.
const GOES_ON: [&str; 8] = [".delta", "-delta", "_delta", "Delta", ".start", "-start", "_start", "Start"];

/// Endings of the kinds of events after the last piece; their texts are whole.
const ENDS: [&str; 13] = [
    ".done",
    "-done",
    "_done",
    ".completed",
    "-completed",
    "_completed",
    ".end",
    "-end",
    "_end",
    "End",
    "-stop",
    "_stop",
    "Stop",
];

/// Kinds of events that end all texts.
const LAST: [&str; 9] = [
    "stream-end",
    "message-end",
    "message_stop",
    "messageStop",
    "thread.run.completed",
    "finish",
    "done",
    "end",
    "completed",
];

/// Fields with the reason why an element ended.
const REASONS: [&str; 5] = ["finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason"];

/// Fields that say that an element ended.
const DONE: [&str; 3] = ["done", "is_finished", "finished"];

impl EventFields<'_> {
    /// Adds the texts that may be pieces, of an event with this name, except those that are known already.
    pub(crate) fn likely(&self, name: Option<&str>, leaves: &[EventLeaf], meaning: &mut EventMeaning) {
        // A complete message of a tool.
        if self.by_path.contains_key("jsonrpc") {
            return;
        }
        let kind = self.kind(name);
        let ids: Vec<String> = IDS.iter().map(|id| self.id_of(&kind, id)).collect();
        let (base, ends) = base(&kind);
        let group = |place: &str| format!("{base}{STEP}{}{STEP}{place}", ids.join("\u{1e}"));
        if LAST.contains(&kind.as_str()) {
            meaning.ends.insert(StreamEnd::All);
        }
        if ends {
            meaning.ends.insert(StreamEnd::Group(group("")));
            return;
        }
        for (number, leaf) in leaves.iter().enumerate() {
            let Some(path) = leaf.path().filter(|_| !leaf.of_tokens) else { continue };
            if self.says_end(path) {
                meaning.ends.insert(StreamEnd::Group(group(&self.place(path).0)));
            }
            if leaf.kind != JsonKind::Text || meaning.pieces.contains_key(&number) {
                continue;
            }
            let own = path.rsplit(STEP).find(|step| !step.starts_with(LIST)).unwrap_or_default();
            if WHOLE.contains(&own) || WHOLE_TOO.contains(&own) || path.contains(UNKNOWN) {
                continue;
            }
            let (place, field) = self.place(path);
            let told = if is_piece(&kind, path, own) {
                (StreamKey { group: group(&place), field }, TextMode::Likely)
            } else {
                (StreamKey { group: format!("{kind}{STEP}{place}"), field }, TextMode::Unlikely)
            };
            meaning.pieces.insert(number, told);
        }
    }

    /// The kind of an event: its own field, the line's event name, or the only name in it.
    fn kind(&self, name: Option<&str>) -> String {
        let only = || {
            let mut tops = self.by_path.keys().filter_map(|path| path.split_once(STEP));
            let (first, _) = tops.next()?;
            let all =
                self.by_path.keys().all(|path| path.split_once(STEP).is_some_and(|(top, _)| top == first));
            let said = GOES_ON.iter().chain(&ENDS).any(|end| first.ends_with(end));
            (all && said).then(|| first.to_owned())
        };
        let own = KINDS.iter().find_map(|kind| self.text(kind));
        own.or_else(|| name.map(str::to_owned)).or_else(only).unwrap_or_default()
    }

    /// An id at the top level, or in the only element there.
    fn id_of(&self, kind: &str, id: &str) -> String {
        self.text(id).or_else(|| self.text(&format!("{kind}{STEP}{id}"))).unwrap_or_default()
    }

    /// The list element of a text, and its path with the elements' own ids instead of indices.
    fn place(&self, path: &str) -> (String, String) {
        let (mut place, mut field) = (String::new(), String::new());
        let (mut at, mut list) = (0, "");
        for step in path.split(STEP) {
            let upto = path.get(..at + step.len()).unwrap_or_default();
            field.push(STEP);
            if step.starts_with(LIST) {
                let index = self.text(&format!("{upto}{STEP}index"));
                let parts = PARTS.contains(&list);
                let own = index.as_deref().unwrap_or(if parts { "" } else { step });
                field.push_str(own);
                if place.is_empty() && !parts {
                    place = own.trim_start_matches(LIST).to_owned();
                }
            } else {
                field.push_str(step);
                list = step;
            }
            at += step.len() + STEP.len_utf8();
        }
        (place, field)
    }

    fn says_end(&self, path: &str) -> bool {
        let name = path.rsplit(STEP).next().unwrap_or_default();
        // Some servers write a reason without meaning into every event.
        let none = |reason: &str| matches!(reason, "" | "null" | "FINISH_REASON_UNSPECIFIED");
        REASONS.contains(&name) && self.text(path).is_some_and(|reason| !none(&reason))
            || DONE.contains(&name) && self.text(path).as_deref() == Some("true")
    }
}

/// Whether a text with this name is a piece.
fn is_piece(kind: &str, path: &str, own: &str) -> bool {
    let delta = |step: &str| step.to_ascii_lowercase().ends_with("delta");
    own.is_empty()
        || PIECES.contains(&own.to_ascii_lowercase().as_str())
        || delta(kind)
        || path.split(STEP).any(delta)
}

/// The common part of the kinds of one text's events, and whether this kind ends it.
fn base(kind: &str) -> (&str, bool) {
    if let Some(base) = GOES_ON.iter().find_map(|end| kind.strip_suffix(end)) {
        return (base, false);
    }
    ENDS.iter().find_map(|end| kind.strip_suffix(end)).map_or((kind, false), |base| (base, true))
}
