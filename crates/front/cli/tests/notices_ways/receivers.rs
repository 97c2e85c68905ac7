//! Receivers of webhooks, right ones and broken ones.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::ANSWER;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Taken {
    pub head: String,
    pub body: Vec<u8>,
}

impl Taken {
    pub fn header(&self, name: &str) -> Option<String> {
        let mut all = self.head.lines().filter_map(|line| line.split_once(": "));
        all.find_map(|(known, value)| known.eq_ignore_ascii_case(name).then(|| value.to_owned()))
    }
}

/// Reads each request, and answers it as the test says.
pub struct Receiver {
    pub port: u16,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl Receiver {
    pub fn start(answer: impl Fn(&mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken: Arc<Mutex<Vec<Taken>>> = Arc::default();
        let all = taken.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                if let Some(request) = read(&mut stream) {
                    all.lock().unwrap().push(request);
                    answer(&mut stream);
                }
            }
        });
        Self { port, taken }
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }
}

fn read(stream: &mut TcpStream) -> Option<Taken> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let mut taken = Taken { head: String::from_utf8(head).ok()?, body: Vec::new() };
    taken.body = vec![0; taken.header("content-length")?.parse().ok()?];
    stream.read_exact(&mut taken.body).ok()?;
    Some(taken)
}

/// A caller that has left does not matter.
pub fn answer(stream: &mut TcpStream, text: &str) {
    let _ = stream.write_all(text.as_bytes());
}

/// A whole answer with this status, and a body that must not be repeated.
pub fn status(stream: &mut TcpStream, code: u16) {
    let body = if code == 204 { "" } else { ANSWER };
    let length = body.len();
    answer(stream, &format!("HTTP/1.1 {code} {ANSWER}\r\ncontent-length: {length}\r\n\r\n{body}"));
}
