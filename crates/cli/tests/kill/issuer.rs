//! A small stateful issuer: every key is born, switched and ended at once. It keeps digests, and wipes what it read
//! and wrote, so that the test's own process never holds a value.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use keyroll_testkit::alphanumeric;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// The longest request, bytes.
const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// Keys of one page of the list.
const PAGE: usize = 2;

/// One key, without its value.
#[derive(Clone)]
pub struct Key {
    pub id: String,
    pub label: String,
    pub disabled: bool,
    pub deleted: bool,
    digest: u64,
}

impl Key {
    fn is_alive(&self) -> bool {
        !self.disabled && !self.deleted
    }
}

/// A connection: the key of its last accepted call, how many were accepted with that key.
#[derive(Default)]
struct Session {
    key: String,
    calls: u64,
}

#[derive(Default)]
struct Books {
    admin: u64,
    keys: Vec<Key>,
    sessions: BTreeMap<String, (Session, Option<TcpStream>)>,
    /// Per worker the key of its last call, and whether that was accepted.
    last: BTreeMap<String, (String, bool)>,
    /// Calls of workers that were refused.
    refused: Vec<String>,
    /// Every value that was made or presented, masked; `None`: not kept.
    kept: Option<BTreeSet<Vec<u8>>>,
}

impl Books {
    fn keep(&mut self, value: &[u8]) {
        if let Some(kept) = &mut self.kept {
            kept.insert(masked(value));
        }
    }
}

/// So that a search of this process finds no value.
fn masked(value: &[u8]) -> Vec<u8> {
    value.iter().map(|byte| byte ^ 0x5a).collect()
}

/// The issuer; it listens until the test ends.
#[derive(Clone)]
pub struct Issuer {
    books: Arc<Mutex<Books>>,
    hasher: RandomState,
    address: SocketAddr,
}

enum Caller {
    Admin,
    Key(String),
    Refused,
}

/// What is read of one request.
struct Request {
    method: String,
    path: String,
    query: String,
    bearer: u64,
    worker: Option<String>,
    body: Option<Value>,
}

impl Issuer {
    /// Starts it; the admin key is handed out once.
    pub fn start() -> (Self, Zeroizing<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let issuer = Self { books: Arc::default(), hasher: RandomState::new(), address };
        let admin = Zeroizing::new(format!("admin_{}", alphanumeric(40)));
        issuer.books().admin = issuer.hasher.hash_one(admin.as_bytes());
        let serving = issuer.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let issuer = serving.clone();
                thread::spawn(move || issuer.serve(stream));
            }
        });
        (issuer, admin)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every value is kept that is made or presented.
    pub fn keep_values(&self) {
        self.books().kept = Some(BTreeSet::new());
    }

    /// Those values: to be asked for only when nothing searches this process any more.
    pub fn values(&self) -> Vec<Vec<u8>> {
        self.books().kept.iter().flatten().map(|value| masked(value)).collect()
    }

    /// A new key: its id and its value.
    pub fn mint(&self, label: &str) -> (String, Zeroizing<String>) {
        let value = Zeroizing::new(format!("kill_sk_{}", alphanumeric(40)));
        let mut books = self.books();
        let id = format!("key_{}_{}", books.keys.len() + 1, alphanumeric(6));
        let digest = self.hasher.hash_one(value.as_bytes());
        books.keep(value.as_bytes());
        let (label, disabled, deleted) = (label.to_owned(), false, false);
        books.keys.push(Key { id: id.clone(), label, disabled, deleted, digest });
        (id, value)
    }

    /// Every key that was not deleted.
    pub fn keys(&self) -> Vec<Key> {
        self.books().keys.iter().filter(|key| !key.deleted).cloned().collect()
    }

    /// The key whose value this is.
    pub fn whose(&self, value: &[u8]) -> Option<String> {
        let digest = self.hasher.hash_one(value);
        self.books().keys.iter().find(|key| key.digest == digest).map(|key| key.id.clone())
    }

    /// The key that a worker called with last, if that was accepted; forgotten by [`Issuer::forget`].
    pub fn last_of(&self, worker: &str) -> Option<String> {
        self.books().last.get(worker).filter(|(_, accepted)| *accepted).map(|(key, _)| key.clone())
    }

    /// Forgets who called last, so that only new calls count.
    pub fn forget(&self) {
        self.books().last.clear();
    }

    /// Calls of workers that were refused.
    pub fn refused(&self) -> Vec<String> {
        self.books().refused.clone()
    }

    fn serve(&self, mut stream: TcpStream) {
        let client = stream.peer_addr().map(|address| address.to_string()).unwrap_or_default();
        let mut buffer = Zeroizing::new([0u8; REQUEST_BYTES_MAX]);
        while let Some(request) = self.read(&mut stream, &mut buffer) {
            if self.books().sessions.get(&client).is_none_or(|(_, stream)| stream.is_none()) {
                let own = stream.try_clone().ok();
                self.books().sessions.entry(client.clone()).or_default().1 = own;
            }
            let (status, body) = self.answer(&request, &client);
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let mut whole = Zeroizing::new(Vec::with_capacity(head.len() + body.len()));
            whole.extend_from_slice(head.as_bytes());
            whole.extend_from_slice(&body);
            if stream.write_all(&whole).is_err() {
                break;
            }
        }
        self.books().sessions.remove(&client);
    }

    fn read(
        &self,
        stream: &mut TcpStream,
        buffer: &mut Zeroizing<[u8; REQUEST_BYTES_MAX]>,
    ) -> Option<Request> {
        let mut have = 0;
        loop {
            let end = buffer[..have].windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let length = header(&buffer[..end], "content-length")
                    .and_then(|text| std::str::from_utf8(text).ok()?.parse::<usize>().ok())
                    .unwrap_or(0);
                if have >= end + 4 + length {
                    return self.parse(&buffer[..end], &buffer[end + 4..end + 4 + length]);
                }
            }
            match stream.read(buffer.get_mut(have..)?) {
                Ok(0) | Err(_) => return None,
                Ok(more) => have += more,
            }
        }
    }

    fn parse(&self, head: &[u8], body: &[u8]) -> Option<Request> {
        let line = head.split(|byte| *byte == b'\r').next()?;
        let line = std::str::from_utf8(line).ok()?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let bearer = header(head, "authorization").and_then(|text| text.strip_prefix(b"Bearer "));
        self.books().keep(bearer.unwrap_or_default());
        let worker = header(head, "x-worker").map(|text| String::from_utf8_lossy(text).into_owned());
        Some(Request {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            bearer: self.hasher.hash_one(bearer.unwrap_or_default()),
            worker,
            body: serde_json::from_slice(body).ok(),
        })
    }

    fn answer(&self, request: &Request, client: &str) -> (u16, Zeroizing<Vec<u8>>) {
        let mut books = self.books();
        let caller = if request.bearer == books.admin {
            Caller::Admin
        } else {
            let key = books.keys.iter().find(|key| key.digest == request.bearer && key.is_alive());
            key.map_or(Caller::Refused, |key| Caller::Key(key.id.clone()))
        };
        if let Some(worker) = &request.worker {
            let whose = books.keys.iter().find(|key| key.digest == request.bearer);
            let whose = whose.map_or_else(|| "nobody".to_owned(), |key| key.id.clone());
            let accepted = matches!(caller, Caller::Key(_));
            if !accepted {
                books.refused.push(format!("{worker} with {whose}"));
            }
            books.last.insert(worker.clone(), (whose, accepted));
        }
        match caller {
            Caller::Refused => error(401, "invalid_key"),
            Caller::Key(id) => {
                let session = &mut books.sessions.entry(client.to_owned()).or_default().0;
                if session.key != id {
                    *session = Session { key: id.clone(), calls: 0 };
                }
                session.calls += 1;
                match request.path.as_str() {
                    "/v1/me" => shown(200, &json!({ "id": id, "account": "kill-ring" })),
                    path if path.starts_with("/v1/keys") => error(403, "admin_only"),
                    _ => error(404, "not_found"),
                }
            }
            Caller::Admin => {
                drop(books);
                self.admin(request)
            }
        }
    }

    fn admin(&self, request: &Request) -> (u16, Zeroizing<Vec<u8>>) {
        let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["v1", "keys"]) => {
                let name = request.body.as_ref().and_then(|body| body["name"].as_str()).unwrap_or_default();
                let (id, value) = self.mint(name);
                let mut body = Zeroizing::new(Vec::with_capacity(256));
                for part in [r#"{"id":""#, id.as_str(), r#"","key":""#, value.as_str(), r#""}"#] {
                    body.extend_from_slice(part.as_bytes());
                }
                (201, body)
            }
            ("GET", ["v1", "keys"]) => {
                let keys = self.keys();
                let cursor = request.query.split('&').find_map(|pair| pair.strip_prefix("cursor="));
                let from = cursor.and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
                let page: Vec<Value> = keys.iter().skip(from).take(PAGE).map(line).collect();
                let next = (from + PAGE < keys.len()).then(|| (from + PAGE).to_string());
                shown(200, &json!({ "data": page, "next": next }))
            }
            ("PATCH", ["v1", "keys", id]) => {
                let disabled = request.body.as_ref().and_then(|body| body["disabled"].as_bool());
                self.change(id, |key| key.disabled = disabled.unwrap_or(key.disabled))
            }
            ("DELETE", ["v1", "keys", id]) => self.change(id, |key| key.deleted = true),
            ("GET", ["v1", "keys", id, "connections"]) => {
                let books = self.books();
                let of = books.sessions.iter().filter(|(_, (session, _))| session.key == *id);
                let all: Vec<Value> = of
                    .map(|(client, (session, _))| {
                        json!({ "handle": client, "client": client, "busy": false, "calls": session.calls })
                    })
                    .collect();
                shown(200, &json!({ "data": all }))
            }
            ("DELETE", ["v1", "keys", _, "connections", handle]) => {
                let handle = handle.replace("%3A", ":");
                let ended = self.books().sessions.remove(&handle);
                match ended {
                    Some((_, stream)) => {
                        stream.map(|stream| stream.shutdown(std::net::Shutdown::Both));
                        shown(200, &json!({ "ended": true }))
                    }
                    None => error(404, "not_found"),
                }
            }
            _ => error(404, "not_found"),
        }
    }

    fn change(&self, id: &str, with: impl FnOnce(&mut Key)) -> (u16, Zeroizing<Vec<u8>>) {
        let mut books = self.books();
        match books.keys.iter_mut().find(|key| key.id == id && !key.deleted) {
            Some(key) => {
                with(key);
                shown(200, &line(key))
            }
            None => error(404, "not_found"),
        }
    }
}

fn line(key: &Key) -> Value {
    json!({ "id": key.id, "name": key.label, "disabled": key.disabled, "deleted": key.deleted })
}

fn shown(status: u16, body: &Value) -> (u16, Zeroizing<Vec<u8>>) {
    (status, Zeroizing::new(body.to_string().into_bytes()))
}

fn error(status: u16, code: &str) -> (u16, Zeroizing<Vec<u8>>) {
    shown(status, &json!({ "error": { "code": code } }))
}

/// A header's value, by its name in lower case.
fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (key, value) = line.split_at(colon);
        key.eq_ignore_ascii_case(name.as_bytes()).then(|| value[1..].trim_ascii())
    })
}
