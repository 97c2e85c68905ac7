use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::http::{self, HttpResponse};

/// How often an instance is asked whether it is ready, milliseconds.
const READY_PAUSE_MS: u64 = 50;

/// Where a front asks whether an instance is ready, so that the instance knows that it was the front.
pub(super) const FRONT_ASKS: &str = "/ready/front";

/// A front before several instances: a request goes, once, to the next one that said it is ready.
pub struct Front {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    backends: Vec<(u16, AtomicBool)>,
    next: AtomicUsize,
}

impl Front {
    /// Listens on a port and watches the instances on theirs.
    ///
    /// # Errors
    /// If the port is taken.
    pub async fn start(port: u16, backends: &[u16]) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let backends = backends.iter().map(|port| (*port, AtomicBool::new(false))).collect();
        let shared = Arc::new(Shared { backends, next: AtomicUsize::new(0) });
        let tasks = vec![
            tokio::spawn(watch(Arc::clone(&shared))),
            tokio::spawn(accept(listener, Arc::clone(&shared))),
        ];
        Ok(Self { shared, tasks })
    }

    /// Whether the front has seen this instance ready.
    pub fn uses(&self, port: u16) -> bool {
        self.shared.backends.iter().any(|(backend, ready)| *backend == port && ready.load(Ordering::SeqCst))
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn watch(shared: Arc<Shared>) {
    loop {
        for (port, ready) in &shared.backends {
            let answer = http::get(*port, FRONT_ASKS).await;
            ready.store(answer.is_ok_and(|answer| answer.status == 200), Ordering::SeqCst);
        }
        sleep(Duration::from_millis(READY_PAUSE_MS)).await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A caller that went away is its own failure, and counted there.
            let _ = shared.forward(stream).await;
        });
    }
}

impl Shared {
    async fn forward(&self, mut stream: TcpStream) -> io::Result<()> {
        let path = http::read_request(&mut stream).await?;
        let failed = |body: &str| HttpResponse { status: 503, body: body.to_owned() };
        let answer = match self.pick() {
            Some(port) => http::get(port, &path).await.unwrap_or_else(|error| failed(&error.to_string())),
            None => failed("no instance is ready"),
        };
        http::write_answer(&mut stream, &answer).await
    }

    fn pick(&self) -> Option<u16> {
        let ready = self.backends.iter().filter(|(_, ready)| ready.load(Ordering::SeqCst));
        let ready: Vec<u16> = ready.map(|(port, _)| *port).collect();
        let turn = self.next.fetch_add(1, Ordering::SeqCst);
        ready.get(turn.checked_rem(ready.len())?).copied()
    }
}
