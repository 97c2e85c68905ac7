//! The paths and bodies of three APIs: the guide's, OpenRouter's and SendGrid's, as their documents show them.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::wire::plain;
use super::{Key, RecordedRequest, World, described, random};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Acme,
    OpenRouter,
    SendGrid,
    /// A shipped spec; the fake answers as the spec expects.
    Shipped(&'static str),
}

#[derive(Default)]
pub struct Reply {
    pub status: u16,
    pub media: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    /// It changed nothing: it is not the answer that is lost.
    pub passing: bool,
    /// The key that was accepted on this connection.
    pub key: Option<String>,
}

fn reply(status: u16, body: &Value) -> Reply {
    Reply { status, media: "application/json", body: body.to_string(), ..Reply::default() }
}

fn empty(status: u16) -> Reply {
    Reply { status, ..Reply::default() }
}

impl Dialect {
    pub fn value(self) -> String {
        match self {
            Self::Acme => random("acme_", 32),
            Self::OpenRouter => random("sk-or-v1-", 64),
            Self::SendGrid => format!("SG.{}.{}", random("", 22), random("", 43)),
            Self::Shipped(name) => described::value(name),
        }
    }

    fn error(self, status: u16, code: &str) -> Reply {
        let body = match self {
            Self::Acme => json!({"error": {"code": code}}),
            Self::OpenRouter => json!({"error": {"code": status, "message": code}}),
            Self::SendGrid | Self::Shipped(_) => {
                // <https://github.com/sendgrid/sendgrid-php/issues/793>.
                let ended = "The provided authorization grant is invalid, expired, or revoked";
                json!({"errors": [{"field": null, "message": if status == 401 { ended } else { code }}]})
            }
        };
        reply(status, &body)
    }

    /// The answer of an issuer of this kind.
    pub fn answer(self, world: &mut World, seen: &RecordedRequest, peer: SocketAddr) -> Reply {
        if let Self::Shipped(name) = self {
            return described::answer(name, world, seen, peer);
        }
        let token = seen.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let token = token.unwrap_or_default().to_owned();
        let (verify, keys) = match self {
            Self::Acme => ("/v1/whoami", "/v1/keys"),
            Self::OpenRouter => ("/api/v1/key", "/api/v1/keys"),
            Self::SendGrid | Self::Shipped(_) => ("/v3/scopes", "/v3/api_keys"),
        };
        if seen.path == verify {
            if !world.scripted.is_empty() {
                let (status, media, body) = world.scripted.remove(0);
                return Reply { status, media, body, ..Reply::default() };
            }
            return match world.accepts(&token) {
                Some(key) => Reply { key: Some(key), ..self.whoami() },
                None => {
                    world.refuse(&token, peer, seen.headers.get("user-agent").cloned());
                    self.error(401, "invalid_key")
                }
            };
        }
        if token != world.admin {
            return self.error(401, "not_the_admin");
        }
        let rest: Vec<String> = match seen.path.strip_prefix(keys) {
            Some(rest) => rest.split('/').skip(1).map(plain).collect(),
            None => return self.error(404, "no_such_path"),
        };
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        match (seen.method.as_str(), rest.as_slice()) {
            ("GET", []) => {
                let link = world.link_once.take().map(|link| ("link", link));
                Reply { headers: link.into_iter().collect(), ..self.list(world, seen) }
            }
            ("POST", []) => self.mint(world, seen),
            ("GET", [id]) => match world.keys.iter().find(|key| key.id == *id && !key.deleted) {
                Some(key) => reply(200, &self.settings(key)),
                None => self.error(404, "not_found"),
            },
            ("PATCH", [id]) if self == Self::OpenRouter => {
                let off = body(seen)["disabled"].as_bool().unwrap();
                match world.switch(id, !off) {
                    Some(_) => reply(200, &json!({"data": {"hash": id, "disabled": off}})),
                    None => self.error(404, "not_found"),
                }
            }
            ("POST", [id, verb @ ("disable" | "enable")]) => match world.switch(id, *verb == "enable") {
                Some(true) => reply(200, &json!({})),
                Some(false) => self.error(409, "already"),
                None => self.error(404, "not_found"),
            },
            ("DELETE", [id]) => match (world.delete(id), self) {
                (true, Self::OpenRouter) => reply(200, &json!({"deleted": true})),
                (true, Self::Acme | Self::SendGrid | Self::Shipped(_)) => empty(204),
                (false, _) => self.error(404, "not_found"),
            },
            ("GET", [id, "refusals"]) => refusals(world, seen, id),
            ("GET", [id, "sessions"]) => reply(200, &sessions(world, id)),
            ("DELETE", [id, "sessions", handle]) => self.end(world, id, handle),
            _ => self.error(404, "no_such_path"),
        }
    }

    fn whoami(self) -> Reply {
        let body = match self {
            Self::Acme => json!({"account": "acct_1"}),
            Self::OpenRouter => json!({"data": {"label": "x", "limit": null}}),
            Self::SendGrid | Self::Shipped(_) => json!({"scopes": ["mail.send"]}),
        };
        reply(200, &body)
    }

    fn settings(self, key: &Key) -> Value {
        match self {
            Self::Acme => json!({"key": {"id": key.id, "scopes": ["send", "read"]}}),
            Self::OpenRouter => json!({"data": {
                "hash": key.id, "limit": 50, "limit_reset": null, "include_byok_in_limit": false,
            }}),
            Self::SendGrid | Self::Shipped(_) => {
                json!({"api_key_id": key.id, "name": key.name, "scopes": ["mail.send"]})
            }
        }
    }

    fn mint(self, world: &mut World, seen: &RecordedRequest) -> Reply {
        let sent = body(seen);
        let name = sent["name"].as_str().unwrap().to_owned();
        let shared = match self {
            Self::Acme => sent["scopes"] == json!(["send", "read"]),
            Self::OpenRouter => sent["limit"] == json!(50) && sent["limit_reset"].is_null(),
            Self::SendGrid | Self::Shipped(_) => sent["scopes"] == json!(["mail.send"]),
        };
        if !shared {
            return self.error(400, "wrong_settings");
        }
        let key = world.make(self, &name, sent["value"].as_str().map(str::to_owned));
        match self {
            Self::Acme => reply(201, &json!({"key": {"id": key.id}, "secret": key.value})),
            Self::OpenRouter => {
                reply(201, &json!({"data": {"hash": key.id, "name": name}, "key": key.value}))
            }
            Self::SendGrid | Self::Shipped(_) => {
                let body = json!({"api_key": key.value, "api_key_id": key.id, "name": name, "scopes": []});
                reply(201, &body)
            }
        }
    }

    fn list(self, world: &World, seen: &RecordedRequest) -> Reply {
        if let Some(body) = &world.list_body {
            return Reply { status: 200, media: "application/json", body: body.clone(), ..Reply::default() };
        }
        let keys: Vec<&Key> = world.keys.iter().filter(|key| !key.deleted).collect();
        match self {
            Self::Acme => {
                let after = seen.query.get("after").map_or(0, |after| after.parse().unwrap());
                let next = after + world.page;
                let items: Vec<Value> =
                    keys.iter().skip(after).take(world.page).map(|key| acme(key)).collect();
                let next = if next < keys.len() { json!(next.to_string()) } else { Value::Null };
                reply(200, &json!({"keys": items, "next": next}))
            }
            Self::OpenRouter => {
                let offset = seen.query.get("offset").unwrap().parse().unwrap();
                let all = seen.query.get("include_disabled").is_some_and(|all| all == "true");
                let shown = keys.iter().filter(|key| all || key.enabled).skip(offset).take(world.page);
                let item = |key: &&&Key| {
                    let hint = format!("{}...{}", &key.value[..12], &key.value[69..]);
                    json!({"hash": key.id, "name": key.name, "disabled": !key.enabled, "label": hint})
                };
                reply(200, &json!({"data": shown.collect::<Vec<_>>().iter().map(item).collect::<Vec<_>>()}))
            }
            Self::SendGrid | Self::Shipped(_) => {
                let item = |key: &&Key| json!({"api_key_id": key.id, "name": key.name});
                reply(200, &json!({"result": keys.iter().map(item).collect::<Vec<_>>()}))
            }
        }
    }

    fn end(self, world: &mut World, id: &str, handle: &str) -> Reply {
        let number = handle.strip_prefix("conn-").and_then(|number| number.parse().ok());
        match number.and_then(|number: u64| world.live.get(&number).map(|live| (number, live))) {
            Some((_, live)) if live.key != id => self.error(404, "not_found"),
            Some((_, live)) if live.busy => self.error(409, "busy"),
            Some((number, live)) => {
                live.end.notify_one();
                world.live.remove(&number);
                empty(204)
            }
            None => self.error(404, "not_found"),
        }
    }
}

fn acme(key: &Key) -> Value {
    let preview = format!("{}…{}", &key.value[..8], &key.value[33..]);
    let status = if key.enabled { "active" } else { "disabled" };
    let used = key.last_used.map(|ms| format!("1970-01-01T00:{:02}:{:02}Z", ms / 60_000, ms / 1_000 % 60));
    json!({"id": key.id, "name": key.name, "status": status, "last_used_at": used, "preview": preview})
}

fn refusals(world: &World, seen: &RecordedRequest, id: &str) -> Reply {
    if let Some(body) = &world.refused_body {
        return Reply { status: 200, media: "application/json", body: body.clone(), ..Reply::default() };
    }
    let since: u64 = seen.query.get("since").map_or(0, |since| since.parse().unwrap());
    let found: Vec<_> = world.refused.iter().filter(|one| one.key == id && one.at > since).collect();
    let after: usize = seen.query.get("after").map_or(0, |after| after.parse().unwrap());
    let next = after + world.page;
    let item = |one: &&&super::Refused| json!({"id": one.id, "at": one.at, "client": one.client.to_string(), "agent": one.agent});
    let items: Vec<Value> = found.iter().skip(after).take(world.page).map(|one| item(&one)).collect();
    let next = if next < found.len() { json!(next.to_string()) } else { Value::Null };
    reply(200, &json!({"refusals": items, "next": next}))
}

fn sessions(world: &World, id: &str) -> Value {
    let live = world.live.iter().filter(|(_, live)| live.key == id);
    let item = |(number, live): (&u64, &super::Live)| {
        json!({
            "id": format!("conn-{number}"), "client": live.client.to_string(),
            "busy": live.busy, "calls": live.calls,
        })
    };
    json!({"sessions": live.map(item).collect::<Vec<_>>()})
}

fn body(seen: &RecordedRequest) -> Value {
    serde_json::from_str(&seen.body).unwrap()
}
