//! A driver at the other end of two pipes, which keeps every byte that the host sends.

use std::io::{self, PipeReader, PipeWriter, Read, Write as _, pipe};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use keyroll_link::{
    Call, End, Frame, Hello, HostHello, Item, Order, Reply, VERSION, digits_of, encode, read_frame,
};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(180);

/// Reads from the host, and keeps what was read.
struct Kept {
    output: PipeReader,
    all: Arc<Mutex<Vec<u8>>>,
}

impl Read for Kept {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.output.read(buffer)?;
        self.all.lock().unwrap().extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

pub(crate) struct Driver {
    input: PipeWriter,
    frames: Receiver<Frame>,
    sent: Arc<Mutex<Vec<u8>>>,
    host: JoinHandle<io::Result<()>>,
    id: u64,
    started: Instant,
    /// What its clock showed when it started, milliseconds.
    pub(crate) begins_ms: u64,
}

impl Driver {
    /// Starts a host in a thread, and greets it.
    pub(crate) fn new(key: &[u8; 32]) -> (Self, HostHello) {
        Self::of(key, |read, write| keyroll_onhost::serve(read, write, |_| {}))
    }

    /// The same with keyroll's records in a folder. What is returned last says when the host was overtaken.
    pub(crate) fn in_state(key: &[u8; 32], state: PathBuf) -> (Self, HostHello, Receiver<()>) {
        let (tell, overtaken) = mpsc::channel();
        let tell = move || tell.send(()).unwrap_or_default();
        let (driver, hello) =
            Self::of(key, move |read, write| keyroll_onhost::serve_in(state, tell, read, write, |_| {}));
        (driver, hello, overtaken)
    }

    fn of(
        key: &[u8; 32],
        serve: impl FnOnce(PipeReader, PipeWriter) -> io::Result<()> + Send + 'static,
    ) -> (Self, HostHello) {
        let ((read, input), (output, write)) = (pipe().unwrap(), pipe().unwrap());
        let host = thread::spawn(move || serve(read, write));
        let sent = Arc::new(Mutex::new(Vec::new()));
        let mut kept = Kept { output, all: Arc::clone(&sent) };
        let (tell, frames) = mpsc::channel();
        thread::spawn(move || {
            while let Ok(Some(frame)) = read_frame(&mut kept) {
                tell.send(frame).unwrap();
            }
        });
        let started = Instant::now();
        let mut driver = Self { input, frames, sent, host, id: 0, started, begins_ms: 1_000_000 };
        driver.say(&Frame::Hello(Hello::Driver { versions: vec![VERSION], key: digits_of(key) }));
        let Frame::Hello(Hello::Host(hello)) = driver.hear() else { panic!("the host does not greet") };
        (driver, hello)
    }

    fn say(&mut self, frame: &Frame) {
        self.input.write_all(&encode(frame).unwrap()).unwrap();
    }

    fn hear(&self) -> Frame {
        self.frames.recv_timeout(PATIENCE).expect("a frame of the host")
    }

    /// The whole answer to a call, and how it ended.
    pub(crate) fn ask(&mut self, call: Call) -> (Vec<Item>, End) {
        self.id += 1;
        self.say(&Frame::Call { id: self.id, call });
        let mut items = Vec::new();
        loop {
            let frame = self.hear();
            if matches!(frame, Frame::Note { id, .. } if id == self.id) {
                continue;
            }
            let Frame::Answer { id, items: some, end } = frame else { panic!("it is no answer") };
            assert_eq!(id, self.id);
            items.extend(some);
            if let Some(end) = end {
                return (items, end);
            }
        }
    }

    /// The same of a call that does not fail.
    pub(crate) fn asked(&mut self, call: Call) -> Vec<Item> {
        let (items, end) = self.ask(call);
        assert_eq!(end, End::Done);
        items
    }

    /// The time by its clock, milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        self.begins_ms + u64::try_from(self.started.elapsed().as_millis()).unwrap()
    }

    /// The reply to an order.
    pub(crate) fn order(&mut self, order: Order) -> Reply {
        self.order_sent(self.now_ms(), order)
    }

    /// The reply to an order that was sent at this time of its clock.
    pub(crate) fn order_sent(&mut self, sent_ms: u64, order: Order) -> Reply {
        let items = self.asked(Call::Order { sent_ms, order: order.into() });
        let [Item::Reply(reply)] = &items[..] else { panic!("one reply is wanted: {items:?}") };
        (**reply).clone()
    }

    /// Closes the host's input, and returns every byte that it sent.
    pub(crate) fn end(self) -> Vec<u8> {
        drop(self.input);
        self.host.join().expect("it does not panic").expect("the end of its input is no error");
        // The thread that reads ends with the host's output.
        while self.frames.recv().is_ok() {}
        self.sent.lock().unwrap().clone()
    }
}
