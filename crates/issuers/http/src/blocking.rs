use std::io;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Excess, HttpError, Limits, Request, Response, exchange, via};

/// A connection on which nothing was sent yet, with one deadline for all that is done on it.
pub struct Connection {
    stream: TcpStream,
    local: SocketAddr,
    deadline: Instant,
}

impl Connection {
    /// Connects, unencrypted.
    ///
    /// # Errors
    /// [`HttpError::NotSent`], [`HttpError::TimedOut`].
    pub fn open(address: SocketAddr, deadline: Instant) -> Result<Self, HttpError> {
        if via::current().is_some() {
            return Err(HttpError::NotSent(via::UNENCRYPTED.to_owned()));
        }
        let stream = TcpStream::connect_timeout(&address, left(deadline)?).map_err(unsent)?;
        let local = stream.local_addr().map_err(unsent)?;
        Ok(Self { stream, local, deadline })
    }

    /// Our end of the connection.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends the request once and reads the answer. Of the body, at most `body_bytes_max` bytes are read; the rest is
    /// cut.
    ///
    /// # Errors
    /// [`HttpError`]: whether the request may have had its effect.
    pub fn send(self, request: Request, body_bytes_max: usize) -> Result<Response, HttpError> {
        let request = Request { in_one_piece: true, ..request };
        let limits = Limits { time: left(self.deadline)?, body_bytes_max, excess: Excess::Cut };
        let stream = self.stream;
        let attempt = move || {
            stream.set_nonblocking(true).map_err(unsent)?;
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(unsent)?;
            let connecting = async { tokio::net::TcpStream::from_std(stream).map_err(unsent) };
            runtime.block_on(exchange(connecting, request, &limits))
        };
        // The caller may already run inside a runtime, and a runtime cannot be blocked on there: use a thread of its
        // own.
        thread::scope(|scope| {
            let asking = thread::Builder::new().name("http".to_owned()).spawn_scoped(scope, attempt);
            let ended = asking.map_err(unsent)?.join();
            ended.unwrap_or_else(|_| Err(HttpError::Lost("the exchange broke off".to_owned())))
        })
    }
}

fn left(deadline: Instant) -> Result<Duration, HttpError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(HttpError::TimedOut { sent: false }) } else { Ok(left) }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn unsent(error: io::Error) -> HttpError {
    let late = [io::ErrorKind::TimedOut, io::ErrorKind::WouldBlock].contains(&error.kind());
    if late { HttpError::TimedOut { sent: false } } else { HttpError::NotSent(error.to_string()) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// A server that reads one request and sends this answer; without an answer it stays silent and keeps the
    /// connection open.
    fn server(answer: Option<&'static [u8]>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            match answer {
                Some(answer) => stream.write_all(answer).unwrap(),
                None => drop(stream.read(&mut [0; 1])),
            }
        });
        address
    }

    fn ask(address: SocketAddr, wait: Duration) -> Result<Response, HttpError> {
        let connection = Connection::open(address, Instant::now() + wait)?;
        assert!(connection.local().ip().is_loopback());
        connection.send(Request::get(address.to_string(), "/".to_owned()), 4)
    }

    #[tokio::test]
    async fn it_answers_inside_a_runtime_too() {
        let answer = b"HTTP/1.0 200 OK\r\n\r\nready";
        let response = ask(server(Some(answer)), Duration::from_secs(20)).ok().unwrap();
        assert_eq!((response.status, response.body.as_slice()), (200, &b"read"[..]));
    }

    #[test]
    fn a_server_that_does_not_answer_is_waited_for_until_the_deadline() {
        let silent = ask(server(None), Duration::from_millis(50)).err();
        assert_eq!(silent, Some(HttpError::TimedOut { sent: true }));
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(matches!(ask(closed, Duration::from_secs(20)), Err(HttpError::NotSent(_))));
        assert_eq!(ask(closed, Duration::ZERO).err(), Some(HttpError::TimedOut { sent: false }));
    }
}
