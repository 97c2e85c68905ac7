//! HTTP as the API servers of the benchmarks speak it.

use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// What an API server says of what it does not have.
const ABSENT: &[u8] =
    br#"{"kind":"Status","status":"Failure","code":404,"reason":"NotFound","message":"absent"}"#;

/// Listens on loopback, says the address, and has each connection answered until it ends.
pub(crate) fn listen(connection: impl Fn(&TcpStream) -> io::Result<()> + Clone + Send + 'static) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = connection.clone();
            // A connection that its client closes is at its end.
            thread::spawn(move || drop(stream.set_nodelay(true).and_then(|()| connection(&stream))));
        }
    });
}

/// Answers a request; `None`: there is no such object.
pub(crate) fn answer(mut writer: &TcpStream, known: Option<&[u8]>, date: &str) -> io::Result<()> {
    let status = if known.is_some() { "200 OK" } else { "404 Not Found" };
    let body = known.unwrap_or(ABSENT);
    write!(
        writer,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ndate: {date}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )?;
    writer.write_all(body)
}
