//! A service with an address of its own: each request to it is a call to the issuer.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyroll_testkit::load::{Worker, WorkerOptions};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use crate::hostile::worker::read_key;

/// How often it looks at its file and whether the test still runs.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Connections that it keeps to the issuer.
const POOL: usize = 2;

/// How long it takes from its first call until it serves, milliseconds.
const WARM_MS: u64 = 200;

/// How long it answers after it was asked to end, milliseconds, so that the front notices that it is not ready any
/// more.
const DRAIN_MS: u64 = 300;

type Words<'a> = BTreeMap<&'a str, &'a str>;

/// Serves until it is asked to end, or the test has ended.
pub fn play(text: &str) {
    let words: Words<'_> = text.split(' ').filter_map(|word| word.split_once('=')).collect();
    Runtime::new().unwrap().block_on(serve(&words));
}

fn url(words: &Words<'_>) -> Zeroizing<String> {
    let path = Path::new(words.get("copy").copied().unwrap_or("/dev/null"));
    let key = Zeroizing::new(read_key(path, words));
    Zeroizing::new(format!("acme://{}:{}@127.0.0.1:{}", words["name"], key.as_str(), words["issuer"]))
}

/// The state of a file, to detect a change.
fn look(words: &Words<'_>) -> Option<(u64, i64, i64)> {
    let meta = fs::metadata(words.get("copy")?).ok()?;
    Some((meta.ino(), meta.mtime(), meta.mtime_nsec()))
}

async fn serve(words: &Words<'_>) {
    let takes = words.get("takes").copied().unwrap_or("start");
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let mut hangup = signal(SignalKind::hangup()).unwrap();
    let mut seen = look(words);
    let options = WorkerOptions {
        url: url(words).to_string(),
        port: words["port"].parse().unwrap(),
        pool: POOL,
        warm_ms: WARM_MS,
        drain_ms: DRAIN_MS,
        log: Some(words["refused"].into()),
    };
    let worker = Worker::start(&options).await.unwrap();
    drop(Zeroizing::new(options.url));
    if let Some(file) = words.get("pid_file").map(PathBuf::from) {
        let beside = file.with_extension("new");
        fs::write(&beside, format!("{}\n", std::process::id())).unwrap();
        fs::rename(&beside, &file).unwrap();
    }
    let lifeline = PathBuf::from(format!("/proc/{}", words["lifeline"]));
    while lifeline.exists() {
        let told = tokio::select! {
            _ = terminate.recv() => break,
            _ = hangup.recv() => takes == "HUP",
            () = tokio::time::sleep(LOOK_PAUSE) => takes == "change" && look(words) != seen,
        };
        if told {
            let now = look(words);
            if worker.renew(&url(words)).await.is_ok() {
                seen = now;
                let taken = fs::OpenOptions::new().create(true).append(true).open(words["taken"]);
                writeln!(taken.unwrap(), "taken").unwrap();
            }
        }
    }
    worker.drain().await;
}
