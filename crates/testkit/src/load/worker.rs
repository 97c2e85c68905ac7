use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::backend::{Backend, Connection, Refusal, backend};
use super::front::FRONT_ASKS;
use super::http::{self, HttpResponse};

/// How often a draining worker looks whether its last request is answered, milliseconds.
const DRAIN_LOOK_MS: u64 = 5;
/// The longest that a draining worker waits for its last request, milliseconds.
const DRAIN_MS_MAX: u64 = 10_000;

/// How one instance of the service runs.
pub struct WorkerOptions {
    /// `postgres://user:password@host:port/dbname`, `redis://user:password@host:port/0`, or
    /// `web:` and lines `PORT|PATH|NAME|HEADER|KEY`: APIs' paths, who calls, and the header up to the key.
    pub url: String,
    /// The port that it answers on.
    pub port: u16,
    /// How many connections its pool keeps open.
    pub pool: usize,
    /// How long it takes from its first logins until it serves, milliseconds: caches that fill.
    pub warm_ms: u64,
    /// How long it still answers after it said that it is not ready and the front, where there is one, has heard it,
    /// milliseconds: requests that were on their way come in.
    pub drain_ms: u64,
    /// Its log: a line for every login and every refused one.
    pub log: Option<PathBuf>,
}

/// One instance: a pool of connections and two pages, `/q` (one query) and `/ready`.
pub struct Worker {
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
    drain_ms: u64,
}

struct Shared {
    server: Mutex<Arc<dyn Backend>>,
    /// Each connection with the turn that it is of.
    idle: Mutex<Vec<(usize, Box<dyn Connection>)>>,
    /// How often the server was set anew.
    turn: AtomicUsize,
    places: Semaphore,
    ready: AtomicBool,
    /// How often a front was told whether it is ready.
    told: AtomicUsize,
    busy: AtomicUsize,
    log: Mutex<Option<File>>,
}

impl Worker {
    /// Fills the pool, then listens. It is ready from then on.
    ///
    /// # Errors
    /// If the URL is none, a login is refused, or the port is taken.
    pub async fn start(options: &WorkerOptions) -> Result<Self, Refusal> {
        let append = |path| OpenOptions::new().create(true).append(true).open(path);
        let log = options.log.as_ref().map(append).transpose()?;
        let shared = Shared {
            server: Mutex::new(backend(&options.url)?.into()),
            idle: Mutex::default(),
            turn: AtomicUsize::new(0),
            places: Semaphore::new(options.pool),
            ready: AtomicBool::new(true),
            told: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            log: Mutex::new(log),
        };
        for _ in 0..options.pool {
            let client = shared.log_in().await?;
            shared.idle().push(client);
        }
        sleep(Duration::from_millis(options.warm_ms)).await;
        let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
        let shared = Arc::new(shared);
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { shared, accepting, drain_ms: options.drain_ms })
    }

    /// Uses another login from here on: idle connections are closed now, those in use when they are given back.
    ///
    /// # Errors
    /// If the URL is none, or the login is refused: then it goes on as it was.
    pub async fn renew(&self, url: &str) -> Result<(), Refusal> {
        let server: Arc<dyn Backend> = backend(url)?.into();
        drop(server.log_in().await?);
        *self.shared.server.lock().unwrap_or_else(PoisonError::into_inner) = server;
        self.shared.turn.fetch_add(1, Ordering::SeqCst);
        self.shared.idle().clear();
        Ok(())
    }

    /// Waits until a front sends requests here: it asks again after it has heard that this is ready.
    pub async fn used_by_front(&self) {
        while self.shared.told.load(Ordering::SeqCst) < 2 {
            sleep(Duration::from_millis(DRAIN_LOOK_MS)).await;
        }
    }

    /// Says that it is not ready, goes on answering until the front has heard it, for the drain time and until its last
    /// request is answered, then closes its pool.
    pub async fn drain(mut self) {
        self.shared.ready.store(false, Ordering::SeqCst);
        let end = Instant::now() + Duration::from_millis(DRAIN_MS_MAX);
        let told = self.shared.told.load(Ordering::SeqCst);
        // A front that asks again has processed the answer before; one that was only told may stand still for seconds.
        while told > 0 && self.shared.told.load(Ordering::SeqCst) < told + 2 && Instant::now() < end {
            sleep(Duration::from_millis(DRAIN_LOOK_MS)).await;
        }
        sleep(Duration::from_millis(self.drain_ms)).await;
        while self.shared.busy.load(Ordering::SeqCst) > 0 && Instant::now() < end {
            sleep(Duration::from_millis(DRAIN_LOOK_MS)).await;
        }
        self.accepting.abort();
        // Awaited, so that the port is free for the next instance.
        let _ = (&mut self.accepting).await;
        self.shared.idle().clear();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        shared.busy.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            // A caller that went away is its own failure, and counted there.
            let _ = shared.serve(stream).await;
            shared.busy.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

impl Shared {
    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let path = http::read_request(&mut stream).await?;
        let ready = self.ready.load(Ordering::SeqCst);
        let answer = match path.as_str() {
            "/ready" | FRONT_ASKS if ready => HttpResponse { status: 200, body: "ready".to_owned() },
            "/q" => match self.query().await {
                Ok(body) => HttpResponse { status: 200, body },
                Err(error) => {
                    self.note(&format!("query failed: {error}"));
                    HttpResponse { status: 503, body: "the query failed".to_owned() }
                }
            },
            _ => HttpResponse { status: 503, body: "not ready".to_owned() },
        };
        let written = http::write_answer(&mut stream, &answer).await;
        // An answer that was worked out before it ceased to be ready says nothing of that.
        if path == FRONT_ASKS && ready == self.ready.load(Ordering::SeqCst) {
            self.told.fetch_add(1, Ordering::SeqCst);
        }
        written
    }

    /// One query on a connection of the pool; a connection that died while it was idle is replaced first.
    async fn query(&self) -> Result<String, Refusal> {
        let _place: SemaphorePermit<'_> = self.places.acquire().await?;
        let idle = self.idle().pop().filter(|(_, client)| !client.is_closed());
        let (turn, mut client) = match idle {
            Some(known) => known,
            None => self.log_in().await?,
        };
        let said = client.ask().await?;
        if turn == self.turn.load(Ordering::SeqCst) {
            self.idle().push((turn, client));
        }
        Ok(said)
    }

    async fn log_in(&self) -> Result<(usize, Box<dyn Connection>), Refusal> {
        // The turn first: a connection of a server that is set meanwhile is closed once too often, and never kept.
        let turn = self.turn.load(Ordering::SeqCst);
        let server = Arc::clone(&self.server.lock().unwrap_or_else(PoisonError::into_inner));
        let user = server.user();
        match server.log_in().await {
            Ok(client) => {
                self.note(&format!("logged in as {user}"));
                Ok((turn, client))
            }
            Err(error) => {
                self.note(&format!("login as {user} failed: {error}"));
                Err(error)
            }
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(usize, Box<dyn Connection>)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, line: &str) {
        if let Some(log) = self.log.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            // A log that cannot be written must not fail a request. One write: two workers may share the log.
            let _ = log.write_all(format!("{line}\n").as_bytes());
        }
    }
}
