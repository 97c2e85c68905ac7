use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::{Buffer, Request, Response};

/// The most connections that one part serves at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 512;
/// How long a connection may stay silent before it is closed; longer than the whole demo.
const IDLE_MS_MAX: u64 = 600_000;
/// How long the other side may take to accept an answer.
const WRITE_MS_MAX: u64 = 10_000;
/// How long to wait when a connection could not be accepted (no file descriptors left).
const ACCEPT_PAUSE_MS: u64 = 20;

/// What a part of the demo answers.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers one request from this client.
    fn answer(&self, client: SocketAddr, request: Request) -> impl Future<Output = Response> + Send;

    /// The answer was handed to the kernel, or could not be.
    fn answered(&self, _client: SocketAddr) {}

    /// A client connected; `end` closes its connection, between two requests.
    fn opened(&self, _client: SocketAddr, _end: Arc<Notify>) {}

    /// The client's connection ended.
    fn closed(&self, _client: SocketAddr) {}
}

/// Serves until its task is dropped.
pub(crate) async fn serve<S: Service>(listener: TcpListener, service: Arc<S>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, client)) => {
                let service = Arc::clone(&service);
                tokio::spawn(async move {
                    converse(stream, client, service.as_ref()).await;
                    service.closed(client);
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await,
        }
    }
}

/// Answers one connection's requests, in their order, until either side ends it.
async fn converse<S: Service>(mut stream: TcpStream, client: SocketAddr, service: &S) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let end = Arc::new(Notify::new());
    service.opened(client, Arc::clone(&end));
    let mut buffer = Buffer::new();
    loop {
        let response = match Request::parse(buffer.filled()) {
            Ok(Some((request, length))) => {
                buffer.consume(length);
                service.answer(client, request).await
            }
            Ok(None) => {
                let read = timeout(Duration::from_millis(IDLE_MS_MAX), buffer.fill(&mut stream));
                tokio::select! {
                    biased;
                    read = read => match read {
                        Ok(Ok(1..)) => continue,
                        Ok(Ok(0) | Err(_)) | Err(_) => return,
                    },
                    () = end.notified() => return,
                }
            }
            Err(unreadable) => {
                let _ = send(&mut stream, &Response::error(unreadable.0, "unreadable")).await;
                return;
            }
        };
        let sent = send(&mut stream, &response).await;
        service.answered(client);
        if sent.is_none() {
            return;
        }
    }
}

async fn send(stream: &mut TcpStream, response: &Response) -> Option<()> {
    let bytes = response.bytes();
    timeout(Duration::from_millis(WRITE_MS_MAX), stream.write_all(&bytes)).await.ok()?.ok()
}
