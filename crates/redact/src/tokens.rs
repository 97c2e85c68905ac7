//! What a model tells of the tokens that a text is made of: what is replaced elsewhere could be read there piece by piece.
//! Sources: <https://platform.openai.com/docs/api-reference/chat/object>, <https://platform.openai.com/docs/api-reference/completions/object>,
//! <https://ai.google.dev/api/generate-content#LogprobsResult>,
//! <https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html>

use std::ops::Range;

use crate::json::{Kind, Step, Tell, apply, decode, visit};
use crate::loose;

/// No further down is it asked where a leaf stands.
const DEPTH_MAX: usize = 12;

/// What everything that tells of tokens has in its name, in small letters: `logprobs`, `logprobsResult`, `prompt_logprobs`.
const TOKENS: &[u8] = b"logprob";

/// The names below it that are of its form. Any other is a token itself, or a token's number.
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

/// Whether a leaf stands where a model tells how likely its tokens were, each with its text.
pub(crate) fn is_of_tokens(way: &[Step]) -> bool {
    way.iter().take(DEPTH_MAX).any(|step| match step {
        Step::Name(name) => name.windows(TOKENS.len()).any(|part| part.eq_ignore_ascii_case(TOKENS)),
        Step::At(_) => false,
    })
}

/// Nothing is told of these leaves, whatever else was to be written there.
pub(crate) fn empty_tokens(
    text: &[u8],
    tokens: Vec<(Kind, Range<usize>)>,
    edits: &mut Vec<(Range<usize>, Vec<u8>)>,
) {
    for (number, (kind, span)) in tokens.into_iter().enumerate() {
        if let Some(nothing) = nothing(text, kind, span, number) {
            edits.push(nothing);
        }
    }
    // Of two at one place the later one counts.
    edits.reverse();
    edits.sort_by_key(|(span, _)| span.start);
    edits.dedup_by_key(|(span, _)| span.start);
}

/// A text that is JSON or nearly so with nothing told of tokens. `None` = it tells of none.
pub(crate) fn without_tokens(text: &[u8]) -> Option<Vec<u8>> {
    let (valid, mut tokens) = tokens_of(text, visit);
    if !valid {
        tokens = tokens_of(text, loose::visit).1;
    }
    let mut edits = Vec::new();
    empty_tokens(text, tokens, &mut edits);
    (!edits.is_empty()).then(|| apply(text, 0..text.len(), &edits))
}

/// Whether a text is such a one, and the leaves that tell of tokens.
fn tokens_of(text: &[u8], visit: fn(&[u8], &mut Tell<'_>) -> bool) -> (bool, Vec<(Kind, Range<usize>)>) {
    let mut tokens = Vec::new();
    let valid = visit(text, &mut |way, kind, span| {
        if is_of_tokens(way) {
            tokens.push((kind, span));
        }
    });
    (valid, tokens)
}

/// What is written in the place of a leaf that may not be told; names of one object stay different by their number.
fn nothing(text: &[u8], kind: Kind, span: Range<usize>, number: usize) -> Option<(Range<usize>, Vec<u8>)> {
    let raw = text.get(span.clone())?;
    match kind {
        Kind::Name => {
            let name = decode(raw);
            let own = NAMES.iter().any(|own| own.as_bytes() == name.as_slice());
            (!own).then(|| (span, format!("\"{number}\"").into_bytes()))
        }
        Kind::Text => Some((span, br#""""#.to_vec())),
        Kind::Scalar => (raw != b"null").then(|| (span, b"0".to_vec())),
    }
}
