//! Programs that read the store again by themselves: what they held before shows nothing.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use keyroll_host::{ConsumerSetup, Local, SlotSetup};
use keyroll_manager::{Find, Reread};
use keyroll_port::{Host as _, Sessions};
use keyroll_rotation::{ConsumerId, Kinds, Which};
use keyroll_secret::Fields;

use crate::evidence::{Ended, Place, Shown, kinds, session};

/// Keeps every line that it is given, and answers each.
const KEEPS: &str = "import sys\nkept = []\nfor line in sys.stdin:\n    kept.append(line.strip())\n    print('kept', flush=True)";

/// A program that reads the store again by itself: here it is given what it reads.
struct Reader(Ended);

impl Reader {
    fn start(place: &Place) -> Self {
        let mut command = std::process::Command::new("python3");
        command.args(["-c", KEEPS]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let child = command.spawn().unwrap();
        fs::write(place.path("app.pid"), child.id().to_string()).unwrap();
        Self(Ended(child))
    }

    fn read(&mut self, fields: &Fields) {
        let child = &mut self.0.0;
        let mut line = fields.get("value").unwrap().value.expose().to_vec();
        line.push(b'\n');
        child.stdin.as_mut().unwrap().write_all(&line).unwrap();
        let mut answer = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut answer).unwrap();
        assert_eq!(answer, "kept\n");
    }
}

/// A host with that program as a consumer, for one driver.
fn follower(place: &Place) -> Local {
    let path = place.path("app.pid");
    let run = Arc::new(Reread { instances: Vec::new(), find: Find::PidFile { path, exe: None } });
    let slot = SlotSetup { instance: None, run, checks: vec![None], log: None, ready: None };
    place.host_with(
        Vec::new(),
        ConsumerSetup {
            name: "app".into(),
            files: Vec::new(),
            fetch: None,
            slots: vec![slot],
            follows: true,
            served: None,
        },
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_held_before_the_store_gave_it_out_shows_nothing() {
    let place = Place::new();
    let mut reader = Reader::start(&place);
    let shown = Shown(Mutex::new(Sessions::default()));
    let loaded = async |host: &Local, which| kinds(host, which, &place, &shown).await.has(Kinds::LOADED);
    let gives =
        async |host: &Local, which| host.before_given_out(which, place.values(), &Sessions::default()).await;
    reader.read(&place.old);
    let host = follower(&place);
    // Nothing is known of what the store gives out.
    reader.read(&place.new);
    assert!(!loaded(&host, Which::New).await);
    drop(reader);

    let mut reader = Reader::start(&place);
    reader.read(&place.old);
    gives(&host, Which::New).await.unwrap();
    assert!(!loaded(&host, Which::New).await);
    reader.read(&place.new);
    assert!(loaded(&host, Which::New).await, "it took the value, and keeps the former one");
    // Another driver knows it too.
    assert!(loaded(&follower(&place), Which::New).await);
    assert!(!kinds(&host, Which::New, &place, &shown).await.has(Kinds::DELIVERED), "it has no file");
    // It has held both: that the old one is there shows nothing, to no driver.
    gives(&host, Which::Old).await.unwrap();
    for host in [&host, &follower(&place)] {
        assert!(!loaded(host, Which::Old).await);
        assert!(!loaded(host, Which::New).await);
    }
    reader.read(&place.old);
    assert!(!loaded(&host, Which::Old).await);
    // One that was started anew holds the old one only.
    drop(reader);
    let mut reader = Reader::start(&place);
    reader.read(&place.old);
    for host in [&host, &follower(&place)] {
        assert!(loaded(host, Which::Old).await);
    }
    // What was remembered is damaged: no guess.
    fs::write(place.path("work/r1-given-out"), "").unwrap();
    let proved = follower(&place).prove(ConsumerId(0), None, Which::Old, place.values(), &shown).await;
    assert!(proved.evidence.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_before_the_store_gave_the_value_out_proves_nothing() {
    let place = Place::new();
    fs::write(place.path("app.pid"), std::process::id().to_string()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (before, after) = (connect(), connect());
    let host = follower(&place);
    let sessions =
        Sessions { old: Some(vec![session(&before, "a handle\nin two lines")]), new: Some(Vec::new()) };
    host.before_given_out(Which::Old, place.values(), &sessions).await.unwrap();
    let shown = Shown(Mutex::new(sessions));
    for host in [&host, &follower(&place)] {
        assert!(
            !kinds(host, Which::Old, &place, &shown).await.has(Kinds::EXERCISED),
            "an old session counts"
        );
    }
    shown.0.lock().unwrap().old.as_mut().unwrap().push(session(&after, "2"));
    for host in [&host, &follower(&place)] {
        assert!(kinds(host, Which::Old, &place, &shown).await.has(Kinds::EXERCISED), "a new one does not");
    }
}
