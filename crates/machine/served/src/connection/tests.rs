//! The socket itself, with this process at both ends.

use std::path::PathBuf;

use keyroll_codes::Code;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::*;
use crate::known::{Consumers, MAIN, Of};
use crate::{Ledger, Rule, Value};

struct Scene {
    folder: tempfile::TempDir,
    desk: Arc<Desk>,
    _stop: watch::Sender<bool>,
}

fn of() -> Of {
    Of { secret: "one".to_owned(), consumer: "agent".to_owned() }
}

fn value(version: u32) -> Result<Value, String> {
    let line = format!("{{\"secret\":\"one\",\"version\":{version},\"value\":\"v-{version}\"}}\n");
    Ok(Value { version, print: format!("print-{version}"), line: SecretBytes::from(line) })
}

impl Scene {
    fn start(exe: PathBuf) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let desk = Arc::new(Desk::new(Ledger::open(folder.path()).expect("a ledger"), Box::new(|_| ())));
        let uid = rustix::process::getuid().as_raw();
        desk.set_rules(vec![Rule { of: of(), uid, exe, paths: vec!["fallback".to_owned()] }]);
        let listener = UnixListener::bind(folder.path().join("socket")).expect("a socket");
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(listen(listener, desk.clone(), stopped));
        Self { folder, desk, _stop: stop }
    }

    fn here() -> Self {
        let scene = Self::start(std::env::current_exe().expect("this program"));
        scene.desk.set(&of(), value(1)).expect("written");
        scene
    }

    #[expect(clippy::disallowed_methods, reason = "the test's own socket")]
    async fn link(&self) -> BufReader<UnixStream> {
        BufReader::new(UnixStream::connect(self.folder.path().join("socket")).await.expect("connected"))
    }

    /// What the driver would read of this process.
    fn words(&self) -> Option<crate::Words> {
        let known = Consumers::read(self.folder.path()).expect("read");
        known.of("one", "agent")?.lives.values().next().cloned()
    }
}

async fn send(link: &mut BufReader<UnixStream>, request: &str) {
    link.get_mut().write_all(format!("{request}\n").as_bytes()).await.expect("sent");
}

/// The answer; empty = the link was closed.
async fn heard(link: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    // A reset is an end too: the server closes while something is unread.
    let _ = link.read_line(&mut line).await;
    line
}

async fn ask(link: &mut BufReader<UnixStream>, request: &str) -> String {
    send(link, request).await;
    heard(link).await
}

const GET: &str = r#"{"get":{"secret":"one"}}"#;
const WAIT: &str = r#"{"get":{"secret":"one","have":1,"wait":600}}"#;
const LOADED: &str = r#"{"loaded":{"secret":"one","version":2}}"#;
const DONE: &str = "{\"done\":true}\n";

#[tokio::test]
async fn a_waiting_program_is_given_the_next_version_and_it_is_written_down_before() {
    let scene = Scene::here();
    let mut link = scene.link().await;
    assert!(ask(&mut link, GET).await.contains("v-1"));
    send(&mut link, WAIT).await;
    scene.desk.set(&of(), Err("for a moment".to_owned())).expect("set");
    scene.desk.set(&of(), value(2)).expect("written");
    assert!(heard(&mut link).await.contains("v-2"));
    let words = scene.words().expect("written down");
    assert!(words.was_given("print-1") && !words.tells(MAIN, "print-2", 0), "given is not loaded");
    assert_eq!(ask(&mut link, LOADED).await, DONE);
    assert!(scene.words().expect("written").tells(MAIN, "print-2", 0));
    let fallback = r#"{"used":{"secret":"one","version":1,"ok":true,"path":"fallback"}}"#;
    assert_eq!(ask(&mut link, fallback).await, DONE);
    assert!(scene.words().expect("written").uses("print-1", true));
    assert_eq!(ask(&mut link, r#"{"bye":{"secret":"one"}}"#).await, DONE);
    assert!(scene.words().expect("written").tells("fallback", "print-2", 0));
}

#[tokio::test]
async fn a_wait_ends_with_the_time_or_with_the_next_request() {
    let scene = Scene::here();
    let mut link = scene.link().await;
    let unchanged = "{\"unchanged\":1}\n";
    assert!(ask(&mut link, GET).await.contains("v-1"));
    assert_eq!(ask(&mut link, r#"{"get":{"secret":"one","have":1,"wait":0}}"#).await, unchanged);
    send(&mut link, WAIT).await;
    assert_eq!(ask(&mut link, r#"{"bye":{"secret":"one"}}"#).await, unchanged);
    assert_eq!(heard(&mut link).await, DONE);
}

/// A program that executed itself anew, or whose server lost the ledger, has a version that it was not given in this life.
#[tokio::test]
async fn who_asks_with_a_version_from_elsewhere_is_answered_at_once_and_must_speak_later() {
    let scene = Scene::here();
    let mut link = scene.link().await;
    let bye = r#"{"bye":{"secret":"one"}}"#;
    assert_eq!(ask(&mut link, bye).await, DONE);
    assert!(scene.words().is_none(), "who was given nothing says nothing that counts");
    assert!(ask(&mut link, WAIT).await.contains("v-1"), "it has v1 from elsewhere");
    send(&mut link, WAIT).await;
    scene.desk.set(&of(), value(2)).expect("written");
    assert!(heard(&mut link).await.contains("v-2"));
    assert!(!scene.words().expect("written").tells(MAIN, "print-2", u64::MAX));
    assert_eq!(ask(&mut link, LOADED).await, DONE);
    assert!(scene.words().expect("written").tells(MAIN, "print-2", 0));
}

#[tokio::test]
async fn who_waits_is_answered_by_the_rules_of_that_time() {
    let scene = Scene::here();
    let mut link = scene.link().await;
    ask(&mut link, GET).await;
    send(&mut link, WAIT).await;
    let uid = rustix::process::getuid().as_raw();
    let rule = Rule { of: of(), uid: uid + 1, exe: PathBuf::from("/proc/self/exe"), paths: Vec::new() };
    scene.desk.set_rules(vec![rule]);
    scene.desk.set(&of(), value(2)).expect("written");
    assert!(heard(&mut link).await.contains("no secret 'one' is served"));
    assert!(!scene.words().expect("given").was_given("print-2"));
}

#[tokio::test]
async fn a_promise_is_written_with_its_end() {
    let scene = Scene::here();
    let mut link = scene.link().await;
    ask(&mut link, r#"{"get":{"secret":"one","keeps":60}}"#).await;
    scene.desk.set(&of(), value(2)).expect("written");
    ask(&mut link, r#"{"get":{"secret":"one","keeps":60}}"#).await;
    let words = scene.words().expect("given");
    assert!(!words.tells(MAIN, "print-2", 0) && words.tells(MAIN, "print-2", u64::MAX));
}

#[tokio::test]
async fn what_a_program_may_not_say_ends_its_link_and_is_not_written() {
    for wrong in [
        LOADED,
        r#"{"used":{"secret":"one","version":7,"ok":true}}"#,
        r#"{"loaded":{"secret":"one","version":-1}}"#,
        r#"{"get":{"secret":"one","pid":1}}"#,
        "GET / HTTP/1.1",
        &format!(r#"{{"get":{{"secret":"{}"}}}}"#, "x".repeat(REQUEST_BYTES_MAX)),
    ] {
        let scene = Scene::here();
        let mut link = scene.link().await;
        assert!(ask(&mut link, GET).await.contains("v-1"));
        let answer = ask(&mut link, wrong).await;
        assert!(answer.contains(Code::ValueNotServed.as_str()), "{wrong}: {answer}");
        assert_eq!(heard(&mut link).await, "", "{wrong}");
        assert!(!scene.words().expect("given").was_given("print-2"), "{wrong}");
    }
}

#[tokio::test]
async fn a_flood_of_words_ends_its_link_and_what_says_nothing_new_is_not_written() {
    let scene = Scene::here();
    let mut link = scene.link().await;
    ask(&mut link, GET).await;
    let used = r#"{"used":{"secret":"one","version":1,"ok":true}}"#;
    send(&mut link, &[used; 1_000].join("\n")).await;
    let mut all = Vec::new();
    loop {
        let line = heard(&mut link).await;
        if line.is_empty() {
            break;
        }
        all.push(line);
    }
    assert!(all.len() < 1_000 && all.iter().any(|line| line.contains("words within a second")), "{all:?}");
    let text = std::fs::read_to_string(crate::ledger_file(scene.folder.path())).expect("read");
    assert_eq!(text.lines().filter(|line| line.contains("\"used\"")).count(), 1, "{text}");
}

#[tokio::test]
async fn another_program_and_another_secret_are_given_the_same_nothing() {
    let other = Scene::start(PathBuf::from("/proc/self/status"));
    other.desk.set(&of(), value(1)).expect("written");
    let mut link = other.link().await;
    let refused = ask(&mut link, GET).await;
    assert!(refused.contains("no secret 'one' is served to user") && !refused.contains("v-1"), "{refused}");
    assert!(other.words().is_none());
    let scene = Scene::here();
    let mut link = scene.link().await;
    assert!(ask(&mut link, r#"{"get":{"secret":"two"}}"#).await.contains("no secret 'two' is served"));
    let path = r#"{"used":{"secret":"one","version":1,"ok":true,"path":"other"}}"#;
    ask(&mut link, GET).await;
    assert!(ask(&mut link, path).await.contains("'other' is no path"));
    scene.desk.set_rules(Vec::new());
    assert!(ask(&mut link, GET).await.contains("no secret 'one' is served"), "the configuration was changed");
}

#[tokio::test]
async fn nobody_is_given_what_cannot_be_written_down() {
    let scene = Scene::here();
    let mut link = scene.link().await;
    scene.desk.break_ledger();
    assert!(ask(&mut link, GET).await.contains("could not be written down"));
    assert!(scene.desk.set(&of(), value(2)).is_err(), "nor is another version served");
    assert_eq!(scene.desk.serves(&of()).as_deref(), Some("print-1"));
}

#[tokio::test]
async fn one_process_does_not_take_all_connections() {
    let scene = Scene::here();
    let mut links = Vec::new();
    for _ in 0..PER_PROCESS_MAX {
        let mut link = scene.link().await;
        assert!(ask(&mut link, GET).await.contains("v-1"));
        links.push(link);
    }
    let mut more = scene.link().await;
    assert!(heard(&mut more).await.contains("too many connections"));
    links.truncate(1);
    // The server sees the ends of the others in its own time.
    loop {
        let mut again = scene.link().await;
        if ask(&mut again, GET).await.contains("v-1") {
            break;
        }
    }
}
