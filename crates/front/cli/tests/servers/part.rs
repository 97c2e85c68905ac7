//! The scene's other processes: this test program, started once more with a part to play. They read values from
//! files themselves, so that the test's own process never holds one and is no holder.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use keyroll_testkit::alphanumeric;
use keyroll_testkit::load::{Worker, WorkerOptions, log_in, read_variable};
use tokio::signal::unix::{SignalKind, signal};

use crate::servers::server::Kind;

/// The variable that names the part: a word, then `key=value` words. None of them is a value of the secret.
pub(crate) const PART: &str = "KEYROLL_TEST_PART";

/// How often a worker looks whether the test still runs.
const LIFELINE_PAUSE: Duration = Duration::from_secs(1);

struct Words(BTreeMap<String, String>);

impl Words {
    fn text(&self, key: &str) -> &str {
        self.0.get(key).unwrap_or_else(|| panic!("{key}=… is missing"))
    }

    fn number<T: FromStr>(&self, key: &str) -> T {
        self.text(key).parse().unwrap_or_else(|_| panic!("{key}= is no number that fits"))
    }

    fn path(&self, key: &str) -> PathBuf {
        self.text(key).into()
    }
}

/// Plays the part that the environment names, if it names one.
pub(crate) async fn play() {
    let Ok(text) = std::env::var(PART) else { return };
    let mut words = text.split(' ').map(str::to_owned);
    let part = words.next().unwrap_or_default();
    let pair = |word: String| word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let words = Words(words.filter_map(pair).collect());
    match part.as_str() {
        "seed" => seed(&words).await,
        "worker" => worker(&words).await,
        "login" => log_in(&read_variable(&words.path("env"), "ORDERS_URL").unwrap()).await.unwrap(),
        "try" => try_login(&words).await,
        _ => panic!("there is no part {part}"),
    }
}

/// Makes the login that consumers use; writes the first copies, and hands the value to keyroll.
async fn seed(words: &Words) {
    let (dir, kind) = (words.path("dir"), Kind::named(words.text("kind")));
    let port: u16 = words.number("port");
    let admin = fs::read_to_string(dir.join("admin.key")).unwrap();
    let password = alphanumeric(32);
    kind.seed(port, words.number("management"), admin.trim_end(), &password).await;
    let url = kind.url("orders", &password, port);
    put(&dir.join("app/api.env"), &format!("# The API\nORDERS_USER=orders\nexport ORDERS_URL=\"{url}\"\n"));
    put(&dir.join("job/report.env"), &format!("ORDERS_URL={url}\n"));
    put(&words.path("kept"), &format!("ORDERS_URL={url}\n"));
    let mut child = Command::new(words.path("keyroll"))
        .args(["--state", "state", "--no-input", "secret", "add", "orders", "--id", "orders"])
        .args(["--field", "user=orders", "--field", "host=127.0.0.1", "--field"])
        .arg(format!("port={port}"))
        .current_dir(&dir)
        .env_clear()
        .env("HOME", &dir)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "keyroll takes the value in");
}

fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// One instance of a service.
async fn worker(words: &Words) {
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let worker = Worker::start(&WorkerOptions {
        url: read_variable(&words.path("env"), "ORDERS_URL").unwrap(),
        port: words.number("port"),
        pool: words.number("pool"),
        warm_ms: words.number("warm_ms"),
        drain_ms: words.number("drain_ms"),
        log: Some(words.path("log")),
    })
    .await
    .unwrap();
    let parent = PathBuf::from(format!("/proc/{}", words.text("lifeline")));
    let orphaned = async {
        while parent.exists() {
            tokio::time::sleep(LIFELINE_PAUSE).await;
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        () = orphaned => {}
    }
    worker.drain().await;
}

/// One login with the URL of an env file; the server's own word is the answer.
async fn try_login(words: &Words) {
    let answer = match log_in(&read_variable(&words.path("env"), "ORDERS_URL").unwrap()).await {
        Ok(()) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    };
    fs::write(words.path("answer"), answer).unwrap();
}
