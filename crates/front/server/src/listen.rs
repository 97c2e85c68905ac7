//! Accepts connections: a bounded number of them, each with bounded headers and a bounded time for reading and writing.
//!
//! Anybody on this machine can open connections. Where they are too many, the oldest one that has shown no token of one who
//! may begin an emergency makes room: one that sends its request at once is served among any number of others.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_io_timeout::TimeoutStream;
use tower_service::Service as _;

use crate::stop::stopped;

/// The most connections that have shown no token of one who may begin an emergency.
const STRANGERS_MAX: usize = 256;
/// The most connections at once; one more is closed at once.
const CONNECTIONS_MAX: usize = 512;
/// How long the headers of a request may take, also of the next one on a connection.
const HEADERS_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a caller may leave an answer unread.
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);
/// The most headers of a request.
const HEADERS_MAX: usize = 64;
/// What is buffered of one connection, bytes: the longest headers.
const BUFFER_BYTES: usize = 16 * 1_024;
/// How long, and how much, is read of a caller who has his answer and still sends.
const LINGER_MAX: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: u64 = 4 << 20;
/// The pause after an accept that failed, such as for want of descriptors.
const FAILED: Duration = Duration::from_millis(100);
/// How long open requests may take once the server stops.
const END_MAX: Duration = Duration::from_secs(10);
/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(50);

/// One connection.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    known: AtomicBool,
    leaves: Notify,
}

impl Connection {
    /// A token came on it whose owner may begin an emergency.
    pub(crate) fn is_known(&self) {
        self.known.store(true, Ordering::Relaxed);
    }
}

/// The connections, the oldest first.
#[derive(Default)]
struct Connections(Mutex<VecDeque<Arc<Connection>>>);

impl Connections {
    /// Another one; none if there are too many with such tokens.
    fn add(&self) -> Option<Arc<Connection>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stranger = |one: &Arc<Connection>| !one.known.load(Ordering::Relaxed);
        if all.iter().filter(|one| stranger(one)).count() >= STRANGERS_MAX
            && let Some(oldest) = all.iter().position(stranger).and_then(|at| all.remove(at))
        {
            oldest.leaves.notify_one();
        }
        if all.len() >= CONNECTIONS_MAX {
            return None;
        }
        let new = Arc::<Connection>::default();
        all.push_back(new.clone());
        Some(new)
    }

    fn remove(&self, ended: &Arc<Connection>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|one| !Arc::ptr_eq(one, ended));
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// Serves until `stop` is true; then answers the requests that are open.
pub(crate) async fn listen(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let all = Arc::<Connections>::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(FAILED).await;
            continue;
        };
        let Some(own) = all.add() else { continue };
        let (all, router, stop) = (all.clone(), router.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = serve(stream, router, &own, stop) => {}
                () = own.leaves.notified() => {}
            }
            all.remove(&own);
        });
    }
    drop(listener);
    let ended = async {
        while !all.is_empty() {
            tokio::time::sleep(LOOK).await;
        }
    };
    let _ = tokio::time::timeout(END_MAX, ended).await;
}

async fn serve(stream: TcpStream, router: Router, own: &Arc<Connection>, mut stop: watch::Receiver<bool>) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIME_MAX));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(own.clone());
        Box::pin(router.clone().call(request))
    });
    let stream = Box::pin(stream);
    let mut connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIME_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = poll_fn(|context| connection.poll_without_shutdown(context)) => {}
        () = stopped(&mut stop) => {
            Pin::new(&mut connection).graceful_shutdown();
            let _ = poll_fn(|context| connection.poll_without_shutdown(context)).await;
        }
    }
    linger(connection.into_parts().io.into_inner()).await;
}

/// Reads on for a moment. A connection that is closed while its caller still sends is reset, and the answer, such as why the
/// body is not read, may be lost with it.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut rest = stream.take(LINGER_BYTES_MAX);
    let mut sink = tokio::io::sink();
    let _ = tokio::time::timeout(LINGER_MAX, tokio::io::copy(&mut rest, &mut sink)).await;
}
