//! The ring's other processes: this test program, started once more with a part to play. It reads values from files
//! itself.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use zeroize::Zeroizing;

/// The variable that names the part: a word, then `key=value` words. None of them is a value of the secret.
pub const PART: &str = "KEYROLL_TEST_PART";

/// How often a worker calls.
const CALL_PAUSE: Duration = Duration::from_millis(60);

/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Plays the part that the environment names, if it names one.
pub fn play() {
    let Ok(text) = std::env::var(PART) else { return };
    let mut words = text.split(' ');
    let part = words.next().unwrap_or_default();
    let words: BTreeMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
    let path = Path::new(words["copy"]);
    match part {
        "worker" => work(&words, path),
        "try" => assert_eq!(call(&mut None, &read_key(path, &words), &words), Some(200)),
        _ => panic!("there is no part {part}"),
    }
}

/// The value of a line of a file: `KEY=value`, unless another variable is named. The rest of the file is not kept: it
/// may contain another secret.
pub fn read_key(path: &Path, words: &BTreeMap<&str, &str>) -> String {
    // Or of a variable of its environment.
    if let Some(name) = words.get("environment") {
        return std::env::var(name).unwrap();
    }
    let text = Zeroizing::new(fs::read_to_string(path).unwrap());
    match path.extension().and_then(|it| it.to_str()) {
        Some("json") => {
            let all: serde_json::Value = serde_json::from_str(&text).unwrap();
            return all["models"]["acme"]["key"].as_str().unwrap().to_owned();
        }
        // The line `key: …` or `key = …`, read as simple programs do.
        Some("yaml" | "toml" | "ini") => {
            let line = text.lines().map(str::trim).find(|line| line.starts_with("key")).unwrap();
            let value = line[3..].trim_start_matches([' ', ':', '=']);
            return value.split(" #").next().unwrap().trim().trim_matches(['\'', '"']).to_owned();
        }
        _ => {}
    }
    let before = format!("{}=", words.get("variable").unwrap_or(&"KEY"));
    let value = text.lines().find_map(|line| line.strip_prefix(&before)).unwrap_or(text.trim_end());
    password(value.trim_matches('"')).to_owned()
}

/// The password of a URL, `https://app:PASSWORD@host`; anything else is the value itself.
fn password(value: &str) -> &str {
    let login = value.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
    login.and_then(|(login, _)| login.split_once(':')).map_or(value, |(_, password)| password)
}

/// Calls with the value that its file had when it started, until it is ended or the test is gone.
fn work(words: &BTreeMap<&str, &str>, path: &Path) {
    let lifeline = format!("/proc/{}", words["lifeline"]);
    // In a container the worker has the value from its environment.
    let given = words.get("from").map(|variable| std::env::var(variable).unwrap());
    let key = given.unwrap_or_else(|| read_key(path, words));
    // So many MiB of memory.
    let large = words.get("fat").map(|mib| vec![1_u8; mib.parse::<usize>().unwrap() << 20]);
    std::hint::black_box(&large);
    let mut stream = None;
    let pause = words.get("pause_ms").map_or(CALL_PAUSE, |ms| Duration::from_millis(ms.parse().unwrap()));
    let mut known = false;
    while Path::new(&lifeline).exists() {
        let status = if words.contains_key("idle") { Some(200) } else { call(&mut stream, &key, words) };
        if status != Some(200) {
            log(words["refused"], &format!("{} was refused", words["name"]));
        }
        // A line of its own that looks like a refusal, when somebody asks for it.
        if words.get("says").is_some_and(|file| fs::remove_file(file).is_ok()) {
            println!("{} was refused", words["name"]);
        }
        // Its log of logins, if it has one.
        if let Some(logins) = words.get("logins").filter(|_| !known && status == Some(200)) {
            log(logins, &format!("{} logged in", words["name"]));
        }
        if let Some(pid_file) = words.get("pid_file").filter(|_| !known) {
            says_ready(pid_file);
        }
        known = true;
        sleep(pause);
    }
}

/// Adds a line to a log.
pub fn log(file: &str, line: &str) {
    let mut log = fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
    writeln!(log, "{line}").unwrap();
}

/// Names this process in its file, which is written only when the worker is ready: the restart command waits for it.
pub fn says_ready(pid_file: &str) {
    let beside = Path::new(pid_file).with_extension(format!("new-{}", std::process::id()));
    fs::write(&beside, format!("{}\n", std::process::id())).unwrap();
    fs::rename(&beside, pid_file).unwrap();
}

/// One call; a connection that was closed is opened again, once.
pub fn call(stream: &mut Option<TcpStream>, key: &str, words: &BTreeMap<&str, &str>) -> Option<u16> {
    for _ in 0..2 {
        let connected = match stream.take() {
            Some(stream) => Ok(stream),
            None => TcpStream::connect(("127.0.0.1", words["port"].parse::<u16>().unwrap())),
        };
        let Ok(mut open) = connected else { continue };
        if let Some(status) = ask(&mut open, key, words.get("name").unwrap_or(&"try")) {
            *stream = Some(open);
            return Some(status);
        }
    }
    None
}

fn ask(stream: &mut TcpStream, key: &str, name: &str) -> Option<u16> {
    stream.set_read_timeout(Some(ANSWER_TIME_MAX)).ok()?;
    let request = format!(
        "GET /v1/me HTTP/1.1\r\nHost: acme\r\nX-Worker: {name}\r\nAuthorization: Bearer {key}\r\n\r\n"
    );
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
