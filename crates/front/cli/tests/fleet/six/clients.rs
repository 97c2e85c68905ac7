//! Clients that call all the time, each over a connection that it keeps.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use keyroll_testkit::command::wait;

/// How many clients call.
const CLIENTS: u32 = 16;

/// How many calls all of them make in a second, as far as they are answered. One that waited longer calls faster then.
const RATE: u32 = 400;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

const REQUEST: &[u8] = b"GET /call HTTP/1.1\r\nHost: app.example\r\n\r\n";

/// What the clients counted. Nothing is tried again.
#[derive(Default)]
pub struct Tally {
    /// How many calls each instance answered well.
    pub answered: BTreeMap<String, usize>,
    /// Every other call.
    pub failed: Vec<String>,
    /// From the first call to the last one.
    pub elapsed: Duration,
}

impl Tally {
    /// How many calls were made.
    pub fn calls(&self) -> usize {
        self.answered.values().sum::<usize>() + self.failed.len()
    }

    /// How many calls were made in a second.
    pub fn rate(&self) -> f64 {
        f64::from(u32::try_from(self.calls()).unwrap()) / self.elapsed.as_secs_f64()
    }
}

/// What all clients share.
#[derive(Default)]
struct Shared {
    /// Whether they are to stop.
    stops: AtomicBool,
    /// How many calls were answered well.
    answered: AtomicUsize,
}

/// Clients that call until they are stopped or dropped.
pub struct Clients {
    shared: Arc<Shared>,
    begun: Instant,
    threads: Vec<JoinHandle<Tally>>,
}

impl Clients {
    /// Begins to call a port of loopback.
    pub fn start(port: u16) -> Self {
        let shared: Arc<Shared> = Arc::default();
        let begun = Instant::now();
        let thread = |client| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.call(port, client, begun))
        };
        let threads = (0..CLIENTS).map(thread).collect();
        Self { shared, begun, threads }
    }

    /// Waits for this many more calls that are answered well.
    pub fn await_calls(&self, more: usize) {
        let end = self.shared.answered.load(Ordering::SeqCst) + more;
        wait("calls that succeed", || self.shared.answered.load(Ordering::SeqCst) >= end);
    }

    /// Stops, and sums up what all of them counted.
    pub fn stop(mut self) -> Tally {
        self.shared.stops.store(true, Ordering::SeqCst);
        let mut all = Tally::default();
        for thread in self.threads.drain(..) {
            let one = thread.join().unwrap();
            for (instance, count) in one.answered {
                *all.answered.entry(instance).or_default() += count;
            }
            all.failed.extend(one.failed);
        }
        all.elapsed = self.begun.elapsed();
        all
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.shared.stops.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    /// What one client does; each has its moments between those of the others.
    fn call(&self, port: u16, client: u32, begun: Instant) -> Tally {
        let (mut tally, mut line) = (Tally::default(), Line { port, stream: None });
        let mut calls = 0;
        while !self.stops.load(Ordering::SeqCst) {
            match line.call() {
                Ok(instance) => {
                    *tally.answered.entry(instance).or_default() += 1;
                    self.answered.fetch_add(1, Ordering::SeqCst);
                }
                Err(error) => tally.failed.push(format!("after {:?}: {error}", begun.elapsed())),
            }
            calls += 1;
            let next = Duration::from_secs(1) / RATE * (CLIENTS * calls + client);
            sleep(next.saturating_sub(begun.elapsed()));
        }
        tally
    }
}

/// One client's connection, which is made again after a call that failed.
struct Line {
    port: u16,
    stream: Option<BufReader<TcpStream>>,
}

impl Line {
    /// One call: which instance answered it well.
    fn call(&mut self) -> io::Result<String> {
        let mut stream = match self.stream.take() {
            Some(kept) => kept,
            None => self.connect()?,
        };
        stream.get_mut().write_all(REQUEST)?;
        let status = line(&mut stream)?;
        let mut length = 0;
        loop {
            let header = line(&mut stream)?.to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(text) = header.strip_prefix("content-length:") {
                length = text.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body).trim().to_owned();
        if !status.starts_with("HTTP/1.1 200 ") {
            return Err(io::Error::other(format!("{status}: {body}")));
        }
        self.stream = Some(stream);
        Ok(body)
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(ANSWER))?;
        Ok(BufReader::new(stream))
    }
}

/// The next line, without its end.
fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut text = String::new();
    if stream.read_line(&mut text)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(text.trim_end().to_owned())
}
