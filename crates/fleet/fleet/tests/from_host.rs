//! Connections that leave from a host, with its real program in this process.

use std::io::pipe;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_fleet::{Dial, Dialled, FromHost};
use keyroll_http::via::Dialed;
use keyroll_link::Link;
use keyroll_port::{Class, Failure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::net::unix::pipe::{Receiver, Sender};

const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the host's program in a thread of this process, and counts the connections that were ended on this side.
#[derive(Default)]
struct InProcess {
    is_away: bool,
    ended: Arc<AtomicUsize>,
}

/// Counts that it was dropped.
struct Keeps(Arc<AtomicUsize>);

impl Drop for Keeps {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Dial for InProcess {
    async fn dial(&self) -> Result<Dialled, Failure> {
        if self.is_away {
            let failure = Failure::new(Class::Retryable, Code::HostUnreachable, "reach web-2");
            return Err(failure.because("no route to host"));
        }
        let ((input, to_host), (from_host, output)) = (pipe().unwrap(), pipe().unwrap());
        thread::spawn(move || keyroll_onhost::reach(input, output));
        let read = Receiver::from_owned_fd(OwnedFd::from(from_host)).unwrap();
        let write = Sender::from_owned_fd(OwnedFd::from(to_host)).unwrap();
        let (link, hello) = Link::open(read, write, &[1; 32], PATIENCE).await.unwrap();
        Ok(Dialled { link, hello, keeps: Box::new(Keeps(Arc::clone(&self.ended))) })
    }
}

/// Why there is no connection to this port.
async fn refused(start: InProcess, port: u16) -> String {
    let dialer = FromHost::dialer(Arc::new(start));
    dialer.dial("127.0.0.1", port).await.err().expect("no connection").to_string()
}

#[tokio::test]
async fn a_connection_carries_bytes_both_ways_and_passes_on_that_no_more_is_sent() {
    let start = Arc::new(InProcess::default());
    let dialer = FromHost::dialer(start.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let Dialed { mut stream, local } = dialer.dial("127.0.0.1", port).await.unwrap();
    let (mut server, client) = listener.accept().await.unwrap();
    assert_eq!(local, client);
    server.write_all(b"hello").await.unwrap();
    let mut part = [0; 5];
    stream.read_exact(&mut part).await.unwrap();
    assert_eq!(&part, b"hello");
    stream.write_all(b"question").await.unwrap();
    stream.shutdown().await.unwrap();
    assert!(stream.write_all(b"more").await.is_err());
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"question");
    server.write_all(b"answer").await.unwrap();
    drop(server);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer");
    assert_eq!(start.ended.load(Ordering::SeqCst), 0);
    drop(stream);
    assert_eq!(start.ended.load(Ordering::SeqCst), 1, "what keeps a connection ends with it");
}

#[tokio::test]
async fn a_connection_that_is_dropped_ends_at_the_server() {
    let dialer = FromHost::dialer(Arc::new(InProcess::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dialed = dialer.dial("127.0.0.1", port).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    drop(dialed);
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_failure_says_why_the_server_was_not_reached() {
    let port = keyroll_testkit::free_port().unwrap();
    let start = InProcess::default();
    let ended = Arc::clone(&start.ended);
    let why = refused(start, port).await;
    assert_eq!(why, "connection refused");
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    let away = InProcess { is_away: true, ..InProcess::default() };
    let why = refused(away, 443).await;
    assert_eq!(why, "could not reach web-2: no route to host");
}
