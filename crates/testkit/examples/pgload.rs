//! Constant load over a database, as separate processes:
//!
//! ```text
//! pgload worker env=FILE variable=DATABASE_URL port=N [pool=4] [warm_ms=0] [drain_ms=500] [log=FILE] [pid_file=FILE]
//! pgload front  port=N backends=N,N
//! pgload calls  port=N rate=300 seconds=N        one JSON line: sent, failed, rate
//! ```
//!
//! A worker reads its URL from the env file once, at start; `GET /q` runs a query, `GET /ready` is 200 until SIGTERM,
//! after which it goes on answering for `drain_ms`, ends its last request and exits.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

use keyroll_testkit::load::{Callers, Front, Worker, WorkerOptions, read_variable};
use tokio::signal::unix::{SignalKind, signal};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut words = std::env::args().skip(1);
    let role = words.next().unwrap_or_default();
    let options: BTreeMap<String, String> = words
        .filter_map(|word| word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())))
        .collect();
    let options = Options(options);
    match role.as_str() {
        "worker" => worker(&options).await,
        "front" => front(&options).await,
        "calls" => calls(&options).await,
        _ => Err("usage: pgload worker|front|calls key=value…".into()),
    }
}

struct Options(BTreeMap<String, String>);

impl Options {
    fn text(&self, key: &str) -> Outcome<&str> {
        self.0.get(key).map(String::as_str).ok_or_else(|| format!("{key}=… is missing").into())
    }

    fn number<T: std::str::FromStr>(&self, key: &str, otherwise: Option<T>) -> Outcome<T> {
        match (self.0.get(key), otherwise) {
            (Some(text), _) => text.parse().map_err(|_| format!("{key}= is no number that fits").into()),
            (None, Some(number)) => Ok(number),
            (None, None) => Err(format!("{key}=… is missing").into()),
        }
    }
}

async fn worker(options: &Options) -> Outcome<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let worker = Worker::start(&WorkerOptions {
        url: read_variable(Path::new(options.text("env")?), options.text("variable")?)?,
        port: options.number("port", None)?,
        pool: options.number("pool", Some(4))?,
        warm_ms: options.number("warm_ms", Some(0))?,
        drain_ms: options.number("drain_ms", Some(500))?,
        log: options.0.get("log").map(Into::into),
    })
    .await?;
    if let Some(file) = options.0.get("pid_file") {
        std::fs::write(file, format!("{}\n", std::process::id()))?;
    }
    terminate.recv().await;
    worker.drain().await;
    Ok(())
}

async fn front(options: &Options) -> Outcome<()> {
    let backends: Result<Vec<u16>, _> = options.text("backends")?.split(',').map(str::parse).collect();
    let _front = Front::start(options.number("port", None)?, &backends?).await?;
    signal(SignalKind::terminate())?.recv().await;
    Ok(())
}

async fn calls(options: &Options) -> Outcome<()> {
    let callers = Callers::start(options.number("port", None)?, options.number("rate", Some(300))?);
    tokio::time::sleep(Duration::from_secs(options.number("seconds", None)?)).await;
    let tally = callers.stop().await;
    let rate = tally.sent as f64 / tally.elapsed.as_secs_f64();
    println!("{{\"sent\":{},\"failed\":{},\"rate\":{rate:.1}}}", tally.sent, tally.failed);
    Ok(())
}
