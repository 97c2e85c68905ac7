//! Calls of models: the issuer as a provider of them, in the shapes of OpenAI and of Anthropic, whole and as a stream. Its
//! log is the judge: which key, which process, accepted or not.

use std::fs;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::answer::{RawResponse, shown};
use super::request::Request;

/// What every model answers.
const WORD: &str = "ready";

/// One call of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelCall {
    /// The id of the key; `nobody` for a value that is no key's.
    pub key: String,
    /// The process at the client's end, if it was found.
    pub pid: Option<u32>,
    /// Whether the key was accepted.
    pub accepted: bool,
    /// The model that was asked for.
    pub model: String,
}

/// The shape that a request is of, if it is a call of a model.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    OpenAi,
    Anthropic,
}

impl Shape {
    pub(super) fn of(request: &Request) -> Option<Self> {
        if request.method != "POST" {
            return None;
        }
        match request.path.as_str() {
            path if path.ends_with("/chat/completions") => Some(Self::OpenAi),
            path if path.ends_with("/messages") => Some(Self::Anthropic),
            _ => None,
        }
    }

    pub(super) fn refused(self) -> RawResponse {
        let body = match self {
            Self::OpenAi => json!({ "error": {
                "message": "Incorrect API key provided.", "type": "invalid_request_error", "code": "invalid_api_key",
            } }),
            Self::Anthropic => json!({ "type": "error", "error": {
                "type": "authentication_error", "message": "invalid x-api-key",
            } }),
        };
        shown(401, &body)
    }

    /// The key works, and nothing is left to spend.
    pub(super) fn spent(self) -> RawResponse {
        let why = "You exceeded your current quota, please check your plan and billing details.";
        let body = match self {
            Self::OpenAi => json!({ "error": {
                "message": why, "type": "insufficient_quota", "code": "insufficient_quota",
            } }),
            Self::Anthropic => {
                json!({ "type": "error", "error": { "type": "billing_error", "message": why } })
            }
        };
        shown(429, &body)
    }

    pub(super) fn answered(self, request: &Request) -> RawResponse {
        let model = model_of(request);
        let streams = request.body.as_ref().and_then(|body| body.get("stream")?.as_bool()) == Some(true);
        let body = match (self, streams) {
            (Self::OpenAi, false) => return shown(200, &openai(&model)),
            (Self::Anthropic, false) => return shown(200, &anthropic(&model)),
            (Self::OpenAi, true) => openai_stream(&model),
            (Self::Anthropic, true) => anthropic_stream(&model),
        };
        (200, Zeroizing::new(body.into_bytes()))
    }
}

pub(super) fn model_of(request: &Request) -> String {
    let model = request.body.as_ref().and_then(|body| body.get("model")?.as_str());
    model.unwrap_or_default().to_owned()
}

fn openai(model: &str) -> Value {
    json!({
        "id": "call-1", "object": "chat.completion", "created": 1, "model": model,
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": WORD } }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
    })
}

fn openai_stream(model: &str) -> String {
    let piece = |delta: Value, finish: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
        let piece = json!({
            "id": "call-1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice],
            "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
        });
        format!("data: {piece}\n\n")
    };
    let first = piece(json!({ "role": "assistant", "content": WORD }), Value::Null);
    first + &piece(json!({}), json!("stop")) + "data: [DONE]\n\n"
}

fn anthropic(model: &str) -> Value {
    json!({
        "id": "call-1", "type": "message", "role": "assistant", "model": model, "stop_reason": "end_turn",
        "stop_sequence": null, "content": [{ "type": "text", "text": WORD }],
        "usage": { "input_tokens": 1, "output_tokens": 1 },
    })
}

fn anthropic_stream(model: &str) -> String {
    let mut begun = anthropic(model);
    if let Some(begun) = begun.as_object_mut() {
        begun.insert("content".to_owned(), json!([]));
        begun.insert("stop_reason".to_owned(), Value::Null);
    }
    let events = [
        ("message_start", json!({ "type": "message_start", "message": begun })),
        (
            "content_block_start",
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        ),
        (
            "content_block_delta",
            json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": WORD } }),
        ),
        ("content_block_stop", json!({ "type": "content_block_stop", "index": 0 })),
        (
            "message_delta",
            json!({
                "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null },
                "usage": { "output_tokens": 1 },
            }),
        ),
        ("message_stop", json!({ "type": "message_stop" })),
    ];
    events.iter().map(|(name, body)| format!("event: {name}\ndata: {body}\n\n")).collect()
}

/// How often the process at the other end is looked for: the kernel's table is read in pieces, and an entry is passed over
/// where others come and go meanwhile.
const LOOKS: u32 = 20;

/// The process that holds this end of a connection, `127.0.0.1:40112`, on this machine. It waits for its answer, so it is
/// there.
pub(super) fn pid_of(client: &str) -> Option<u32> {
    let port: u16 = client.rsplit_once(':')?.1.parse().ok()?;
    (0..LOOKS).find_map(|_| holder(&socket_of(port)?))
}

/// The socket of a connection's end. What was closed a while ago has the number 0.
fn socket_of(port: u16) -> Option<String> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    // The columns of /proc/net/tcp: number, local, remote, state, queues, timer, retransmits, user, timeout, inode.
    table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>()).find_map(|columns| {
        let local = u16::from_str_radix(columns.get(1)?.rsplit_once(':')?.1, 16).ok()?;
        let number = columns.get(9).filter(|number| local == port && **number != "0")?;
        Some(format!("socket:[{number}]"))
    })
}

fn holder(socket: &str) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.find(|pid| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut links = files.filter_map(|file| fs::read_link(file.path()).ok());
        links.any(|link| link.to_str() == Some(socket))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::super::Issuer;

    fn ask(issuer: &Issuer, path: &str, head: &str, value: &str, stream: bool) -> String {
        let mut socket = TcpStream::connect(("127.0.0.1", issuer.port())).unwrap();
        let body = format!("{{\"model\":\"fake-1\",\"stream\":{stream}}}");
        let length = body.len();
        write!(socket, "POST {path} HTTP/1.1\r\n{head}{value}\r\nContent-Length: {length}\r\n\r\n{body}")
            .unwrap();
        let mut said = String::new();
        while !said.contains("ready") && !said.contains("rror") {
            let mut piece = [0; 512];
            let count = socket.read(&mut piece).unwrap();
            assert!(count > 0, "{said}");
            said += &String::from_utf8_lossy(&piece[..count]);
        }
        said
    }

    #[test]
    fn each_shape_is_answered_and_the_log_says_with_which_key_and_from_which_process() {
        let (issuer, _) = Issuer::start();
        let (id, value) = issuer.mint("one");
        let bearer = "authorization: Bearer ";
        for (path, head) in [("/v1/chat/completions", bearer), ("/v1/messages", "x-api-key: ")] {
            for stream in [false, true] {
                let said = ask(&issuer, path, head, &value, stream);
                assert_eq!(said.contains("text/event-stream"), stream, "{said}");
            }
            let said = ask(&issuer, path, head, "acme_sk_wrong", true);
            assert!(said.starts_with("HTTP/1.1 401"), "{said}");
        }
        let calls = issuer.model_calls();
        let good: Vec<_> = calls.iter().filter(|call| call.accepted).collect();
        assert_eq!((calls.len(), good.len()), (6, 4));
        let own = Some(std::process::id());
        assert!(
            good.iter().all(|call| call.key == id && call.pid == own && call.model == "fake-1"),
            "{good:?}"
        );
        assert!(calls.iter().filter(|call| !call.accepted).all(|call| call.key == "nobody"));
        issuer.end(&id);
        ask(&issuer, "/v1/messages", "x-api-key: ", &value, false);
        let last = issuer.model_calls().pop().unwrap();
        assert!(!last.accepted && last.key == id, "{last:?}");
    }
}
