//! The ring's other processes: this test program, started once more with a part to play. They read values from files
//! themselves.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use tokio_postgres::{Client, Config, NoTls};
use zeroize::Zeroizing;

/// The variable that names the part: a word, then `key=value` words. None of them is a value of the secret.
pub const PART: &str = "KEYROLL_TEST_PART";

/// How often a worker calls.
const CALL_PAUSE: Duration = Duration::from_millis(50);

/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

type Words = BTreeMap<String, String>;

/// Plays the part that the environment names, if it names one.
pub fn play() {
    let Ok(text) = std::env::var(PART) else { return };
    let mut words = text.split(' ');
    let part = words.next().unwrap_or_default();
    let words: Words = words
        .filter_map(|word| word.split_once('='))
        .map(|(key, value)| (key.into(), value.into()))
        .collect();
    match (part, words["kind"].as_str()) {
        ("worker", _) => worker(&words),
        ("try", "http") => assert!(Caller::Http(None).call(&read_key(Path::new(&words["copy"])), &words)),
        ("try", _) => assert!(Caller::postgres().call(&read_key(Path::new(&words["copy"])), &words)),
        _ => panic!("there is no part {part}"),
    }
}

/// The only value of a file: of its line `NAME=value`, or all of it.
fn read_key(path: &Path) -> String {
    let text = Zeroizing::new(fs::read_to_string(path).unwrap());
    let line = text.lines().find_map(|line| line.strip_prefix("KEY=")).unwrap_or(text.trim_end());
    line.to_owned()
}

fn worker(words: &Words) {
    let path = PathBuf::from(&words["copy"]);
    let (hot, parent) = (words.contains_key("hot"), format!("/proc/{}", words["lifeline"]));
    let ended = Arc::new(AtomicBool::new(false));
    let told = ended.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.spawn(async move {
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
        term.recv().await;
        told.store(true, Ordering::SeqCst);
    });
    let mut caller = if words["kind"] == "http" { Caller::Http(None) } else { Caller::postgres() };
    let mut key = read_key(&path);
    let mut stamp = stamp_of(&path);
    let pid_file = PathBuf::from(&words["pid_file"]);
    // Ready before it is known: the restart command waits for this file.
    let beside = pid_file.with_extension(format!("new-{}", std::process::id()));
    let mut known = false;
    while !ended.load(Ordering::SeqCst) && Path::new(&parent).exists() {
        let now = stamp_of(&path);
        if hot && now != stamp {
            key = read_key(&path);
            stamp = now;
            caller.forget_login();
        }
        let accepted = caller.call(&key, words);
        // A value that was replaced between the two looks is read at the next turn.
        let replaced = hot && stamp_of(&path) != stamp;
        if !(accepted || replaced) {
            let mut log = fs::OpenOptions::new().create(true).append(true).open(&words["refused"]).unwrap();
            writeln!(log, "{} was refused", words["name"]).unwrap();
        }
        if !known {
            fs::write(&beside, format!("{}\n", std::process::id())).unwrap();
            fs::rename(&beside, &pid_file).unwrap();
            known = true;
        }
        sleep(CALL_PAUSE);
    }
}

fn stamp_of(path: &Path) -> Option<(SystemTime, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.ino()))
}

/// One open connection to the issuer.
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
enum Caller {
    Http(Option<TcpStream>),
    Postgres(tokio::runtime::Runtime, Option<Client>),
}

impl Caller {
    fn postgres() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self::Postgres(runtime.unwrap(), None)
    }

    /// A login is for one value; a request carries its own.
    fn forget_login(&mut self) {
        if let Self::Postgres(_, client) = self {
            *client = None;
        }
    }

    /// One call; a connection that was closed is opened again, once.
    fn call(&mut self, key: &str, words: &Words) -> bool {
        match self {
            Self::Http(stream) => {
                for _ in 0..2 {
                    let connected = match stream.take() {
                        Some(stream) => Ok(stream),
                        None => TcpStream::connect(("127.0.0.1", words["port"].parse::<u16>().unwrap())),
                    };
                    let Ok(mut open) = connected else { continue };
                    if let Some(status) = ask(&mut open, key, words.get("name").map(String::as_str)) {
                        *stream = Some(open);
                        return status == 200;
                    }
                }
                false
            }
            Self::Postgres(runtime, client) => runtime.block_on(async {
                for _ in 0..2 {
                    if client.as_ref().is_none_or(Client::is_closed) {
                        *client = login(key, words).await;
                    }
                    let Some(open) = client.as_ref() else { continue };
                    if open.simple_query("SELECT 1").await.is_ok() {
                        return true;
                    }
                    *client = None;
                }
                false
            }),
        }
    }
}

fn ask(stream: &mut TcpStream, key: &str, name: Option<&str>) -> Option<u16> {
    stream.set_read_timeout(Some(ANSWER_TIME_MAX)).ok()?;
    let worker = name.map(|name| format!("X-Worker: {name}\r\n")).unwrap_or_default();
    let request = format!("GET /v1/me HTTP/1.1\r\nHost: acme\r\n{worker}Authorization: Bearer {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let more = stream.read(&mut buffer).ok().filter(|more| *more > 0)?;
        answer.extend_from_slice(&buffer[..more]);
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("Content-Length: ").nth(1)?.lines().next()?.parse::<usize>().ok()?;
            if body.len() >= length {
                return head.split(' ').nth(1)?.parse().ok();
            }
        }
    }
}

async fn login(url: &str, words: &Words) -> Option<Client> {
    let mut config = Config::from_str(url).ok()?;
    config.application_name(words.get("name").map_or("try", String::as_str));
    let (client, connection) =
        tokio::time::timeout(ANSWER_TIME_MAX, config.connect(NoTls)).await.ok()?.ok()?;
    tokio::spawn(connection);
    Some(client)
}
