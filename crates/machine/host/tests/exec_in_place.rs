//! A process that executes another program keeps its id and its start time, and is another instance all the same.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use keyroll_host::{Local, LogSetup};
use keyroll_observe::LogSource;
use keyroll_port::{AllowedChanges, Host as _, Session, Sessions};
use keyroll_rotation::{ConsumerId, FileId, Incarnation, Kinds, Proof, Which};
use keyroll_secret::Fields;
use keyroll_testkit::command::wait;

use crate::evidence::{Place, Shown};
use crate::{prove, step};

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

    fn restart(&mut self, value: &str) {
        self.tell(&format!("restart {value}"));
        let name = || std::fs::read_to_string(format!("/proc/{}/comm", self.0.id())).unwrap();
        wait("the other program runs", || name() == "sleep\n");
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

fn session(pid: u32, handle: &str) -> Session {
    Session { client: None, pid: Some(pid), busy: false, handle: handle.to_owned(), calls: None }
}

fn text(fields: &Fields) -> String {
    String::from_utf8(fields.get("value").unwrap().value.expose().to_vec()).unwrap()
}

async fn proof(host: &Local, place: &Place, sessions: impl FnMut() -> Sessions) -> Proof {
    let proved = prove(host, place.asks(Which::New), sessions).await;
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
    let before = proof(&host, &place, || nothing.now()).await;
    assert!(before.paths[0].has(Kinds::LOADED), "{:?}", before.paths[0]);
    assert_eq!(listed(&host, &place).await, before.who);
    process.restart(&text(&place.old));
    let after = proof(&host, &place, || nothing.now()).await;
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
    let open = |handles: &[&str]| {
        let new = Some(handles.iter().map(|handle| session(pid, handle)).collect());
        Shown(Mutex::new(Sessions { old: Some(Vec::new()), new }))
    };
    let exercised =
        async |source: &Shown| proof(&host, &place, || source.now()).await.paths[0].has(Kinds::EXERCISED);
    assert!(exercised(&open(&["first"])).await);
    process.restart(&text(&place.old));
    assert!(!exercised(&open(&["first"])).await, "the socket outlived its program");
    assert!(!exercised(&open(&["first"])).await);
    assert!(exercised(&open(&["first", "second"])).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_begins_during_a_look_has_its_own_evidence() {
    let place = Place::new();
    let mut process = Restarting::with(&text(&place.new));
    let pid = process.0.id();
    let host = place.host(vec![place.env("app.env", "value", &place.new)], place.rereads_as(pid, None, None));
    let shown = || Sessions { old: Some(Vec::new()), new: Some(vec![session(pid, "first")]) };
    let mut reads = 0;
    let sessions = || {
        reads += 1;
        if reads == 1 {
            return Sessions { old: Some(Vec::new()), new: Some(Vec::new()) };
        }
        // The first half has seen the program before.
        process.restart(&text(&place.new));
        shown()
    };
    let during = proof(&host, &place, sessions).await;
    assert_eq!(reads, 2);
    let now = listed(&host, &place).await;
    assert_ne!(during.who, now);
    assert_eq!(during.paths[0], Kinds::NONE, "the program before has no such session");
    let after = proof(&host, &place, shown).await;
    assert_eq!(after.who, now);
    assert!(after.paths[0].has(Kinds::EXERCISED.and(Kinds::LOADED)), "{:?}", after.paths[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_instance_showed_outlasts_the_restart_of_another_one() {
    let place = Place::new();
    let processes = [text(&place.new), text(&place.new)].map(|value| Restarting::with(&value));
    let [first, second] = [&processes[0], &processes[1]].map(|process| process.0.id());
    let slots = [("first.pid", first), ("second.pid", second)]
        .map(|(file, pid)| place.rereads_by(file, pid, None, None))
        .into();
    let host = place.host_of(vec![place.env("app.env", "value", &place.new)], slots);
    let new = Some(vec![session(first, "first"), session(second, "second")]);
    let source = Shown(Mutex::new(Sessions { old: Some(Vec::new()), new }));
    let exercised = async || {
        let proved = prove(&host, place.asks(Which::New), || source.now()).await;
        let proofs = proved.evidence.unwrap().proofs;
        [0, 1].map(|slot| {
            let proof = proofs.iter().find(|proof| proof.slot == slot).unwrap();
            proof.paths[0].has(Kinds::EXERCISED)
        })
    };
    assert_eq!(exercised().await, [true, true]);
    host.apply(ConsumerId(0), 1, step(1), AllowedChanges::Anything).await.unwrap();
    // The second one's session is from before its verb.
    assert_eq!(exercised().await, [true, false]);
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
    let kinds = async || proof(&host, &place, || nothing.now()).await.paths[0];
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
    process.restart(&text(&place.old));
    let after = kinds().await;
    assert!(!after.has(Kinds::REPORTED) && !after.has(Kinds::READ), "{after:?}");
    write();
    assert!(kinds().await.has(Kinds::REPORTED));
}
