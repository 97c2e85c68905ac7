//! A small stateful issuer with moods: keys are born and ended at once, and answers go wrong as a test says. It keeps
//! digests, and wipes what it read and wrote, so that the test's own process never holds a value.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use keyroll_testkit::alphanumeric;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::request::{Reading, Request};

/// Bytes that are read at once.
const PIECE_BYTES: usize = 16;

/// Keys of one page of the list.
const PAGE: usize = 1;

/// What every value begins with.
pub const PREFIX: &str = "hostile_sk_";

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    Me,
    List,
    Mint,
    Switch,
    Delete,
    Sessions,
    Refusals,
}

/// How an answer goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// A page for people, with status 200.
    Html,
    /// 429, for a second.
    TooMany,
    /// Nothing at all, until the caller lets go.
    Silence,
    /// The first page of a list; the next one fails.
    HalfList,
    /// The body ends in the middle.
    CutShort,
    /// The effect takes place, and the answer is lost.
    Lost,
    /// Every credential is accepted.
    AcceptAll,
    /// The key belongs to another.
    Another,
    /// Elsewhere.
    Redirect,
    /// The administrator may not.
    Forbidden,
}

/// One key, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub id: String,
    pub label: String,
    pub disabled: bool,
    pub deleted: bool,
    digest: u64,
}

/// A connection: the key of its last accepted call, and how many were accepted with that key.
#[derive(Default)]
struct Session {
    key: String,
    calls: u64,
    stream: Option<TcpStream>,
}

#[derive(Default)]
struct Books {
    admin: u64,
    keys: Vec<Key>,
    sessions: BTreeMap<String, Session>,
    /// Per worker the key of its last call, and whether that was accepted.
    last: BTreeMap<String, (String, bool)>,
    /// What goes wrong, and how many times still.
    moods: Vec<(Ask, Mood, u32)>,
    /// What was asked, in its order; calls of workers apart.
    asked: Vec<(Ask, String)>,
    /// Keys that were presented by other than workers while they were switched off.
    refused: Vec<String>,
    /// Every refused use of a switched-off key: the key, the client's end, and which worker it was.
    record: Vec<(String, String, Option<String>)>,
    /// What minted values end with, instead of letters.
    tail: &'static str,
}

/// The issuer; it listens until the test ends.
#[derive(Clone)]
pub struct Issuer {
    books: Arc<Mutex<Books>>,
    hasher: RandomState,
    address: SocketAddr,
}

enum Reply {
    Whole(u16, Zeroizing<Vec<u8>>),
    Raw(&'static str),
    Half(Zeroizing<Vec<u8>>),
    Close,
    Hang,
}

impl Issuer {
    /// Starts it; the admin key is handed out once.
    pub fn start() -> (Self, Zeroizing<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let issuer = Self { books: Arc::default(), hasher: RandomState::new(), address };
        let admin = Zeroizing::new(format!("admin_{}", alphanumeric(40)));
        issuer.books().admin = issuer.digest(admin.as_bytes());
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

    fn digest(&self, value: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        value.iter().for_each(|byte| hasher.write(&[*byte]));
        hasher.finish()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, so many answers go wrong.
    pub fn mood(&self, ask: Ask, mood: Mood, times: u32) {
        self.books().moods.push((ask, mood, times));
    }

    /// Everything is well again.
    pub fn calm(&self) {
        self.books().moods.clear();
    }

    /// What the values of new keys end with.
    pub fn tail(&self, tail: &'static str) {
        self.books().tail = tail;
    }

    /// How often something was asked by other than workers.
    pub fn asked(&self, ask: Ask) -> usize {
        self.books().asked.iter().filter(|(one, _)| *one == ask).count()
    }

    /// The keys that were asked to be deleted.
    pub fn deletions(&self) -> Vec<String> {
        self.books().asked.iter().filter(|(ask, _)| *ask == Ask::Delete).map(|(_, of)| of.clone()).collect()
    }

    /// How often a key was presented by other than workers while it was switched off.
    pub fn refused(&self, id: &str) -> usize {
        self.books().refused.iter().filter(|one| *one == id).count()
    }

    /// How often a switched-off key was presented by anybody.
    pub fn record(&self, id: &str) -> usize {
        self.books().record.iter().filter(|(key, ..)| key == id).count()
    }

    /// A new key: its id and its value.
    pub fn mint(&self, label: &str) -> (String, Zeroizing<String>) {
        let mut books = self.books();
        let mut value = Zeroizing::new(String::with_capacity(96));
        let random = Zeroizing::new(alphanumeric(40));
        [PREFIX, &random, books.tail].iter().for_each(|part| value.push_str(part));
        let id = format!("key_{}_{}", books.keys.len() + 1, alphanumeric(6));
        let digest = self.digest(value.as_bytes());
        let (label, disabled, deleted) = (label.to_owned(), false, false);
        books.keys.push(Key { id: id.clone(), label, disabled, deleted, digest });
        (id, value)
    }

    /// Ends a key, as its owner would at the console.
    pub fn end(&self, id: &str) {
        self.books().keys.iter_mut().filter(|key| key.id == id).for_each(|key| key.deleted = true);
    }

    /// Every key that was not deleted.
    pub fn keys(&self) -> Vec<Key> {
        self.books().keys.iter().filter(|key| !key.deleted).cloned().collect()
    }

    /// How many were ever made.
    pub fn made(&self) -> usize {
        self.books().keys.len()
    }

    /// The key whose value this is.
    pub fn whose(&self, value: &[u8]) -> Option<String> {
        let digest = self.digest(value);
        self.books().keys.iter().find(|key| key.digest == digest).map(|key| key.id.clone())
    }

    /// The key that a worker called with last, if that was accepted.
    pub fn last_of(&self, worker: &str) -> Option<String> {
        self.books().last.get(worker).filter(|(_, accepted)| *accepted).map(|(key, _)| key.clone())
    }

    /// Forgets who called last, so that only new calls count.
    pub fn forget(&self) {
        self.books().last.clear();
    }

    fn serve(&self, mut stream: TcpStream) {
        let client = stream.peer_addr().map(|address| address.to_string()).unwrap_or_default();
        while let Some(request) = self.read(&mut stream) {
            if self.books().sessions.get(&client).is_none_or(|session| session.stream.is_none()) {
                let own = stream.try_clone().ok();
                self.books().sessions.entry(client.clone()).or_default().stream = own;
            }
            let mut whole = Zeroizing::new(Vec::new());
            match self.reply(&request, &client) {
                Reply::Whole(status, body) => {
                    let head = head(status, body.len());
                    whole.reserve_exact(head.len() + body.len());
                    whole.extend_from_slice(head.as_bytes());
                    whole.extend_from_slice(&body);
                }
                Reply::Half(body) => {
                    let head = head(200, body.len());
                    whole.extend_from_slice(head.as_bytes());
                    whole.extend_from_slice(&body[..body.len() / 2]);
                    let _ = stream.write_all(&whole);
                    break;
                }
                Reply::Raw(text) => whole.extend_from_slice(text.as_bytes()),
                Reply::Close => break,
                Reply::Hang => {
                    let _ = stream.read(&mut [0u8; PIECE_BYTES]);
                    break;
                }
            }
            if stream.write_all(&whole).is_err() {
                break;
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
        self.books().sessions.remove(&client);
    }

    /// Reads a request in pieces that are shorter than a value, and takes the value's digest as it passes by: a whole
    /// one never stands in this process, where a search by value would find it.
    fn read(&self, stream: &mut TcpStream) -> Option<Request> {
        let mut reading = Reading::new(self.hasher.build_hasher());
        let mut piece = [0u8; PIECE_BYTES];
        loop {
            let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
            for byte in &piece[..count] {
                if reading.take(*byte)? {
                    return Some(reading.request());
                }
            }
        }
    }

    /// The mood that a request meets; a worker's call meets none.
    fn meets(&self, request: &Request) -> Option<Mood> {
        if request.worker.is_some() {
            return None;
        }
        let ask = asks(request)?;
        let mut books = self.books();
        let of = request.path.rsplit('/').next().unwrap_or_default().to_owned();
        books.asked.push((ask, of));
        let (.., mood, left) = books.moods.iter_mut().find(|(of, _, left)| *of == ask && *left > 0)?;
        *left -= 1;
        Some(*mood)
    }

    fn reply(&self, request: &Request, client: &str) -> Reply {
        let whole = |(status, body)| Reply::Whole(status, body);
        let Some(mood) = self.meets(request) else { return whole(self.answer(request, client)) };
        match mood {
            Mood::Html => Reply::Raw(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 30\r\n\r\n<html>Under maintenance</html>",
            ),
            Mood::TooMany => Reply::Raw(
                "HTTP/1.1 429 Too Many\r\nRetry-After: 1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
            ),
            Mood::Redirect => Reply::Raw(
                "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/stolen\r\nContent-Length: 0\r\n\r\n",
            ),
            Mood::Silence => Reply::Hang,
            Mood::HalfList if request.query.is_empty() => {
                let first: Vec<Value> = self.keys().iter().take(PAGE).map(line).collect();
                whole(shown(200, &json!({ "data": first, "next": "1" })))
            }
            Mood::HalfList => whole(error(500, "storage")),
            Mood::CutShort => {
                let (_, body) = self.answer(request, client);
                Reply::Half(body)
            }
            Mood::Lost => {
                drop(self.answer(request, client));
                Reply::Close
            }
            // As a gateway would that adds a key of its own: whoever asks is told of the key that is really used.
            Mood::AcceptAll => {
                let keys = self.keys();
                let id = keys.first().map(|key| key.id.as_str()).unwrap_or_default();
                whole(shown(200, &json!({ "id": id, "account": "acme" })))
            }
            Mood::Another => whole(shown(200, &json!({ "id": "key_of_another", "account": "another" }))),
            Mood::Forbidden => whole(error(403, "forbidden")),
        }
    }

    fn answer(&self, request: &Request, client: &str) -> (u16, Zeroizing<Vec<u8>>) {
        let mut books = self.books();
        if request.bearer == books.admin {
            drop(books);
            return self.admin(request);
        }
        let known = books.keys.iter().find(|key| key.digest == request.bearer).cloned();
        let alive = known.as_ref().filter(|key| !key.disabled && !key.deleted);
        if let Some(worker) = &request.worker {
            let whose = known.as_ref().map_or_else(|| "nobody".to_owned(), |key| key.id.clone());
            books.last.insert(worker.clone(), (whose, alive.is_some()));
        }
        if let Some(off) = known.as_ref().filter(|key| key.disabled) {
            books.record.push((off.id.clone(), client.to_owned(), request.worker.clone()));
        }
        if let Some(off) = known.as_ref().filter(|key| key.disabled && request.worker.is_none()) {
            books.refused.push(off.id.clone());
        }
        let Some(key) = alive else { return error(401, "invalid_key") };
        let session = books.sessions.entry(client.to_owned()).or_default();
        if session.key != key.id {
            (session.key, session.calls) = (key.id.clone(), 0);
        }
        session.calls += 1;
        match request.path.as_str() {
            "/v1/me" => shown(200, &json!({ "id": key.id, "account": "acme" })),
            path if path.starts_with("/v1/keys") => error(403, "admin_only"),
            _ => error(404, "not_found"),
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
                    for byte in part.bytes() {
                        match byte {
                            b'\n' => body.extend_from_slice(b"\\n"),
                            byte => body.push(byte),
                        }
                    }
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
                let of = books.sessions.iter().filter(|(_, session)| session.key == *id);
                let all: Vec<Value> = of
                    .map(|(client, session)| {
                        json!({ "handle": client, "client": client, "busy": false, "calls": session.calls })
                    })
                    .collect();
                shown(200, &json!({ "data": all }))
            }
            ("GET", ["v1", "keys", id, "refusals"]) => {
                let books = self.books();
                let of = books.record.iter().enumerate().filter(|(_, (key, ..))| key == id);
                let all: Vec<Value> = of
                    .map(|(at, (_, client, worker))| json!({ "id": at, "client": client, "agent": worker }))
                    .collect();
                shown(200, &json!({ "data": all }))
            }
            ("DELETE", ["v1", "keys", _, "connections", handle]) => {
                let handle = handle.replace("%3A", ":");
                match self.books().sessions.remove(&handle) {
                    Some(session) => {
                        session.stream.map(|stream| stream.shutdown(Shutdown::Both));
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

fn asks(request: &Request) -> Option<Ask> {
    let parts = request.path.trim_matches('/').split('/').count();
    Some(match (request.method.as_str(), request.path.as_str(), parts) {
        ("GET", "/v1/me", _) => Ask::Me,
        ("GET", "/v1/keys", _) => Ask::List,
        ("POST", "/v1/keys", _) => Ask::Mint,
        ("PATCH", _, 3) => Ask::Switch,
        ("DELETE", _, 3) => Ask::Delete,
        ("GET", path, 4) if path.ends_with("/refusals") => Ask::Refusals,
        ("GET", _, 4) => Ask::Sessions,
        _ => return None,
    })
}

fn head(status: u16, length: usize) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n")
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
