//! A relay between keyroll and the store. It recognises what a request asks for, and springs a trap before it passes on the
//! request, or before it passes on the answer. What passes by does not stay in its memory, which is searched for values.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use zeroize::Zeroize as _;

use crate::way::{Act, Way, lead, listen};

/// What stands before the action in a request to AWS: in the head, or in the form that is its body.
const TARGETS: [&[u8]; 2] = [b"secretsmanager.", b"Action="];

/// What ends a request's head.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// When a trap acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before the request is carried out, which then never happens.
    Before,
    /// After it was carried out, before it is answered, which then never happens.
    After,
    /// Before it is carried out and answered as ever.
    Meanwhile,
}

/// A request, by its action (at Vault by its method and path, `GET /v1/kv/data/ring`) and a text in it.
pub type Wanted = (&'static str, &'static str);

struct Trap {
    wanted: Wanted,
    when: When,
    act: Act,
}

#[derive(Clone)]
pub struct Relay {
    port: u16,
    traps: Arc<Mutex<Vec<Trap>>>,
    /// Nothing is passed on, and nobody is told.
    away: Arc<AtomicBool>,
    /// How many connections were closed at once.
    refused: Arc<AtomicUsize>,
}

impl Relay {
    /// Listens before the store at this address of the loopback.
    pub fn before(server: &str) -> Self {
        let (listener, port) = listen();
        let relay = Self { port, traps: Arc::default(), away: Arc::default(), refused: Arc::default() };
        let (own, passing) = (relay.clone(), relay.clone());
        let refuses = move || {
            let away = own.away.load(Ordering::SeqCst);
            own.refused.fetch_add(usize::from(away), Ordering::SeqCst);
            away
        };
        lead(listener, server.to_owned(), refuses, move |way| passing.forth(way));
        relay
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Calls `act` at the next such request.
    pub fn trap(&self, wanted: Wanted, when: When, act: Act) {
        self.traps.lock().unwrap().push(Trap { wanted, when, act });
    }

    /// Every connection is closed at once, or none any more.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// How many connections were closed at once so far.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    /// The trap that this whole request springs.
    fn sprung(&self, request: &[u8]) -> Option<Trap> {
        let action = action(request)?;
        let mut traps = self.traps.lock().unwrap();
        let is =
            |(name, text): Wanted| name.as_bytes() == action && found(request, text.as_bytes()).is_some();
        let at = traps.iter().position(|trap| is(trap.wanted))?;
        Some(traps.remove(at))
    }

    fn forth(&self, way: &Way) {
        let mut buffer = vec![0; 262_144];
        while let Some(count) = request(way, &mut buffer) {
            if self.away.load(Ordering::SeqCst) {
                break;
            }
            match self.sprung(&buffer[..count]) {
                Some(Trap { when: When::Before, act, .. }) => {
                    act();
                    break;
                }
                Some(Trap { when: When::After, act, .. }) => *way.next.lock().unwrap() = Some(act),
                Some(Trap { when: When::Meanwhile, act, .. }) => act(),
                None => {}
            }
            let passed = (&way.server).write_all(&buffer[..count]);
            buffer[..count].zeroize();
            if passed.is_err() {
                break;
            }
        }
        buffer.zeroize();
    }
}

/// What a request asks for: its action at AWS, or its method and path.
fn action(request: &[u8]) -> Option<Vec<u8>> {
    for target in TARGETS {
        if let Some(at) = found(request, target) {
            let name = request[at + target.len()..].iter().copied();
            return Some(name.take_while(u8::is_ascii_alphanumeric).collect());
        }
    }
    let mut words = request.split(|byte| byte.is_ascii_whitespace());
    let (method, target) = (words.next()?, words.next()?);
    let path = target.split(|byte| *byte == b'?').next()?;
    Some([method, path].join(&b' '))
}

/// Reads a whole request to the beginning of the buffer; its length.
fn request(way: &Way, buffer: &mut [u8]) -> Option<usize> {
    let mut count = 0;
    loop {
        let more = (&way.client).read(&mut buffer[count..]).ok().filter(|more| *more > 0)?;
        count += more;
        let Some(head) = found(&buffer[..count], HEAD_END) else { continue };
        let lines = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
        let length = lines.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
        if count >= head + HEAD_END.len() + length {
            return Some(count);
        }
    }
}

/// Where a text begins; an empty one stands everywhere.
fn found(bytes: &[u8], text: &[u8]) -> Option<usize> {
    if text.is_empty() { Some(0) } else { bytes.windows(text.len()).position(|part| part == text) }
}
