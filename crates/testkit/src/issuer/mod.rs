//! A small stateful issuer with moods: keys are born and ended as it is told, answers go wrong as a test says, and a
//! trap acts before or after a request is carried out. It keeps digests and masked bytes, so that the test's own
//! process never holds a value.

mod answer;
mod books;
mod described;
mod digest;
mod mark;
mod model;
mod proof;
mod request;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::alphanumeric;
use answer::Reply;
pub use books::Key;
use books::{Books, Session};
pub use described::Described;
use described::{Admin, Made};
pub use digest::sha256_hex;
use digest::{Digests, masked};
use mark::Mark;
pub use model::ModelCall;
use request::{Reading, Request};

/// Bytes that are read at once: shorter than a value.
const PIECE_BYTES: usize = 16;

/// What every value begins with.
pub const PREFIX: &str = "acme_sk_";

/// Letters and digits of a value, after its beginning.
const RANDOM: usize = 40;

/// The answers as a spec of the command's own form.
const SPEC: &str = include_str!("acme.toml");

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Whose key is this, and does it work?
    Me,
    /// A page of the list.
    List,
    /// A new key.
    Mint,
    /// A key is switched off.
    Disable,
    /// A key is switched on.
    Enable,
    /// A key is ended.
    Delete,
    /// The connections of a key.
    Sessions,
    /// A connection is ended.
    EndSession,
    /// The refused uses of a key.
    Refusals,
}

/// How an answer goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFault {
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
    /// Refused for another reason than the key: a second factor is asked for.
    OtherReason,
}

/// When a trap acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Before the request is carried out, which then never happens.
    Before,
    /// Before the request is carried out, which happens so much later all the same.
    Late(Duration),
    /// After it was carried out, before it is answered, which then never happens.
    After,
    /// Before it is carried out and answered as ever.
    Meanwhile,
}

/// What a trap does.
type Act = Box<dyn FnOnce() + Send>;

/// Waits for one request about one of these keys, or about none.
struct Trap {
    ask: Ask,
    moment: Moment,
    of: fn(&Key) -> bool,
    act: Act,
}

/// A spec without one of its tables.
pub fn without(spec: &str, name: &str) -> String {
    let head = format!("[{name}]\n");
    let (before, rest) = spec.split_once(&head).unwrap_or((spec, ""));
    let after = rest.split_once("\n[").map_or("", |(_, after)| after);
    format!("{before}[{after}")
}

/// The issuer's spec without its mint: a person makes keys.
pub fn by_hand(spec: &mut String) {
    *spec = without(spec, "op.mint").replace("minted_by = \"api\"", "minted_by = \"human\"");
    *spec += "\n[human]\nurl = \"https://acme.example/keys\"\nsteps = [\"press New key\", \"copy it\"]\n";
    *spec += "revoke_steps = [\"press Delete beside the old key\"]\n";
}

/// The issuer; it listens until the test ends.
#[derive(Clone)]
pub struct Issuer {
    books: Arc<Mutex<Books>>,
    traps: Arc<Mutex<Vec<Trap>>>,
    digests: Digests,
    /// The spec that it answers by; none: those of [`Issuer::spec`].
    described: Option<Arc<Described>>,
    shown: Arc<[Mark]>,
    admin_known: Arc<Admin>,
    address: SocketAddr,
}

impl Issuer {
    /// Starts it; the admin key is handed out once.
    ///
    /// # Panics
    /// If it cannot listen on the loopback address.
    pub fn start() -> (Self, Zeroizing<String>) {
        Self::started(None)
    }

    /// One that answers as a spec expects.
    ///
    /// # Panics
    /// If it is no spec, or it cannot listen on the loopback address.
    pub fn described(spec: &str) -> (Self, Zeroizing<String>) {
        Self::started(Some(Described::read(spec)))
    }

    #[allow(clippy::expect_used, reason = "a test without its issuer cannot go on")]
    fn started(described: Option<Described>) -> (Self, Zeroizing<String>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of the loopback address");
        let address = listener.local_addr().expect("the port that was bound");
        let shown = described.as_ref().map_or_else(mark::usual, Described::marks).into();
        let (books, traps, digests) = (Arc::default(), Arc::default(), Digests::default());
        let (admin, known) = match &described {
            Some(described) => described.admin(&digests),
            None => {
                let text = Zeroizing::new(format!("admin_{}", alphanumeric(RANDOM)));
                let known = Admin::of_text(&text, &digests);
                (text, known)
            }
        };
        let (described, admin_known) = (described.map(Arc::new), Arc::new(known));
        let issuer = Self { books, traps, digests, described, shown, admin_known, address };
        issuer.books().replaces = issuer.described.as_ref().and_then(|described| described.grace());
        let serving = issuer.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let issuer = serving.clone();
                thread::spawn(move || issuer.serve(stream));
            }
        });
        (issuer, admin)
    }

    /// Its port of the loopback address.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// It, described for keyroll; a request may take so long.
    pub fn spec(&self, request_max: &str) -> String {
        SPEC.replace("@PORT@", &self.port().to_string()).replace("@REQUEST_MAX@", request_max)
    }

    /// What a request asks for, if that is known here.
    fn asks(&self, request: &Request) -> Option<Ask> {
        let Some(described) = &self.described else { return request.asks() };
        described.asks(request, self.admin_known.is_caller(request))
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, so many answers go wrong.
    pub fn mood(&self, ask: Ask, mood: ResponseFault, times: u32) {
        self.books().moods.push((ask, mood, times));
    }

    /// Everything is well again.
    pub fn calm(&self) {
        self.books().moods.clear();
    }

    /// At the next such request of others than workers about such a key, or about none, `act` is called.
    pub fn trap(&self, ask: Ask, moment: Moment, of: fn(&Key) -> bool, act: impl FnOnce() + Send + 'static) {
        self.traps().push(Trap { ask, moment, of, act: Box::new(act) });
    }

    /// A connection that stays, of which the books say that it was last used with the key of this label.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn linger(&self, label: &str) -> std::io::Result<()> {
        let stream = TcpStream::connect(self.address)?;
        let client = stream.local_addr()?.to_string();
        let mut books = self.books();
        let key = books.keys.iter().find(|key| key.label == label).map(|key| key.id.clone());
        let session = Session { key: key.unwrap_or_default(), calls: 1, stream: Some(stream) };
        books.sessions.insert(client, session);
        Ok(())
    }

    /// Takes the traps away that did not act.
    pub fn disarm(&self) {
        self.traps().clear();
    }

    fn traps(&self) -> MutexGuard<'_, Vec<Trap>> {
        self.traps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// New keys work only after this time; ended and switched ones only stop after that.
    pub fn delays(&self, birth: Duration, death: Duration) {
        self.books().delays = (birth, death);
    }

    /// From now on a new key ends all others, so much later: there is one value at a time.
    pub fn replaces(&self, grace: Duration) {
        self.books().replaces = Some(grace);
    }

    /// From now on, while a change spreads, every other answer to others than workers is of the other state.
    pub fn flaps(&self) {
        self.books().flaps = Some(0);
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
    pub fn refused_while_off(&self, id: &str) -> usize {
        self.books().refused_off.iter().filter(|one| *one == id).count()
    }

    /// How often a switched-off key was presented by anybody.
    pub fn record(&self, id: &str) -> usize {
        self.books().record.iter().filter(|(key, ..)| key == id).count()
    }

    /// Calls of workers that were refused.
    pub fn refused_workers(&self) -> Vec<String> {
        self.books().refused_workers.clone()
    }

    /// A new key: its id and its value.
    pub fn mint(&self, label: &str) -> (String, Zeroizing<String>) {
        let Made { value, proof } = match &self.described {
            Some(described) => described.value(),
            None => Made { value: self.acme(), proof: None },
        };
        let hint = self.described.as_ref().map(|described| described.hint(&value)).unwrap_or_default();
        let short = sha256_hex(value.as_bytes());
        let digests = [value.as_bytes(), short.as_bytes()].map(|text| self.digests.of(text));
        let mut books = self.books();
        let mut id = books.make((label, hint), digests, || masked(value.as_bytes()));
        // A credential may contain its id.
        if let Some(own) = self.described.as_ref().and_then(|described| described.id_in(&value)) {
            books.keys.iter_mut().filter(|key| key.id == id).for_each(|key| key.id.clone_from(&own));
            id = own;
        }
        books.proofs.extend(proof.map(|proof| (id.clone(), proof)));
        drop(books);
        (id, value)
    }

    fn acme(&self) -> Zeroizing<String> {
        let tail = self.books().tail;
        let random = Zeroizing::new(alphanumeric(RANDOM));
        let mut value = Zeroizing::new(String::with_capacity(PREFIX.len() + RANDOM + tail.len()));
        [PREFIX, &random, tail].iter().for_each(|part| value.push_str(part));
        value
    }

    /// Ends a key, as its owner would at the console.
    pub fn end(&self, id: &str) {
        self.books().keys.iter_mut().filter(|key| key.id == id).for_each(|key| key.deleted = true);
    }

    /// One that was ended is accepted again.
    pub fn restore(&self, id: &str) {
        self.books().keys.iter_mut().filter(|key| key.id == id).for_each(|key| key.deleted = false);
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
        let digest = self.digests.of(value);
        self.books().keys.iter().find(|key| key.digests.contains(&digest)).map(|key| key.id.clone())
    }

    /// The key that a worker called with last, if that was accepted.
    pub fn last_of(&self, worker: &str) -> Option<String> {
        self.books().last.get(worker).filter(|(_, accepted)| *accepted).map(|(key, _)| key.clone())
    }

    /// From now on nothing is left to spend on models, or something is again: keys are accepted all the same.
    pub fn spend(&self, all: bool) {
        self.books().spent = all;
    }

    /// From now on a call of a model with this key takes so long; its key is judged when it begins.
    pub fn slow(&self, id: &str, takes: Duration) {
        self.books().slow = Some((id.to_owned(), takes));
    }

    /// Every call of a model: the judge's log.
    pub fn model_calls(&self) -> Vec<ModelCall> {
        self.books().model_calls.clone()
    }

    /// Forgets who called last, so that only new calls count.
    pub fn forget(&self) {
        self.books().last.clear();
    }

    /// From now on every accepted call of a worker is kept.
    pub fn keep_calls(&self) {
        self.books().accepted_calls = Some(Vec::new());
    }

    /// Those calls, in their order: which worker, and the id of its key.
    pub fn accepted_calls(&self) -> Vec<(String, String)> {
        self.books().accepted_calls.clone().unwrap_or_default()
    }

    /// From now on every value is kept, masked, that is made or presented.
    pub fn keep_values(&self) {
        self.books().kept = Some(std::collections::BTreeSet::new());
    }

    /// Those values: to be asked for only when nothing searches this process any more.
    pub fn values(&self) -> Vec<Vec<u8>> {
        self.books().kept.iter().flatten().map(|value| masked(value)).collect()
    }

    fn serve(&self, mut stream: TcpStream) {
        let client = stream.peer_addr().map(|address| address.to_string()).unwrap_or_default();
        while let Some(request) = self.read(&mut stream) {
            self.books().connected(&client, &stream);
            if !self.met(&request, &client, &mut stream) {
                break;
            }
        }
        // A clone of it is in the books.
        drop(stream.shutdown(Shutdown::Both));
        self.books().sessions.remove(&client);
    }

    /// Answers one request; whether the connection goes on.
    fn met(&self, request: &Request, client: &str, stream: &mut TcpStream) -> bool {
        let trap = self.sprung(request);
        let moment = trap.as_ref().map(|trap| trap.moment);
        let act = trap.map(|trap| trap.act);
        let spring = |act: Option<Act>| act.into_iter().for_each(|act| act());
        let reply = match moment {
            Some(Moment::Before) => {
                spring(act);
                return false;
            }
            Some(Moment::Late(after)) => {
                spring(act);
                thread::sleep(after);
                drop(self.reply(request, client));
                return false;
            }
            Some(Moment::After) => {
                drop(self.reply(request, client));
                spring(act);
                return false;
            }
            Some(Moment::Meanwhile) => {
                spring(act);
                self.reply(request, client)
            }
            None => self.reply(request, client),
        };
        match reply {
            Reply::Whole(bytes) => stream.write_all(&bytes).is_ok(),
            Reply::Cut(bytes) => {
                drop(stream.write_all(&bytes));
                false
            }
            Reply::Close => false,
            Reply::Hang => {
                drop(stream.read(&mut [0u8; PIECE_BYTES]));
                false
            }
        }
    }

    /// The trap that this request springs.
    fn sprung(&self, request: &Request) -> Option<Trap> {
        let ask = if request.worker.is_none() { self.asks(request)? } else { return None };
        let keys = self.keys();
        let key = keys.iter().find(|key| request.path.split('/').any(|part| part == key.id));
        let mut traps = self.traps();
        let at = traps.iter().position(|trap| trap.ask == ask && key.is_none_or(trap.of))?;
        Some(traps.remove(at))
    }

    /// Reads a request in pieces that are shorter than a value, and takes the value's digest as it passes by: a whole
    /// one never stands in this process, where a search by value would find it.
    fn read(&self, stream: &mut TcpStream) -> Option<Request> {
        let mut reading = Reading::new(&self.digests, &self.shown);
        let mut piece = [0u8; PIECE_BYTES];
        loop {
            let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
            for byte in piece.iter().take(count) {
                if reading.take(*byte)? {
                    return Some(reading.request());
                }
            }
        }
    }
}
