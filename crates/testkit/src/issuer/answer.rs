//! What the issuer answers, well or in a mood.

use std::net::Shutdown;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::books::{Books, Key};
use super::described::{Asked, Described, filled};
use super::model::{ModelCall, Shape, model_of, pid_of};
use super::proof::{Proof, is_signed};
use super::request::Request;
use super::{Ask, Issuer, RANDOM, ResponseFault};
use crate::alphanumeric;

/// Keys of one page of the list.
const PAGE: usize = 1;

/// An answer without a body.
const NO_CONTENT: u16 = 204;

type Bytes = Zeroizing<Vec<u8>>;

/// What is sent, and whether the connection goes on.
pub(super) enum Reply {
    Whole(Bytes),
    /// Sent, then closed.
    Cut(Bytes),
    Close,
    /// Until the caller lets go.
    Hang,
}

/// A status and a body.
pub(super) type RawResponse = (u16, Bytes);

impl Issuer {
    /// The mood that a request meets; a worker's call meets none.
    fn meets(&self, request: &Request) -> Option<ResponseFault> {
        let ask = if request.worker.is_some() { None } else { self.asks(request) }?;
        let mut books = self.books();
        let of = request.path.rsplit('/').next().unwrap_or_default().to_owned();
        books.asked.push((ask, of));
        let (.., mood, left) = books.moods.iter_mut().find(|(of, _, left)| *of == ask && *left > 0)?;
        *left -= 1;
        Some(*mood)
    }

    pub(super) fn reply(&self, request: &Request, client: &str) -> Reply {
        let whole = |answer: RawResponse| Reply::Whole(message(&answer, usize::MAX));
        let Some(mood) = self.meets(request) else { return whole(self.answer(request, client)) };
        match mood {
            ResponseFault::Html => raw(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 30\r\n\r\n<html>Under maintenance</html>",
            ),
            ResponseFault::TooMany => raw(
                "HTTP/1.1 429 Too Many\r\nRetry-After: 1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
            ),
            ResponseFault::Redirect => {
                raw("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/stolen\r\nContent-Length: 0\r\n\r\n")
            }
            ResponseFault::Silence => Reply::Hang,
            ResponseFault::HalfList if self.described.is_some() => whole(self.torn(request)),
            ResponseFault::HalfList if request.query.is_empty() => {
                whole(shown(200, &json!({ "data": self.page(0), "next": "1" })))
            }
            ResponseFault::HalfList => whole(error(500, "storage")),
            ResponseFault::CutShort => {
                let answer = self.answer(request, client);
                let half = answer.1.len() / 2;
                Reply::Cut(message(&answer, half))
            }
            ResponseFault::Lost => {
                drop(self.answer(request, client));
                Reply::Close
            }
            // As a gateway would that adds a key of its own: whoever asks is told of the key that is really used.
            ResponseFault::AcceptAll => {
                let keys = self.keys();
                let id = keys.first().map(|key| key.id.as_str()).unwrap_or_default();
                whole(shown(200, &json!({ "id": id, "account": "acme" })))
            }
            ResponseFault::Another => {
                whole(shown(200, &json!({ "id": "key_of_another", "account": "another" })))
            }
            ResponseFault::Forbidden => whole(error(403, "forbidden")),
            ResponseFault::OtherReason => whole(shown(401, &json!({ "needs": "a second factor" }))),
        }
    }

    fn answer(&self, request: &Request, client: &str) -> RawResponse {
        let mut books = self.books();
        if let Some(kept) = &mut books.kept {
            kept.extend(request.masked.iter().cloned());
        }
        if let Some(token) = self.exchanged(request) {
            return token;
        }
        if self.admin_known.is_caller(request) {
            drop(books);
            return self.admin(request);
        }
        let known = self.known(&books, request);
        let works = known.as_ref().is_some_and(|key| books.accepts(key, request.worker.is_some()));
        let whose = known.as_ref().map_or("nobody", |key| &key.id).to_owned();
        if known.as_ref().is_some_and(|key| key.disabled) {
            books.record.push((whose.clone(), client.to_owned(), request.worker.clone()));
        }
        match &request.worker {
            Some(worker) => {
                if !works {
                    books.refused_workers.push(format!("{worker} with {whose}"));
                }
                if let Some(calls) = books.accepted_calls.as_mut().filter(|_| works) {
                    calls.push((worker.clone(), whose.clone()));
                }
                books.last.insert(worker.clone(), (whose.clone(), works));
            }
            None if known.as_ref().is_some_and(|key| key.disabled) => books.refused_off.push(whose.clone()),
            None => {}
        }
        if works {
            books.used(&whose, client);
        }
        if let Some(shape) = Shape::of(request) {
            let spent = books.spent;
            let takes = books.slow.as_ref().filter(|(id, _)| *id == whose).map(|(_, takes)| *takes);
            drop(books);
            let (key, pid, model) = (whose, pid_of(client), model_of(request));
            self.books().model_calls.push(ModelCall { key, pid, accepted: works, model });
            takes.into_iter().for_each(std::thread::sleep);
            return match works {
                true if spent => shape.spent(),
                true => shape.answered(request),
                false => shape.refused(),
            };
        }
        if let Some(described) = &self.described {
            if works && described.asked_by_key(request).is_some() {
                drop(books);
                return self.by_spec(described, request);
            }
            let (status, body) = described.me(request, works.then_some(whose.as_str()));
            return shown(status, &body);
        }
        if !works {
            return error(401, "invalid_key");
        }
        match request.path.as_str() {
            "/v1/me" => shown(200, &json!({ "id": whose, "account": "acme" })),
            path if path.starts_with("/v1/keys") => error(403, "admin_only"),
            _ => error(404, "not_found"),
        }
    }

    /// A token for the admin, where its credential is exchanged for one.
    fn exchanged(&self, request: &Request) -> Option<RawResponse> {
        let described = self.described.as_ref().filter(|described| described.exchanges(request))?;
        self.admin_known.may_exchange(request).then(|| {
            let token = alphanumeric(RANDOM);
            self.admin_known.issued(self.digests.of(token.as_bytes()));
            let (status, body) = described.token(&token);
            shown(status, &body)
        })
    }

    /// The key that a request shows, or was computed with.
    fn known(&self, books: &Books, request: &Request) -> Option<Key> {
        let shows = |text: Option<String>| {
            text.is_some_and(|text| request.digests.contains(&self.digests.of(text.as_bytes())))
        };
        let proves = |key: &Key| match books.proofs.get(&key.id) {
            Some(Proof::Rsa(public)) => request.jwts.iter().any(|jwt| is_signed(jwt, public)),
            Some(Proof::Hmac(hmac)) => {
                shows(self.described.as_ref().and_then(|described| described.hmac(hmac, request)))
            }
            None => false,
        };
        let is_shown = |key: &Key| key.digests.iter().any(|digest| request.digests.contains(digest));
        books.keys.iter().find(|key| is_shown(key) || proves(key)).cloned()
    }

    fn admin(&self, request: &Request) -> RawResponse {
        if let Some(described) = &self.described {
            return self.by_spec(described, request);
        }
        let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
        match (request.asks(), parts.as_slice()) {
            (Some(Ask::Mint), _) => {
                let name = request.body.as_ref().and_then(|body| body.get("name")?.as_str());
                let (id, value) = self.mint(name.unwrap_or_default());
                (201, minted(&id, &value))
            }
            (Some(Ask::List), _) => {
                let cursor = request.query.split('&').find_map(|pair| pair.strip_prefix("cursor="));
                let from = cursor.and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
                let next = (from + PAGE < self.keys().len()).then(|| (from + PAGE).to_string());
                shown(200, &json!({ "data": self.page(from), "next": next }))
            }
            (Some(Ask::Disable | Ask::Enable), [_, _, id]) => {
                let off = request.off();
                self.changed(id, |key| key.disabled = off.unwrap_or(key.disabled))
            }
            (Some(Ask::Delete), [_, _, id]) => self.changed(id, |key| key.deleted = true),
            (Some(Ask::Sessions), [_, _, id, _]) => {
                let books = self.books();
                let of = books.sessions.iter().filter(|(_, session)| session.key == *id);
                let all: Vec<Value> = of
                    .map(|(client, session)| {
                        json!({ "handle": client, "client": client, "busy": false, "calls": session.calls })
                    })
                    .collect();
                shown(200, &json!({ "data": all }))
            }
            (Some(Ask::Refusals), [_, _, id, _]) => {
                let books = self.books();
                let of = books.record.iter().enumerate().filter(|(_, (key, ..))| key == id);
                let all: Vec<Value> = of
                    .map(|(at, (_, client, worker))| json!({ "id": at, "client": client, "agent": worker }))
                    .collect();
                shown(200, &json!({ "data": all }))
            }
            (Some(Ask::EndSession), [.., handle]) => {
                let ended = self.books().sessions.remove(&handle.replace("%3A", ":"));
                let Some(session) = ended else { return error(404, "not_found") };
                session.stream.map(|stream| stream.shutdown(Shutdown::Both));
                shown(200, &json!({ "ended": true }))
            }
            _ => error(404, "not_found"),
        }
    }

    /// What an issuer of the spec's kind answers its admin.
    fn by_spec(&self, described: &Described, request: &Request) -> RawResponse {
        let Some(asked) = described.asked(request) else { return error(404, "not_found") };
        let keys = self.books().keys.clone();
        let id = asked.text("{cred.id}").unwrap_or_default();
        let change = |with: fn(&mut Key)| self.books().change(id, with).is_some();
        let (status, body) = match asked.op {
            "get" => described.settings(&asked, &keys),
            "rights" => described.done(&asked),
            "list" => described.list(&asked, &keys, request, PAGE, false),
            "disable" => described.changed(&asked, change(|key| key.disabled = true)),
            "enable" => described.changed(&asked, change(|key| key.disabled = false)),
            "revoke" => described.changed(&asked, change(|key| key.deleted = true)),
            _ if !asked.copies_all() => (400, json!({ "message": "a setting is not the old key's" })),
            _ if !described.has_room(self.keys().len()) => (403, json!({ "title": "no room" })),
            _ => return self.minted_by_spec(described, &asked, request),
        };
        shown(status, &body)
    }

    fn minted_by_spec(&self, described: &Described, asked: &Asked<'_>, request: &Request) -> RawResponse {
        let label = asked.text("{label}").unwrap_or_default();
        let Some(chosen) = request.chosen.filter(|_| described.takes_values()) else {
            let (id, value) = self.mint(label);
            let (status, body) = described.minted(asked, &id);
            let whole = filled(&body.to_string(), &described.written(&value));
            return (status, Zeroizing::new(whole.as_bytes().to_vec()));
        };
        let id = self.books().make((label, String::new()), [chosen; 2], Vec::new);
        let (status, body) = described.minted(asked, &id);
        shown(status, &body)
    }

    /// The first page of a list, and nothing after it.
    fn torn(&self, request: &Request) -> RawResponse {
        let Some(described) = &self.described else { return error(500, "storage") };
        match described.asked(request).filter(|asked| described.begins(asked, request)) {
            Some(asked) => {
                let (status, body) = described.list(&asked, &self.books().keys, request, PAGE, true);
                shown(status, &body)
            }
            None => error(500, "storage"),
        }
    }

    fn changed(&self, id: &str, with: impl FnOnce(&mut Key)) -> RawResponse {
        match self.books().change(id, with) {
            Some(key) => shown(200, &line(key, None)),
            None => error(404, "not_found"),
        }
    }

    fn page(&self, from: usize) -> Vec<Value> {
        let keys = self.keys();
        let books = self.books();
        keys.iter().skip(from).take(PAGE).map(|key| line(key, books.used.get(&key.id))).collect()
    }
}

/// The whole answer, or so many bytes of its body.
fn message((status, body): &RawResponse, most: usize) -> Bytes {
    let length = body.len();
    let streams = body.starts_with(b"data: ") || body.starts_with(b"event: ");
    let kind = if streams { "text/event-stream" } else { "application/json" };
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
    let sent = body.get(..most).unwrap_or(body);
    let mut whole = Zeroizing::new(Vec::with_capacity(head.len() + sent.len()));
    whole.extend_from_slice(head.as_bytes());
    whole.extend_from_slice(sent);
    whole
}

fn raw(text: &str) -> Reply {
    Reply::Whole(Zeroizing::new(text.as_bytes().to_vec()))
}

/// Written by hand, so that no buffer of a serializer is left with the value.
fn minted(id: &str, value: &str) -> Bytes {
    let mut body = Zeroizing::new(Vec::with_capacity(256));
    for part in [r#"{"id":""#, id, r#"","key":""#, value, r#""}"#] {
        for byte in part.bytes() {
            match byte {
                b'\n' => body.extend_from_slice(b"\\n"),
                byte => body.push(byte),
            }
        }
    }
    body
}

fn line(key: &Key, used: Option<&u64>) -> Value {
    json!({
        "id": key.id, "name": key.label, "disabled": key.disabled, "deleted": key.deleted,
        "last_used_ms": used,
    })
}

pub(super) fn shown(status: u16, body: &Value) -> RawResponse {
    if status == NO_CONTENT {
        return (status, Bytes::default());
    }
    (status, Zeroizing::new(body.to_string().into_bytes()))
}

fn error(status: u16, code: &str) -> RawResponse {
    shown(status, &json!({ "error": { "code": code } }))
}
