//! A worker: one process, its own port, one key, its own count of its calls to the issuer.

mod acme;
mod drain;
mod value;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use serde_json::json;
use tokio::net::TcpListener;

pub(crate) use acme::{Acme, Tally};
use drain::Drain;
use value::Value;

use crate::cast::{self, Source};
use crate::folder::{Folder, write_whole};
use crate::http::{Request, Response, Service, serve};
use crate::lifeline::{demo_ended, stop_requested};
use crate::pid::PidFile;

/// The pause between two calls of a worker that calls by itself.
const OWN_CALL_PAUSE_MS: u64 = 25;

struct Worker {
    value: Value,
    fallback: Option<Value>,
    acme: Acme,
    drain: Drain,
    checks: AtomicU64,
}

/// Runs a worker until it is asked to stop and has drained. `inherit`: it reads its key from stdin.
pub(crate) async fn run(folder: &Folder, cast: cast::Worker, inherit: bool) -> Result<(), Failure> {
    let ports = folder.ports()?;
    let source = if inherit { Source::Inherited("ACME_KEY") } else { cast.source };
    let fallback =
        cast.fallback.map(|variable| Value::open(folder, Source::Variable(variable))).transpose()?;
    let worker = Arc::new(Worker {
        value: Value::open(folder, source)?,
        fallback,
        acme: Acme::new(ports.issuer(), format!("{}.{}", cast.name, std::process::id())),
        drain: Drain::new(cast.front.is_some()),
        checks: AtomicU64::new(0),
    });
    let address = cast.address(ports);
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::new(Class::Permanent, Code::DemoFailed, format!("start worker {} at {address}", cast.name))
            .because(error)
    })?;
    let pid_file = PidFile::write(folder, cast.name)?;
    let serving = tokio::spawn(serve(listener, Arc::clone(&worker)));
    let own_calls = cast.busy.then(|| tokio::spawn(call_by_itself(Arc::clone(&worker))));
    stop_requested(folder).await;
    tokio::select! {
        () = worker.drain.run() => {}
        () = demo_ended(folder) => {}
    }
    if let Some(own_calls) = own_calls {
        let _ = own_calls.await;
    }
    serving.abort();
    leave_tally(folder, &cast, &worker.acme.tally())?;
    drop(pid_file);
    Ok(())
}

/// A worker's own count of its calls, which it writes for the closing table.
fn leave_tally(folder: &Folder, cast: &cast::Worker, tally: &Tally) -> Result<(), Failure> {
    let path = folder.join(format!("tally/{}.{}.json", cast.name, std::process::id()));
    write_whole(&path, json!(tally).to_string().as_bytes(), 0o600).map_err(|error| {
        Failure::new(Class::Permanent, Code::DemoFailed, format!("write {}", path.display())).because(error)
    })
}

async fn call_by_itself(worker: Arc<Worker>) {
    let mut n = 0;
    while !worker.drain.has_begun() {
        n += 1;
        let _ = worker.infer(n).await;
        tokio::time::sleep(Duration::from_millis(OWN_CALL_PAUSE_MS)).await;
    }
}

impl Worker {
    /// One model call with this worker's key.
    async fn infer(&self, n: u64) -> Option<u64> {
        let (key, changed) = self.value.get()?;
        if changed {
            self.acme.forget_connections().await;
        }
        self.acme.ask("/v1/infer", &key, n).await
    }

    async fn check_fallback(&self) -> Option<u64> {
        let (key, _) = self.fallback.as_ref()?.get()?;
        self.acme.ask("/v1/fallback", &key, self.checks.fetch_add(1, Ordering::Relaxed)).await
    }
}

impl Service for Worker {
    async fn answer(&self, _client: SocketAddr, request: Request) -> Response {
        match request.path.as_str() {
            "/ready" => self.drain.ready(request.in_flight),
            "/tally" => Response::json(200, &self.acme.tally()),
            "/work" => {
                let _busy = self.drain.busy();
                let Some(n) = request.parameter("n").and_then(|n| n.parse().ok()) else {
                    return Response::error(400, "bad_number");
                };
                match self.infer(n).await {
                    Some(square) => Response::json(200, &json!({ "n": n, "square": square })),
                    None => Response::error(502, "issuer"),
                }
            }
            "/check" => {
                let _busy = self.drain.busy();
                checked(self.infer(self.checks.fetch_add(1, Ordering::Relaxed)).await)
            }
            "/check/fallback" => {
                let _busy = self.drain.busy();
                checked(self.check_fallback().await)
            }
            _ => Response::error(404, "not_found"),
        }
    }
}

fn checked(answer: Option<u64>) -> Response {
    match answer {
        Some(_) => Response::json(200, &json!({ "ok": true })),
        None => Response::error(502, "issuer"),
    }
}
