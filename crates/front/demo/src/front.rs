//! The front: distributes requests to the workers that report that they are ready. It never retries.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use tokio::net::TcpListener;

use crate::cast;
use crate::folder::Folder;
use crate::http::{Call, CallError, Connection, Request, Response, Service, serve};
use crate::lifeline::stop_requested;
use crate::pid::PidFile;

/// How often each worker is asked whether it is ready.
const ASK_PAUSE_MS: u64 = 20;
/// How many late answers in a row make a worker count as not ready.
const LATE_MAX: u32 = 3;
/// The most idle connections that are kept to one worker.
const IDLE_MAX: usize = 64;

struct Front {
    backends: Vec<Mutex<Backend>>,
    turn: AtomicUsize,
}

struct Backend {
    address: SocketAddr,
    ready: bool,
    /// How often it became unready; older connections are not kept.
    round: u64,
    in_flight: u64,
    idle: Vec<Connection>,
}

/// Runs a front until it is asked to stop.
pub(crate) async fn run(folder: &Folder, cast: cast::Front) -> Result<(), Failure> {
    let ports = folder.ports()?;
    let address = cast.address(ports);
    let backend = |worker: cast::Worker| {
        let address = worker.address(ports);
        Mutex::new(Backend { address, ready: false, round: 0, in_flight: 0, idle: Vec::new() })
    };
    let front =
        Arc::new(Front { backends: cast.workers().map(backend).collect(), turn: AtomicUsize::new(0) });
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::new(Class::Permanent, Code::DemoFailed, format!("start {} at {address}", cast.name))
            .because(error)
    })?;
    for index in 0..front.backends.len() {
        tokio::spawn(Arc::clone(&front).watch(index));
    }
    let _pid = PidFile::write(folder, cast.name)?;
    tokio::select! {
        () = serve(listener, front) => {}
        () = stop_requested(folder) => {}
    }
    Ok(())
}

impl Front {
    fn backend(&self, index: usize) -> Option<MutexGuard<'_, Backend>> {
        Some(self.backends.get(index)?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks one worker again and again whether it is ready, and reports how many of its requests are still unanswered.
    async fn watch(self: Arc<Self>, index: usize) {
        let (mut kept, mut late) = (None, 0);
        while let Some((address, in_flight)) =
            self.backend(index).map(|backend| (backend.address, backend.in_flight))
        {
            let asked = ask(address, in_flight, &mut kept).await;
            late = if matches!(asked, Err(CallError::TimedOut)) { late + 1 } else { 0 };
            // A single late answer on a busy machine does not mean that the worker is not ready.
            if !(1..LATE_MAX).contains(&late)
                && let Some(mut backend) = self.backend(index)
            {
                let was_ready = std::mem::replace(&mut backend.ready, matches!(asked, Ok(200)));
                if was_ready && !backend.ready {
                    backend.round += 1;
                    backend.idle.clear();
                }
            }
            tokio::time::sleep(Duration::from_millis(ASK_PAUSE_MS)).await;
        }
    }

    /// Chooses the ready worker with the fewest requests, in turn if several have as few; counts the new request in the
    /// same step.
    fn choose(&self) -> Option<usize> {
        let count = self.backends.len();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % count.max(1);
        let load = |index: usize| {
            self.backend(index)
                .filter(|b| b.ready)
                .map(|b| (b.in_flight, (index + count - turn) % count, index))
        };
        let (_, _, index) = (0..self.backends.len()).filter_map(load).min()?;
        let mut backend = self.backend(index).filter(|backend| backend.ready)?;
        backend.in_flight += 1;
        Some(index)
    }

    async fn pass_on(&self, index: usize, request: &Request) -> Option<Response> {
        let (address, round, kept) = {
            let mut backend = self.backend(index)?;
            (backend.address, backend.round, backend.idle.pop())
        };
        let mut connection = match kept.filter(|connection| !connection.is_over()) {
            Some(connection) => connection,
            None => Connection::open(address).await.ok()?,
        };
        let target = format!("{}?{}", request.path, request.query);
        let call = Call {
            method: &request.method,
            target: &target,
            bearer: None,
            headers: &[],
            body: &request.body,
        };
        let response = connection.call(&call).await.ok()?;
        let mut backend = self.backend(index)?;
        if backend.ready && backend.round == round && backend.idle.len() < IDLE_MAX {
            backend.idle.push(connection);
        }
        Some(response)
    }
}

/// One question; the status of the answer. A kept connection that breaks proves nothing about the worker, which may
/// have just closed it as idle.
async fn ask(address: SocketAddr, in_flight: u64, kept: &mut Option<Connection>) -> Result<u16, CallError> {
    let count = in_flight.to_string();
    let headers = [("x-in-flight", count.as_str())];
    let call = Call { headers: &headers, ..Call::get("/ready") };
    if let Some(mut connection) = kept.take().filter(|connection| !connection.is_over())
        && let Ok(response) = connection.call(&call).await
    {
        *kept = Some(connection);
        return Ok(response.status);
    }
    let mut connection = Connection::open(address).await?;
    let response = connection.call(&call).await?;
    *kept = Some(connection);
    Ok(response.status)
}

impl Service for Front {
    async fn answer(&self, _client: SocketAddr, request: Request) -> Response {
        let Some(index) = self.choose() else { return Response::error(503, "nobody_ready") };
        let response = self.pass_on(index, &request).await;
        if let Some(mut backend) = self.backend(index) {
            backend.in_flight -= 1;
        }
        response.unwrap_or_else(|| Response::error(502, "worker"))
    }
}
