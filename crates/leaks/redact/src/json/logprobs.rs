//! Empties the token details of a model, which repeat a text token by token. Sources:
//! <https://platform.openai.com/docs/api-reference/chat/object>,
//! <https://platform.openai.com/docs/api-reference/completions/object>,
//! <https://ai.google.dev/api/generate-content#LogprobsResult>,
//! <https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html>

use std::ops::Range;

use crate::json::edits::apply;
use crate::json::lenient;
use crate::json::parse::{JsonKind, JsonStep, JsonVisitor, visit};
use crate::json::text::decode;

/// The deepest level at which token details are recognised.
const DEPTH_MAX: usize = 12;

/// Part of every name of token details, in lower case: `logprobs`, `logprobsResult`, `prompt_logprobs`.
const TOKENS: &[u8] = b"logprob";

/// Names of fields in token details. Any other name is a token or its number.
const NAMES: [&str; 18] = [
    "content",
    "refusal",
    "token",
    "tokens",
    "logprob",
    "token_logprobs",
    "top_logprobs",
    "bytes",
    "text_offset",
    "rank",
    "decoded_token",
    "topCandidates",
    "chosenCandidates",
    "candidates",
    "tokenId",
    "logProbability",
    "logprobs",
    "token_ids",
];

/// Whether a leaf belongs to token details.
pub(crate) fn is_of_tokens(way: &[JsonStep]) -> bool {
    way.iter().take(DEPTH_MAX).any(|step| match step {
        JsonStep::Name(name) => name.windows(TOKENS.len()).any(|part| part.eq_ignore_ascii_case(TOKENS)),
        JsonStep::At(_) => false,
    })
}

/// Empties these leaves, whatever other edit they have.
pub(crate) fn empty_tokens(
    text: &[u8],
    tokens: Vec<(JsonKind, Range<usize>)>,
    edits: &mut Vec<(Range<usize>, Vec<u8>)>,
) {
    for (number, (kind, span)) in tokens.into_iter().enumerate() {
        if let Some(nothing) = nothing(text, kind, span, number) {
            edits.push(nothing);
        }
    }
    // Of two edits of one leaf the later one counts.
    edits.reverse();
    edits.sort_by_key(|(span, _)| span.start);
    edits.dedup_by_key(|(span, _)| span.start);
}

/// The text, valid or malformed JSON, without token details; `None` if it has none.
pub(crate) fn without_tokens(text: &[u8]) -> Option<Vec<u8>> {
    let (valid, mut tokens) = tokens_of(text, visit);
    if !valid {
        tokens = tokens_of(text, lenient::visit).1;
    }
    let mut edits = Vec::new();
    empty_tokens(text, tokens, &mut edits);
    (!edits.is_empty()).then(|| apply(text, 0..text.len(), &edits))
}

/// The result of the visit, and the leaves of token details.
fn tokens_of(
    text: &[u8],
    visit: fn(&[u8], &mut JsonVisitor<'_>) -> bool,
) -> (bool, Vec<(JsonKind, Range<usize>)>) {
    let mut tokens = Vec::new();
    let valid = visit(text, &mut |way, kind, span| {
        if is_of_tokens(way) {
            tokens.push((kind, span));
        }
    });
    (valid, tokens)
}

/// The empty replacement of a leaf; names of one object stay distinct by number.
fn nothing(
    text: &[u8],
    kind: JsonKind,
    span: Range<usize>,
    number: usize,
) -> Option<(Range<usize>, Vec<u8>)> {
    let raw = text.get(span.clone())?;
    match kind {
        JsonKind::Name => {
            let name = decode(raw);
            let own = NAMES.iter().any(|own| own.as_bytes() == name.as_slice());
            (!own).then(|| (span, format!("\"{number}\"").into_bytes()))
        }
        JsonKind::Text => Some((span, br#""""#.to_vec())),
        JsonKind::Scalar => (raw != b"null").then(|| (span, b"0".to_vec())),
    }
}
