//! What happens, as it happens: real curl reads a stream, loses it, and goes on where it was.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use keyroll_testkit::command::wait;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::team::{Team, begun, refused};

/// What no journal of a test has as many entries as.
const TOO_HIGH: &str = "/v1/events?after=999999999";

/// A stream, as curl writes it.
struct Stream {
    curl: Child,
    said: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

/// One event; or an id that came alone.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    kind: String,
    data: Value,
    id: Option<u64>,
}

impl Told {
    fn of(block: &str) -> Self {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        Self {
            kind: field("event: ").unwrap_or_default().to_owned(),
            data: field("data: ").map_or(Value::Null, |text| serde_json::from_str(text).unwrap()),
            id: field("id: ").map(|id| id.parse().unwrap()),
        }
    }
}

impl Stream {
    /// curl, once it has the beginning of an answer.
    fn asked(team: &Team, who: &str, path: &str, id: Option<u64>) -> Self {
        let token = format!("@{who}.header");
        let last = id.map(|id| format!("Last-Event-ID: {id}"));
        let mut words = vec!["-N", "-H", token.as_str()];
        words.extend(last.iter().flat_map(|last| ["-H", last.as_str()]));
        let mut curl = team.served.begin(path, &words);
        let mut out = curl.stdout.take().unwrap();
        let said = Arc::<Mutex<Vec<u8>>>::default();
        let hears = said.clone();
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Some(read) = out.read(&mut buffer).ok().filter(|read| *read > 0) {
                hears.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        let stream = Self { curl, said, reader: Some(reader) };
        wait("curl has an answer", || stream.text().contains("\r\n\r\n"));
        stream
    }

    #[track_caller]
    fn open(team: &Team, who: &str, path: &str, id: Option<u64>) -> Self {
        let stream = Self::asked(team, who, path, id);
        assert!(stream.is_answered(), "{}", stream.text());
        let (text, head) = (stream.text(), stream.text().to_lowercase());
        for line in ["content-type: text/event-stream", "cache-control: no-store"] {
            assert!(head.contains(line), "{text}");
        }
        stream
    }

    fn is_answered(&self) -> bool {
        self.text().starts_with("HTTP/1.1 200 ")
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap()).into_owned()
    }

    /// The whole events so far.
    fn told(&self) -> Vec<Told> {
        let text = self.text();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        // The last one may be half written.
        let (whole, _) = body.rsplit_once("\n\n").unwrap_or_default();
        whole.split("\n\n").map(Told::of).collect()
    }

    #[track_caller]
    fn until(&self, what: &str, is: impl Fn(&[Told]) -> bool) -> Vec<Told> {
        let mut told = Vec::new();
        wait(what, || {
            told = self.told();
            is(&told)
        });
        told
    }

    /// The last id; it waits for the first one.
    #[track_caller]
    fn id(&self) -> u64 {
        let told = self.until("the stream has an id", |told| told.iter().any(|one| one.id.is_some()));
        told.iter().rev().find_map(|one| one.id).unwrap()
    }

    /// Breaks the connection off; returns what was received, and the last id.
    fn breaks_off(mut self, team: &Team) -> (Vec<Told>, u64) {
        self.curl.kill().unwrap();
        self.ends(team);
        (self.told(), self.id())
    }

    /// Waits until the server ends it; returns the exit code of curl, which is 0 if the answer is whole.
    fn ended(mut self, team: &Team) -> Option<i32> {
        self.ends(team)
    }

    fn ends(&mut self, team: &Team) -> Option<i32> {
        let mut code = None;
        wait("curl ends", || {
            code = self.curl.try_wait().unwrap();
            code.is_some()
        });
        self.reader.take().unwrap().join().unwrap();
        team.heard(self.text());
        code.unwrap().code()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.curl.kill();
        let _ = self.curl.wait();
    }
}

/// The rotation as it was told last.
fn latest(told: &[Told], id: &str) -> Value {
    let its = |one: &&Told| one.kind == "rotation" && one.data["rotation"] == id;
    told.iter().rev().find(its).map(|one| one.data.clone()).unwrap_or_default()
}

/// The acts, by the number of their entries.
fn acts(told: &[Told]) -> BTreeSet<(u64, String)> {
    let all = told.iter().filter(|one| one.kind == "act");
    all.map(|one| (one.data["entry"].as_u64().unwrap(), one.data.to_string())).collect()
}

#[track_caller]
fn grows(told: &[Told], after: u64) {
    let ids: Vec<u64> = told.iter().filter_map(|one| one.id).collect();
    assert!(ids.first().is_some_and(|first| *first >= after), "after {after}: {ids:?}");
    assert!(ids.is_sorted(), "{ids:?}");
}

/// A stream is broken off in the middle of a rotation, and another one goes on from its last id: of the same server, and
/// of the next one after a crash.
#[test]
fn a_stream_that_breaks_off_misses_nothing() {
    let mut team = Team::start(1, |_| {});
    let whole = Stream::open(&team, "vic", "/v1/events", None);
    let first = whole.id();
    let id = team.held();
    let part = Stream::open(&team, "otto", &format!("/v1/events?after={first}"), None);
    part.until("it is driven", |told| latest(told, &id)["state"] == "driven");
    let (part, last) = part.breaks_off(&team);
    grows(&part, first);
    team.go();
    team.waits_for_consent(&id);
    // Its driver ends after its last entry: that is told too.
    whole.until("it waits for consent", |told| {
        let row = latest(told, &id);
        row["state"] == "waiting" && row["why"].as_str().is_some_and(|why| why.contains("consent"))
    });
    begun(&team.approve("ann", &id), &id);
    team.ended(&id, "done");
    let row = team.rotation(&id);
    let told = whole.until("it has ended", |told| latest(told, &id) == row);
    grows(&told, first);
    assert!(acts(&told).iter().all(|(entry, _)| *entry > first), "{told:?}");
    for by in ["token otto", "token ann"] {
        assert!(
            told.iter().any(|one| one.data["by"] == by && one.data["secret"] == "ring"),
            "{by}: {told:?}"
        );
    }
    let all = acts(&told);
    let rest = Stream::open(&team, "otto", "/v1/events", Some(last));
    let told = rest.until("the rest", |told| latest(told, &id) == row);
    grows(&told, last);
    assert_eq!(&acts(&part) | &acts(&told), all, "an act is missing");
    // The next server knows the ids of the last one.
    team.served.end(Signal::KILL);
    for broken in [whole, rest] {
        assert_ne!(broken.ended(&team), Some(0), "a killed server ends nothing");
    }
    team.served.serve();
    let again = Stream::open(&team, "otto", "/v1/events", Some(last));
    let told = again.until("the rest once more", |told| latest(told, &id) == row);
    grows(&told, last);
    assert_eq!(&acts(&part) | &acts(&told), all, "an act is missing");
    // An id of another journal.
    let newest = again.id();
    let other = Stream::open(&team, "vic", TOO_HIGH, None);
    let told = other.until("it begins anew", |told| told.iter().any(|one| one.kind == "reset"));
    let reset = told.iter().find(|one| one.kind == "reset").unwrap();
    assert_eq!((&reset.data, reset.id), (&json!({ "newest": newest }), Some(newest)), "{told:?}");
    // A server that stops ends its streams, and waits for no reader.
    assert_eq!(team.served.end(Signal::TERM), Some(0));
    for stream in [again, other] {
        assert_eq!(stream.ended(&team), Some(0), "the stream was cut");
    }
    team.nothing_leaked();
}

/// A token has a bounded number of streams, and none once it is revoked. While the journal cannot be read, a stream says
/// so once and stays.
#[test]
fn streams_are_bounded_and_end_with_their_token() {
    let team = Team::start(1, |_| {});
    for path in ["/v1/events?after=x", "/v1/events?after=1&after=1", "/v1/events?befor=1"] {
        refused(&team.ask("vic", "GET", path, ""), &[400]);
    }
    for (path, id) in [("/v1/events", "x"), ("/v1/events", "-1"), ("/v1/events?after=1", "1")] {
        let header = format!("Last-Event-ID: {id}");
        refused(&team.served.curl(path, &["-H", "@vic.header", "-H", header.as_str()], b""), &[400]);
    }
    let mut own: Vec<Stream> = (0..8).map(|_| Stream::open(&team, "vic", "/v1/events", None)).collect();
    let full = team.ask("vic", "GET", "/v1/events", "");
    refused(&full, &[429]);
    assert!(full.head.to_lowercase().contains("retry-after: "), "{full:?}");
    // Nobody else is kept out, and whoever ends one may begin another.
    let other = Stream::open(&team, "otto", "/v1/events", None);
    drop(own.pop());
    wait("there is room again", || {
        let one = Stream::asked(&team, "vic", "/v1/events", None);
        let room = one.is_answered();
        own.extend(Some(one).filter(|_| room));
        room
    });
    let (state, away) = (team.served.scene.state(), team.served.scene.state().with_extension("away"));
    fs::rename(&state, &away).unwrap();
    fs::write(&state, "").unwrap();
    let problems =
        |told: &[Told]| told.iter().filter(|one| one.kind == "problem").cloned().collect::<Vec<_>>();
    let told = other.until("it cannot be read", |told| !problems(told).is_empty());
    assert_eq!(problems(&told)[0].data["status"], 503, "{told:?}");
    refused(&team.ask("otto", "GET", "/v1/events", ""), &[503]);
    fs::remove_file(&state).unwrap();
    fs::rename(&away, &state).unwrap();
    team.served.scene.run(&["token", "revoke", "vic"]).exits(0);
    let told = other.until("the stream of another token goes on", |told| {
        told.iter().any(|one| one.kind == "act" && one.data["what"] == "token revoke")
    });
    let reasons: BTreeSet<String> = problems(&told).iter().map(|one| one.data.to_string()).collect();
    assert_eq!(problems(&told).len(), reasons.len(), "each reason is told once: {told:?}");
    for stream in own {
        assert_eq!(stream.ended(&team), Some(0), "a stream of a token that was revoked");
    }
    refused(&team.ask("vic", "GET", "/v1/events", ""), &[401]);
}
