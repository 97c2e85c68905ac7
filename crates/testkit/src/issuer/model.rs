//! A provider of models that takes the issuer's keys, as OpenAI's is shaped: `/NAME/v1/chat/completions` is a call of the
//! caller NAME.

use serde_json::{Value, json};

use super::request::Request;

/// One call for a model: who called, with which key, from where, and whether it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCall {
    /// The first part of the path.
    pub caller: String,
    /// The id of the key; `nobody` for one that was never made.
    pub key: String,
    /// The caller's end of the connection.
    pub client: String,
    /// It was answered.
    pub accepted: bool,
}

/// The caller's name, where a path is one of a model.
pub(super) fn caller(path: &str) -> Option<String> {
    let mut parts = path.trim_start_matches('/').split('/');
    let name = parts.next()?;
    let rest: Vec<&str> = parts.collect();
    matches!(rest.as_slice(), ["v1", "chat", "completions"] | ["v1", "embeddings"]).then(|| name.to_owned())
}

/// What it answers to a call that is accepted.
pub(super) fn answer(request: &Request) -> Value {
    let model = request.body.as_ref().and_then(|body| body.get("model")).cloned().unwrap_or_default();
    let usage = json!({ "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 });
    if request.path.ends_with("/embeddings") {
        let data = json!([{ "object": "embedding", "index": 0, "embedding": [0.5] }]);
        return json!({ "object": "list", "data": data, "model": model, "usage": usage });
    }
    let message = json!({ "role": "assistant", "content": "pong" });
    let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice],
        "usage": usage,
    })
}

/// What it answers to a call with a key that it does not accept.
pub(super) fn refusal() -> Value {
    let code = "invalid_api_key";
    json!({ "error": { "message": "Incorrect API key provided.", "type": "invalid_request_error", "code": code } })
}
