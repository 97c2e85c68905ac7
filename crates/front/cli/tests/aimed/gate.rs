//! A relay between keyroll and PostgreSQL. It recognises what a transaction does, and springs a trap before it passes
//! on the commit, or before it passes on the server's answer.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::aimed::kind::When;
use crate::way::{Act, Way, lead, listen};

/// What a transaction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Mint,
    Off,
    On,
    End,
    /// After a revoke it asks for the sessions of the role.
    Sessions,
}

/// The statements that identify each, the most specific first.
const WORDS: [(&[u8], Said); 4] = [
    (b"CONNECTION LIMIT", Said::Mint),
    (b"PASSWORD NULL", Said::End),
    (b"\" NOLOGIN\0", Said::Off),
    (b"\" LOGIN\0", Said::On),
];

/// The question for the sessions of a role.
const SESSIONS: &[u8] = b"backend_type IN ('client backend', 'walsender')";

/// The simple query that ends a transaction, as it goes over the wire.
const COMMIT: &[u8] = b"COMMIT\0";

type Traps = Arc<Mutex<Vec<(Said, When, Act)>>>;

#[derive(Clone)]
pub struct Gate {
    port: u16,
    traps: Traps,
    /// A credential was ended here.
    ended: Arc<AtomicBool>,
}

impl Gate {
    pub fn before(server: u16) -> Self {
        let (listener, port) = listen();
        let gate = Self { port, traps: Traps::default(), ended: Arc::default() };
        let own = gate.clone();
        lead(listener, format!("127.0.0.1:{server}"), || false, move |way| own.forth(way));
        gate
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Calls `act` at the next such transaction; the answer is not passed on.
    pub fn trap(&self, said: Said, when: When, act: impl FnOnce() + Send + 'static) {
        self.traps.lock().unwrap().push((said, when, Box::new(act)));
    }

    pub fn disarm(&self) {
        self.traps.lock().unwrap().clear();
    }

    fn forth(&self, way: &Way) {
        let mut said = None;
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = (&way.client).read(&mut buffer) {
            let part = &buffer[..count];
            said = WORDS.iter().find(|(words, _)| holds(part, words)).map(|(_, said)| *said).or(said);
            if holds(part, SESSIONS) && self.ended.load(Ordering::SeqCst) {
                said = Some(Said::Sessions);
            }
            if said == Some(Said::Sessions) || holds(part, COMMIT) {
                let sprung = {
                    let mut traps = self.traps.lock().unwrap();
                    traps.iter().position(|(of, ..)| Some(*of) == said).map(|at| traps.remove(at))
                };
                match sprung {
                    Some((_, When::Before | When::Late, act)) => {
                        act();
                        break;
                    }
                    Some((_, When::After | When::Sealed, act)) => *way.next.lock().unwrap() = Some(act),
                    None => drop(self.ended.fetch_or(said == Some(Said::End), Ordering::SeqCst)),
                }
                said = None;
            }
            if (&way.server).write_all(part).is_err() {
                break;
            }
        }
    }
}

fn holds(part: &[u8], words: &[u8]) -> bool {
    part.windows(words.len()).any(|window| window == words)
}
