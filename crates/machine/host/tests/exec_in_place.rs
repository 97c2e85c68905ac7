//! A process that executes another program keeps its id and its start time, and is another instance all the same.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use keyroll_host::{Local, LogSetup};
use keyroll_observe::LogSource;
use keyroll_port::{Host as _, Session, Sessions};
use keyroll_rotation::{ConsumerId, FileId, Incarnation, Kinds, Proof, Which};
use keyroll_secret::Fields;

use crate::evidence::{Place, Shown};
use crate::step;

/// How long a process may take to do what it was told.
const WAIT: Duration = Duration::from_secs(60);

/// A shell that holds a value in its environment, reads the files that it is told to, and becomes another program with
/// another value.
struct Restarting(Child);

impl Restarting {
    fn with(value: &str) -> Self {
        let shell = Command::new("sh")
            .args(["-c", "while read -r what it; do case $what in read) read -r line <\"$it\";; *) KEY=$it exec sleep 1000;; esac; done"])
            .env("KEY", value)
            .stdin(Stdio::piped())
            .spawn();
        Self(shell.unwrap())
    }

    fn tell(&mut self, words: &str) {
        self.0.stdin.as_mut().unwrap().write_all(format!("{words}\n").as_bytes()).unwrap();
    }

    fn read(&mut self, file: &Path) {
        self.tell(&format!("read {}", file.display()));
    }

    async fn restart(&mut self, value: &str) {
        self.tell(&format!("restart {value}"));
        let name = || std::fs::read_to_string(format!("/proc/{}/comm", self.0.id())).unwrap();
        until("the other program runs", async || name() == "sleep\n").await;
    }
}

impl Drop for Restarting {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let last = Instant::now() + WAIT;
    while !holds().await {
        assert!(Instant::now() < last, "not after {WAIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn text(fields: &Fields) -> String {
    String::from_utf8(fields.get("value").unwrap().value.expose().to_vec()).unwrap()
}

async fn proof(host: &Local, place: &Place, source: &Shown) -> Proof {
    let proved = host.prove(ConsumerId(0), None, Which::New, place.values(), source).await;
    *proved.evidence.unwrap().proofs.first().unwrap()
}

async fn listed(host: &Local, place: &Place) -> Incarnation {
    let looked = host.enumerate(place.values(), &Sessions::default(), Which::New).await.unwrap();
    looked.enumeration.instances.iter().find(|it| it.consumer == Some(ConsumerId(0))).unwrap().who
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_showed_before_it_executed_another_program_is_void() {
    let place = Place::new();
    let mut process = Restarting::with(&text(&place.new));
    let file = place.env("app.env", "value", &place.new);
    let host = place.host(vec![file], place.rereads_as(process.0.id(), None, None));
    let nothing = Shown(Mutex::default());
    let before = proof(&host, &place, &nothing).await;
    assert!(before.paths[0].has(Kinds::LOADED), "{:?}", before.paths[0]);
    assert_eq!(listed(&host, &place).await, before.who);
    process.restart(&text(&place.old)).await;
    let after = proof(&host, &place, &nothing).await;
    assert!(!after.paths[0].has(Kinds::LOADED), "it holds the old value: {:?}", after.paths[0]);
    assert_ne!(after.who, before.who);
    assert_eq!(listed(&host, &place).await, after.who);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_the_program_before_is_no_call_of_the_program_after() {
    let place = Place::new();
    let mut process = Restarting::with(&text(&place.new));
    let pid = process.0.id();
    let file = place.env("app.env", "value", &place.new);
    let host = place.host(vec![file], place.rereads_as(pid, None, None));
    let session = |handle: &str| Session {
        client: None,
        pid: Some(pid),
        busy: false,
        handle: handle.to_owned(),
        calls: None,
    };
    let open = |handles: &[&str]| {
        let new = Some(handles.iter().map(|handle| session(handle)).collect());
        Shown(Mutex::new(Sessions { old: Some(Vec::new()), new }))
    };
    let exercised = async |source: &Shown| proof(&host, &place, source).await.paths[0].has(Kinds::EXERCISED);
    assert!(exercised(&open(&["first"])).await);
    process.restart(&text(&place.old)).await;
    assert!(!exercised(&open(&["first"])).await, "the socket outlived its program");
    assert!(!exercised(&open(&["first"])).await);
    assert!(exercised(&open(&["first", "second"])).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_in_its_log_and_a_file_that_was_read_are_of_the_program_that_ran_then() {
    let place = Place::new();
    let mut process = Restarting::with(&text(&place.new));
    let log = place.path("app.log");
    std::fs::write(&log, "").unwrap();
    let success = "accepted".into();
    let setup = LogSetup { source: LogSource::File(log.clone()), success, failure: "refused".into() };
    let slot = place.rereads_as(process.0.id(), None, Some(setup));
    let host = place.host(vec![place.env("app.env", "value", &place.old)], slot);
    host.deliver(FileId(0), Which::New, place.values(), step(1)).await.unwrap();
    let nothing = Shown(Mutex::default());
    let kinds = async || proof(&host, &place, &nothing).await.paths[0];
    let write = || {
        let mut log = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
        log.write_all(b"accepted\n").unwrap();
    };
    write();
    process.read(&place.path("app.env"));
    let watched = keyroll_observe::sees_opens();
    until("its file was read", async || {
        let kinds = kinds().await;
        kinds.has(Kinds::REPORTED) && (kinds.has(Kinds::READ) || !watched)
    })
    .await;
    process.restart(&text(&place.old)).await;
    let after = kinds().await;
    assert!(!after.has(Kinds::REPORTED) && !after.has(Kinds::READ), "{after:?}");
    write();
    assert!(kinds().await.has(Kinds::REPORTED));
}
