//! One program's connection: a request, then its answer, and so on.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyroll_secret::SecretBytes;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::desk::{Asker, Desk, Refusal, Said, User};
use crate::known::Life;
use crate::limits::PerSecond;
use crate::peer::Peer;
use crate::wire::{Answered, REQUEST_BYTES_MAX, Request};

/// The most connections at once.
const LISTEN_MAX: usize = 8_192;
/// The most of one process.
const PER_PROCESS_MAX: usize = 64;
/// How long a waiting `get` waits, seconds: the default, and at most.
const WAIT_S: u64 = 60;
const WAIT_S_MAX: u64 = 600;
/// How long a program may take to read an answer.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// The words of one connection within a second; a program says one per call at most, and only what is new.
const WORDS_MAX: u32 = 100;
/// How long nothing is accepted after the system refused a connection.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
/// How much of a request is read at once, bytes: most are shorter, and each waiting program has one.
const READ_BYTES: usize = 256;

/// The most of one user whom no rule names.
const PER_STRANGER_MAX: usize = 32;

/// The connections of each user, by process.
type Open = Arc<Mutex<BTreeMap<u32, BTreeMap<u32, usize>>>>;

/// Answers programs until it is told to stop.
pub async fn listen(listener: UnixListener, desk: Arc<Desk>, mut stop: watch::Receiver<bool>) {
    let open: Open = Arc::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (desk, open, mut stop) = (desk.clone(), open.clone(), stop.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = serve(stream, &desk, &open) => {}
                        _ = stop.wait_for(|stop| *stop) => {}
                    }
                });
            }
            Err(error) => {
                desk.log(&format!("the socket: a connection was refused: {error}"));
                sleep(REFUSED_PAUSE).await;
            }
        }
    }
}

/// Counts a connection of a process until it is dropped.
struct Counted {
    open: Open,
    uid: u32,
    pid: u32,
}

impl Counted {
    /// `named`: a rule names the user. Whoever is none of them takes away no connection from those who are.
    fn begin(open: &Open, (uid, pid): (u32, u32), named: bool) -> Option<Self> {
        let mut all = open.lock().unwrap_or_else(PoisonError::into_inner);
        let of_user = |its: &BTreeMap<u32, usize>| its.values().sum::<usize>();
        let total: usize = all.values().map(of_user).sum();
        let its = all.get(&uid);
        let user = its.map(of_user).unwrap_or_default();
        let process = its.and_then(|its| its.get(&pid)).copied().unwrap_or_default();
        let most = if named { LISTEN_MAX } else { PER_STRANGER_MAX };
        if total >= LISTEN_MAX || user >= most || process >= PER_PROCESS_MAX {
            return None;
        }
        *all.entry(uid).or_default().entry(pid).or_default() += 1;
        Some(Self { open: open.clone(), uid, pid })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(its) = all.get_mut(&self.uid) else { return };
        if let Some(count) = its.get_mut(&self.pid) {
            *count -= 1;
            if *count == 0 {
                its.remove(&self.pid);
            }
        }
        if its.is_empty() {
            all.remove(&self.uid);
        }
    }
}

async fn serve(stream: UnixStream, desk: &Desk, open: &Open) {
    let Ok(named) = stream.peer_cred() else { return };
    let (Some(pid), uid) = (named.pid().and_then(|pid| u32::try_from(pid).ok()), named.uid()) else { return };
    let (read, mut write) = stream.into_split();
    let mut reader = BufReader::with_capacity(READ_BYTES, read);
    let Some(_counted) = Counted::begin(open, (uid, pid), desk.has_user(uid)) else {
        let refusal = Refusal::closing("too many connections of this process, of this user, or in all");
        drop(send(&mut write, &refusal.answered()).await);
        return;
    };
    let looked = tokio::task::spawn_blocking(move || Peer::of(pid, uid)).await;
    let Ok(Ok(peer)) = looked else {
        let line =
            format!("the socket: process {pid} of user {uid} cannot be looked at, and is given nothing");
        desk.log_once(&line, &format!("{uid}: not looked at"));
        let refusal = Refusal::closing("keyroll cannot see which program asks");
        drop(send(&mut write, &refusal.answered()).await);
        return;
    };
    let mut words = PerSecond::new(WORDS_MAX);
    let mut line = Vec::new();
    loop {
        line.clear();
        match read_line(&mut reader, &mut line).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => {
                let why = format!("a request is one line of at most {REQUEST_BYTES_MAX} bytes");
                drop(send(&mut write, &Refusal::closing(why).answered()).await);
                return;
            }
        }
        let answer = answer(desk, &peer, &line, &mut words, &mut reader).await;
        let (sent, closes) = match answer {
            Ok(Reply::Value(value)) => (send_bytes(&mut write, &value.line).await, false),
            Ok(Reply::Word(word)) => (send(&mut write, &word).await, false),
            Ok(Reply::Gone) => return,
            Err(refusal) => {
                let closes = refusal.closes;
                if closes {
                    let line = format!("the socket: process {pid} of user {uid}: {}", refusal.why);
                    desk.log_once(&line, &format!("{uid}: {}", refusal.why));
                }
                (send(&mut write, &refusal.answered()).await, closes)
            }
        };
        if sent.is_err() || closes {
            return;
        }
    }
}

enum Reply {
    Value(Arc<crate::desk::Value>),
    Word(Answered),
    /// Nobody waits for the answer any more.
    Gone,
}

async fn answer<R: AsyncBufRead + Unpin>(
    desk: &Desk,
    peer: &Peer,
    line: &[u8],
    words: &mut PerSecond,
    reader: &mut R,
) -> Result<Reply, Refusal> {
    let request: Request = serde_json::from_slice(line)
        .map_err(|_| Refusal::closing("the request is not understood: get, loaded, used, bye"))?;
    // A process that executed another program since it connected is not the one that was looked at.
    if !same_program(&peer.life) {
        return Err(Refusal::closing(
            "another program runs in this process since it connected: connect again",
        ));
    }
    let said = match request {
        Request::Get { secret, have, wait, keeps, runs, itself } => {
            let get = Get { peer, secret: &secret, keeps, user: User::of(runs.as_deref(), itself) };
            return get.answered(desk, have, wait, reader).await;
        }
        Request::Loaded { secret, version } => (secret, Said::Loaded(version)),
        Request::Used { secret, version, ok, path } => (secret, Said::Used { version, ok, path }),
        Request::Bye { secret } => (secret, Said::Bye),
    };
    if !words.count() {
        return Err(Refusal::closing(format!(
            "more than {WORDS_MAX} words within a second: say only what is new"
        )));
    }
    let speaker = logged(desk, peer, desk.speaker(peer, &said.0))?;
    desk.hear(&speaker, &said.1)?;
    Ok(Reply::Word(Answered::Done { done: true }))
}

fn askers(desk: &Desk, peer: &Peer, secret: &str, user: User<'_>) -> Result<Vec<Asker>, Refusal> {
    logged(desk, peer, desk.askers(peer, secret, user))
}

/// Writes a refusal of a process to the log, once.
fn logged<T>(desk: &Desk, peer: &Peer, asked: Result<T, Refusal>) -> Result<T, Refusal> {
    if let Err(refusal) = &asked {
        desk.log_once(&format!("the socket: process {}: {}", peer.life.pid, refusal.why), &refusal.why);
    }
    asked
}

fn same_program(life: &Life) -> bool {
    Life::of(&life.process()) == *life
}

/// A request for a value.
struct Get<'a> {
    peer: &'a Peer,
    secret: &'a str,
    keeps: Option<u32>,
    user: User<'a>,
}

impl Get<'_> {
    /// The value, after it is written down for each who asks.
    fn give(&self, desk: &Desk) -> Result<Reply, Refusal> {
        let until = match self.keeps {
            Some(seconds) => Some(ticks_in(seconds).ok_or_else(|| Refusal::new("the clock cannot be read"))?),
            None => None,
        };
        let mut given = None;
        for asker in askers(desk, self.peer, self.secret, self.user)? {
            given = Some(desk.give(&asker, until)?);
        }
        given.map(Reply::Value).ok_or_else(Refusal::new_closed)
    }

    async fn answered<R: AsyncBufRead + Unpin>(
        &self,
        desk: &Desk,
        have: Option<u32>,
        wait: Option<u64>,
        reader: &mut R,
    ) -> Result<Reply, Refusal> {
        let askers = askers(desk, self.peer, self.secret, self.user)?;
        let (Some(have), Some(first)) = (have, askers.first()) else { return self.give(desk) };
        if !desk.has(first, have)? {
            return self.give(desk);
        }
        let until = sleep(Duration::from_secs(wait.unwrap_or(WAIT_S).min(WAIT_S_MAX)));
        tokio::pin!(until);
        let mut now = desk.watch(first)?;
        loop {
            if now.borrow_and_update().as_ref().is_ok_and(|value| value.version != have) {
                // They may have changed while they waited.
                return match same_program(&self.peer.life) {
                    true => self.give(desk),
                    false => {
                        Err(Refusal::closing("the process that asked has ended, or runs another program"))
                    }
                };
            }
            tokio::select! {
                changed = now.changed() => if changed.is_err() {
                    return Err(Refusal::new_closed());
                },
                () = &mut until => break,
                read = reader.fill_buf() => match read {
                    // The next request: this one is over.
                    Ok(bytes) if !bytes.is_empty() => break,
                    Ok(_) | Err(_) => return Ok(Reply::Gone),
                },
            }
        }
        Ok(Reply::Word(Answered::Unchanged { unchanged: have }))
    }
}

/// The time so many seconds from now, clock ticks since boot.
fn ticks_in(seconds: u32) -> Option<u64> {
    let now = keyroll_observe::WrittenAt::now().ok()?.ticks;
    let per_second = u64::from(keyroll_observe::ticks_per_second());
    Some(now.saturating_add(u64::from(seconds).saturating_mul(per_second)))
}

/// Reads one line; `false` = the other end is closed. An error also for a line that is too long.
async fn read_line<R: AsyncBufRead + Unpin>(reader: &mut R, line: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let bytes = reader.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(false);
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let taken = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        if line.len() + taken.len() > REQUEST_BYTES_MAX {
            return Err(io::Error::other("too long"));
        }
        line.extend_from_slice(taken);
        let used = taken.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

async fn send<W: tokio::io::AsyncWrite + Unpin>(write: &mut W, word: &Answered) -> io::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    send_bytes(write, &SecretBytes::new(line)).await
}

async fn send_bytes<W: tokio::io::AsyncWrite + Unpin>(write: &mut W, line: &SecretBytes) -> io::Result<()> {
    timeout(WRITE_MAX, write.write_all(line.expose())).await?
}

#[cfg(test)]
mod tests;
