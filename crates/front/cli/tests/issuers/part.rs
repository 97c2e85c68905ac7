//! The scene's other processes: this test program, started once more with a part to play. They read values from files
//! themselves, so that the test's own process never holds one and is no holder.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use keyroll_testkit::issuer::sha256_hex;
use keyroll_testkit::load::{Worker, WorkerOptions, log_in, read_variable};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

/// The variable that names the part: a word, then `key=value` words. None of them is a value of the secret.
pub const PART: &str = "KEYROLL_TEST_PART";

/// How often a worker looks whether the test still runs.
const LIFELINE_PAUSE: Duration = Duration::from_secs(1);

/// Plays the part that the environment names, if it names one.
pub fn play() {
    let Ok(text) = std::env::var(PART) else { return };
    let mut words = text.split(' ');
    let part = words.next().unwrap_or_default();
    let words: BTreeMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
    Runtime::new().unwrap().block_on(async {
        match part {
            "worker" => worker(&words).await,
            "call" => log_in(&url(&words)).await.unwrap(),
            _ => panic!("there is no part {part}"),
        }
    });
}

/// How issuers are called with the keys of an env file: `calls=VARIABLE;PORT;PATH;HEADER`, separated by commas, with `~`
/// for a blank. With `only`, the call of one variable. A file without the variable is one key of several lines.
fn url(words: &BTreeMap<&str, &str>) -> Zeroizing<String> {
    let mut all = Zeroizing::new("web:".to_owned());
    for call in words["calls"].split(',') {
        let parts: Vec<&str> = call.split(';').collect();
        let [variable, port, path, header] = parts[..] else { panic!("{call} is no call") };
        if words.get("only").is_some_and(|only| *only != variable) {
            continue;
        }
        let file = Path::new(words["env"]);
        let key = Zeroizing::new(read_variable(file, variable).unwrap_or_else(|_| of_document(file)));
        let header = header.replace('~', " ");
        let line = Zeroizing::new([port, path, words["name"], &header, &key].join("|"));
        all.push_str(&line);
        all.push('\n');
    }
    all
}

/// What is sent in a header for a key of several lines. The process keeps the key in its memory, as a service does.
fn of_document(file: &Path) -> String {
    sha256_hex(std::fs::read(file).unwrap().leak())
}

/// One instance of the service.
async fn worker(words: &BTreeMap<&str, &str>) {
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let worker = Worker::start(&WorkerOptions {
        url: url(words).to_string(),
        port: words["port"].parse().unwrap(),
        pool: words["pool"].parse().unwrap(),
        warm_ms: words["warm_ms"].parse().unwrap(),
        drain_ms: words["drain_ms"].parse().unwrap(),
        log: Some(words["log"].into()),
    })
    .await
    .unwrap();
    let test = format!("/proc/{}", words["lifeline"]);
    let orphaned = async {
        while Path::new(&test).exists() {
            tokio::time::sleep(LIFELINE_PAUSE).await;
        }
    };
    // The restart waits for this: like a deployment that takes the next instance only when the proxy uses this one.
    let used = async {
        worker.used_by_front().await;
        std::fs::write(words["used"], "").unwrap();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        () = orphaned => {}
        () = used => {}
    }
    worker.drain().await;
}
