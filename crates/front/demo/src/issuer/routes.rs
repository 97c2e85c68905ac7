use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;
use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::calls::CallKind;
use super::clients::Client;
use super::clients::End;
use super::keys::Caller;
use super::{Issuer, State};
use crate::http::{Request, Response, Service};

/// How long one model call takes.
const INFER_MS: u64 = 1;
/// Keys per page of the list, unless the client asks for fewer.
const PAGE_KEYS_MAX: usize = 2;

#[derive(Deserialize)]
struct Mint {
    name: String,
}

#[derive(Deserialize)]
struct Switch {
    disabled: bool,
}

#[derive(Deserialize)]
struct Infer {
    n: u64,
}

impl Service for Issuer {
    async fn answer(&self, client: Client, request: Request) -> Response {
        let caller =
            self.state().keys.caller(request.bearer.as_ref().map(|value| value.expose()), Instant::now());
        let response = match &caller {
            Caller::Admin => self.state().admin(&request),
            Caller::Key(id) => self.accepted(client, id, &request).await,
            Caller::Refused(id) => {
                self.state().refused.add(id, client, request.caller.as_deref());
                Response::error(401, "invalid_key")
            }
            Caller::Nobody => Response::error(401, "invalid_key"),
        };
        let kind = CallKind {
            key: match caller {
                Caller::Admin => "admin".to_owned(),
                Caller::Key(id) | Caller::Refused(id) => id,
                Caller::Nobody => "unknown".to_owned(),
            },
            caller: request.caller.unwrap_or_else(|| "-".to_owned()),
            path: request.path,
            status: response.status,
        };
        self.state().calls.add(client, &request.method, kind);
        response
    }

    fn opened(&self, client: Client, end: Arc<Notify>) {
        self.state().clients.opened(client, end);
    }

    fn answered(&self, client: Client) {
        self.state().clients.answered(client);
    }

    fn closed(&self, client: Client) {
        self.state().clients.closed(client);
    }
}

impl Issuer {
    /// A call with a key that is accepted.
    async fn accepted(&self, client: Client, id: &str, request: &Request) -> Response {
        {
            let mut state = self.state();
            state.keys.used(id);
            state.clients.started(client, id);
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/v1/me") => self.state().keys.get(id).map_or_else(not_found, |key| {
                Response::json(200, &json!({ "id": key.id, "name": key.label, "account": "acme-demo" }))
            }),
            ("POST", "/v1/infer" | "/v1/fallback") => {
                let Ok(Infer { n }) = serde_json::from_slice(&request.body) else {
                    return Response::error(400, "bad_body");
                };
                tokio::time::sleep(Duration::from_millis(INFER_MS)).await;
                Response::json(200, &json!({ "n": n, "square": n.wrapping_mul(n) }))
            }
            (_, path) if path.starts_with("/v1/keys") => Response::error(403, "admin_only"),
            _ => not_found(),
        }
    }
}

impl State {
    /// A call with the admin key.
    fn admin(&mut self, request: &Request) -> Response {
        let now = Instant::now();
        let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["v1", "keys"]) => self.mint(request),
            ("GET", ["v1", "keys"]) => {
                let asked = request.parameter("limit").and_then(|limit| limit.parse().ok());
                let size = asked.unwrap_or(PAGE_KEYS_MAX).clamp(1, PAGE_KEYS_MAX);
                match self.keys.page(request.parameter("cursor"), size, now) {
                    Some((page, next)) => Response::json(200, &json!({ "data": page, "next": next })),
                    None => Response::error(400, "bad_cursor"),
                }
            }
            ("GET", ["v1", "keys", id, "refusals"]) => {
                let number =
                    |name| request.parameter(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
                let (page, next) = self.refused.page(id, number("since"), number("cursor"));
                Response::json(200, &json!({ "data": page, "next": next }))
            }
            ("GET", ["v1", "keys", id, "connections"]) => match self.keys.get(id) {
                Some(_) => Response::json(200, &json!({ "data": self.clients.of(id) })),
                None => not_found(),
            },
            ("DELETE", ["v1", "keys", id, "connections", handle]) => {
                match self.clients.end(id, handle, request.parameter("force") == Some("true")) {
                    End::Ended => Response::json(200, &json!({ "ended": true })),
                    End::Gone => not_found(),
                    End::Busy => Response::error(409, "busy"),
                }
            }
            ("GET", ["v1", "keys", id]) => match self.keys.get_mut(id) {
                Some(key) => Response::json(200, &key.shown()),
                None => not_found(),
            },
            ("PATCH", ["v1", "keys", id]) => {
                let Ok(Switch { disabled }) = serde_json::from_slice(&request.body) else {
                    return Response::error(400, "bad_body");
                };
                match self.keys.get_mut(id) {
                    Some(key) => {
                        key.set_disabled(disabled, now);
                        Response::json(200, &key.shown())
                    }
                    None => not_found(),
                }
            }
            ("DELETE", ["v1", "keys", id]) => match self.keys.get_mut(id) {
                Some(key) => {
                    key.delete(now);
                    Response::json(200, &json!({ "id": id, "deleted": true }))
                }
                None => not_found(),
            },
            ("GET", ["v1", "calls"]) => {
                self.calls.flush();
                Response::json(200, &json!({ "calls": self.calls.counted(), "keys": self.keys.dates() }))
            }
            _ => not_found(),
        }
    }

    fn mint(&mut self, request: &Request) -> Response {
        let Ok(Mint { name }) = serde_json::from_slice(&request.body) else {
            return Response::error(400, "bad_body");
        };
        let label = json!(name).to_string();
        match self.keys.mint(name) {
            Ok((id, value)) => {
                // The value needs no escaping: base64 after a fixed prefix.
                let parts = [
                    r#"{"id":""#,
                    id.as_str(),
                    r#"","name":"#,
                    label.as_str(),
                    r#","key":""#,
                    value.as_str(),
                    r#""}"#,
                ];
                let mut body = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
                parts.iter().for_each(|part| body.extend_from_slice(part.as_bytes()));
                Response { status: 201, body }
            }
            Err(_) => Response::error(503, "no_more_keys"),
        }
    }
}

fn not_found() -> Response {
    Response::error(404, "not_found")
}
