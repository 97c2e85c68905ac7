//! One request that only a worker with one version of a key can answer.

use std::time::{Duration, Instant};

use keyroll_http::Method;
use keyroll_observe::ProcessId;
use serde_json::json;

use super::ask::Question;
use super::workers::CONNECTIONS_MAX;
use super::{Proxy, ProxyEndpoint};

/// How long one answer may take, milliseconds: the worker asks a model.
const TURN_MS_MAX: u64 = 60_000;

/// The result of asking one worker for a deployment by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelAnswer {
    /// It has a deployment with this id, asked the model, and got an answer.
    Answered,
    /// It has no deployment with this id.
    Unknown,
    /// It has the deployment, but the issuer of the key refused the call or did not answer; the status.
    Refused(u16),
    /// Another deployment answered in its place.
    Elsewhere,
    /// No answer shows whether it has the deployment; why.
    None(String),
}

/// Asks one worker for a deployment by its id: the smallest question, that no cache can answer, and without a fallback
/// to another model. `embedding`: it computes embeddings.
pub fn ask_model(
    proxy: &Proxy,
    door: &ProxyEndpoint,
    worker: &ProcessId,
    id: &str,
    embedding: bool,
) -> ModelAnswer {
    let deadline = Instant::now() + Duration::from_millis(TURN_MS_MAX);
    // A question that nobody has asked before.
    let mut drawn = [0; 8];
    if aws_lc_rs::rand::fill(&mut drawn).is_err() {
        return ModelAnswer::None("no random number was available".to_owned());
    }
    let word = format!("ping {:016x}", u64::from_ne_bytes(drawn));
    let (path, body) = match embedding {
        true => ("/v1/embeddings", json!({"model": id, "input": [word], "cache": {"no-cache": true}})),
        false => (
            "/v1/chat/completions",
            json!({
                "model": id,
                "messages": [{"role": "user", "content": word}],
                "max_tokens": 1,
                "disable_fallbacks": true,
                "num_retries": 0,
                "cache": {"no-cache": true, "no-store": true},
            }),
        ),
    };
    let body = body.to_string();
    let question = Question { method: Method::POST, path, body: body.as_bytes() };
    let answer = match proxy.ask(door, worker, &question, CONNECTIONS_MAX, deadline) {
        Ok(answer) => answer,
        Err(why) => return ModelAnswer::None(why),
    };
    match (answer.status, answer.model_id.as_deref()) {
        (200, Some(by)) if by == id && answer.fallbacks == 0 => ModelAnswer::Answered,
        (200, _) => ModelAnswer::Elsewhere,
        (status, Some(by)) if by == id => ModelAnswer::Refused(status),
        (400 | 404, None) => ModelAnswer::Unknown,
        (status, _) => ModelAnswer::None(format!("it answered with status {status}")),
    }
}
