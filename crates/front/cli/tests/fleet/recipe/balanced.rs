//! Clients behind a load balancer: a call goes to the instances in turn, and to the next one if an instance is away.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use keyroll_testkit::command::wait;

/// Between two calls.
const PAUSE: Duration = Duration::from_millis(10);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// A client that calls all the time, until it is stopped or dropped.
pub struct Balanced {
    /// Whether it is to stop.
    stops: Arc<AtomicBool>,
    /// How many calls succeeded.
    succeeded: Arc<AtomicUsize>,
    /// Its thread, which returns the failed calls.
    calls: Option<JoinHandle<Vec<String>>>,
}

impl Balanced {
    /// Begins to call the instances at these ports of loopback.
    pub fn start(ports: [u16; 3]) -> Self {
        let (stops, succeeded) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (until, count) = (Arc::clone(&stops), Arc::clone(&succeeded));
        let calls = std::thread::spawn(move || {
            let mut failed = Vec::new();
            let mut turn = 0;
            while !until.load(Ordering::SeqCst) {
                match call(ports, turn) {
                    Ok(()) => {
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(why) => failed.push(why),
                }
                turn += 1;
                sleep(PAUSE);
            }
            failed
        });
        Self { stops, succeeded, calls: Some(calls) }
    }

    /// Waits for this many more calls that succeed.
    pub fn await_calls(&self, more: usize) {
        let end = self.succeeded.load(Ordering::SeqCst) + more;
        wait("calls that succeed", || self.succeeded.load(Ordering::SeqCst) >= end);
    }

    /// Stops; how many calls succeeded, and the failed ones.
    pub fn stop(mut self) -> (usize, Vec<String>) {
        self.stops.store(true, Ordering::SeqCst);
        let failed = self.calls.take().unwrap().join().unwrap();
        (self.succeeded.load(Ordering::SeqCst), failed)
    }
}

impl Drop for Balanced {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::SeqCst);
    }
}

/// One call. Only an instance that gives no answer is passed over: an answer that is an error reaches the client.
fn call(ports: [u16; 3], turn: usize) -> Result<(), String> {
    let mut away = Vec::new();
    for at in 0..ports.len() {
        let port = ports[(turn + at) % ports.len()];
        match asked(port) {
            Ok(answer) if answer.starts_with("HTTP/1.0 200 ") => return Ok(()),
            Ok(answer) if !answer.is_empty() => return Err(format!("{port}: {answer}")),
            Ok(_) => away.push(format!("{port}: no answer")),
            Err(error) => away.push(format!("{port}: {error}")),
        }
    }
    Err(away.join(", "))
}

/// The answer of one instance.
fn asked(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(b"GET /call HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
